"""Attempts read from a record: each person's attempt at each task, as a fold over the events. Pure.

The time of an attempt is the sum of its stretches from a start or resume to the next pause or the end, each measured
on the clock of one process. The page's clock and `sale bench times` both come from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sale.bench.annotate.events import (
    AnswerJudged,
    Beat,
    Drafted,
    Event,
    Flagged,
    GaveUp,
    Opened,
    Paused,
    Resumed,
    Stamp,
    Started,
    Submitted,
    TaskEvent,
    Why,
)
from sale.errors import InputError

Phase = Literal["running", "paused", "submitted", "gave_up", "flagged"]
OPEN: frozenset[Phase] = frozenset({"running", "paused"})


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorAttempt:
    """One person at one task."""

    annotator: str
    task: str
    prompt: str
    """SHA-256 of the text that was shown."""
    tools: str
    started: datetime
    run: str
    """The process in which the clock was last started."""
    since: float
    """When that was, on its `mono`."""
    seen: Stamp
    """The last sign of life while the clock ran."""
    phase: Phase = "running"
    banked: float = 0.0
    """Seconds of the stretches that are over."""
    why: Why | None = None
    """Why it was last stopped."""
    pauses: int = 0
    """Number of times the annotator stopped the clock."""
    silences: int = 0
    """Number of times the page fell silent, or the process ended, while it ran."""
    ended: datetime | None = None
    draft: str = ""
    answer: str | None = None
    note: str = ""
    judged: bool = False
    right: bool | None = None

    def seconds(self, mono: float | None = None) -> float:
        """Seconds counted so far; of a running clock, up to `mono` in the process that started it."""
        if self.phase != "running" or mono is None:
            return self.banked
        return self.banked + max(0.0, mono - self.since)


def follow(attempt: AnnotatorAttempt | None, event: TaskEvent) -> AnnotatorAttempt:
    """The attempt after one more event.

    Raises:
        InputError: The event cannot follow: a record that no process of ours wrote.
    """
    if isinstance(event, Started):
        if attempt is not None:
            raise _impossible(attempt, event)
        return AnnotatorAttempt(
            annotator=event.annotator,
            task=event.task,
            prompt=event.prompt,
            tools=event.tools,
            started=event.wall,
            run=event.run,
            since=event.mono,
            seen=event.stamp,
        )
    if attempt is None:
        raise InputError(f"{event.kind!r} of a task that was never started", where=event.task)
    if isinstance(event, AnswerJudged):
        if attempt.phase != "submitted":
            raise _impossible(attempt, event)
        return replace(attempt, judged=True, right=event.right)
    return _running(attempt, event) if attempt.phase == "running" else _stopped(attempt, event)


def _running(
    attempt: AnnotatorAttempt, event: Paused | Resumed | Beat | Drafted | Submitted | GaveUp | Flagged
) -> AnnotatorAttempt:
    """After an event while the clock runs."""
    if isinstance(event, Paused):
        asked = event.why == "asked"
        return replace(
            attempt,
            phase="paused",
            banked=attempt.banked + _stretch(attempt, event.until),
            why=event.why,
            pauses=attempt.pauses + asked,
            silences=attempt.silences + (not asked),
        )
    if isinstance(event, Resumed) or event.run != attempt.run:
        raise _impossible(attempt, event)
    seen = replace(attempt, seen=event.stamp)
    match event:
        case Beat():
            return seen
        case Drafted(text=text):
            return replace(seen, draft=text)
        case Submitted() | GaveUp() | Flagged():
            return _ended(replace(seen, banked=attempt.banked + _stretch(attempt, event.mono)), event)


def _stopped(
    attempt: AnnotatorAttempt, event: Paused | Resumed | Beat | Drafted | Submitted | GaveUp | Flagged
) -> AnnotatorAttempt:
    """After an event while the clock stands still: it may go on, or the task may be left without an answer."""
    if attempt.phase == "paused":
        match event:
            case Resumed():
                return replace(attempt, phase="running", run=event.run, since=event.mono, seen=event.stamp)
            case Drafted(text=text):
                return replace(attempt, draft=text)
            case GaveUp() | Flagged():
                return _ended(attempt, event)
            case _:
                pass
    raise _impossible(attempt, event)


def _ended(attempt: AnnotatorAttempt, event: Submitted | GaveUp | Flagged) -> AnnotatorAttempt:
    ended = replace(attempt, ended=event.wall)
    match event:
        case Submitted(answer=answer):
            return replace(ended, phase="submitted", answer=answer)
        case GaveUp():
            return replace(ended, phase="gave_up")
        case Flagged(note=note):
            return replace(ended, phase="flagged", note=note)


def _stretch(attempt: AnnotatorAttempt, until: float) -> float:
    if until < attempt.since:
        raise InputError(f"the clock ran backwards, from {attempt.since!r} to {until!r}", where=attempt.task)
    return until - attempt.since


def _impossible(attempt: AnnotatorAttempt, event: TaskEvent) -> InputError:
    return InputError(f"{event.kind!r} cannot follow while the task is {attempt.phase!r}", where=attempt.task)


def attempts_of(events: Iterable[Event]) -> dict[tuple[str, str], AnnotatorAttempt]:
    """Every attempt of a record, by annotator and task, in the order they were started.

    Raises:
        InputError: The events contradict each other.
    """
    attempts: dict[tuple[str, str], AnnotatorAttempt] = {}
    for event in events:
        if not isinstance(event, Opened):
            key = (event.annotator, event.task)
            attempts[key] = follow(attempts.get(key), event)
    return attempts
