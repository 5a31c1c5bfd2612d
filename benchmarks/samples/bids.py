"""Bids made of samples, worked out from recorded ones: what a bid says, and what the work after it adds to its price.

A sample that was made for a bid is the beginning of the winner's work: it is charged once. Losers' samples are the
price of having asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from sale.agents.samples import keys_of, most_agreed
from sale.bench.recording.lines import CheckLine, ExecutionLine, read_lines
from sale.bench.recording.log import parse_entry, read_record
from sale.bench.tasks.schema import BenchTask
from sale.types import Verdict


class SampleLine(ExecutionLine):
    """A sample on the record."""

    margin: float | None = None
    """Log-probability of the answer's first token less that of its likeliest rival."""
    logprob: float | None = None
    """Mean log-probability of its tokens."""


RANKED: tuple[Verdict, ...] = ("success", "failure", "unknown")
"""Verdicts of several samples: the first of these that there is stands for all."""
_SAMPLE: TypeAdapter[SampleLine] = TypeAdapter(SampleLine)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One sample of an agent's work on a task."""

    answer: str
    success: bool
    dollars: float
    held: Verdict
    """The verdict of the examples in the task's text; `unknown` where there are none."""
    margin: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleBid:
    """What an agent's first samples of a task say before any work."""

    answer: str
    agreement: float
    """Share of the samples that give this answer."""
    margin: float | None
    """Mean margin of those samples; `None` where a sample has none."""
    held: Verdict
    """`success` where the examples hold with a sample, `failure` where they hold with none."""
    dollars: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledWork:
    """The work of an agent that draws samples until the examples hold, or it has drawn all."""

    answer: str
    success: bool
    drawn: int
    """Samples, those of the bid among them."""
    dollars: float
    """Of the samples after the bid's: these were paid for already."""


def load_samples(record: Path) -> dict[tuple[str, str], tuple[Sample, ...]]:
    """The samples on a record by task and agent, in the order in which they were drawn.

    Raises:
        InputError: The record cannot be read, or a line is not what it should be.
    """
    checks: dict[tuple[str, str], Verdict] = {
        (line.task, line.answer): line.verdict for line in read_lines(record, "check") if isinstance(line, CheckLine)
    }
    found: defaultdict[tuple[str, str], dict[int, Sample]] = defaultdict(dict)
    for number, entry in enumerate(read_record(record), start=1):
        if entry["kind"] == "execution":
            line = parse_entry(_SAMPLE, entry, "sample", f"{record}, entry {number}")
            found[line.task, line.agent][line.sample] = Sample(
                answer=line.answer,
                success=line.outcome.verdict == "success",
                dollars=sum(call.dollars for call in line.calls),
                held=_held(checks, line),
                margin=line.margin,
            )
    return {at: tuple(drawn[number] for number in sorted(drawn)) for at, drawn in found.items()}


def _held(checks: Mapping[tuple[str, str], Verdict], line: SampleLine) -> Verdict:
    return checks.get((line.task, line.answer), "unknown") if line.answer.strip() else "failure"


def sample_bid(task: BenchTask, samples: Sequence[Sample]) -> SampleBid:
    """The bid of an agent that has drawn these samples.

    Raises:
        ValueError: There is none.
    """
    if not samples:
        raise ValueError(f"a bid of samples needs at least one, {task.id} has none")
    keys = keys_of(task.task, [one.answer for one in samples])
    chosen = most_agreed(keys)
    margins = [one.margin for one, key in zip(samples, keys, strict=True) if key == keys[chosen]]
    known = [margin for margin in margins if margin is not None]
    verdicts = {one.held for one in samples}
    return SampleBid(
        answer=samples[chosen].answer,
        agreement=keys.count(keys[chosen]) / len(keys),
        margin=sum(known) / len(known) if len(known) == len(margins) else None,
        held=next(verdict for verdict in RANKED if verdict in verdicts),
        dollars=sum(one.dollars for one in samples),
    )


def agreement_across(task: BenchTask, bids: Mapping[str, SampleBid]) -> dict[str, float]:
    """By agent, the share of the other agents whose bid gives the same answer; 0 where nobody else bids."""
    keys = dict(zip(bids, keys_of(task.task, [bid.answer for bid in bids.values()]), strict=True))
    counts = Counter(keys.values())
    return {agent: (counts[key] - 1) / (len(keys) - 1) if len(keys) > 1 else 0.0 for agent, key in keys.items()}


def work_after_bid(task: BenchTask, samples: Sequence[Sample], *, bid: int, limit: int) -> SampledWork:
    """Draw until the examples hold, or the limit is reached; without examples the answer that most agree on.

    Args:
        task: Its options say how answers are compared.
        samples: All on record, in order.
        bid: How many of them the bid was made of.
        limit: The most the agent draws; its bid is part of them.

    Raises:
        ValueError: No sample may be drawn.
    """
    drawn: list[Sample] = []
    for sample in samples[:limit]:
        drawn.append(sample)
        if sample.held == "success" and len(drawn) >= bid:
            break
    if not drawn:
        raise ValueError(f"work needs at least one sample, {task.id} has none")
    good = [place for place, one in enumerate(drawn) if one.held == "success"]
    chosen = good[0] if good else most_agreed(keys_of(task.task, [one.answer for one in drawn]))
    return SampledWork(
        answer=drawn[chosen].answer,
        success=drawn[chosen].success,
        drawn=len(drawn),
        dollars=sum(one.dollars for one in drawn[bid:]),
    )
