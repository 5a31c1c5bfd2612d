"""Human times from attempts, as HST-Bench defines them (method, section 5). Pure.

A task's time is the mean over the people who solved it, at least three, without times further than two sample standard
deviations from that mean. They are dropped once, not again and again. No time can be that far from the mean of fewer
than six (the furthest of n is at most (n - 1) / sqrt(n) deviations away), so small groups lose nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

from sale.bench.annotate.agreement import RESAMPLES, Agreement, agreement
from sale.bench.annotate.attempts import OPEN, AnnotatorAttempt
from sale.bench.annotate.events import digest
from sale.bench.tasks.schema import BIN_EDGES, BenchTask, HumanTime, bin_of
from sale.errors import InputError

MIN_PEOPLE = 3
MAX_DEVIATIONS = 2.0
SAME = 1e-9
"""Deviations of less than this share of the mean are rounding."""

Status = Literal["timed", "not yet", "out of range", "invalid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTimes:
    """The result of all attempts at one task."""

    task: str
    status: Status
    minutes: float | None
    """The mean, without outliers; `None` while fewer than three people have solved it."""
    bin: int | None
    """`None` unless timed."""
    kept: tuple[float, ...]
    """Minutes that count, ascending."""
    dropped: tuple[float, ...]
    """Minutes of right answers that are outliers, ascending."""
    wrong: int
    undecided: int
    """Answers the judge could not judge."""
    unjudged: int
    """Answers it has not yet judged."""
    gave_up: int
    flags: tuple[str, ...]
    """Faults of the task named by those who reported it, by their name."""
    interrupted: int
    """Number of right answers with a pause or a gap in them."""
    first: str
    """The day of the first attempt (UTC), and `last` of the last; empty without an attempt."""
    last: str

    @property
    def missing(self) -> str:
        """Describe the missing or wrong data; empty for a timed task."""
        match self.status:
            case "timed":
                return ""
            case "invalid":
                return f"reported by {len(self.flags)} of {self.people}: {'; '.join(self.flags)}"
            case "out of range":
                return f"{self.minutes:.4g} minutes; times must be above 0 and at most {BIN_EDGES[-1]:g}"
            case "not yet":
                need = MIN_PEOPLE - len(self.kept)
                counts = (
                    (self.wrong, "wrong"),
                    (self.undecided, "undecided"),
                    (self.unjudged, "not judged"),
                    (self.gave_up, "gave up"),
                    (len(self.flags), "reported it"),
                )
                others = "".join(f", {count} {what}" for count, what in counts if count)
                return f"{len(self.kept)} right{others}: needs {need} more right"

    @property
    def people(self) -> int:
        """Number of people who have finished with it, in whatever way."""
        rest = self.wrong + self.undecided + self.unjudged + self.gave_up + len(self.flags)
        return len(self.kept) + len(self.dropped) + rest


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """The times of all records together."""

    tasks: tuple[TaskTimes, ...]
    """By id, or in the order of the task file."""
    agreement: tuple[Agreement, ...]
    """The headline first."""
    annotators: tuple[str, ...]
    repeated: int
    """Attempts left out because the same person had tried the task before."""
    unfinished: int
    """Attempts left out because they have no end."""
    changed: int
    """Attempts left out because another text was shown than the task file has."""
    strangers: int
    """Attempts left out because the task file does not have the task."""


def without_outliers(minutes: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Times that count, and times beyond two sample standard deviations of the mean of all; both ascending.

    With fewer than three times nothing is dropped.
    """
    ascending = sorted(minutes)
    if len(ascending) < MIN_PEOPLE:
        return tuple(ascending), ()
    centre, spread = mean(ascending), stdev(ascending)
    far = [value for value in ascending if abs(value - centre) > max(MAX_DEVIATIONS * spread, SAME * centre)]
    kept = [value for value in ascending if value not in far]
    return tuple(kept), tuple(far)


def task_times(task: str, attempts: Sequence[AnnotatorAttempt]) -> TaskTimes:
    """The time of one task.

    Args:
        task: Its id.
        attempts: Finished ones, one for each person.
    """
    right = [attempt for attempt in attempts if attempt.right]
    kept, dropped = without_outliers([attempt.seconds() / 60 for attempt in right])
    verdicts = Counter((attempt.judged, attempt.right) for attempt in attempts if attempt.phase == "submitted")
    reports = sorted((attempt.annotator, attempt.note) for attempt in attempts if attempt.phase == "flagged")
    minutes = mean(kept) if len(kept) >= MIN_PEOPLE else None
    status: Status = "not yet"
    if reports and 2 * len(reports) >= len(attempts):
        status = "invalid"
    elif minutes is not None:
        status = "timed" if 0 < minutes <= BIN_EDGES[-1] else "out of range"
    days = sorted(f"{attempt.started:%Y-%m-%d}" for attempt in attempts)
    return TaskTimes(
        task=task,
        status=status,
        minutes=minutes,
        bin=bin_of(minutes) if status == "timed" and minutes is not None else None,
        kept=kept,
        dropped=dropped,
        wrong=verdicts[True, False],
        undecided=verdicts[True, None],
        unjudged=verdicts[False, None],
        gave_up=sum(attempt.phase == "gave_up" for attempt in attempts),
        flags=tuple(f"{name}: {note or 'no reason given'}" for name, note in reports),
        interrupted=sum(attempt.pauses + attempt.silences > 0 for attempt in right),
        first=days[0] if days else "",
        last=days[-1] if days else "",
    )


def times(
    attempts: Sequence[AnnotatorAttempt], tasks: Sequence[BenchTask] | None = None, *, resamples: int = RESAMPLES
) -> Times:
    """Times of all tasks, and how far people agree.

    Of several attempts of one person at one task the first counts, finished or not: after it the task is known.
    Agreement is over all right answers to tasks that are not invalid, outliers included: to drop what disagrees and
    then measure agreement would flatter it.

    Args:
        attempts: Of any number of records, in any order.
        tasks: The tasks to report on; without them, all that were attempted.
        resamples: Of tasks, for the interval of agreement.

    Raises:
        InputError: There are no `tasks`, and people were shown different texts under one id.
    """
    prompts = _prompts(attempts) if tasks is None else {task.id: digest(task.prompt) for task in tasks}
    known = [attempt for attempt in attempts if attempt.task in prompts]
    same = [attempt for attempt in known if attempt.prompt == prompts[attempt.task]]
    firsts = _firsts(same)
    ended = [attempt for attempt in firsts if attempt.phase not in OPEN]
    of_task: dict[str, list[AnnotatorAttempt]] = {task: [] for task in prompts}
    for attempt in ended:
        of_task[attempt.task].append(attempt)
    found = tuple(task_times(task, people) for task, people in of_task.items())
    valid = [one for one in found if one.status != "invalid"]
    units = [[minutes for minutes in (*one.kept, *one.dropped) if minutes > 0] for one in valid]
    return Times(
        tasks=found,
        agreement=agreement(units, resamples=resamples),
        annotators=tuple(sorted({attempt.annotator for attempt in attempts})),
        repeated=len(same) - len(firsts),
        unfinished=len(firsts) - len(ended),
        changed=len(known) - len(same),
        strangers=len(attempts) - len(known),
    )


def _firsts(attempts: Sequence[AnnotatorAttempt]) -> list[AnnotatorAttempt]:
    """Each person's first attempt at each task; of the same moment, the one that sorts first."""
    firsts: dict[tuple[str, str], AnnotatorAttempt] = {}
    for attempt in sorted(attempts, key=lambda one: (one.started, one.run, one.task, one.annotator)):
        firsts.setdefault((attempt.annotator, attempt.task), attempt)
    return list(firsts.values())


def _prompts(attempts: Sequence[AnnotatorAttempt]) -> dict[str, str]:
    """The text of each task that was attempted, as its digest, by id."""
    prompts: dict[str, str] = {}
    for attempt in sorted(attempts, key=lambda one: one.task):
        if prompts.setdefault(attempt.task, attempt.prompt) != attempt.prompt:
            raise InputError(
                "people were shown different texts under this id",
                where=attempt.task,
                hint="Give the task file with --tasks: it says which text counts.",
            )
    return prompts


def human_time(found: TaskTimes) -> HumanTime | None:
    """The time as a task carries it; `None` unless it is timed."""
    if found.status != "timed" or found.minutes is None:
        return None
    dropped = f", {len(found.dropped)} beyond 2 SD dropped" if found.dropped else ""
    when = found.first if found.first == found.last else f"{found.first} to {found.last}"
    return HumanTime(
        minutes=found.minutes,
        people=len(found.kept),
        bins=(bin_of(found.minutes),),
        provenance=f"measured with sale bench annotate, {when}: mean of {len(found.kept)} right answers{dropped}",
    )


def with_times(tasks: Iterable[BenchTask], found: Times) -> list[BenchTask]:
    """The tasks, those that are timed with their new time; the others keep what they had."""
    measured = {one.task: time for one in found.tasks if (time := human_time(one)) is not None}
    return [task.model_copy(update={"time": measured.get(task.id, task.time)}) for task in tasks]
