"""The exit statuses of the command, in one table: help and documentation show it, and `main` ends by it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # `sale --help` shows the table, and is to be quick
    from sale.types import Result

DONE: Final = 0
FAILED: Final = 1
USAGE_FAULT: Final = 2
HELD_BACK: Final = 3
_BY_SIGNAL: Final = 128
"""Added to a signal's number, as shells do."""
HANGUP: Final = _BY_SIGNAL + 1
INTERRUPTED: Final = _BY_SIGNAL + signal.SIGINT
READER_LEFT: Final = _BY_SIGNAL + 13
TERMINATED: Final = _BY_SIGNAL + signal.SIGTERM

STATUSES: Final[Mapping[int, str]] = MappingProxyType(
    {
        DONE: "done",
        FAILED: "the work could not be done, or not to its end, or its result could not be written; with --check: the "
        "answer was not found right",
        USAGE_FAULT: "a mistake in the command, the settings or the input",
        HELD_BACK: "a patch removes more than the task asks for: it is kept apart, and nothing was applied",
        HANGUP: "ended because its terminal was closed (SIGHUP)",
        INTERRUPTED: "interrupted (Ctrl-C, SIGINT)",
        READER_LEFT: "its output was not read to the end (a pipe into `head`)",
        TERMINATED: "ended from outside (SIGTERM)",
    }
)
"""Meanings of the exit statuses. Ended by a signal, every process it started has ended too, and the spending is on
record."""


def status_of_signal(number: int) -> int:
    """The status of a command that a signal has ended."""
    return _BY_SIGNAL + number


def status_of(result: Result, *, check: bool) -> int:
    """The status that a task's result comes to.

    Work that was found right is done, however it came about. Otherwise there must be an answer, and it must be whole.

    Args:
        result: Of the market.
        check: Whether only an answer that was found right counts.
    """
    if result.outcome.verdict == "success":
        return DONE
    whole = bool(result.answer.strip()) and result.execution.error is None
    return DONE if whole and not check else FAILED
