"""Programs and functions as agents of `sale.toml`, from the file to the settled task."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sale import Market, Task, config
from sale.agents.checkup import examine
from sale.agents.pool import build_agents
from sale.errors import ConfigError
from sale.models.scripted import ScriptedModel, persona
from sale.types import Usage

PYTHON = json.dumps(sys.executable)
PLAN = 'plan = "1. Read the task.\\n2. Answer it."\n'
PACKAGE = """
from sale import Task, Usage, Work

async def shout(task: Task, plan: str | None) -> Work:
    said = task.text.upper() + (f" [{plan}]" if plan else "")
    return Work(text=said, usage=Usage(input_tokens=100, output_tokens=50))

class Planner:
    async def bid(self, task: Task) -> str:
        return f"1. Look at {len(task.text)} letters. 2. Answer."

    async def execute(self, task: Task, plan: str | None) -> str:
        return plan or "no plan"

both = Planner()
number = 7
"""


def toml(*, command: str = "", more: str = "") -> str:
    line = f'command = [{PYTHON}, "-I", "-c", {json.dumps(command)}]\n' if command else ""
    return f'[[agents]]\nname = "own"\nprice = 2.0\n{line}{more}\n[memory]\nenabled = false\n'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PACKAGE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name


class TestCommand:
    async def test_wins_works_and_is_settled_at_its_price(self) -> None:
        given = toml(
            command="import sys; print(sys.stdin.read().split('\\n')[0].upper())",
            more=f"{PLAN}price_per_task = 0.25\nfollow_strategy = false",
        )
        async with Market.from_config(settings=config.parse(given)) as market:
            result = await market.run("good morning")
        assert result.answer == "GOOD MORNING"
        assert result.execution.mode == "command"
        assert result.settlement.work_dollars == 0.25

    async def test_sees_the_environment_it_is_given_and_works_where_it_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHOWN", "yes")
        monkeypatch.setenv("HIDDEN", "no")
        (tmp_path / "here").mkdir()
        given = toml(
            command="import os; print(sorted(k for k in os.environ if k in ('SHOWN', 'HIDDEN')), os.getcwd())",
            more=f'{PLAN}price_per_task = 0.0\nenv = ["SHOWN"]\ndirectory = "here"',
        )
        (agent,) = build_agents(config.parse(given, base=tmp_path))
        done = await agent.execute(Task(text="x"), None)
        assert done.answer == f"['SHOWN'] {tmp_path / 'here'}"

    @pytest.mark.parametrize(("plan", "fault"), [("Just do it.", "its plan has no steps"), (" ", "its plan is empty")])
    def test_a_plan_that_no_auction_takes_is_refused(self, plan: str, fault: str) -> None:
        given = toml(command="0", more=f'plan = "{plan}"\nprice_per_task = 0.0')
        with pytest.raises(ConfigError, match=fault) as caught:
            build_agents(config.parse(given))
        assert caught.value.where == "agent 'own'"

    def test_a_variable_that_is_not_set_is_named(self) -> None:
        given = toml(command="0", more=f'{PLAN}price_per_task = 0.0\nenv = ["NOT_SET_HERE"]')
        with pytest.raises(ConfigError, match="NOT_SET_HERE"):
            build_agents(config.parse(given))

    @pytest.mark.parametrize(
        ("usage", "dollars", "tokens"),
        [
            ({"input_tokens": 120, "output_tokens": 40}, 160 * 2.0 / 1e6, Usage(input_tokens=120, output_tokens=40)),
            ({"dollars": 0.5}, 0.5, Usage()),
            ({"dollars": 0, "output_tokens": 3, "model": "x"}, 0.0, Usage(output_tokens=3)),
        ],
    )
    async def test_says_itself_what_it_took(self, usage: dict[str, object], dollars: float, tokens: Usage) -> None:
        line = json.dumps({"usage": usage})
        given = toml(command=f"print('forty-two\\n'); print({line!r})", more=f"{PLAN}reports_usage = true")
        (agent,) = build_agents(config.parse(given))
        done = await agent.execute(Task(text="x"), None)
        assert done.error is None
        assert done.answer == "forty-two"
        assert sum(call.dollars for call in done.calls) == pytest.approx(dollars)
        assert sum((call.usage for call in done.calls), Usage()) == tokens

    @pytest.mark.parametrize(
        "line", ["42", "{}", '{"usage": {}}', '{"usage": {"dollars": -1}}', '{"usage": {"input_tokens": "many"}}']
    )
    async def test_that_was_to_say_it_and_does_not_has_failed(self, line: str) -> None:
        given = toml(command=f"print('forty-two'); print({line!r})", more=f"{PLAN}reports_usage = true")
        (agent,) = build_agents(config.parse(given))
        done = await agent.execute(Task(text="x"), None)
        assert done.answer == ""
        assert "does not say what it took" in (done.error or "")

    async def test_is_asked_for_its_plan_where_none_is_given(self) -> None:
        given = toml(command="print('1. Think.\\n2. Answer.')", more="price_per_task = 0.1")
        async with Market.from_config(settings=config.parse(given)) as market:
            result = await market.run("x")
        assert result.auction.winner.strategy.text == "1. Think.\n2. Answer."

    async def test_the_checkup_sees_whether_it_is_there_and_does_not_run_it(self, tmp_path: Path) -> None:
        mark = tmp_path / "ran"
        (here,) = build_agents(config.parse(toml(command=f"open({str(mark)!r}, 'w')", more="price_per_task = 1.0")))
        gone = toml(more='command = ["no-such-program-anywhere"]\nprice_per_task = 1.0')
        (missing,) = build_agents(config.parse(gone))
        assert (await examine(here)).reachable
        assert not mark.exists()
        found = await examine(missing)
        assert not found.reachable
        assert "no-such-program-anywhere" in found.lacks[0].what


class TestFunction:
    async def test_works_with_a_fixed_plan(self, package: str) -> None:
        given = toml(more=f'function = "{package}:shout"\n{PLAN}follow_strategy = false')
        async with Market.from_config(settings=config.parse(given)) as market:
            result = await market.run("good morning")
        assert result.answer == "GOOD MORNING"
        assert result.settlement.work_dollars == pytest.approx(150 * 2.0 / 1e6)

    async def test_or_with_plans_of_its_own(self, package: str) -> None:
        given = toml(more=f'function = "{package}:both"')
        async with Market.from_config(settings=config.parse(given)) as market:
            result = await market.run("four")
        assert result.answer == "1. Look at 4 letters. 2. Answer."

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (":shout", "has no plan"),
            (":nothing", "there is no 'nothing'"),
            (":number", "cannot be called"),
            ("_gone:shout", "cannot be imported"),
        ],
    )
    def test_what_is_not_there_is_said(self, package: str, name: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            build_agents(config.parse(toml(more=f'function = "{package}{name}"')))
        assert caught.value.where == "agent 'own'"

    def test_a_module_that_fails_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "own_that_fails.py").write_text("1 / 0", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ConfigError, match="fails when it is imported: ZeroDivisionError"):
            build_agents(config.parse(toml(more='function = "own_that_fails:x"')))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('command = ["x"]', "price_per_task is needed"),
        ("command = []\nprice_per_task = 1.0", "the command is empty"),
        ('command = ["x"]\nprice_per_task = 1.0\nexecution = "tools"', "execution cannot be said of a command, a"),
        ('command = ["x"]\nprice_per_task = 1.0\nenv = ["A=1"]', "env holds names"),
        ('command = ["x"]\nfunction = "a:b"\nprice_per_task = 1.0', "got command, function"),
        ('function = "a"', "agents.1.function"),
        ('function = "a:b"\nprice_per_task = 1.0', "price_per_task goes with command only"),
        ('local = "smollm2-135m"\nplan = "1. x"', "plan cannot be said of a model"),
        (
            'command = ["x"]\nprice_per_task = 1.0\nmodel = "m"',
            "model and api_key_env go with endpoint or provider",
        ),
    ],
)
def test_what_cannot_be_is_refused(more: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(toml(more=more))
    assert message in caught.value.message


def test_they_do_not_judge_and_cannot_be_recorded() -> None:
    text = toml(command="0", more=f"{PLAN}price_per_task = 1.0") + "[weights]\njurors = { own = 1.0 }\n"
    with pytest.raises(ConfigError, match="not on the jury: own"):
        config.parse(text)
    settings = config.parse(toml(command="0", more=f"{PLAN}price_per_task = 1.0"))
    with pytest.raises(ConfigError, match="has no model"):
        build_agents(settings, wrap=lambda agent, model: ScriptedModel(persona(plan="1. x")))
