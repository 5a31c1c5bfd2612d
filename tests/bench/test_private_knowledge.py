"""The pool of private knowledge: its tasks and passages, its recording over real HTTP, its report."""

from __future__ import annotations

import csv
import json
import lzma
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.private_knowledge.__main__ import TASKS, main
from benchmarks.private_knowledge.pasts import lots
from benchmarks.private_knowledge.rules import MATCH_JUROR, PRIMARY, READER, broadcast, grounded
from sale import config
from sale.bench.recording.log import FIRST_BIDS, read_record
from sale.bench.recording.pools import for_recording, own_libraries
from sale.bench.recording.run import Recorder, RecordingProgress
from sale.bench.replay import GROUNDED, RecordedExecution, RecordedTasks, load_recorded
from sale.bench.tasks.files import read_tasks, write_tasks
from sale.bench.tasks.hst_open import hst_open
from sale.bench.tasks.schema import BenchTask, HumanTime, Split
from sale.errors import InputError
from tests.support.endpoint import Endpoint
from tests.support.replies import Ask

POOLS = Path(__file__).parents[2] / "benchmarks" / "pools"
TOWNS = ("Ayr", "Bonn", "Como", "Diss", "Ely", "Fano", "Graz", "Hove", "Ivrea", "Jena", "Kiel", "Lund")


def question(number: int, split: Split = "test") -> BenchTask:
    return BenchTask(
        id=f"popqa/{number}",
        domain="search",
        source="popqa",
        split=split,
        kind="short",
        prompt=f"Which river flows through {TOWNS[number]}?",
        reference=f"river{number}",
        time=HumanTime(provenance="nobody has timed it"),
        licence="MIT",
        evidence=(TOWNS[number],),
    )


SOME = [question(number) for number in range(12)]


def librarian(number: int, endpoint: Endpoint) -> str:
    return f"""
[[agents]]
name = "librarian-{number}"
endpoint = "{endpoint.base_url}"
model = "good@librarian"
price = 0.09
execution = "consult"
turns = 1
look = 1
judge = false
follow_strategy = false
[agents.tools]
python = false
[agents.tools.search]
provider = "corpus"
corpus = "shelf-{number}.jsonl"
by_meaning = false
results = 1
pages = "off"
"""


def pool(endpoint: Endpoint, shelves: Path) -> config.Settings:
    """Two librarians of one model, a coder, a generalist who judges; a free juror and one that costs something."""
    for number in (1, 2):
        rows = [
            {"id": str(at), "title": town, "text": f"{town} is a town on the river{at}, a river with a bridge."}
            for at, town in enumerate(TOWNS)
            if at % 2 == number - 1
        ]
        (shelves / f"shelf-{number}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    others = "".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{endpoint.base_url}"\nmodel = "good@{name}"\nprice = {price}\n'
        f"follow_strategy = false\njudge = {judge}\n"
        for name, price, judge in (("coder", 0.09, "false"), ("generalist", 0.03, "true"))
    )
    jurors = (
        '[[jurors]]\nname = "match"\nkind = "function"\nfunction = "tests.bench.test_private_knowledge:likeness"\n'
        '[[jurors]]\nname = "reader-1.5b"\nkind = "question"\nagent = "coder"\n'
    )
    text = librarian(1, endpoint) + librarian(2, endpoint) + others + jurors
    return for_recording(config.parse(text, base=shelves), "search")


async def likeness(asked: object) -> float:
    """A free juror: the share of the task's words that are quoted."""
    strategy, task = asked.strategy, asked.task  # pyright: ignore[reportAttributeAccessIssue]
    quoted = " ".join(f"{one.source} {one.quote}" for one in strategy.evidence)
    words = set(re.findall(r"\w+", task.text))
    return len(words & set(re.findall(r"\w+", quoted))) / len(words)


def say(ask: Ask) -> str | None:
    """A reader that says yes where the town is quoted; librarians that answer with the river they are shown."""
    text = "\n".join(str(message["content"]) for message in ask.body["messages"])
    town = re.findall(r"flows through (\w+)\?", text)[0]
    if "Answer with one word, yes or no" in text:
        return "yes" if f"{town} is a town" in text else "no"
    if "response_format" in ask.body and "good@librarian" in ask.body["model"]:
        shown = re.findall(rf"{town} is a town on the (river\d+)", text)
        return json.dumps({"answer": shown[0] if shown else "no idea"})
    return None


def nothing(progress: RecordingProgress) -> None:
    assert progress.of


async def record(path: Path, of: config.Settings, *, replay: bool = False, borrow: tuple[Path, ...] = ()) -> Recorder:
    async with Recorder(path, SOME, of, sandbox=None, replay=replay, borrow=borrow) as found:
        found.begin("a test")
        await found.base(nothing)
    return found


MADE: dict[str, bytes] = {}
"""The record, once for each endpoint."""


@pytest.fixture
async def recorded(endpoint: Endpoint, tmp_path: Path) -> tuple[Path, config.Settings]:
    endpoint.say = say
    of = pool(endpoint, tmp_path)
    path = tmp_path / "hash-search-test.jsonl"
    if endpoint.base_url not in MADE:
        await record(path, of)
        MADE[endpoint.base_url] = path.read_bytes()
    path.write_bytes(MADE[endpoint.base_url])
    return path, of


def test_no_task_was_used_before_and_splits_do_not_overlap() -> None:
    tasks = read_tasks(TASKS)
    counts = Counter((task.domain, task.split) for task in tasks)
    assert counts["search", "test"] >= 120
    assert counts["coding", "test"] >= 60
    assert counts["search", "dev"] >= 60
    assert counts["coding", "dev"] >= 30
    prompts = [task.prompt for task in tasks]
    assert len(set(prompts)) == len(prompts)
    assert not {task.prompt for task in hst_open()} & set(prompts)
    assert not {task.id for task in hst_open()} & {task.id for task in tasks}


def test_topics_spread_the_questions_over_all_librarians() -> None:
    topics: dict[str, int] = json.loads((POOLS / "private-knowledge" / "topics.json").read_text(encoding="utf-8"))
    asked = Counter(topics[task.evidence[0]] for task in read_tasks(TASKS) if task.domain == "search")
    assert sorted(asked) == [0, 1, 2, 3]
    assert min(asked.values()) >= 0.1 * sum(asked.values())


@pytest.mark.parametrize(("name", "split"), [("private-knowledge", "hash"), ("private-knowledge-topic", "topic")])
def test_the_pools_give_every_librarian_its_own_passages(name: str, split: str) -> None:
    settings = config.load(POOLS / f"{name}.toml")
    assert own_libraries(settings)
    searches = [agent.tools.search for agent in settings.agents if agent.tools is not None]
    named = [one.corpus.name for one in searches if one is not None and one.corpus is not None]
    assert named == [f"{split}-{number}.jsonl" for number in range(1, 5)]
    assert [juror.name for juror in settings.jurors] == ["match", "reader-0.5b", "reader-1.5b"]


async def test_plans_and_findings_are_auctioned_apart(recorded: tuple[Path, config.Settings]) -> None:
    path, _ = recorded
    found = load_recorded(path, SOME)
    assert len(found.tasks) == len(SOME)
    for number, task in enumerate(SOME):
        plans, looks = found.auctions[FIRST_BIDS, task.id], found.auctions[GROUNDED, task.id]
        assert all(bid.strategy.text and not bid.strategy.evidence for bid in plans.bids)
        assert {score.juror for bid in plans.bids for score in bid.scores} == {"generalist"}
        assert not any(bid.strategy.text for bid in looks.bids)
        assert {score.juror for bid in looks.bids for score in bid.scores} == {"match", "reader-1.5b"}
        holder = f"librarian-{number % 2 + 1}"
        read = {bid.agent: score.value for bid in looks.bids for score in bid.scores if score.juror == READER}
        assert max(read, key=lambda agent: read[agent]) == holder
        assert [agent for agent in found.agents if found.works[task.id, agent, ""].success] == [holder]
        assert ("judge", READER) in looks.paid
        assert not any(stage == "bid" for stage, _ in looks.paid)


async def test_librarians_of_one_model_plan_with_one_call(
    recorded: tuple[Path, config.Settings], endpoint: Endpoint
) -> None:
    assert endpoint.say is say
    calls = Counter(line["stage"] for line in read_record(recorded[0]) if line["kind"] == "call")
    assert calls["bid"] == 3 * len(SOME)


async def test_no_path_of_the_machine_is_on_the_record(recorded: tuple[Path, config.Settings], tmp_path: Path) -> None:
    run = next(line for line in read_record(recorded[0]) if line["kind"] == "run")
    assert str(tmp_path) not in json.dumps(run)
    assert set(run["corpora"]) == {"librarian-1", "librarian-2"}


async def test_it_is_replayed_and_taken_up_without_a_call(
    recorded: tuple[Path, config.Settings], endpoint: Endpoint
) -> None:
    path, of = recorded
    made = len(endpoint.requests())
    await record(path, of, replay=True)
    await record(path, of)
    assert len(endpoint.requests()) == made


async def test_another_record_lends_its_calls(
    recorded: tuple[Path, config.Settings], endpoint: Endpoint, tmp_path: Path
) -> None:
    path, of = recorded
    made = len(endpoint.requests())
    other = tmp_path / "other.jsonl"
    await record(other, of, borrow=(path,))
    assert len(endpoint.requests()) == made
    await record(other, of, replay=True)
    answers = [{at: work.answer for at, work in load_recorded(one, SOME).works.items()} for one in (path, other)]
    assert answers[0] == answers[1]
    calls = [[line["key"] for line in read_record(one) if line["kind"] == "call"] for one in (path, other)]
    assert sorted(calls[0]) == sorted(calls[1])


async def test_other_passages_are_another_record(recorded: tuple[Path, config.Settings], tmp_path: Path) -> None:
    path, of = recorded
    with (tmp_path / "shelf-1.jsonl").open("a", encoding="utf-8") as shelf:
        shelf.write('\n{"id": "x", "title": "Oslo", "text": "A capital."}')
    with pytest.raises(InputError, match="other passages"):
        await record(path, of)


async def test_a_shortlist_pays_for_what_is_read_alone(recorded: tuple[Path, config.Settings]) -> None:
    found = load_recorded(recorded[0], SOME)
    whole, short = grounded(MATCH_JUROR, READER)(found), grounded(MATCH_JUROR, READER, shortlist=1)(found)
    at = (FIRST_BIDS, SOME[0].id)
    assert short.auctions[at].first_dollars == pytest.approx(whole.auctions[at].first_dollars / 2)
    read = [
        bid.agent
        for bid in short.auctions[at].bids
        for score in bid.scores
        if score.juror == READER and not score.imputed
    ]
    assert read == ["librarian-1"]
    assert all(score.juror != "generalist" for bid in whole.auctions[at].bids for score in bid.scores)


def test_broadcast_takes_what_most_agents_say_whatever_they_cite() -> None:
    said = {
        "generalist": "Oslo",
        "librarian-1": "Rome [1]\n\nSources:\n[1] Tiber: a river",
        "librarian-2": "Rome [2]\n\nSources:\n[2] Rome: a town",
    }
    works = {
        (SOME[0].id, agent, ""): RecordedExecution(
            agent=agent, success=False, judged=True, dollars=1.0, tokens=1, seconds=1.0, answer=answer, error=None
        )
        for agent, answer in said.items()
    }
    test = RecordedTasks(agents=tuple(said), prices=(1.0, 2.0, 2.0), tasks=SOME[:1], works=works)
    routing = broadcast().decide(test, test)
    assert routing.chosen.tolist() == [1]
    assert routing.called.all()
    works[SOME[0].id, "librarian-2", ""] = replace(works[SOME[0].id, "librarian-2", ""], answer="Como")
    assert broadcast().decide(test, test).chosen.tolist() == [0]
    assert broadcast("of librarians", ("librarian-2",)).decide(test, test).chosen.tolist() == [2]


async def test_no_task_is_decided_by_its_own_outcome(recorded: tuple[Path, config.Settings]) -> None:
    found = load_recorded(recorded[0], SOME)
    dev = replace(found, tasks=[question(0, "dev").model_copy(update={"id": "popqa/dev"})])
    for number in (0, 3, None):
        seen: list[str] = []
        for lot in lots(found, dev, number, 0):
            decided, past = {task.id for task in lot.test.tasks}, {task.id for task in lot.past.tasks}
            assert not decided & past
            assert number is None or len(past) == number
            seen += decided
        assert sorted(seen) == sorted(task.id for task in SOME)


async def test_the_report_finds_that_bids_tell_who_knows(
    recorded: tuple[Path, config.Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = recorded
    (tmp_path / "hash-search-test.jsonl.xz").write_bytes(lzma.compress(path.read_bytes()))
    path.unlink()
    tasks, out = tmp_path / "tasks.jsonl", tmp_path / "out"
    write_tasks(SOME, tasks)
    main(["report", "--quick", "--records", str(tmp_path), "--out", str(out), "--tasks", str(tasks)])
    assert "12 search and 0 coding test tasks" in capsys.readouterr().out
    with (out / "hash-overall.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["who decides"]: row for row in csv.DictReader(file)}
    assert rows["by evidence, reader 1.5B"]["solved, %"].startswith("100.0")
    assert rows["librarian-1"]["solved, %"].startswith("50.0")
    assert rows["oracle"]["solved, %"].startswith("100.0")
    cost = {name: float(row["$/task, millionths"].split()[0]) for name, row in rows.items()}
    alone = ("librarian-1", "librarian-2", "coder", "generalist")
    assert cost["broadcast"] == pytest.approx(sum(cost[agent] for agent in alone), abs=0.3)
    assert cost["by evidence, match"] < cost["by evidence, reader 1.5B"]
    assert PRIMARY in rows
    with (out / "hash-areas.csv").open(encoding="utf-8", newline="") as file:
        areas = {(row["juror"], row["reads"], row["tasks"]): row for row in csv.DictReader(file)}
    assert areas[READER, "what was found", "search"]["area within a task"].startswith("1.00")
    assert (out / "hash-pareto.svg").read_bytes().lstrip().startswith(b"<?xml")


def test_without_a_record_the_report_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no record"):
        main(["report", "--records", str(tmp_path), "--out", str(tmp_path / "out")])


def test_a_view_leaves_the_record_as_it_is() -> None:
    assert grounded(READER)(RecordedTasks()) == RecordedTasks()
