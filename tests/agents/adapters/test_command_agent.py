"""Real programs as agents of the market, well behaved and otherwise."""

from __future__ import annotations

import ast
import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sale import Market, Task
from sale.agents.adapters import CommandAgent, FixedPlan, PlanFunction, Terms, Work
from sale.auction.prompts import bid_prompt
from sale.auction.protocols import BidRequest
from sale.errors import BadReplyError, ConfigError, NotReadyError, UnpricedAgentError
from sale.types import Price, Usage
from tests.support.builders import TASK
from tests.support.hang import HANG

RATE = Price(input=1.0, output=4.0, blended=2.0)
REQUEST = BidRequest(task=TASK, prompt=bid_prompt(TASK, [], 300), max_tokens=300)
PLAN = "1. Read the task.\n2. Answer it."


def terms(**more) -> Terms:
    return replace(Terms(name="program", price=RATE, price_per_task=0.25), **more)


def program(code: str, *arguments: str, plans=None, environment=None, directory=None, **more) -> CommandAgent:
    given = {"output_bytes": more.pop("output_bytes")} if "output_bytes" in more else {}
    return CommandAgent(
        [sys.executable, "-I", "-c", code, *arguments],
        terms(**more),
        plans=plans or FixedPlan(PLAN),
        environment=environment or {},
        directory=directory,
        **given,
    )


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


ECHO = "import sys; sys.stdout.write('in: ' + sys.stdin.read())"


class TestWork:
    async def test_reads_the_prompt_from_standard_input(self) -> None:
        done = await program(ECHO).execute(Task(text="What is 6 × 7?"), PLAN)
        assert done.error is None
        assert done.answer.startswith("in: What is 6 × 7?")
        assert "2. Answer it." in done.answer
        assert (done.agent, done.mode, done.followed_strategy) == ("program", "command", True)
        assert [step["role"] for step in done.trace] == ["user", "assistant"]

    async def test_or_takes_it_where_the_command_says(self) -> None:
        show = "import sys; print(sys.argv[1:], repr(sys.stdin.read()))"
        done = await program(show, "--ask={task}", "plain").execute(Task(text="$(id) `id` ; 'q' \"q\""), None)
        assert done.answer.startswith("['--ask=$(id) `id` ; ")
        assert done.answer.endswith("'plain'] ''")
        assert not done.followed_strategy

    @pytest.mark.parametrize("text", ["--help", "-v", "--admin", "-", "- one\n- two", "plain"])
    @pytest.mark.parametrize("given", [["{task}"], ["--", "{task}"], ["--text", "{task}"], ["--text={task}"]])
    async def test_a_task_is_never_an_option(self, text: str, given: list[str]) -> None:
        """Whoever writes a task of a gateway writes that argument."""
        code = (
            "import argparse; parser = argparse.ArgumentParser(); parser.add_argument('--admin', action='store_true');"
            "parser.add_argument('-v', action='store_true'); parser.add_argument('--text');"
            "parser.add_argument('task', nargs='?'); given = parser.parse_args();"
            "print([given.admin, given.v, given.text or given.task])"
        )
        done = await program(code, *given, follow_strategy=False).execute(Task(text=text), None)
        assert done.error is None
        admin, verbose, heard = ast.literal_eval(done.answer)
        assert (admin, verbose, heard.strip()) == (False, False, text)
        kept = not text.startswith("-") or given[0] in {"--", "--text={task}"}
        assert heard == (text if kept else f"\n{text}")

    async def test_is_not_shown_a_plan_it_does_not_follow(self) -> None:
        done = await program(ECHO, follow_strategy=False).execute(TASK, PLAN)
        assert "Answer it" not in done.answer
        assert not done.followed_strategy

    async def test_costs_what_was_declared(self) -> None:
        (call,) = (await program("print('x' * 40)").execute(TASK, PLAN)).calls
        assert (call.stage, call.dollars, call.error, call.usage.output_tokens) == ("execute", 0.25, None, 10)

    async def test_sees_only_the_environment_it_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CANARY_API_KEY", "sk-canary")
        show = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"
        assert (await program(show).execute(TASK, None)).answer == "[]"
        assert (await program(show, environment={"MINE": "1"}).execute(TASK, None)).answer == "['MINE']"

    async def test_works_in_an_empty_directory_that_is_gone_afterwards(self, tmp_path: Path) -> None:
        code = "import os; open('left', 'w').close(); print(os.getcwd(), os.listdir())"
        where, _, rest = (await program(code).execute(TASK, None)).answer.partition(" ")
        assert rest == "['left']"
        assert where not in {str(Path.cwd()), str(tmp_path)}
        assert not await asyncio.to_thread(Path(where).exists)
        kept = await program(code, directory=tmp_path).execute(TASK, None)
        assert kept.answer.startswith(f"{tmp_path} ")
        assert "left" in names_in(tmp_path)


class TestMisbehaviour:
    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("import sys; print('half'); sys.exit('no key\\nset')", "exit status 1: no key set"),
            ("import sys; sys.exit(3)", "exit status 3: no word why"),
            ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "exit status 143: no word why"),
            ("pass", "it wrote nothing"),
            (
                "import sys; print(' \\n '); print('look here', file=sys.stderr)",
                "it wrote nothing; on standard error: look",
            ),
            ("import sys; sys.stdout.buffer.write(bytes(range(128, 256)))", "no UTF-8 text"),
            ("print('a\\0b')", "no UTF-8 text"),
        ],
    )
    async def test_is_told_in_a_line(self, code: str, message: str) -> None:
        done = await program(code).execute(TASK, PLAN)
        assert done.answer == ""
        assert done.error is not None
        assert done.error.startswith("call.bad_reply: ")
        assert message in done.error
        assert "\n" not in done.error
        assert done.calls[0].dollars == 0.25, "it ran, so it may have cost something"

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    async def test_a_flood_is_cut_off(self, stream: str) -> None:
        flood = f"import sys\nwhile True: sys.{stream}.write('x' * 65536)"
        done = await program(flood, output_bytes=100_000, seconds=HANG).execute(TASK, None)
        assert done.error == "call.bad_reply: it wrote more than 100000 bytes and was killed"

    async def test_a_missing_program_costs_nothing(self) -> None:
        agent = CommandAgent(["no-such-program", "{task}"], terms(), plans=FixedPlan(PLAN))
        done = await agent.execute(TASK, None)
        assert done.error == "call.not_ready: there is no program 'no-such-program'"
        assert sum(call.dollars for call in done.calls) == 0.0

    async def test_a_program_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "noise"
        path.write_bytes(b"\x7fELF nonsense")
        path.chmod(0o755)
        done = await CommandAgent([str(path)], terms(), plans=FixedPlan(PLAN)).execute(TASK, None)
        assert done.error is not None
        assert done.error.startswith("call.not_ready: the program could not be started: ")

    async def test_a_prompt_no_argument_can_hold(self) -> None:
        done = await program("print(1)", "{task}").execute(Task(text="a\0b"), None)
        assert done.error == "call.bad_reply: the prompt holds a null character, which no argument can"
        done = await program("print(1)", "{task}").execute(Task(text="x" * 3_000_000), None)
        assert done.error is not None
        assert "the program could not be started" in done.error

    async def test_a_program_that_does_not_read_its_input(self) -> None:
        done = await program("print('deaf')").execute(Task(text="x" * 3_000_000), None)
        assert done.answer == "deaf"


class TestEnding:
    CHILD = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60) # {m}'])"
    )

    async def test_its_whole_group_ends_with_its_time(
        self, running: Callable[[str], list[int]], wait_until: Callable[..., bool]
    ) -> None:
        code = self.CHILD.format(m="canary-slow") + "; time.sleep(60) # canary-slow"
        done = await program(code, seconds=2.0).execute(TASK, None)
        assert done.error == "call.timeout: not done within 2 s"
        assert done.calls[0].dollars == 0.25
        assert wait_until(lambda: not running("canary-slow"))

    async def test_and_with_a_cancellation(
        self, running: Callable[[str], list[int]], wait_until: Callable[..., bool]
    ) -> None:
        code = self.CHILD.format(m="canary-cancelled") + "; time.sleep(60)"
        work = asyncio.create_task(program(code).execute(TASK, None))
        assert await asyncio.to_thread(wait_until, lambda: len(running("canary-cancelled")) > 1, 20)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert wait_until(lambda: not running("canary-cancelled"))

    async def test_and_with_the_program(
        self, running: Callable[[str], list[int]], wait_until: Callable[..., bool]
    ) -> None:
        done = await program(self.CHILD.format(m="canary-orphan") + "; print('done')").execute(TASK, None)
        assert done.answer == "done"
        assert wait_until(lambda: not running("canary-orphan"))


class TestBid:
    async def test_is_what_the_program_says_when_it_is_asked(self) -> None:
        agent = CommandAgent([sys.executable, "-I", "-c", "print('1. Look.\\n2. Answer.')"], terms())
        reply = await agent.bid(REQUEST)
        assert reply.text == "1. Look.\n2. Answer."
        assert reply.usage.output_tokens == 5
        assert reply.usage.input_tokens > 20

    async def test_which_sees_the_prompt_for_a_bid(self) -> None:
        agent = CommandAgent([sys.executable, "-I", "-c", ECHO], terms())
        text = (await agent.bid(REQUEST)).text
        assert REQUEST.prompt.system in text
        assert REQUEST.prompt.user.strip() in text

    async def test_fails_as_a_call_does(self) -> None:
        with pytest.raises(BadReplyError, match="exit status 2"):
            await CommandAgent([sys.executable, "-c", "raise SystemExit(2)"], terms()).bid(REQUEST)
        with pytest.raises(NotReadyError, match="there is no program"):
            await CommandAgent(["no-such-program"], terms()).bid(REQUEST)

    async def test_or_a_fixed_plan(self) -> None:
        reply = await program("print(1)").bid(REQUEST)
        assert (reply.text, reply.usage) == (PLAN, Usage(output_tokens=8))

    async def test_or_a_function_of_the_task(self) -> None:
        async def plan(task: Task) -> Work:
            return Work(text=f"1. {task.text}", usage=Usage(input_tokens=3, output_tokens=2))

        reply = await program("print(1)", plans=PlanFunction(plan)).bid(REQUEST)
        assert (reply.text, reply.usage.total) == (f"1. {TASK.text}", 5)

        async def fails(task: Task) -> str:
            raise ValueError("no idea")

        with pytest.raises(BadReplyError, match="ValueError: no idea"):
            await program("print(1)", plans=PlanFunction(fails)).bid(REQUEST)


class TestMade:
    def test_what_it_costs_must_be_declared(self) -> None:
        with pytest.raises(UnpricedAgentError, match="must be declared"):
            CommandAgent(["true"], terms(price_per_task=None))

    @pytest.mark.parametrize("command", [[], [" "]])
    def test_it_needs_a_program(self, command: list[str]) -> None:
        with pytest.raises(ConfigError, match="the command is empty"):
            CommandAgent(command, terms())

    async def test_it_wins_and_works_in_a_market(self) -> None:
        agent = program("print(42)")
        async with Market([agent]) as market:
            result = await market.run("What is 6 × 7?")
        assert result.answer == "42"
        assert result.settlement.work_dollars == pytest.approx(0.25)
        assert agent.juror is None
