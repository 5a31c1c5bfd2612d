"""Export and import: complete, idempotent, and distrustful of what comes in."""

from __future__ import annotations

import asyncio
import base64
import codecs
import io
import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from sale.errors import InputError, OutputError
from sale.memory.records import ImportReport
from sale.memory.store import AuctionMemory
from sale.types import Attempt, Auction, Baseline, Execution, Outcome, Pair, Task
from tests.memory import builders
from tests.memory.builders import Fresh, HashEmbedder, auction, bid, call, execution, outcome, remember


@pytest.fixture
def kind() -> str:
    return "sqlite"


TASK = Task(text="sort the list", domain="code")
ONE_MEMORY = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def fill(memory: AuctionMemory) -> None:
    """One of each kind of record."""
    pair = Pair(auction_id="old", task="t", similarity=0.5, losing="l", winning="w", own="both")
    refined = bid("b", 0.5, refined=True)
    await remember(memory, "settled", "sort", refined=[refined], winner=refined, pairs=(pair,))
    await memory.feedback("settled", "failure", detail="no")
    await remember(memory, "twice", "boil", verdict=None)
    await memory.feedback("twice", "unknown", detail="before the work")
    failed = Attempt(execution=execution("a"), outcome=outcome("failure"))
    await memory.settle("twice", execution("b"), outcome(), earlier=(failed,))
    await memory.feedback("twice", "failure")
    await remember(memory, "awarded", "bake", verdict=None)
    await memory.begin("abandoned", TASK)
    await memory.abandon("abandoned", "no bids", [call()])
    await remember(memory, "abandoned later", "list", verdict=None)
    await memory.abandon("abandoned later", "cancelled", [call("execute")])
    await memory.begin("open", Task(text="open"))


async def records(memory: AuctionMemory) -> dict[str, object]:
    return {one.id: replace(await memory.load(one.id), source="") for one in await memory.list(100)}


async def test_what_goes_out_comes_back_in(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await fill(memory)
    assert await memory.export(tmp_path / "all.jsonl") == 5
    there = await records(memory)
    del there["open"]
    async with fresh() as other:
        assert await other.import_(tmp_path / "all.jsonl") == ImportReport(added=5, present=0)
        assert await records(other) == there
        assert await other.import_(tmp_path / "all.jsonl") == ImportReport(added=0, present=5)
        assert await records(other) == there
        assert {one.source for one in await other.list()} == {"import:all.jsonl"}
        pairs, expected = await other.recall(TASK, "a", 8), await memory.recall(TASK, "a", 8)
        assert pairs == expected != ()


@ONE_MEMORY
@given(
    auction=builders.auctions(builders.sound_texts),
    execution=builders.executions(builders.sound_texts),
    outcome=builders.outcomes(builders.sound_texts),
    earlier=builders.attempts(builders.sound_texts),
    baseline=builders.baselines(builders.sound_texts),
)
async def test_any_record_survives_the_journey(
    fresh: Fresh,
    tmp_path: Path,
    auction: Auction,
    execution: Execution,
    outcome: Outcome,
    earlier: tuple[Attempt, ...],
    baseline: Baseline | None,
):
    async with fresh() as one, fresh() as other:
        await one.begin(auction.id, auction.task)
        await one.award(auction)
        await one.settle(auction.id, execution, outcome, baseline, earlier=earlier)
        await one.export(tmp_path / "x.jsonl")
        await other.import_(tmp_path / "x.jsonl", source="there")
        assert await other.load(auction.id) == replace(await one.load(auction.id), source="there")


async def test_the_file_is_lines_of_json_as_documented(memory: AuctionMemory, embedder: HashEmbedder):
    await fill(memory)
    stream = io.StringIO()
    assert await memory.export(stream) == 5
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["record"]["id"] for line in lines] == ["settled", "twice", "awarded", "abandoned", "abandoned later"]
    for line in lines:
        assert set(line) == {"schema", "record", "embedding"}
        assert line["schema"] == 2
        assert line["embedding"]["embedder"] == embedder.name
        vector = np.frombuffer(base64.b64decode(line["embedding"]["vector"]), dtype="<f4")
        assert np.array_equal(vector, (await embedder.embed([line["record"]["task"]["text"]]))[0])
    assert lines[0]["record"]["auction"]["bids"][0]["strategy"]["text"] == "first plan of a"
    assert lines[0]["record"]["outcomes"][1]["outcome"]["verdict"] == "failure"


async def test_half_a_character_is_written_as_a_question_mark(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await remember(memory, "x", "sort", (bid("a", 1.0, "half \ud83d"), bid("b", 2.0)))
    await memory.export(tmp_path / "x.jsonl")
    async with fresh() as other:
        await other.import_(tmp_path / "x.jsonl")
        held = (await other.load("x")).auction
    assert held is not None
    assert held.bids[0].strategy.text == "half ?"


async def test_a_file_is_replaced_whole_or_not_at_all(
    memory: AuctionMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from sale.memory import export

    await fill(memory)
    target = tmp_path / "out" / "all.jsonl"
    with pytest.raises(OutputError, match="cannot be written"):
        await memory.export(target)
    target.parent.mkdir()
    target.write_text("the last export\n")

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_encode", fail)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        await memory.export(target)
    assert str(caught.value).startswith(f"{target}: cannot be written")
    monkeypatch.undo()
    assert target.read_text() == "the last export\n"
    assert list(target.parent.iterdir()) == [target]
    await memory.export(target)
    assert len(target.read_text().splitlines()) == 5
    if memory.path is not None:
        with pytest.raises(InputError, match="is the memory itself"):
            await memory.export(memory.path)


async def test_a_reader_that_leaves_is_the_callers_business(memory: AuctionMemory):
    class Left(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        def writelines(self, lines: Iterable[str]) -> None:
            for line in lines:
                self.write(line)

    await fill(memory)
    with pytest.raises(BrokenPipeError):
        await memory.export(Left())
    assert await memory.export(io.StringIO()) == 5


async def test_vectors_of_another_embedder_are_made_anew(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    for number in range(5):
        await remember(memory, f"x{number}", f"task {number}")
    await memory.export(tmp_path / "all.jsonl")
    same, other_name = HashEmbedder(), HashEmbedder("other", dimensions=9)
    for embedder, embedded in ((same, 0), (other_name, 5)):
        async with fresh(embedder) as other:
            await other.import_(tmp_path / "all.jsonl")
            assert embedder.embedded == embedded
            assert len(await other.recall(TASK, "a", 8)) == 5
            assert embedder.embedded == embedded + 1


def vector(*numbers: float) -> dict[str, str]:
    return {"embedder": "hash", "vector": base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()}


@pytest.mark.parametrize(
    "planted",
    [
        {"embedder": "hash", "vector": "not base64!"},
        vector(1.0, 0.0),
        vector(*[9.0] * 48),
        vector(*[float("nan")] * 48),
        vector(*[0.0] * 48),
        vector(*[3e38] * 48),
        {"embedder": "hash", "vector": base64.b64encode(b"\x01\x00\x80\x7f" * 48).decode()},  # a signalling NaN
        None,
    ],
)
async def test_a_vector_that_is_none_is_made_anew(
    memory: AuctionMemory, fresh: Fresh, tmp_path: Path, planted: dict[str, str] | None
):
    await remember(memory, "x", "sort")
    file = await changed(memory, tmp_path, put("embedding", value=planted))
    embedder = HashEmbedder()
    async with fresh(embedder) as other:
        await other.import_(file)
        assert embedder.embedded == 1
        pair = (await other.recall(Task(text="sort"), "a", 8))[0]
        assert pair.auction_id == "x"
        assert pair.similarity == pytest.approx(1.0, abs=1e-6)


async def changed(memory: AuctionMemory, tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """An export of three good records, the second line of which is changed."""
    stream = io.StringIO()
    await remember(memory, "y", "bake")
    await remember(memory, "z", "list")
    await memory.export(stream)
    lines = stream.getvalue().splitlines()
    line = json.loads(lines[0])
    change(line)
    (tmp_path / "in.jsonl").write_text("\n".join([lines[1], json.dumps(line), "", lines[2]]) + "\n")
    return tmp_path / "in.jsonl"


def put(*steps: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(line: dict[str, Any]) -> None:
        inner: Any = line
        for step in steps[:-1]:
            inner = inner[step]
        inner[steps[-1]] = value

    return change


def second_attempt(judged: int | None) -> Callable[[dict[str, Any]], None]:
    """One more execution after the first, and one more outcome, about that one or another."""

    def change(line: dict[str, Any]) -> None:
        record = line["record"]
        record["earlier"] = [record["execution"]]
        if judged is not None:
            record["outcomes"].append({**record["outcomes"][0], "execution": 1})
            record["outcomes"].append({**record["outcomes"][0], "execution": judged})

    return change


BAD = [
    (put("schema", value=3), "schema: Input should be 1 or 2"),
    (put("schema", value="1"), "schema: Input should be 1 or 2"),
    (put("records", value=None), "records: Unexpected"),
    (put("record", "auction", "bids", 0, "strategy", "colour", value="red"), "strategy.colour: Unexpected"),
    (put("record", "started_at", value=0), "record.started_at: Input should be"),
    (put("record", value=None), "record: Input should be"),
    (put("record", "status", value="lost"), "record.status: Input should be 'open', 'awarded'"),
    (put("record", "status", value="open"), "record.status: an open auction"),
    (put("record", "id", value=""), "record.id: it is empty"),
    (put("record", "id", value="w"), "record.auction.id: not the record's"),
    (put("record", "task", "text", value="w"), "record.auction.task: not the record's"),
    (put("record", "task", "text", value=7), "record.task.text: Input should be a valid string"),
    (put("record", "auction", "winner", "cost", value=-5.0), "record.auction.winner: none of the bids"),
    (put("record", "auction", "bids", 0, "cost", value="cheap"), "record.auction.bids.0.cost: Input should be"),
    (put("record", "auction", "bids", 1, "strategy", "tokens", value=2**63), "bids.1.strategy.tokens: too large"),
    (put("record", "auction", "jury", value="crowd"), "record.auction.jury: Input should be"),
    (put("record", "auction", "weights", "cost", value=float("inf")), "record.auction.weights: Value error"),
    (put("record", "auction", value=None), "record.auction and awarded_at: one without the other"),
    (put("record", "started_at", value="2026-01-01T00:00:00"), "record: a time without a zone"),
    (put("record", "started_at", value="yesterday"), "record.started_at: Input should be a valid datetime"),
    (put("record", "settled_at", value=None), "settled without settled_at"),
    (put("record", "execution", value=None), "settled without settled_at, execution and outcome"),
    (put("record", "outcomes", value=[]), "settled without settled_at, execution and outcome"),
    (put("record", "outcomes", 0, "outcome", "verdict", value="fine"), "outcome.verdict: Input should be 'success'"),
    (put("record", "outcomes", 0, "execution", value=None), "record.outcomes: an execution without one"),
    (put("record", "outcomes", 0, "execution", value=1), "record.outcomes: of an execution that is not there"),
    (put("record", "outcomes", 0, "execution", value=-1), "record.outcomes: of an execution that is not there"),
    (second_attempt(judged=0), "record.outcomes: the last is not about the last execution"),
    (second_attempt(judged=None), "record.outcomes: an execution without one"),
    (put("record", "auction", "weights", "model", value={"worth": 1.0}), "weights.model.intercepts: Field required"),
    (put("record", "outcomes", 0, "at", value="2026-01-01T00:00:00"), "record.outcomes: a time without a zone"),
    (put("record", "started_at", value="9999-12-31T00:00:00Z"), "record.started_at: 9999 is no year of an auction"),
    (put("record", "started_at", value="0001-01-01T00:00:00Z"), "record.started_at: 1 is no year of an auction"),
    (put("record", "outcomes", 0, "at", value="9999-01-01T00:00:00Z"), "outcomes.0.at: 9999 is no year"),
    (
        put("record", "baseline", value={"agent": "a", "dollars": float("inf"), "basis": "b"}),
        "baseline.dollars: inf is",
    ),
    (
        put("record", "baseline", value={"agent": "a", "dollars": float("nan"), "basis": "b"}),
        "baseline.dollars: nan is",
    ),
    (put("record", "execution", "seconds", value=float("inf")), "record.execution.seconds: inf is not between 0"),
    (put("record", "execution", "seconds", value=-1.0), "record.execution.seconds: -1.0 is not between 0"),
    (put("record", "auction", "seconds", value=1e300), "record.auction.seconds: 1e+300 is not between 0"),
    (put("record", "auction", "bids", 1, "price", value=-0.5), "record.auction.bids.1.price: -0.5 is not between 0"),
    (put("record", "auction", "bids", 1, "value", value=float("-inf")), "record.auction.bids.1.value: it is infinite"),
    (put("record", "auction", "bids", 1, "strategy", "tokens", value=-1), "strategy.tokens: -1 is not between 0"),
]


@pytest.mark.parametrize(("change", "fault"), BAD, ids=[fault for _, fault in BAD])
async def test_a_wrong_line_is_named_and_nothing_is_imported(
    memory: AuctionMemory, fresh: Fresh, tmp_path: Path, change: Callable[[dict[str, Any]], object], fault: str
):
    await remember(memory, "x", "sort")
    file = await changed(memory, tmp_path, change)
    async with fresh() as other:
        with pytest.raises(InputError) as caught:
            await other.import_(file)
        assert caught.value.message.startswith(f"{file}:2: ")
        assert fault in caught.value.message
        assert "Nothing was imported" in caught.value.hint
        assert await other.list() == ()
        done = await other.import_(file, skip_bad=True)
        assert (done.added, done.present, len(done.bad)) == (2, 0, 1)
        assert {one.id for one in await other.list()} == {"y", "z"}


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
async def test_marks_and_line_ends_are_no_part_of_a_record(
    memory: AuctionMemory, fresh: Fresh, tmp_path: Path, mark: bytes, end: bytes
):
    await fill(memory)
    await memory.export(tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_bytes().splitlines()
    (tmp_path / "theirs.jsonl").write_bytes(mark + end.join(lines))
    async with fresh() as other:
        assert (await other.import_(tmp_path / "theirs.jsonl")).added == 5


async def test_utf16_is_one_line_not_one_a_record(memory: AuctionMemory, tmp_path: Path):
    await fill(memory)
    await memory.export(tmp_path / "all.jsonl")
    (tmp_path / "wide.jsonl").write_bytes((tmp_path / "all.jsonl").read_text("utf-8").encode("utf-16"))
    with pytest.raises(InputError, match="UTF-16, not UTF-8"):
        await memory.import_(tmp_path / "wide.jsonl", skip_bad=True)


async def test_records_come_through_a_pipe(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    """A file is read twice, to be checked whole before it is imported; a pipe can be read once."""
    await fill(memory)
    await memory.export(tmp_path / "all.jsonl")
    os.mkfifo(tmp_path / "pipe")
    text = (tmp_path / "all.jsonl").read_bytes()
    feeder = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(text))
    feeder.start()
    async with fresh() as other:
        assert (await other.import_(tmp_path / "pipe")).added == 5
    feeder.join()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"not json", "Invalid JSON"),
        (b'{"schema": 1, "record"', "Invalid JSON"),
        (b"[]", "Input should be"),
        (b"null", "Input should be"),
        (b"\xff\xfd", "Invalid JSON"),
        (b'{"schema": 1, "record": "\\ud800"}', "Invalid JSON"),
    ],
)
async def test_a_line_that_is_no_record(memory: AuctionMemory, tmp_path: Path, line: bytes, fault: str):
    (tmp_path / "in.jsonl").write_bytes(line + b"\n" + line)
    with pytest.raises(InputError) as caught:
        await memory.import_(tmp_path / "in.jsonl")
    assert f"{tmp_path}/in.jsonl:1: {fault}" in caught.value.message
    assert caught.value.message.endswith("(and 1 more)")
    assert await memory.import_(tmp_path / "in.jsonl", skip_bad=True) == ImportReport(
        added=0, present=0, bad=(await memory.import_(tmp_path / "in.jsonl", skip_bad=True)).bad
    )


async def test_a_file_that_cannot_be_read_or_is_empty(memory: AuctionMemory, tmp_path: Path):
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            await memory.import_(path)
    (tmp_path / "empty").write_text("\n\n")
    assert await memory.import_(tmp_path / "empty") == ImportReport(added=0, present=0)


async def test_one_id_twice_in_a_file_is_taken_once(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await remember(memory, "x", "sort")
    await memory.export(tmp_path / "x.jsonl")
    line = (tmp_path / "x.jsonl").read_text()
    (tmp_path / "twice.jsonl").write_text(line + line)
    async with fresh() as other:
        assert await other.import_(tmp_path / "twice.jsonl") == ImportReport(added=1, present=1)


async def test_more_than_a_batch_and_two_imports_at_once(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    template = await remember(memory, "x", "sort")
    assert template.id == "x"
    await memory.export(tmp_path / "x.jsonl")
    line = (tmp_path / "x.jsonl").read_text()
    many = [line.replace('"id":"x"', f'"id":"x{number}"') for number in range(230)]
    (tmp_path / "many.jsonl").write_text("".join(many))
    async with fresh() as other:
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(other.import_(tmp_path / "many.jsonl")) for _ in range(2)]
        assert sum(one.result().added for one in both) == 230
        assert sum(one.result().present for one in both) == 230
        assert len(await other.list(1000)) == 230
        assert await other.export(tmp_path / "again.jsonl") == 230


async def test_a_poisoned_source_is_forgotten_as_a_whole(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await remember(memory, "mine", "sort")
    async with fresh() as other:
        for number in range(5):
            await remember(other, f"theirs{number}", f"sort {number}")
        await other.export(tmp_path / "theirs.jsonl")
    await memory.import_(tmp_path / "theirs.jsonl", source="a stranger")
    assert len(await memory.recall(TASK, "a", 8)) == 6
    gone = await memory.forget(source="a stranger")
    assert (gone.auctions, gone.tasks) == (5, 5)
    assert [pair.auction_id for pair in await memory.recall(TASK, "a", 8)] == ["mine"]


async def test_an_imported_record_goes_on_living(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await remember(memory, "x", "sort", verdict=None)
    await memory.export(tmp_path / "x.jsonl")
    async with fresh() as other:
        await other.import_(tmp_path / "x.jsonl")
        assert await other.sweep() == 0
        await other.settle("x", execution(), outcome())
        await other.feedback("x", "failure")
        assert (await other.load("x")).status == "settled"


def test_the_winner_of_the_template_is_among_its_bids():
    held = auction("x", TASK, (bid("a", 1.0),))
    assert held.winner in held.contenders
