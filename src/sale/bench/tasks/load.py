"""Load the tasks of a source of HST-Bench, from the public hub or from a local copy.

What the source calls its tasks of evaluation is `test` here, what it offers for training and validation `dev`. A source
without the latter has no `dev`: whoever needs one sets tasks aside. Nothing is dropped silently: what makes no task is
counted with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sale.bench.tasks.loaders import hub, local
from sale.bench.tasks.loaders.local import Placed
from sale.bench.tasks.loaders.rows import UnusableRowError
from sale.bench.tasks.loaders.sources import SOURCES, TaskSource
from sale.bench.tasks.schema import BenchTask, Split
from sale.errors import InputError

AGAIN = "it asks what an earlier row asks; its answers count there, too"
TWICE = "an earlier row has its id"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedTasks:
    """The tasks of a source, and what was left out."""

    tasks: tuple[BenchTask, ...]
    """In the source's order."""
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    """Why a row made no task, and how many did not for that reason. Counted over the whole split, whatever `limit`."""
    notes: tuple[str, ...] = ()
    """Remarks for the user: parts of the source that could not be loaded."""


def load(source: str, *, path: Path | None = None, split: Split = "test", limit: int | None = None) -> LoadedTasks:
    """The tasks of a source.

    Args:
        source: One of `SOURCES`.
        path: A file, or a directory that holds the source's files under their own names, at its top or in the source's
            folder; `None` for the public hub. A file is taken for the split you say, unless its rows say theirs.
        split: Which of the source's splits.
        limit: At most so many tasks, the first ones.

    Raises:
        InputError: There is no such source, split or file; a row is malformed (the message names row and field); the
            hub refuses the set; or no task came of it.
        MissingExtraError: What is asked for needs the `bench` extra.
        SourcesError: The hub could not be reached.
    """
    if source not in SOURCES:
        raise InputError(f"there is no source {source!r}", hint=f"There are: {', '.join(SOURCES)}.")
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit!r}")
    parts, notes = _available(source, path, split)
    tasks: dict[str, BenchTask] = {}
    dropped: Counter[str] = Counter()
    for part in parts:
        for task in _tasks(part, _rows(part, path, split), split, dropped):
            if task.id in tasks:
                dropped[AGAIN if task.kind == "short" else TWICE] += 1
                tasks[task.id] = _united(tasks[task.id], task)
            else:
                tasks[task.id] = task
    if not tasks:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in dropped.items())
        where = str(path) if path is not None else "the hub"
        raise InputError(
            f"no task of {source!r} came of it: {reasons or f'no rows of the split {split!r}'}", where=where
        )
    return LoadedTasks(tasks=tuple(tasks.values())[:limit], dropped=dict(dropped), notes=notes)


def _available(source: str, path: Path | None, split: Split) -> tuple[list[TaskSource], tuple[str, ...]]:
    """The sets of a source that have this split, there where it is looked for; and what is to be said of the others."""
    sets = SOURCES[source]
    if path is not None and not path.exists():
        raise InputError("there is no such file or directory", where=str(path))
    if path is not None and path.is_file():
        if len(sets) > 1:
            names = ", ".join(part.name for part in sets)
            raise InputError(
                f"{source!r} is several sets, and a file holds one", where=str(path), hint=f"Load {names}."
            )
        return list(sets), ()
    kept: list[TaskSource] = []
    notes: list[str] = []
    for part in sets:
        if split not in part.files:
            notes.append(f"{part.name} has no {split!r} split of its own: set some of its test tasks aside")
        elif path is None and part.hub is None:
            notes.append(f"{part.name} is not on the hub: give the path of a copy")
        else:
            kept.append(part)
    if not kept:
        raise InputError("; ".join(notes), hint="A file is taken for the split you say.")
    return kept, tuple(notes)


def _rows(source: TaskSource, path: Path | None, split: Split) -> Iterator[Placed]:
    if path is not None:
        file = path if path.is_file() else local.find(path, source.folder, source.files[split])
        found = local.rows(file)
    elif source.hub is not None:
        found = hub.rows(source.hub, split)
    else:
        return
    for where, row in found:
        if source.belongs is None or source.belongs(row, split):
            yield where, row


def _tasks(source: TaskSource, rows: Iterable[Placed], split: Split, dropped: Counter[str]) -> Iterator[BenchTask]:
    for where, row in rows:
        try:
            task = source.make(row, split=split)
        except UnusableRowError as error:
            dropped[error.reason] += 1
            continue
        except InputError as error:
            place = f"{where} ({error.where})" if error.where else where
            raise InputError(error.message, where=place, hint=error.hint) from error
        if task.source == source.name:
            yield task
        else:
            dropped[f"it belongs to {task.source}"] += 1


def _united(first: BenchTask, again: BenchTask) -> BenchTask:
    """The first of two rows that ask the same; what answers either answers it, as with people of one name."""
    if first.kind != "short":
        return first
    answers = dict.fromkeys((*first.aliases, *([again.reference] if again.reference else ()), *again.aliases))
    aliases = tuple(answer for answer in answers if answer != first.reference)
    evidence = tuple(dict.fromkeys((*first.evidence, *again.evidence)))
    return first.model_copy(update={"aliases": aliases, "evidence": evidence})
