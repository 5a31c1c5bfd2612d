"""Task files: JSON lines, one `BenchTask` each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from sale.bench.tasks.schema import BenchTask
from sale.errors import InputError
from sale.extensions import fault_text
from sale.files.reading import read_text
from sale.files.writing import write_text


def read_tasks(path: Path) -> list[BenchTask]:
    """All tasks of a file.

    Raises:
        InputError: The file cannot be read, a line is not a task, or an id is there twice; the message names the line.
    """
    return parse_tasks(read_text(path), str(path))


def parse_tasks(text: str, origin: str) -> list[BenchTask]:
    """Tasks from JSON lines; see `read_tasks`."""
    tasks: dict[str, BenchTask] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{origin}:{number}"
        try:
            task = BenchTask.model_validate_json(line)
        except ValidationError as error:
            fault = fault_text(error.errors()[0], BenchTask.model_fields, "the line")
            raise InputError(fault, where=where) from error
        if task.id in tasks:
            raise InputError(f"the task {task.id!r} is there twice", where=where)
        tasks[task.id] = task
    if not tasks:
        raise InputError("there are no tasks in it", where=origin)
    return list(tasks.values())


def write_tasks(tasks: Iterable[BenchTask], path: Path) -> None:
    """Write tasks; the file is whole or as it was.

    Raises:
        OutputError: It cannot be written.
    """
    write_text(path, "".join(task.model_dump_json(exclude_defaults=True) + "\n" for task in tasks))
