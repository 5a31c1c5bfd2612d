"""Crossed cells: an agent works on another agent's recorded plans, over real HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from sale import config
from sale.agents.tools.sandbox import find_sandbox
from sale.bench.crossed_cells import load_crossed
from sale.bench.recording.crossed import CellComparison, CrossedRecorder, compare_anew, read_plans
from sale.bench.recording.lines import ExecutionLine, read_lines
from sale.bench.recording.log import pack, read_record
from sale.bench.recording.pools import for_recording
from sale.bench.recording.run import Recorder, RecordingProgress
from sale.bench.routers.cope import Cope
from sale.bench.routers.features import WordNgrams
from sale.bench.routers.tuning import outcome
from sale.bench.tasks.files import write_tasks
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.cli.main import app
from sale.errors import InputError
from tests.support.endpoint import Endpoint
from tests.support.replies import Ask

TIME = HumanTime(provenance="nobody has timed it")
TASKS = tuple(
    BenchTask(
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
    for number in range(4)
)


def pool(endpoint: Endpoint, *, cheap: str = "good", more: str = "") -> str:
    """A cheap agent and a dear one that plans."""
    return (
        f'[[agents]]\nname = "cheap"\nendpoint = "{endpoint.base_url}"\nmodel = "{cheap}@cheap"\nprice = 0.1\n{more}'
        f'[[agents]]\nname = "dear"\nendpoint = "{endpoint.base_url}"\nmodel = "good@dear"\nprice = 0.4\n'
        "[tools]\npython = false\n"
    )


def settings(endpoint: Endpoint, **changes: str) -> config.Settings:
    return for_recording(config.parse(pool(endpoint, **changes)), "coding")


def seen(progress: RecordingProgress) -> None:
    assert progress.done <= progress.of


async def record_plans(record: Path, endpoint: Endpoint, tasks: tuple[BenchTask, ...] = TASKS) -> None:
    async with Recorder(record, tasks, settings(endpoint), sandbox=None) as found:
        found.begin("plans")
        await found.base(seen)


async def cross(
    record: Path, plans: Path, of: config.Settings, *, anew: int = 0, planner: str = "dear", executor: str = "cheap"
) -> None:
    given = read_plans(plans, planner)
    async with CrossedRecorder(record, TASKS, of, plans=given, executor=executor, sandbox=None) as found:
        found.begin("crossed", plans=given.digest)
        if anew:
            await found.work_anew(anew, seen)
        await found.cross(seen)


def judged_or_planned(ask: Ask) -> bool:
    """A plan or a ballot is asked for: the usual words will do."""
    return ask.planning or ask.judging


def executions(record: Path) -> list[ExecutionLine]:
    return [line for line in read_lines(record, "execution") if isinstance(line, ExecutionLine)]


async def test_the_work_follows_the_other_agents_plan(endpoint: Endpoint, tmp_path: Path) -> None:
    def plan(ask: Ask) -> str | None:
        return f"1. The plan of {ask.body['model']}." if ask.planning else None

    endpoint.say = plan
    plans, record = tmp_path / "plans.jsonl", tmp_path / "crossed.jsonl"
    await record_plans(plans, endpoint)
    before = len(endpoint.requests())
    await cross(record, plans, settings(endpoint))
    made = endpoint.requests()[before:]
    assert [one.model for one in made] == ["good@cheap"] * len(TASKS), "nothing is planned anew"
    assert all("The plan of good@dear." in str(one.body["messages"]) for one in made)
    found = executions(record)
    assert [line.task for line in found] == [task.id for task in TASKS]
    assert {(line.agent, line.planner, line.strategy) for line in found} == {
        ("cheap", "dear", "1. The plan of good@dear.")
    }
    assert all(line.calls[0].dollars for line in found)


async def test_what_is_on_record_is_not_done_again(endpoint: Endpoint, tmp_path: Path) -> None:
    plans, record = tmp_path / "plans.jsonl", tmp_path / "crossed.jsonl"
    await record_plans(plans, endpoint)
    before = len(endpoint.requests())
    dying = settings(endpoint, cheap="500-after-2")
    with pytest.raises(InputError, match="another model"):  # the endpoint's model has another name
        await cross(record, plans, dying)
    given = read_plans(plans, "dear")
    async with CrossedRecorder(
        record, TASKS[:2], settings(endpoint), plans=given, executor="cheap", sandbox=None
    ) as half:
        half.begin("half", plans=given.digest)
        await half.cross(seen)
    with record.open("ab") as file:
        file.write(b'{"kind":"call","key":"cut in the mid')  # the machine went down here
    for _ in range(2):
        await cross(record, plans, settings(endpoint))
    assert len(endpoint.requests()) - before == len(TASKS)
    assert Counter(line.task for line in executions(record)) == {task.id: 1 for task in TASKS}


async def test_work_done_anew_is_compared_with_the_record(endpoint: Endpoint, tmp_path: Path) -> None:
    plans, record = tmp_path / "plans.jsonl", tmp_path / "crossed.jsonl"
    endpoint.say = lambda ask: None if judged_or_planned(ask) else "sorted"
    await record_plans(plans, endpoint)
    await cross(record, plans, settings(endpoint), anew=1)
    assert compare_anew(record, plans, "cheap") == CellComparison(tasks=1, outcomes=1, answers=1)
    endpoint.say = lambda ask: (
        None if judged_or_planned(ask) else "Sorted!" if "number 1" in ask.prompt else "backwards"
    )
    await cross(record, plans, settings(endpoint), anew=3)
    assert compare_anew(record, plans, "cheap") == CellComparison(tasks=3, outcomes=2, answers=1)
    without = [line for line in executions(record) if not line.strategy]
    assert {line.planner for line in without} == {None}
    assert len(executions(record)) == len(TASKS) + 3, "what was crossed before is not done again"


async def test_a_task_without_a_plan_is_left_out(endpoint: Endpoint, tmp_path: Path) -> None:
    plans, record = tmp_path / "plans.jsonl", tmp_path / "crossed.jsonl"
    endpoint.say = lambda ask: (
        " " if ask.body["model"] == "good@dear" and ask.planning and "number 2" in ask.prompt else None
    )
    await record_plans(plans, endpoint)
    await cross(record, plans, settings(endpoint))
    assert {line.task for line in executions(record)} == {"own/0", "own/1", "own/3"}


async def test_only_cells_of_the_recorded_pool_are_crossed(endpoint: Endpoint, tmp_path: Path) -> None:
    plans, record = tmp_path / "plans.jsonl", tmp_path / "crossed.jsonl"
    await record_plans(plans, endpoint)
    of = settings(endpoint)
    with pytest.raises(InputError, match="not cheaper"):
        await cross(record, plans, of, planner="cheap", executor="dear")
    with pytest.raises(InputError, match="not cheaper"):
        await cross(record, plans, of, executor="dear")
    with pytest.raises(InputError, match="no agent 'nobody'"):
        await cross(record, plans, of, executor="nobody")
    with pytest.raises(InputError, match="no plan of 'nobody'") as caught:
        await cross(record, plans, of, planner="nobody")
    assert "cheap, dear" in str(caught.value.hint)
    with pytest.raises(InputError, match="worked by other settings: answer_tokens"):
        await cross(record, plans, settings(endpoint, more="answer_tokens = 77\n"))
    with pytest.raises(InputError, match="other agents, or at other prices"):
        await cross(record, plans, settings(endpoint, more="follow_strategy = false\n"))
    with pytest.raises(InputError, match="no such record"):
        read_plans(tmp_path / "nothing.jsonl", "dear")
    assert not record.exists()


async def test_a_record_follows_the_plans_of_one_record(endpoint: Endpoint, tmp_path: Path) -> None:
    plans, others, record = tmp_path / "plans.jsonl", tmp_path / "others.jsonl", tmp_path / "crossed.jsonl"
    await record_plans(plans, endpoint)
    await record_plans(others, endpoint, TASKS[:1])
    await cross(record, plans, settings(endpoint))
    with pytest.raises(InputError, match="plans of another record"):
        await cross(record, others, settings(endpoint))
    with pytest.raises(InputError, match="plans of another record"):
        await cross(plans, others, settings(endpoint))  # a record of `sale bench run`
    packed = pack(plans)  # the same plans, packed
    await cross(record, packed, settings(endpoint))


async def test_a_busy_machine_fails_no_program(endpoint: Endpoint, tmp_path: Path) -> None:
    """A program that waits longer than the usual limit of wall time, and takes no processor time, is judged."""
    plans, record = tmp_path / "plans.jsonl", tmp_path / "crossed.jsonl"
    slow = BenchTask.model_validate(
        TASKS[0].model_dump() | {"kind": "tests", "tests": "import time; time.sleep(1.0)", "reference": None}
    )
    short = settings(endpoint, more="[sandbox]\nwall_seconds = 0.5\n")
    endpoint.say = lambda ask: None if judged_or_planned(ask) else "```python\nx = 1\n```"
    async with Recorder(plans, [slow], short, sandbox=find_sandbox()) as first:
        first.begin("plans")
        await first.base(seen)
    assert {line.outcome.verdict for line in executions(plans)} == {"success"}
    given = read_plans(plans, "dear")
    async with CrossedRecorder(record, [slow], short, plans=given, executor="cheap", sandbox=find_sandbox()) as found:
        found.begin("crossed", plans=given.digest)
        await found.cross(seen)
    assert {line.outcome.verdict for line in executions(record)} == {"success"}


def command(tmp_path: Path, *options: str) -> list[str]:
    named = ["--planner", "dear", "--executor", "cheap", "--domain", "coding"]
    files = ["--plans", str(tmp_path / "plans.jsonl"), "--tasks", str(tmp_path / "tasks.jsonl")]
    return ["bench", "cross", str(tmp_path / "crossed.jsonl"), *named, *files, *options]


async def test_the_command_goes_on_and_says_whether_cells_are_comparable(endpoint: Endpoint, tmp_path: Path) -> None:
    write_tasks(TASKS, tmp_path / "tasks.jsonl")
    (tmp_path / "sale.toml").write_text(pool(endpoint), encoding="utf-8")
    await record_plans(tmp_path / "plans.jsonl", endpoint)
    given = ["--config", str(tmp_path / "sale.toml")]
    runner = CliRunner()
    before = len(endpoint.requests())
    first = await asyncio.to_thread(runner.invoke, app, command(tmp_path, "--first", "2", "--anew", "1", *given))
    assert first.exit_code == 0, first.output
    assert "1 task; 1 with the recorded outcome, 1 with the recorded answer" in " ".join(first.stdout.split())
    assert len(endpoint.requests()) - before == 2 + 1
    pack(tmp_path / "crossed.jsonl")
    (tmp_path / "crossed.jsonl").unlink()
    second = await asyncio.to_thread(runner.invoke, app, command(tmp_path, *given))
    assert second.exit_code == 0, second.output
    assert len(endpoint.requests()) - before == len(TASKS) + 1
    assert [line["kind"] for line in read_record(tmp_path / "crossed.jsonl")].count("run") == 2
    none = await asyncio.to_thread(runner.invoke, app, command(tmp_path, "--split", "dev", *given))
    assert isinstance(none.exception, InputError)
    assert "no coding task of the dev split has a plan there" in none.exception.message


async def test_cells_are_read_beside_the_other_work(endpoint: Endpoint, tmp_path: Path) -> None:
    def say(ask: Ask) -> str | None:
        if ask.planning:
            return " " if ask.body["model"] == "good@dear" and "number 3" in ask.prompt else None
        if ask.judging:
            return None
        return "sorted" if "(good@dear)" in ask.prompt or "number 3" in ask.prompt else "backwards"

    endpoint.say = say
    plans, record = tmp_path / "plans.jsonl", tmp_path / "crossed.jsonl"
    await record_plans(plans, endpoint)
    with pytest.raises(InputError, match="no crossed cell"):
        load_crossed(plans, record, TASKS)
    given = read_plans(plans, "dear")
    async with CrossedRecorder(
        record, TASKS[:2], settings(endpoint), plans=given, executor="cheap", sandbox=None
    ) as half:
        half.begin("half", plans=given.digest)
        await half.work_anew(1, seen)
        await half.cross(seen)
    part = load_crossed(plans, record, TASKS)
    assert (len(part.tasks), part.wanted, part.whole) == (3, 4, False), "two crossed, and one without a plan"
    await cross(record, plans, settings(endpoint))
    found = load_crossed(plans, record, TASKS)
    assert found.whole
    assert (found.executor, found.planner, found.prices) == ("cheap", "dear", (0.1, 0.4))
    assert [one.planned for one in found.tasks] == [True, True, True, False]
    assert [one.again is not None for one in found.tasks] == [True, False, False, False]
    first, last = found.tasks[0], found.tasks[-1]
    assert (first.alone.success, first.own.success, first.crossed.success) == (False, False, True)
    assert last.crossed == last.alone, "there is no plan to follow"
    (line,) = (one for one in executions(record) if one.task == first.task.id and one.planner)
    work = sum(call.dollars for call in line.calls)
    assert first.plan_dollars > 0
    assert first.crossed.dollars == pytest.approx(work + first.plan_dollars)
    stages, direct = found.stages(), found.direct()
    assert direct.success.tolist() == [[0.0, 0.0]] * 3 + [[1.0, 1.0]]
    assert stages.success.tolist() == [[0.0, 1.0, 1.0]] * 3 + [[1.0, 1.0, 1.0]]
    assert stages.dollars[0, 2] == pytest.approx(first.planner_own.dollars - first.plan_dollars), "paid at stage 2"
    router = Cope(WordNgrams())
    router.fit(stages)
    assert outcome(router.route(stages), stages)[0].mean() == 1.0
