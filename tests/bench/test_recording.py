"""Recorded runs over real HTTP: every call once, taken up after a stop, replayed without a single call."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.market_router import ablations, default_weights, order_table
from sale.bench.metrics import settle
from sale.bench.recording.calls import (
    MIN_LOGPROB,
    CallLog,
    ModelQueue,
    NotRecordedError,
    RunStoppedError,
    reply_of,
    stored_reply,
)
from sale.bench.recording.lines import StoredReply, read_lines
from sale.bench.recording.log import FIRST_BIDS, RecordWriter, pack, read_record, unpack
from sale.bench.recording.pools import for_recording
from sale.bench.recording.run import Recorder, RecordingProgress
from sale.bench.replay import load_recorded
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.errors import CallError, InputError
from sale.types import Execution, Reply, Task, TokenLogprobs, Usage
from tests.support.endpoint import Endpoint
from tests.support.unawaited_errors import complaints, let_run

TIME = HumanTime(provenance="nobody has timed it")


def task(number: int) -> BenchTask:
    return BenchTask(
        id=f"own/{number}",
        domain="coding",
        source="own",
        split="test",
        kind="short",
        prompt=f"Sort list number {number}.",
        reference="sorted",
        time=TIME,
        licence="MIT",
    )


TASKS = [task(number) for number in range(4)]


def settings(endpoint: Endpoint, *behaviours: str) -> config.Settings:
    agents = "\n".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{endpoint.base_url}"\nmodel = "{behaviour}@{name}"\n'
        f"price = {0.1 * 2**place}\nlogprobs = 5\n"
        for place, (name, behaviour) in enumerate(zip("abc", behaviours, strict=False))
    )
    parsed = config.parse(f"{agents}\n[auction]\nexamples = 2\n[tools]\npython = false\n")
    return for_recording(parsed, "coding")


def recorder(
    record: Path, of: config.Settings, tasks: Sequence[BenchTask] = TASKS, *, replay: bool = False
) -> Recorder:
    return Recorder(record, tasks, of, sandbox=None, replay=replay)


def nothing(progress: RecordingProgress) -> None:
    assert progress.of


async def run(record: Path, of: config.Settings, scratch: Path, *, orders: int = 0, replay: bool = False) -> Recorder:
    async with recorder(record, of, replay=replay) as found:
        found.begin("a test")
        await found.base(nothing)
        for seed in range(1, orders + 1):
            await found.order(seed, scratch, nothing)
    return found


async def test_every_agent_bids_judges_and_works_with_and_without_its_plan(endpoint: Endpoint, tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    await run(record, settings(endpoint, "good", "good", "good"), tmp_path)
    kinds = Counter(line["kind"] for line in read_record(record))
    assert kinds["run"] == 1
    assert kinds["auction"] == len(TASKS)
    assert kinds["execution"] == len(TASKS) * 3 * 2
    assert kinds["call"] == len(endpoint.requests()) == len(TASKS) * 3 * 4
    found = load_recorded(record, TASKS)
    assert [one.id for one in found.tasks] == [one.id for one in TASKS]
    assert found.agents == ("a", "b", "c")
    assert (found.table(planned=True).dollars > 0).all()
    assert (found.table(planned=False).dollars > 0).all()
    auction = found.auctions[FIRST_BIDS, "own/0"]
    assert len(auction.bids) == 3
    assert auction.first_dollars == pytest.approx(auction.dollars)


async def test_a_run_that_is_taken_up_makes_no_call_twice(endpoint: Endpoint, tmp_path: Path) -> None:
    record, of = tmp_path / "run.jsonl", settings(endpoint, "good", "good")
    async with recorder(record, of, TASKS[:2]) as first:
        first.begin("half")
        await first.base(nothing)
    made = len(endpoint.requests())
    with record.open("ab") as file:
        file.write(b'{"kind":"call","key":"cut in the mid')  # the machine went down here
    await run(record, of, tmp_path)
    assert len(endpoint.requests()) == 2 * made
    await run(record, of, tmp_path)
    assert len(endpoint.requests()) == 2 * made
    lines = [line for line in read_record(record) if line["kind"] != "run"]
    keys = Counter(
        json.dumps([line.get(key) for key in ("kind", "key", "task", "agent", "strategy")]) for line in lines
    )
    assert set(keys.values()) == {1}


async def test_a_replay_is_the_same_market_without_a_call(endpoint: Endpoint, tmp_path: Path) -> None:
    record, of = tmp_path / "run.jsonl", settings(endpoint, "score-1", "good", "good")
    await run(record, of, tmp_path, orders=2)
    made = len(endpoint.requests())
    before = load_recorded(record, TASKS)
    assert before.orders == ("order 1", "order 2")
    again = tmp_path / "again.jsonl"
    with RecordWriter(again) as writer:  # the calls alone: every auction and execution must come out of them
        for line in read_record(record):
            if line["kind"] in {"run", "call"}:
                writer.append(line)
    await run(again, of, tmp_path, orders=2)
    assert len(endpoint.requests()) == made
    after = load_recorded(again, TASKS)
    assert {key: bids_of(row) for key, row in after.auctions.items()} == {
        key: bids_of(row) for key, row in before.auctions.items()
    }
    assert {key: work.success for key, work in after.works.items()} == {
        key: work.success for key, work in before.works.items()
    }


def bids_of(row: object) -> object:
    return row and (row.winner, row.strategy, row.bids, row.refined)  # type: ignore[attr-defined]


async def test_a_replay_asks_for_nothing_that_is_not_on_record(endpoint: Endpoint, tmp_path: Path) -> None:
    record, of = tmp_path / "run.jsonl", settings(endpoint, "good", "good")
    await run(record, of, tmp_path)
    made = len(endpoint.requests())
    dearer = of.model_copy(update={"auction": replace(of.auction, strategy_tokens=111)})
    async with recorder(record, dearer, replay=True) as found:
        with pytest.raises(BaseExceptionGroup) as caught:
            await found.base(nothing)
    assert caught.group_contains(NotRecordedError)
    assert len(endpoint.requests()) == made


async def test_a_model_that_is_gone_stops_the_run_and_is_no_result(endpoint: Endpoint, tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    async with recorder(record, settings(endpoint, "good", "401")) as found:
        found.begin("a key is wrong")
        with pytest.raises(BaseExceptionGroup) as caught:
            await found.base(nothing)
    assert caught.group_contains(RunStoppedError)
    assert not [line for line in read_record(record) if line["kind"] == "auction"]


async def test_a_run_that_stops_leaves_no_call_under_way(endpoint: Endpoint, tmp_path: Path) -> None:
    others = asyncio.all_tasks()
    async with recorder(tmp_path / "run.jsonl", settings(endpoint, "hang", "401")) as found:
        going = asyncio.create_task(found.base(nothing))
        await asyncio.to_thread(endpoint.wait, lambda: bool(endpoint.requests()))
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
    assert asyncio.all_tasks() == others


async def test_refinement_with_memory_is_on_record(endpoint: Endpoint, tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    # The jury is of one mind, so that the dear agent can lead only where the cheap ones do not bid.
    await run(record, settings(endpoint, "good", "good", "good"), tmp_path, orders=1)
    found = load_recorded(record, TASKS)
    table, routing = order_table(found, "order 1")
    assert len(table) == len(TASKS)
    assert routing.called.sum() == len(TASKS)
    assert (routing.extra_dollars > 0).all()
    positions = [found.auctions["order 1", one.id].position for one in found.tasks]
    assert sorted(position for position in positions if position is not None) == [0, 1, 2, 3]


async def test_attempts_and_exploring_have_no_part_in_the_recorded_method(endpoint: Endpoint, tmp_path: Path) -> None:
    """A second attempt after the hidden tests, or a drawn award, would be put down as the best bid's own work."""
    of = settings(endpoint, "good", "good", "good")
    of = of.model_copy(update={"auction": replace(of.auction, attempts=3, explore=1.0, allowance=0.0)})
    record = tmp_path / "run.jsonl"
    await run(record, of, tmp_path, orders=1)
    found = load_recorded(record, TASKS)
    assert found.orders == ("order 1",)
    rows = [found.auctions["order 1", one.id] for one in found.tasks]
    for row in rows:
        best = max((*row.bids, *row.refined), key=lambda bid: bid.value - bid.cost)
        assert (row.winner, row.strategy) == (best.agent, best.strategy.text)
    table, _ = order_table(found, "order 1")
    assert len(table) == len(TASKS)


async def test_a_judging_model_says_what_it_thinks_of_every_short_answer(endpoint: Endpoint, tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    of = settings(endpoint, "good", "good")
    await run(record, of, tmp_path)
    for _ in range(2):  # the second time nothing is asked again
        async with recorder(record, of) as found:
            await found.opinions("b", nothing)
    with pytest.raises(InputError, match="'z'"):
        async with recorder(record, of) as found:
            await found.opinions("z", nothing)
    lines = [line for line in read_record(record) if line["kind"] == "opinion"]
    answers = {(line["task"], line["answer"]) for line in read_record(record) if line["kind"] == "execution"}
    assert len(lines) == len(answers)
    assert set(load_recorded(record, TASKS).opinions) == answers
    assert {line["verdict"] for line in lines} <= {"success", "failure", "unknown"}


async def test_a_record_with_examples_tried_on_some_answers_only_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    """What an attempt would have found is then known of some agents and not of others."""
    record = tmp_path / "run.jsonl"
    await run(record, settings(endpoint, "good", "good"), tmp_path)
    programs = [one.model_copy(update={"kind": "tests", "tests": "pass"}) for one in TASKS]
    assert not load_recorded(record, programs).checks
    answers = sorted({(line["task"], line["answer"]) for line in read_record(record) if line["kind"] == "execution"})
    for number, (name, answer) in enumerate(answers, start=1):
        with RecordWriter(record) as writer:
            writer.append({"kind": "check", "task": name, "answer": answer, "verdict": "success"})
        if number < len(answers):
            with pytest.raises(InputError, match=f"not tried on {len(answers) - number} answers?, of own/"):
                load_recorded(record, programs)
            assert load_recorded(record, programs, checked=False).tasks == programs
    assert load_recorded(record, programs).tasks == programs


async def test_an_auction_without_bids_is_a_result(endpoint: Endpoint, tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    await run(record, settings(endpoint, "empty-text", "empty-text"), tmp_path, orders=1)
    found = load_recorded(record, TASKS)
    assert len(found.tasks) == len(TASKS)
    assert all(row.winner is None for row in found.auctions.values())
    # Had anybody been awarded the work, it might have been done: whoever answers without a plan solves it.
    direct = replace(found.table(planned=False), success=np.ones((len(TASKS), 2)))
    market = ablations(found, default_weights(found))[0].route(direct)
    settled = settle((direct, market))
    assert settled.success.sum() == 0
    assert settled.dollars.sum() == pytest.approx(settled.extra.sum())


async def test_ablations_weigh_the_recorded_votes(endpoint: Endpoint, tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    await run(record, settings(endpoint, "good", "good", "good"), tmp_path)
    found = load_recorded(record, TASKS)
    table = found.table(planned=True)
    routers = {router.name: router for router in ablations(found, default_weights(found))}
    assert len(routers) == 7 + 3
    whole = routers["SALE without memory"].route(table)
    held = [found.auctions[FIRST_BIDS, one].provisional for one in table.ids]
    assert [table.agents[number] for number in whole.chosen] == held
    prices = [bid.price for one in table.ids for bid in found.auctions[FIRST_BIDS, one].bids]
    alike = sum(prices) / len(prices)
    for number, one in zip(routers["no price"].route(table).chosen, table.ids, strict=True):
        bids = found.auctions[FIRST_BIDS, one].bids
        best = min(bids, key=lambda bid: (alike * bid.strategy.tokens - bid.value, bid.agent))
        assert table.agents[number] == best.agent


async def test_code_is_judged_in_the_sandbox(endpoint: Endpoint, tmp_path: Path) -> None:
    coded = BenchTask.model_validate(
        TASKS[0].model_dump() | {"kind": "tests", "tests": "assert False", "reference": None}
    )
    of = settings(endpoint, "good")
    async with Recorder(tmp_path / "run.jsonl", [coded], of, sandbox=find_sandbox()) as found:
        found.begin("code")
        await found.base(nothing)
    outcomes = {line["outcome"]["judged_by"] for line in read_record(tmp_path / "run.jsonl") if "outcome" in line}
    assert outcomes == {"tests"}


def test_a_packed_record_reads_the_same_and_can_be_gone_on_with(tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    with RecordWriter(record) as writer:
        for number in range(3):
            writer.append({"kind": "call", "number": number, "text": "é\u2028"})
    packed = pack(record)
    assert list(read_record(packed)) == list(read_record(record))
    unpack(packed, tmp_path / "other.jsonl")
    assert (tmp_path / "other.jsonl").read_bytes() == record.read_bytes()
    with pytest.raises(InputError, match="finished"):
        RecordWriter(packed)


def test_a_record_cut_inside_a_character_is_read_to_the_line_before(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes('{"kind":"task","task":"whole"}\n{"kind":"task","task":"café'.encode()[:-1])
    assert [line["task"] for line in read_record(path)] == ["whole"]
    path.write_bytes(b'{"kind":"task","task":"caf\xc3"}\n{"kind":"task"}\n')
    with pytest.raises(InputError, match="UTF-8"):
        list(read_record(path))


def test_two_runs_cannot_write_one_record(tmp_path: Path) -> None:
    record = tmp_path / "run.jsonl"
    with RecordWriter(record), pytest.raises(InputError, match="another run"):
        RecordWriter(record)
    RecordWriter(record).close()


@pytest.mark.parametrize("broken", ["[]\n", '{"no kind": 1}\n', "not json\n{}\n"])
def test_a_broken_line_is_named(tmp_path: Path, broken: str) -> None:
    record = tmp_path / "run.jsonl"
    record.write_text('{"kind":"run"}\n' + broken, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        list(read_record(record))
    assert caught.value.where == f"{record}:2"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"kind": "check", "task": "t", "answer": "x", "verdict": "maybe"}, "check.verdict: "),
        ({"kind": "auction", "task": "t", "order": "first bids", "position": None}, "auction.auction: "),
        ({"kind": "call", "key": "k", "agent": "a", "reply": {"text": "x"}}, "call.reply.usage: "),
    ],
)
def test_a_line_that_is_not_what_its_kind_holds_is_named(tmp_path: Path, broken: dict[str, object], said: str) -> None:
    record = tmp_path / "run.jsonl"
    lines = [{"kind": "run", "settings": {}}, broken]
    record.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    with pytest.raises(InputError, match=f"no line of a record: {said}") as caught:
        list(read_lines(record))
    assert caught.value.where == f"{record}, entry 2"
    assert len(list(read_lines(record, "run"))) == 1, "what is not asked for is not looked at"


def test_a_reply_comes_back_as_it_was_but_for_improbable_alternatives() -> None:
    likely, unlikely = ("a", -0.105), ("b", MIN_LOGPROB - 1)
    reply = Reply(
        text="x",
        usage=Usage(input_tokens=3, output_tokens=2),
        seconds=0.5,
        logprobs=(TokenLogprobs(token="a", logprob=-0.105, top=(likely, unlikely)),),
    )
    back = reply_of(StoredReply(**json.loads(json.dumps(stored_reply(reply).model_dump()))))
    assert back.logprobs is not None
    assert back.logprobs[0].top[0] == likely
    assert len(back.logprobs[0].top) == 2  # the width decides how entropy is normalised
    assert back.logprobs[0].top[1][1] == float("-inf")
    assert replace(back, logprobs=None) == replace(reply, logprobs=None)


async def test_one_model_has_its_turn_at_a_time() -> None:
    import asyncio

    turns, inside, seen = ModelQueue(width=2), Counter[str](), []

    async def call(model: str) -> None:
        async with turns.of(model):
            inside[model] += 1
            seen.append(dict(+inside))
            await asyncio.sleep(0.001)
            inside[model] -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(call("abc"[number % 3]))
    assert all(len(one) == 1 for one in seen)
    assert max(max(one.values()) for one in seen) == 2


async def test_a_call_that_fails_after_its_asker_was_cancelled_is_not_complained_of(tmp_path: Path) -> None:
    """One failure stops a run and cancels who waits for the other calls, which then fail for the same reason."""
    path = tmp_path / "run.jsonl"
    begun, fail = asyncio.Event(), asyncio.Event()

    async def call() -> Reply:
        begun.set()
        await fail.wait()
        raise RunStoppedError("a: unreachable")

    with closing(RecordWriter(path)) as writer, complaints() as heard:
        log = CallLog(path, writer)
        asker = asyncio.create_task(log.ask("key", {"stage": "bid", "agent": "a"}, "m", call))
        await begun.wait()
        asker.cancel()
        await asyncio.wait([asker])
        fail.set()
        await let_run()
        await log.aclose()
        del log
    assert heard == []


async def test_an_agent_that_cancels_itself_stops_the_run(endpoint: Endpoint, tmp_path: Path) -> None:
    """In a group of tasks it was taken for one that had been cancelled: its work was not on record, without a word."""

    class Cancelling:
        name = "c"

        async def execute(self, given: Task, strategy: str | None) -> Execution:
            raise asyncio.CancelledError

    async with recorder(tmp_path / "run.jsonl", settings(endpoint, "good")) as found:
        with pytest.raises(CallError, match="itself cancelled"):
            await found._execute(Cancelling(), TASKS[0], None)  # pyright: ignore[reportArgumentType]
