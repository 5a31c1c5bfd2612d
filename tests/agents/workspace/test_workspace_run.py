"""A contractor at work in a repository, in each of its ways, and the market around it; models are scripted."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from sale.agents.contractor import Contractor
from sale.agents.prompts.repository import MARKS
from sale.agents.tools.bubblewrap import find_bwrap
from sale.agents.tools.workspace.workspace import Workspace
from sale.agents.workspace_run import in_workspace
from sale.auction.events import Event, WorkFinished
from sale.config import AgentSettings
from sale.errors import ConfigError, InputError
from sale.market import Market
from sale.models.scripted import Line, Script, ScriptedModel, persona
from sale.types import AuctionRules, Execution, Price
from tests.support.builders import PLAN

pytestmark = pytest.mark.skipif(find_bwrap() is None, reason="bubblewrap is not installed")

CODE = "def add(a, b):\n    return a - b\n"
RIGHT = CODE.replace("-", "+")
CHECK = "from sums import add\nassert add(2, 3) == 5, add(2, 3)\n"
VERIFY = "python3 check.py"
ANSWER = f"sums.py\n```python\n{RIGHT}```\n"
WRONG = "sums.py\n```python\ndef add(a, b):\n    return a * b\n```\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "repository"
    place.mkdir()
    (place / "sums.py").write_text(CODE)
    (place / "check.py").write_text(CHECK)
    (place / ".gitignore").write_text("*.log\n")
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    return place


@pytest.fixture
async def workspace(directory: Path) -> Workspace:
    return await Workspace.open(directory, verify=VERIFY)


def contractor(script: Script, way: str = "direct", *, name: str = "a", turns: int = 6, price: float = 1) -> Contractor:
    settings = AgentSettings.model_validate({
        "name": name, "endpoint": "http://127.0.0.1:9", "model": "m", "execution": way, "turns": turns,
    })  # fmt: skip
    return Contractor(settings, price=Price(input=price, output=price, blended=price), model=ScriptedModel(script))


async def work(workspace: Workspace, agent: Contractor, task: str = "Fix it.") -> Execution:
    return await agent.within(workspace).execute(workspace.task(task), None)


async def test_a_task_says_what_there_is_and_what_fails(workspace: Workspace) -> None:
    text = workspace.task("Fix it.").text
    assert text.startswith("Fix it.\n")
    assert "sums.py" in text
    assert VERIFY in text
    assert "AssertionError: -1" in text
    assert workspace.before is not None
    assert not workspace.before.passed


async def test_a_change_handed_in_is_a_patch_that_git_takes(workspace: Workspace, directory: Path) -> None:
    done = await work(workspace, contractor(persona(plan=PLAN, answer=ANSWER)))
    assert (done.mode, done.error, len(done.calls)) == ("edits", None, 1)
    assert (directory / "sums.py").read_text() == CODE
    assert (await workspace.verify(workspace.task("x"), done.answer)).verdict == "success"
    git = ["git", "-C", str(directory), "apply", "-"]
    await asyncio.to_thread(subprocess.run, git, input=done.answer.encode(), check=True)
    assert (directory / "sums.py").read_text() == RIGHT


async def test_it_sees_the_files_concerned_and_why_it_failed(workspace: Workspace) -> None:
    replies = iter([WRONG, WRONG, "no idea", ANSWER])
    model = ScriptedModel(lambda prompt, schema: next(replies))
    settings = AgentSettings(name="a", endpoint="http://127.0.0.1:9", model="m")
    agent = Contractor(settings, price=Price(input=1, output=1, blended=1), model=model)
    done = await work(workspace, agent)
    assert done.error is None
    assert len(done.calls) == 4
    first, second, third, fourth = (prompt.user for prompt in model.asked)
    assert "return a - b" in first
    assert "AssertionError: 6" in second
    assert "+    return a * b" in second
    assert third == fourth == first  # it starts over, with another draw
    assert model.samples == [0, 0, 2, 3]


async def test_the_last_change_is_handed_in_where_none_passes(workspace: Workspace) -> None:
    done = await work(workspace, contractor(persona(plan=PLAN, answer=WRONG), turns=2))
    assert len(done.calls) == 2
    outcome = await workspace.verify(workspace.task("x"), done.answer)
    assert outcome.verdict == "failure"
    assert "exit status 1: AssertionError: 6" in outcome.detail


async def test_no_change_is_no_answer(workspace: Workspace) -> None:
    done = await work(workspace, contractor(persona(plan=PLAN, answer="I would not know."), turns=2))
    assert done.answer == ""
    assert done.error == "execution.unchanged: nothing was changed"


async def test_without_a_command_one_answer_is_enough(directory: Path) -> None:
    workspace = await Workspace.open(directory)
    done = await work(workspace, contractor(persona(plan=PLAN, answer=ANSWER)), "Repair add in sums.py.")
    assert len(done.calls) == 1
    assert (await workspace.verify(workspace.task("x"), done.answer)).verdict == "unknown"


STEPS: tuple[Mapping[str, object], ...] = (
    {"list_files": "."},
    {"search": "return"},
    {"read_file": {"path": "sums.py", "start": 1, "end": 2}},
    {"edit_file": {"path": "sums.py", "old": "return a * b", "new": "return a + b"}},
    {"edit_file": {"path": "sums.py", "old": "a - b", "new": "a + b"}},
    {"write_file": {"path": "note.log", "content": "ignored"}},
    {"run": VERIFY},
    {"answer": "It is repaired."},
)


async def test_step_by_step(workspace: Workspace) -> None:
    steps = iter(STEPS)
    model = ScriptedModel(lambda prompt, schema: json.dumps(next(steps)))
    settings = AgentSettings(name="a", endpoint="http://127.0.0.1:9", model="m", execution="steps")
    done = await work(workspace, Contractor(settings, price=Price(input=1, output=1, blended=1), model=model))
    results = [str(one["content"]) for one in done.trace if one["role"] == "tool"]
    assert "check.py (54 bytes)" in results[0]
    assert "sums.py:2:     return a - b" in results[1]
    assert results[2] == "1| def add(a, b):\n2|     return a - b"
    assert "that is not in sums.py, character for character; the nearest is, from line 2" in results[3]
    assert results[-1].startswith("exit status 0")
    assert done.error is None
    assert done.answer.count("diff --git") == 1  # what the repository ignores is not in it
    assert (await workspace.verify(workspace.task("x"), done.answer)).verdict == "success"


class ToolCaller(ScriptedModel):
    """Calls tools by the protocol, one after the other."""

    async def for_tools(self) -> FunctionModel:
        calls = iter([*[(name, given) for step in STEPS[3:7] for name, given in step.items()], None])

        async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            call = next(calls)
            if call is None:
                return ModelResponse(parts=[TextPart("It is repaired.")])
            name, given = call
            arguments = given if isinstance(given, dict) else {"command": given}
            return ModelResponse(parts=[ToolCallPart(name, arguments)])

        return FunctionModel(respond)


async def test_with_tools(workspace: Workspace) -> None:
    settings = AgentSettings(name="a", endpoint="http://127.0.0.1:9", model="m", execution="tools")
    model = ToolCaller(persona(plan=PLAN))
    agent = Contractor(settings, price=Price(input=1, output=1, blended=1), model=model).within(workspace)
    assert [tool.name for tool in agent.tools] == [
        "list_files",
        "read_file",
        "search",
        "edit_file",
        "write_file",
        "run",
    ]
    done = await agent.execute(workspace.task("Fix it."), None)
    assert done.error is None
    assert "+    return a + b" in done.answer
    assert any(one["role"] == "words" and one["content"] == "It is repaired." for one in done.trace if "role" in one)


async def test_a_test_that_is_changed_is_pointed_out(directory: Path) -> None:
    (directory / "check.py").rename(directory / "test_sums.py")
    workspace = await Workspace.open(directory, verify="python3 test_sums.py")
    copy = workspace.copy()
    copy.write("test_sums.py", b"")
    outcome = await workspace.verify(workspace.task("x"), workspace.patch(copy.tree))
    assert (outcome.verdict, outcome.detail) == ("success", "the patch changes tests: test_sums.py")


async def test_it_is_applied_only_to_what_it_was_made_for(workspace: Workspace, directory: Path) -> None:
    copy = workspace.copy()
    copy.write("sums.py", RIGHT.encode())
    patch = workspace.patch(copy.tree)
    (directory / "check.py").write_text(CHECK + "# changed\n")
    with pytest.raises(InputError, match="has changed since"):
        await workspace.apply(patch)
    assert (directory / "sums.py").read_text() == CODE
    (directory / "check.py").write_text(CHECK)
    assert await workspace.apply(patch) == ("sums.py",)
    assert (directory / "sums.py").read_text() == RIGHT


async def test_a_patch_that_does_not_apply_is_a_failure(workspace: Workspace) -> None:
    outcome = await workspace.verify(workspace.task("x"), "not a patch")
    assert (outcome.verdict, outcome.judged_by) == ("failure", "patch")


async def test_the_next_best_bid_starts_on_a_fresh_copy(workspace: Workspace) -> None:
    def answering(text: str) -> Script:
        return persona(plan=PLAN, opinion=5, answer=text)

    agents = [
        contractor(answering(WRONG), name="cheap", turns=1, price=1),
        contractor(answering(ANSWER), name="dear", turns=1, price=3),
    ]
    finished: list[Execution] = []

    def observe(event: Event) -> None:
        if isinstance(event, WorkFinished):
            finished.append(event.execution)

    async with Market(agents, rules=AuctionRules(attempts=2)) as market:
        task = workspace.task("Fix the failing check.")
        result = await market.within(workspace).run(task, verifier=workspace, observe=observe)
    assert [done.agent for done in finished] == ["cheap", "dear"]
    assert [attempt.outcome.verdict for attempt in result.attempts] == ["failure"]
    assert result.outcome.verdict == "success"
    assert result.outcome.judged_by == "command"
    assert result.answer.count("\n-") == 2  # one line and the name of the file: nothing of the first attempt


async def test_who_cannot_work_there_takes_no_part(workspace: Workspace) -> None:
    class Stranger:
        name = "stranger"

    with pytest.raises(ConfigError, match="none of the agents"):
        in_workspace([Stranger()], workspace)  # pyright: ignore[reportArgumentType]


async def test_a_file_that_was_cut_is_not_handed_out(directory: Path) -> None:
    workspace = await Workspace.open(directory)
    cut = Line(text=f"sums.py\n```python\n# {CODE}", tokens=99_999)
    done = await work(workspace, contractor(lambda prompt, schema: cut, turns=2))
    assert (done.answer, done.error) == ("", "execution.tokens: the answer was cut at 1,024 tokens")
    piece = f"sums.py\n```\n{MARKS[0]}\n    return a - b\n{MARKS[1]}\n    return a + b\n{MARKS[2]}\n{MARKS[0]}\n"
    done = await work(workspace, contractor(lambda prompt, schema: Line(text=piece, tokens=99_999), turns=1))
    assert "return a + b" in done.answer
    assert done.error == "execution.tokens: the answer was cut at 1,024 tokens"
