"""One annotator at work: which task is next, what the clock does, and every step of it on disk before it counts.

What a request asks for either fits the state and becomes an event, or changes nothing: a second click, a page that
is out of date and a second tab do no harm. There is one clock, however many pages show it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from sale.bench.annotate.attempts import OPEN, AnnotatorAttempt, attempts_of, follow
from sale.bench.annotate.events import (
    AnswerJudged,
    Beat,
    Drafted,
    Event,
    Flagged,
    GaveUp,
    Now,
    Opened,
    Paused,
    Resumed,
    Stamp,
    Started,
    Submitted,
    TaskEvent,
    Why,
    digest,
    now,
    read_events,
)
from sale.bench.recording.log import RecordWriter
from sale.bench.tasks.schema import BenchTask
from sale.errors import InputError

SEED = 1
BEAT = 5.0
"""Seconds between two beats of a page."""
SILENCE = 90.0
"""Seconds without a beat that count as a pause. Browsers slow the timers of hidden pages to one a minute."""
_NAME = re.compile(r"[\w-][\w.-]{0,63}")


class _StampedEvent(TypedDict):
    run: str
    annotator: str
    mono: float
    wall: datetime


Tools = Callable[[BenchTask], str]


class AnnotationSession:
    """The work of one annotator on one list of tasks; a context manager."""

    def __init__(
        self, tasks: Sequence[BenchTask], annotator: str, record: Path, *, tools: Tools, clock: Now = now
    ) -> None:
        """Take up the record, or begin one.

        Args:
            tasks: What is to be solved.
            annotator: Who does it: letters, digits, `.`, `_` and `-`.
            record: Where it goes; there may be something in it already, of the same annotator.
            tools: What may be used for a task, in words for people.
            clock: Where stamps come from.

        Raises:
            InputError: The name is unusable; the record is in use, unreadable, or of another annotator; or the text of
                a
                task that was begun has changed.
        """
        if not _NAME.fullmatch(annotator):
            raise InputError(
                f"not usable as a name of an annotator: {annotator!r}", hint="Use letters, digits, `.`, `_` and `-`."
            )
        self.annotator = annotator
        self.record = record
        self._tools = tools
        self._clock = clock
        self._run = secrets.token_hex(8)
        self._tasks = {task.id: task for task in in_order(tasks, annotator)}
        self._taken_up(_recorded(record))  # before the file is opened, which mends a last line that was cut
        self._writer = RecordWriter(record)
        try:
            self._attempts = self._taken_up(_recorded(record))
        except BaseException:
            self._writer.close()
            raise
        self._version = 0
        self._open()

    def _taken_up(self, events: Sequence[Event]) -> dict[str, AnnotatorAttempt]:
        others = sorted({event.annotator for event in events} - {self.annotator})
        if others:
            raise InputError(
                f"the record is of {others[0]!r}", where=str(self.record), hint="Each annotator needs a record."
            )
        attempts = {task: attempt for (_, task), attempt in attempts_of(events).items()}
        for task in self._tasks.values():
            attempt = attempts.get(task.id)
            if attempt is not None and attempt.prompt != digest(task.prompt):
                raise InputError(
                    "the text of the task has changed since this annotator saw it",
                    where=task.id,
                    hint="Give the task file that was used before, or another --record.",
                )
        return attempts

    def _open(self) -> None:
        at = self._clock()
        opened = Opened(**self._stamped(at), version=version("sale"), seed=SEED, tasks=len(self._tasks))
        self._write(opened)
        for attempt in list(self._attempts.values()):
            if attempt.phase == "running":  # the process before ended while the clock ran
                self._pause(attempt, "stopped", attempt.seen.mono, at)

    # What the page shows

    @property
    def total(self) -> int:
        """Number of tasks."""
        return len(self._tasks)

    @property
    def done(self) -> int:
        """Number of tasks that are over."""
        return sum(task in self._attempts and self._attempts[task].phase not in OPEN for task in self._tasks)

    @property
    def current(self) -> BenchTask | None:
        """The task that is begun, else the next one in the annotator's order; `None` where all are over."""
        begun = [
            task for key, task in self._tasks.items() if key in self._attempts and self._attempts[key].phase in OPEN
        ]
        fresh = (task for key, task in self._tasks.items() if key not in self._attempts)
        return begun[0] if begun else next(fresh, None)

    @property
    def attempt(self) -> AnnotatorAttempt | None:
        """The attempt at the current task; `None` before it is started."""
        task = self.current
        return None if task is None else self._attempts.get(task.id)

    @property
    def view(self) -> str:
        """Changes whenever a page that is open must be drawn anew."""
        return f"{self._run}-{self._version}"

    @property
    def seconds(self) -> float:
        """Seconds on the clock of the current task."""
        return 0.0 if self.attempt is None else self.attempt.seconds(self._clock().mono)

    def tools(self, task: BenchTask) -> str:
        """Return the tools that may be used for a task."""
        return self._tools(task)

    # What the annotator does

    def wake(self) -> None:
        """Notice a gap: if nothing was heard of the page for long, the clock was stopped when it was last heard of."""
        attempt = self.attempt
        if attempt is None or attempt.phase != "running":
            return
        at = self._clock()
        gap = max(at.mono - attempt.seen.mono, (at.wall - attempt.seen.wall).total_seconds())
        if gap > SILENCE:
            self._pause(attempt, "silence", attempt.seen.mono, at)

    def beat(self) -> None:
        """The page is open."""
        self.wake()
        attempt = self.attempt
        at = self._clock()
        # Two pages beat twice as often; the record needs no more than one of them.
        if attempt is not None and attempt.phase == "running" and at.mono - attempt.seen.mono >= BEAT / 2:
            self._note(Beat(**self._stamped(at), task=attempt.task))

    def start(self, task: str) -> None:
        """Show the task and start its clock."""
        current = self.current
        if current is None or current.id != task or self.attempt is not None:
            return
        self._step(
            Started(
                **self._stamped(self._clock()),
                task=task,
                prompt=digest(current.prompt),
                tools=self._tools(current),
            )
        )

    def pause(self, task: str) -> None:
        """Stop the clock and hide the task."""
        attempt = self._open_attempt(task)
        if attempt is not None and attempt.phase == "running":
            at = self._clock()
            self._pause(attempt, "asked", at.mono, at)

    def resume(self, task: str) -> None:
        """Show the task again and let the clock go on."""
        attempt = self._open_attempt(task)
        if attempt is not None and attempt.phase == "paused":
            self._step(Resumed(**self._stamped(self._clock()), task=task))

    def draft(self, task: str, text: str) -> None:
        """Keep what is written so far."""
        attempt = self._open_attempt(task)
        if attempt is not None and text != attempt.draft:
            self._note(Drafted(**self._stamped(self._clock()), task=task, text=text))

    def submit(self, task: str, answer: str) -> bool:
        """Hand in an answer; whether that was possible. Where the clock stands still it is kept as a draft."""
        attempt = self._open_attempt(task)
        if attempt is None:
            return False
        if attempt.phase != "running" or not answer.strip():
            self.draft(task, answer)
            return False
        self._step(Submitted(**self._stamped(self._clock()), task=task, answer=answer))
        return True

    def give_up(self, task: str) -> None:
        """Leave the task unsolved."""
        if self._open_attempt(task) is not None:
            self._step(GaveUp(**self._stamped(self._clock()), task=task))

    def flag(self, task: str, note: str) -> None:
        """Leave the task as wrong or unanswerable."""
        if self._open_attempt(task) is not None:
            self._step(Flagged(**self._stamped(self._clock()), task=task, note=note))

    # Judging

    def list_unjudged(self) -> list[tuple[BenchTask, str]]:
        """Answers that wait for a verdict."""
        return [
            (self._tasks[attempt.task], attempt.answer)
            for attempt in self._attempts.values()
            if attempt.answer is not None and not attempt.judged and attempt.task in self._tasks
        ]

    def record_verdict(self, task: str, right: bool | None) -> None:
        """Put a verdict on record."""
        verdict = AnswerJudged(**self._stamped(self._clock()), task=task, right=right)
        if self.current is None:  # the last page says how many are still to be judged
            self._step(verdict)
        else:
            self._note(verdict)

    # Writing

    def _open_attempt(self, task: str) -> AnnotatorAttempt | None:
        """The current attempt, if it is at this task: a page that is out of date names another."""
        self.wake()
        return self.attempt if self.attempt is not None and self.attempt.task == task else None

    def _pause(self, attempt: AnnotatorAttempt, why: Why, until: float, at: Stamp) -> None:
        self._step(Paused(**self._stamped(at), task=attempt.task, why=why, until=until))

    def _step(self, event: TaskEvent) -> None:
        """An event after which pages must be drawn anew."""
        self._note(event)
        self._version += 1

    def _note(self, event: TaskEvent) -> None:
        after = follow(self._attempts.get(event.task), event)
        self._write(event)
        self._attempts[event.task] = after

    def _write(self, event: Event) -> None:
        self._writer.append(event.model_dump(mode="json"))

    def _stamped(self, at: Stamp) -> _StampedEvent:
        return {"run": self._run, "annotator": self.annotator, "mono": at.mono, "wall": at.wall}

    def close(self) -> None:
        """Stop a running clock, and let go of the record."""
        attempt = self.attempt
        if attempt is not None and attempt.phase == "running":
            self._pause(attempt, "stopped", attempt.seen.mono, self._clock())
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _recorded(path: Path) -> list[Event]:
    """The events of a record; a file of another kind is refused before anything is appended to it."""
    events = read_events(path)
    if not events and path.exists() and path.stat().st_size:
        raise InputError(
            "the file is not empty, and no record of annotations", where=str(path), hint="Give another --record."
        )
    return events


def in_order(tasks: Sequence[BenchTask], annotator: str, seed: int = SEED) -> list[BenchTask]:
    """The tasks shuffled, the same way each time for the same annotator.

    By digest and not by a generator, so that tasks added later leave the order of the others as it is.
    """
    return sorted(tasks, key=lambda task: hashlib.sha256(f"{seed}\0{annotator}\0{task.id}".encode()).digest())
