"""The tasks of a trial: a task file, a folder of prompts, or a source of the bench, as tasks that can be recorded.

In a folder every `NAME.txt` or `NAME.md` is a prompt; `NAME.expect` beside it holds the right answer, `NAME.py` Python
tests that must pass. A task with neither is judged by a model.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.errors import InputError
from sale.files.reading import read_text

T = TypeVar("T")

PROMPTS = (".txt", ".md")
SEED = 0
_UNTIMED = HumanTime(provenance="not timed")


class TrialTaskLine(Protocol):
    """A line of a task file, as `sale run --file` reads it."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def domain(self) -> str | None: ...  # noqa: D102
    @property
    def tests(self) -> str | None: ...  # noqa: D102
    @property
    def prelude(self) -> str: ...  # noqa: D102
    @property
    def reference(self) -> str | None: ...  # noqa: D102
    @property
    def aliases(self) -> tuple[str, ...]: ...  # noqa: D102


def tasks_of_lines(lines: Iterable[TrialTaskLine], origin: str) -> list[BenchTask]:
    """Tasks of a task file.

    Raises:
        InputError: An id is there twice.
    """
    found: dict[str, BenchTask] = {}
    for line in lines:
        if line.id in found:
            raise InputError(f"the task {line.id!r} is there twice", where=origin)
        found[line.id] = BenchTask(
            id=line.id,
            domain="coding" if line.tests or line.domain == "coding" else "search",
            source="own",
            split="test",
            kind=_kind(line.tests, line.reference),
            prompt=line.text,
            reference=line.reference,
            aliases=line.aliases,
            tests=line.tests,
            prelude=line.prelude,
            time=_UNTIMED,
            licence="own",
        )
    return list(found.values())


def tasks_of_folder(folder: Path) -> list[BenchTask]:
    """Tasks of a folder of prompts, by name.

    Raises:
        InputError: There is no prompt in it, or one is empty.
    """
    found: list[BenchTask] = []
    for path in sorted(path for path in folder.iterdir() if path.suffix in PROMPTS and path.is_file()):
        text = read_text(path).strip()
        if not text:
            raise InputError("the prompt is empty", where=str(path))
        tests, expected = _beside(path, ".py"), _beside(path, ".expect")
        found.append(
            BenchTask(
                id=path.stem,
                domain="coding" if tests else "search",
                source="own",
                split="test",
                kind=_kind(tests, expected),
                prompt=text,
                reference=expected,
                tests=tests,
                time=_UNTIMED,
                licence="own",
            )
        )
    if not found:
        raise InputError("there is no prompt in it", where=str(folder), hint="Prompts are files NAME.txt or NAME.md.")
    if len({task.id for task in found}) < len(found):
        raise InputError("two prompts have one name", where=str(folder))
    return found


def shuffle_tasks(tasks: Sequence[BenchTask]) -> list[BenchTask]:
    """Tasks in the order of the trial: drawn, and the same every time. An order of the file's could mean something."""
    return draw_order(sorted(tasks, key=lambda task: task.id))


def draw_order(items: Sequence[T]) -> list[T]:
    """Items in an order that is drawn, and the same every time for the same order given."""
    order = list(items)
    random.Random(SEED).shuffle(order)  # noqa: S311  an order, not a secret
    return order


def done_without_gap(order: Sequence[BenchTask], done: Sequence[BenchTask]) -> Sequence[BenchTask]:
    """The done tasks from the first of the order to the last before one that is not done.

    Intervals that hold at every look need values in the order that was drawn. Tasks end in another one, as several are
    done at once; the quick ones, which end first, may be the easy ones.
    """
    ended = {task.id for task in done}
    return list(takewhile(lambda task: task.id in ended, order))


def _kind(tests: str | None, reference: str | None) -> Literal["tests", "short", "judged"]:
    return "tests" if tests else "short" if reference else "judged"


def _beside(path: Path, suffix: str) -> str | None:
    other = path.with_suffix(suffix)
    return (read_text(other).strip() or None) if other.is_file() else None
