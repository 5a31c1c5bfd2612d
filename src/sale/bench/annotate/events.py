"""The record of one annotator: what happened, when, one JSON line each, appended and never changed.

Every line has two stamps. `mono` is a clock that never jumps, in seconds; it compares only within one `run`, that is
one process of `sale bench annotate`. `wall` is the date and time, for people and for noticing that a machine slept.
Times are differences of `mono` alone. Beats say that the page was open; they are what a gap is noticed by.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from sale.bench.recording.log import parse_entry, read_record

Why = Literal["asked", "silence", "stopped"]
"""The cause of a stopped clock: the annotator, a gap in the beats, or the end of the process before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """A moment on both clocks."""

    mono: float
    wall: datetime


Now = Callable[[], Stamp]


def now() -> Stamp:
    """This moment."""
    return Stamp(mono=time.monotonic(), wall=datetime.now(UTC))


class _EventLine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    run: str
    """Which process wrote the line."""
    annotator: str
    mono: Annotated[float, Field(allow_inf_nan=False)]
    wall: AwareDatetime

    @property
    def stamp(self) -> Stamp:
        """When it was written."""
        return Stamp(mono=self.mono, wall=self.wall)


class Opened(_EventLine):
    """A process began to serve."""

    kind: Literal["opened"] = "opened"
    version: str
    """Of the package."""
    seed: int
    """Of the order of tasks."""
    tasks: int


class Started(_EventLine):
    """The task was shown for the first time, and the clock started."""

    kind: Literal["start"] = "start"
    task: str
    prompt: str
    """SHA-256 of the text that was shown."""
    tools: str
    """Tools the annotator was told may be used."""


class Paused(_EventLine):
    """The clock was stopped and the task hidden."""

    kind: Literal["pause"] = "pause"
    task: str
    why: Why
    until: float
    """Up to when the time counts, on the `mono` of the run in which the clock was last started."""


class Resumed(_EventLine):
    """The task was shown again, and the clock went on."""

    kind: Literal["resume"] = "resume"
    task: str


class Beat(_EventLine):
    """The page was open."""

    kind: Literal["beat"] = "beat"
    task: str


class Drafted(_EventLine):
    """The text written so far: it survives a reload, a pause and a crash."""

    kind: Literal["draft"] = "draft"
    task: str
    text: str


class Submitted(_EventLine):
    """The answer was handed in, and the clock stopped."""

    kind: Literal["submit"] = "submit"
    task: str
    answer: str


class GaveUp(_EventLine):
    """The annotator could not solve it."""

    kind: Literal["give_up"] = "give_up"
    task: str


class Flagged(_EventLine):
    """The annotator says that the task is wrong or has no answer."""

    kind: Literal["flag"] = "flag"
    task: str
    note: str


class AnswerJudged(_EventLine):
    """The answer was judged; `None` where that is impossible."""

    kind: Literal["judged"] = "judged"
    task: str
    right: bool | None


TaskEvent = Started | Paused | Resumed | Beat | Drafted | Submitted | GaveUp | Flagged | AnswerJudged
Event = Opened | TaskEvent

_LINE: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def read_events(path: Path) -> list[Event]:
    """Every event of a record, oldest first; none where there is no file.

    Raises:
        InputError: The file cannot be read or holds something else; the message names the entry.
    """
    entries = enumerate(read_record(path), start=1)
    return [parse_entry(_LINE, entry, "event of an annotation", f"{path}, entry {number}") for number, entry in entries]


def digest(prompt: str) -> str:
    """Return a digest that shows whether two people saw the same text."""
    return hashlib.sha256(prompt.encode()).hexdigest()
