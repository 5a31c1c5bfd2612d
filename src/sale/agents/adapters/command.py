"""A command-line program as an agent: the prompt goes in as an argument or on standard input, the answer comes out.

No shell is involved. The program gets the environment it is given and no other, works in an empty directory of its own
unless told otherwise, and its whole process group is killed when it is over, its time is up or it is cancelled. It is
NOT sandboxed: it is a program of yours that you would run yourself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sale.agents.adapters.adapted import AdaptedAgent, AdapterLog, Terms, carry_out
from sale.agents.adapters.plans import OwnModel, PlanSource, estimate_usage
from sale.agents.tools.plain_process import kill_group, report_pipe
from sale.agents.tools.runs import RunLimits, RunReport
from sale.agents.tools.supervise import Command, supervise
from sale.errors import BadReplyError, ConfigError, NotReadyError, SandboxError, UnpricedAgentError
from sale.models.chat import MAX_TOKENS
from sale.types import Execution, Prompt, Reply, Task, Usage

PLACEHOLDER = "{task}"
OPTIONS_END = "--"
OUTPUT_BYTES = 2**20
STDERR_SHOWN = 300
"""Characters of standard error that are quoted where it failed."""
ANY = sys.maxsize
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedSpend:
    """The tokens and dollars a program reports."""

    tokens: Usage
    dollars: float | None


class _UsageReport(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] = 0
    output_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] = 0
    dollars: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _UsageReport:
        if not self.model_fields_set:
            raise ValueError("neither tokens nor dollars")
        return self

    @property
    def spent(self) -> ReportedSpend:
        usage = Usage(input_tokens=self.input_tokens, output_tokens=self.output_tokens)
        return ReportedSpend(tokens=usage, dollars=self.dollars)


class _UsageLine(BaseModel):
    usage: _UsageReport


class CommandAgent(AdaptedAgent):
    """A program that answers a prompt.

    Its tokens are its own affair, so what one execution costs is declared, `Terms.price_per_task`, unless it says so
    itself in the last line it writes. `Terms.price` is what its plans are costed with.
    """

    def __init__(
        self,
        command: Sequence[str],
        terms: Terms,
        *,
        plans: PlanSource | None = None,
        environment: Mapping[str, str] = NOTHING,
        directory: Path | None = None,
        output_bytes: int = OUTPUT_BYTES,
        reports_usage: bool = False,
    ) -> None:
        """Nothing is started yet.

        Args:
            command: The program and its arguments. `{task}` in an argument stands for the prompt; without one the
                prompt is what the program reads from standard input. An argument that would begin with a hyphen of the
                prompt's, and be read as an option, gets a line break before it; after `--` none is needed.
            terms: Name, prices, limits.
            plans: Where its plans come from; the program itself is asked for them unless given.
            environment: All the environment the program sees.
            directory: Where it works; an empty directory of its own, removed afterwards, unless given.
            output_bytes: How much it may write to standard output, and to standard error.
            reports_usage: The last line it writes says what it took: `{"usage": {"input_tokens": 120, "output_tokens":
                40}}`, settled at the price of its terms, or `{"usage": {"dollars": 0.002}}`.

        Raises:
            ConfigError: There is no program.
            UnpricedAgentError: What an execution costs is not declared.
        """
        if not command or not command[0].strip():
            raise ConfigError("the command is empty", where=f"agent {terms.name!r}", hint="Name a program.")
        if terms.price_per_task is None and not reports_usage:
            raise UnpricedAgentError(
                "a program does not say how many tokens it takes, so what it costs must be declared",
                where=f"agent {terms.name!r}",
                hint="Set price_per_task, in dollars; 0.0 for a program that costs nothing.",
            )
        super().__init__(terms, plans or OwnModel(terms.name, self._ask))
        self._command = tuple(command)
        self._environment = dict(environment)
        self._directory = directory
        self._output_bytes = output_bytes
        self._reports_usage = reports_usage

    async def prepare(self) -> None:
        """See that the program is there.

        Raises:
            NotReadyError: It is not.
        """
        self._program()

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Run the program on the task and, where its terms say so, the winning plan."""
        return await carry_out(self._terms, "command", task, strategy, self._work)

    async def _work(self, prompt: Prompt, worklog: AdapterLog) -> None:
        program = self._program()
        worklog.begun = True
        report = await self._run(program, prompt.user)
        worklog.trace += [
            {"role": "user", "content": prompt.user},
            {
                "role": "assistant",
                "content": report.stdout,
                "stderr": report.stderr[-OUTPUT_BYTES // 256 :],
                "exit_code": report.exit_code,
            },
        ]
        worklog.answer, usage = self._told(self._answer(report))
        if usage is not None:
            worklog.usages.append((usage.tokens, report.seconds))
            worklog.dollars = usage.dollars

    async def _ask(self, prompt: Prompt, max_tokens: int) -> Reply:
        """The program's own plan. It cannot be held to a length: the auction cuts, or drops, what is too long."""
        del max_tokens
        text = f"{prompt.system}\n\n{prompt.user}"
        report = await self._run(self._program(), text)
        answer, usage = self._told(self._answer(report))
        tokens = usage.tokens if usage is not None and usage.tokens.total else estimate_usage(text, answer)
        return Reply(text=answer, usage=tokens, seconds=report.seconds)

    def _told(self, written: str) -> tuple[str, ReportedSpend | None]:
        """The answer, and what the program says it took.

        Raises:
            BadReplyError: It was to say, and does not.
        """
        if not self._reports_usage:
            return written, None
        answer, _, last = written.rpartition("\n")
        try:
            return answer.strip(), _UsageLine.model_validate_json(last).usage.spent
        except ValidationError as error:
            raise BadReplyError(
                f"the last line it wrote does not say what it took: {last[:STDERR_SHOWN]!r}",
                where=self.name,
                hint='It must be like {"usage": {"input_tokens": 120, "output_tokens": 40}}.',
            ) from error

    def _program(self) -> str:
        found = shutil.which(self._command[0])
        if found is None:
            raise NotReadyError(
                f"there is no program {self._command[0]!r}", where=self.name, hint="Is it installed, and on the PATH?"
            )
        return str(Path(found).absolute())

    async def _run(self, program: str, text: str) -> RunReport:
        arguments = _filled(self._command[1:], text)
        given = "" if any(PLACEHOLDER in argument for argument in self._command[1:]) else text
        if any("\0" in argument for argument in arguments):
            raise BadReplyError("the prompt holds a null character, which no argument can", where=self.name)
        limits = RunLimits(cpu_seconds=ANY, wall_seconds=float(ANY), memory_bytes=ANY, output_bytes=self._output_bytes)
        with self._place() as directory, _ready() as report:
            command = Command(
                argv=[program, *arguments],
                environment=self._environment,
                kill=kill_group,
                sweep=kill_group,
                report=report,
                directory=directory,
            )
            try:
                return await supervise(command, stdin=given, limits=limits)
            except SandboxError as error:  # there is no sandbox here: the program itself could not be started
                raise NotReadyError(
                    f"the program could not be started: {error.__cause__ or error.message}", where=self.name
                ) from error

    @contextlib.contextmanager
    def _place(self) -> Generator[Path]:
        if self._directory is not None:
            yield self._directory
            return
        with tempfile.TemporaryDirectory(prefix="sale-command-", ignore_cleanup_errors=True) as name:
            yield Path(name)

    def _answer(self, report: RunReport) -> str:
        """Return its standard output, if that is an answer.

        Raises:
            BadReplyError: It failed, wrote too much, nothing, or no text.
        """
        said = " ".join(report.stderr.split())[-STDERR_SHOWN:]
        if report.killed_reason is not None:
            raise BadReplyError(f"it wrote more than {self._output_bytes} bytes and was killed", where=self.name)
        if report.exit_code != 0:
            raise BadReplyError(
                f"it ended with exit status {report.exit_code}: {said or 'no word why'}", where=self.name
            )
        if "\ufffd" in report.stdout or "\0" in report.stdout:
            raise BadReplyError("what it wrote is no UTF-8 text", where=self.name)
        if not report.stdout.strip():
            raise BadReplyError(f"it wrote nothing{f'; on standard error: {said}' if said else ''}", where=self.name)
        return report.stdout.strip()


def _filled(arguments: Sequence[str], text: str) -> list[str]:
    """The arguments with the text in its places.

    Where a text that begins with a hyphen would be read as an option, a line break stands before it. After `--` it is
    none.
    """
    plain = list(arguments).index(OPTIONS_END) if OPTIONS_END in arguments else len(arguments)
    filled = [argument.replace(PLACEHOLDER, text) for argument in arguments]
    return [
        f"\n{now}" if at < plain and before.startswith(PLACEHOLDER) and now.startswith("-") else now
        for at, (before, now) in enumerate(zip(arguments, filled, strict=True))
    ]


@contextlib.contextmanager
def _ready() -> Generator[int]:
    """The report of a launcher that there is none of: a program has started once it is executed."""
    with report_pipe() as (reading, writing):
        os.write(writing, b"1")
        yield reading
