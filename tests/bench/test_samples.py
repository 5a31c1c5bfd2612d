"""Samples of work as bids: recorded over real HTTP, taken up after a stop, and what is worked out from them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.samples.bids import Sample, agreement_across, load_samples, sample_bid, work_after_bid
from benchmarks.samples.recorder import SampleRecorder, SamplingPlan, final_answer
from benchmarks.samples.studies import STUDIES, chosen_ids, used_ids
from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.recording.log import read_record
from sale.bench.recording.pools import for_recording
from sale.bench.recording.run import RecordingProgress
from sale.bench.replay import load_recorded
from sale.bench.tasks.loaders.choice import ASK
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.errors import InputError
from sale.types import Verdict
from tests.support.endpoint import Endpoint
from tests.support.replies import Ask

TIME = HumanTime(provenance="nobody has timed it")
DOUBLE = "Write a function double(x).\n\n>>> double(2)\n4\n"
GOOD, BAD = "```python\ndef double(x):\n    return 2 * x\n```", "```python\ndef double(x):\n    return x\n```"


def bench_task(number: int, **changes: object) -> BenchTask:
    given = {
        "id": f"own/{number}",
        "domain": "coding",
        "source": "own",
        "split": "test",
        "kind": "choice",
        "prompt": f"Which letter comes at place {number}?\n\nA. one\nB. two\nC. three\n\n{ASK}",
        "reference": "B",
        "time": TIME,
        "licence": "MIT",
    }
    return BenchTask.model_validate(given | changes)


CHOICE = bench_task(1)
PROGRAM = bench_task(2, kind="tests", prompt=DOUBLE, reference=None, tests="assert double(5) == 10")
PLAIN = bench_task(
    3, kind="tests", prompt="Write a function double(x).", reference=None, tests="assert double(5) == 10"
)


def pool(endpoint: Endpoint) -> config.Settings:
    agents = "\n".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{endpoint.base_url}"\nmodel = "good@{name}"\nprice = {price}\n'
        "logprobs = 5\n"
        for name, price in (("small", 0.1), ("large", 0.4))
    )
    return for_recording(config.parse(f"{agents}[tools]\npython = false\n"), "coding")


def seen(progress: RecordingProgress) -> None:
    assert progress.done <= progress.of


async def record(path: Path, endpoint: Endpoint, tasks: tuple[BenchTask, ...], plan: SamplingPlan) -> None:
    async with SampleRecorder(path, tasks, pool(endpoint), plan, sandbox=find_sandbox()) as recorder:
        recorder.begin("samples")
        await recorder.sample(seen)


async def test_every_sample_is_an_execution_with_its_confidence(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.say = lambda ask: "B" if ask.turn != 2 else "A"
    path = tmp_path / "run.jsonl"
    plan = SamplingPlan(draws={"small": 3})
    await record(path, endpoint, (CHOICE,), plan)
    found = load_samples(path)
    assert [one.answer for one in found["own/1", "small"]] == ["B", "A", "B"]
    assert [one.success for one in found["own/1", "small"]] == [True, False, True]
    assert len(found["own/1", "large"]) == 1
    assert all(one.margin is not None and one.dollars > 0 for drawn in found.values() for one in drawn)
    seeds = [one.body.get("seed") for one in endpoint.requests("good@small")]
    assert len(set(seeds)) == 3, "the samples are drawn apart"
    made = len(endpoint.requests())
    with path.open("ab") as file:
        file.write(b'{"kind":"execution","task":"own/1","agent":"sm')  # the machine went down here
    await record(path, endpoint, (CHOICE, bench_task(4)), plan)
    assert len(endpoint.requests()) == made + 4
    lines = [line for line in read_record(path) if line["kind"] == "execution"]
    assert max(Counter((line["task"], line["agent"], line["sample"]) for line in lines).values()) == 1


async def test_who_reasons_is_asked_to_and_judged_by_its_last_line(endpoint: Endpoint, tmp_path: Path) -> None:
    def say(ask: Ask) -> str:
        return "Two is B, not A.\nAnswer: **B**" if "step by step" in ask.prompt else "A"

    endpoint.say = say
    path = tmp_path / "run.jsonl"
    await record(path, endpoint, (CHOICE,), SamplingPlan(draws={}, reasoning={"large"}))
    found = load_samples(path)
    assert [one.answer for one in found["own/1", "large"]] == ["B"]
    assert found["own/1", "large"][0].success
    assert found["own/1", "small"][0].answer == "A"
    (asked,) = endpoint.requests("good@large")
    assert ASK not in str(asked.body["messages"]), "one instruction, not two"


async def test_drawing_stops_where_examples_hold_or_there_are_none(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.say = lambda ask: GOOD if ask.turn == 3 else BAD
    path = tmp_path / "run.jsonl"
    plan = SamplingPlan(draws={"small": 5, "large": 2}, stop=True)
    await record(path, endpoint, (PROGRAM,), plan)
    found = load_samples(path)
    assert [one.held for one in found["own/2", "small"]] == ["failure", "failure", "success"]
    assert [one.held for one in found["own/2", "large"]] == ["failure", "failure"], "all it may draw"
    made = len(endpoint.requests())
    await record(path, endpoint, (PROGRAM,), plan)
    assert len(endpoint.requests()) == made
    await record(path, endpoint, (PROGRAM, PLAIN), plan)
    assert [one.held for one in load_samples(path)["own/3", "small"]] == ["unknown"]


async def test_samples_are_not_taken_for_an_agents_work(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.say = lambda ask: "B" if ask.turn == 1 else "A"
    path = tmp_path / "run.jsonl"
    await record(path, endpoint, (CHOICE,), SamplingPlan(draws={"small": 2}))
    assert load_recorded(path, ()).works["own/1", "small", ""].answer == "B"


def test_a_plan_of_strangers_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    for plan in (SamplingPlan(draws={"z": 2}), SamplingPlan(draws={}, reasoning={"z"})):
        with pytest.raises(InputError, match="no agent 'z'"):
            SampleRecorder(tmp_path / "run.jsonl", (CHOICE,), pool(endpoint), plan, sandbox=None)


def sample(answer: str, *, held: Verdict = "unknown", margin: float | None = 1.0, dollars: float = 1.0) -> Sample:
    return Sample(answer=answer, success=answer in {"B", GOOD}, dollars=dollars, held=held, margin=margin)


def test_a_bid_says_what_its_samples_agree_on() -> None:
    bid = sample_bid(CHOICE, [sample("A", margin=9.0), sample("B", margin=1.0), sample("B.", margin=2.0)])
    assert bid.answer == "B"
    assert bid.agreement == pytest.approx(2 / 3)
    assert bid.margin == pytest.approx(1.5)
    assert bid.dollars == 3.0
    assert sample_bid(CHOICE, [sample("B", margin=None)]).margin is None
    assert sample_bid(PROGRAM, [sample(BAD, held="failure"), sample(GOOD, held="success")]).held == "success"
    assert sample_bid(PROGRAM, [sample(BAD, held="failure")]).held == "failure"
    with pytest.raises(ValueError, match="at least one"):
        sample_bid(CHOICE, [])
    bids = {name: sample_bid(CHOICE, [sample(answer)]) for name, answer in zip("abc", ("B", "b", "A"), strict=True)}
    assert agreement_across(CHOICE, bids) == {"a": 0.5, "b": 0.5, "c": 0.0}
    assert agreement_across(CHOICE, {"a": bids["a"]}) == {"a": 0.0}


def test_a_sample_of_a_bid_is_charged_once() -> None:
    drawn = [sample(BAD, held="failure", dollars=1.0), sample(GOOD, held="success", dollars=2.0)]
    first = work_after_bid(PROGRAM, drawn, bid=1, limit=5)
    assert (first.answer, first.success, first.drawn, first.dollars) == (GOOD, True, 2, 2.0)
    bid = sample_bid(PROGRAM, drawn[:1])
    assert bid.dollars + first.dollars == sum(one.dollars for one in drawn)
    alone = work_after_bid(PROGRAM, drawn, bid=0, limit=5)
    assert alone.dollars == 3.0, "without a bid the work pays for all of it"
    capped = work_after_bid(PROGRAM, drawn, bid=1, limit=1)
    assert (capped.success, capped.dollars) == (False, 0.0)
    early = work_after_bid(PROGRAM, drawn[::-1], bid=1, limit=5)
    assert (early.success, early.drawn, early.dollars) == (True, 1, 0.0), "it held when the bid was made"
    with pytest.raises(ValueError, match="at least one"):
        work_after_bid(PROGRAM, [], bid=0, limit=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Answer: B", "B"),
        ("The answer: A?\nNo.\nAnswer: `C`", "C"),
        ("just B", "just B"),
        ("So\nanswer:", "So\nanswer:"),
    ],
)
def test_the_answer_stands_after_the_last_mark(text: str, said: str) -> None:
    assert final_answer(text) == said


def test_tasks_are_chosen_by_a_rule_among_those_nothing_has_used() -> None:
    tasks = [bench_task(number, source="mmlu", id=f"mmlu/{number}") for number in range(20)]
    ids = chosen_ids({"mmlu": 5}, tasks, frozenset({"mmlu/0"}))
    assert len(ids) == 5
    assert "mmlu/0" not in ids
    assert ids == chosen_ids({"mmlu": 5}, reversed(tasks), frozenset({"mmlu/0"}))
    assert chosen_ids({"mmlu": 6}, tasks, frozenset({"mmlu/0"}))[:5] == ids, "a longer list begins alike"
    with pytest.raises(InputError, match="too few unused tasks of mmlu"):
        chosen_ids({"mmlu": 20}, tasks, frozenset({"mmlu/0"}))


@pytest.mark.parametrize("name", list(STUDIES))
def test_the_frozen_tasks_are_new_and_the_pool_has_who_draws(name: str) -> None:
    study = STUDIES[name]
    ids = study.ids.read_text(encoding="ascii").split()
    assert len(set(ids)) == len(ids) == sum(study.counts.values())
    assert Counter(one.split("/")[0] for one in ids) == Counter(study.counts)
    assert not set(ids) & used_ids()
    agents = {agent.name for agent in config.load(study.pool).agents}
    assert set(study.plan.draws) | study.plan.reasoning <= agents
