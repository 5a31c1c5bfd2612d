"""Task files, and the thirty example tasks that come with the package.

A task file is JSON lines. Each line: `id`, `text`, optional `domain` (`coding` runs tests), `tests` with optional
`prelude`, or `reference` with optional `aliases`; and for tasks of others `source` and `licence`. The examples are
from HumanEval (MIT), MBPP sanitized (CC BY 4.0), MMLU (MIT) and PopQA (MIT), drawn with a fixed seed.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sale.errors import InputError
from sale.extensions import fault_text
from sale.files.reading import read_text
from sale.types import Task
from sale.wording import quantity

FIRST = "humaneval/18"
"""The example `sale run` shows when it is given nothing to do."""

TASK_LINE = "A line has id and text, and tests or reference where the answer can be checked: docs/tasks.md."
"""The hint where a line is not a task."""


class TaskLine(BaseModel):
    """One line of a task file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    text: str
    domain: str | None = None
    tests: str | None = None
    prelude: str = ""
    reference: str | None = None
    aliases: tuple[str, ...] = ()
    source: str | None = None
    licence: str | None = None

    @property
    def task(self) -> Task:
        """The task as the market is given it."""
        return Task(text=self.text, id=self.id, domain=self.domain)


def read_tasks(path: Path) -> list[TaskLine]:
    """All tasks of a file.

    Raises:
        InputError: The file cannot be read, or a line is not a task; the message names the line.
    """
    return parse_tasks(read_text(path), str(path))


def examples() -> list[TaskLine]:
    """The example tasks of the package."""
    return parse_tasks(files("sale.cli").joinpath("examples.jsonl").read_text(encoding="utf-8"), "examples.jsonl")


def parse_tasks(text: str, origin: str) -> list[TaskLine]:
    """Tasks from JSON lines; see `read_tasks`."""
    tasks = [parse_task(line, f"{origin}:{number}") for number, line in numbered_lines(text)]
    if not tasks:
        raise InputError("there are no tasks in it", where=origin)
    return tasks


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """The lines of a task file that are not empty, with their numbers from 1."""
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def parse_task(line: str, where: str) -> TaskLine:
    """The task of one line.

    Args:
        line: JSON.
        where: The file and the line's number.

    Raises:
        InputError: It is not a task.
    """
    try:
        return TaskLine.model_validate_json(line)
    except ValidationError as error:
        # An unknown key first: most likely it is one that is missing, under another name.
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        told = dict.fromkeys(fault_text(fault, TaskLine.model_fields, "the line") for fault in faults)
        raise InputError("; ".join(told), where=where, hint=TASK_LINE) from error


def pick(tasks: list[TaskLine], task_id: str | None, origin: str) -> TaskLine:
    """The task of that id; without one, the file must hold just one.

    Raises:
        InputError: There is no such task, or it is not clear which one is meant.
    """
    known = ", ".join(task.id for task in tasks[:40])
    if task_id is None:
        if len(tasks) == 1:
            return tasks[0]
        raise InputError(
            f"the file has {quantity(len(tasks), 'task')}", where=origin, hint=f"Name one with --id: {known}."
        )
    found = [task for task in tasks if task.id == task_id]
    if not found:
        raise InputError(f"no task {task_id!r}", where=origin, hint=f"There are: {known}.")
    return found[0]
