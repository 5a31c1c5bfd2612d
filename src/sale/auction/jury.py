"""The jury: every juror scores every strategy from 0 to 5, its own included (method, section 2 step 3).

Jurors see plans without names or prices, between marks, under random labels, and are told that they are text to be
judged. Two ways of sitting: `PerBidJury` asks each juror about each strategy as soon as it exists (the paper's |A|²
calls); `PanelJury` shows each juror all strategies at once in an order of its own (|A| calls). A juror whose answer is
no ballot is asked once more, and so is one that was not reached or refused for now, but not one that may be at work
still; then its vote is missing, with the reason, and scoring imputes it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sale.auction.ballots import BallotError, ballot_schema, expected_scores, read_ballot
from sale.auction.events import Observer, VoteArrived
from sale.auction.labels import draw_labels
from sale.auction.ledger import Ledger, Payer, declared_bound, worst_usage
from sale.auction.prompts import judge_prompt, panel_prompt, render_bid
from sale.auction.protocols import BoundedJuror, JudgeRequest, Juror
from sale.errors import CallError, SaleError
from sale.types import AuctionRules, JuryMode, Price, Prompt, Stage, Strategy, Task, Usage, Vote

ATTEMPTS = 2
# {"KQ": 5, "RM": 4, …} takes about seven tokens a label; white space and a fence need room too.
TOKENS_PER_LABEL = 8
TOKENS_AROUND = 24


@dataclass(frozen=True, slots=True)
class JuryContext:
    """The data a jury needs while it judges."""

    auction_id: str
    """Not known to the authors of the strategies: labels are drawn from it."""
    task: Task
    stage: Stage
    rules: AuctionRules
    ledger: Ledger
    observe: Observer

    def labels(self, juror: str, texts: Sequence[str]) -> list[str]:
        """Labels for what one juror is shown; the same strategies refined get others."""
        return draw_labels(len(texts), (self.auction_id, self.stage, juror, *texts), texts)


class Jury(Protocol):
    """A way of turning strategies, as they arrive, into votes."""

    async def sit(self, sitting: JuryContext, strategies: AsyncIterator[Strategy]) -> tuple[Vote, ...]:
        """One vote for each juror and strategy."""
        ...

    def bounds(self, task: Task, plans: int, longest: Strategy) -> list[tuple[Price, Usage]]:
        """Each call that judging so many plans can take, at most: its price, and the most it can consume.

        Args:
            task: What the plans are for.
            plans: How many there are.
            longest: The longest plan there can be.
        """
        ...


@dataclass(frozen=True, slots=True)
class PerBidJury:
    """Each bid is judged as soon as it exists, so the slowest bid and the slowest judgement bound the time."""

    jurors: Sequence[Juror]

    async def sit(self, sitting: JuryContext, strategies: AsyncIterator[Strategy]) -> tuple[Vote, ...]:
        """One call for each juror and strategy."""
        tasks: list[asyncio.Task[list[Vote]]] = []
        async with asyncio.TaskGroup() as group:
            async for strategy in strategies:
                for juror in self.jurors:
                    (label,) = sitting.labels(juror.name, [render_bid(strategy)])
                    prompt = judge_prompt(sitting.task, strategy.text, label=label, evidence=strategy.evidence)
                    tasks.append(group.create_task(_vote(juror, sitting, prompt, {label: strategy})))
        return tuple(vote for task in tasks for vote in task.result())

    def bounds(self, task: Task, plans: int, longest: Strategy) -> list[tuple[Price, Usage]]:
        """A call for each juror and plan, and each once more."""
        (label,) = draw_labels(1, ())
        request = _request(judge_prompt(task, longest.text, label=label, evidence=longest.evidence), [label])
        return [bound for juror in self.jurors for bound in [_bound(juror, request)] * ATTEMPTS * plans]


@dataclass(frozen=True, slots=True)
class PanelJury:
    """Each juror compares all bids in one call, shuffled for each juror so that position favours no bid."""

    jurors: Sequence[Juror]

    async def sit(self, sitting: JuryContext, strategies: AsyncIterator[Strategy]) -> tuple[Vote, ...]:
        """One call for each juror."""
        ballot = [strategy async for strategy in strategies]
        if not ballot:
            return ()
        tasks: list[asyncio.Task[list[Vote]]] = []
        async with asyncio.TaskGroup() as group:
            for juror in self.jurors:
                ordered = shuffle_strategies(ballot, juror.name, sitting.task.id)
                labels = sitting.labels(juror.name, [render_bid(plan) for plan in ordered])
                plans = dict(zip(labels, ordered, strict=True))
                prompt = panel_prompt(
                    sitting.task,
                    {label: plan.text for label, plan in plans.items()},
                    {label: plan.evidence for label, plan in plans.items()},
                )
                tasks.append(group.create_task(_vote(juror, sitting, prompt, plans)))
        return tuple(vote for task in tasks for vote in task.result())

    def bounds(self, task: Task, plans: int, longest: Strategy) -> list[tuple[Price, Usage]]:
        """A call for each juror, and each once more; none where there is no plan."""
        if plans == 0:
            return []
        labels = draw_labels(plans, ())
        prompt = panel_prompt(task, dict.fromkeys(labels, longest.text), dict.fromkeys(labels, longest.evidence))
        request = _request(prompt, labels)
        return [bound for juror in self.jurors for bound in [_bound(juror, request)] * ATTEMPTS]


def convene(mode: JuryMode, jurors: Sequence[Juror]) -> Jury:
    """The jury for a mode."""
    return PanelJury(jurors) if mode == "panel" else PerBidJury(jurors)


def shuffle_strategies(strategies: Sequence[Strategy], juror: str, seed: str) -> list[Strategy]:
    """An order that depends on juror, task and texts only."""

    def key(strategy: Strategy) -> bytes:
        return hashlib.sha256("\0".join((seed, juror, strategy.agent, strategy.text)).encode()).digest()

    return sorted(strategies, key=key)


def ballot_tokens(labels: int) -> int:
    """The longest answer about so many plans, in tokens."""
    return TOKENS_AROUND + TOKENS_PER_LABEL * labels


def _request(prompt: Prompt, labels: Sequence[str]) -> JudgeRequest:
    return JudgeRequest(prompt=prompt, max_tokens=ballot_tokens(len(labels)), schema=ballot_schema(labels))


def _bound(juror: Juror, request: JudgeRequest) -> tuple[Price, Usage]:
    """A juror's price, and the most that one judgement of its takes."""
    # To tell by a protocol takes longer than to look for the attribute, and most jurors have no bound of their own.
    if hasattr(juror, "usage_bound") and isinstance(juror, BoundedJuror):
        return juror.price, declared_bound(juror.name, lambda: juror.usage_bound(request))
    return juror.price, worst_usage(request.prompt, request.max_tokens)


async def _vote(juror: Juror, sitting: JuryContext, prompt: Prompt, plans: dict[str, Strategy]) -> list[Vote]:
    """One juror's votes on the labelled plans; asked once more where that makes no work twice."""
    labels = list(plans)
    request = _request(prompt, labels)
    payer = Payer(stage=sitting.stage, agent=juror.name, price=juror.price)
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            reply = await sitting.ledger.pay(
                payer,
                prompt,
                request.max_tokens,
                seconds=sitting.rules.judge_seconds,
                ask=lambda: juror.judge(request),
                worst=_bound(juror, request)[1],
            )
            scores = read_ballot(reply.text, labels)
        except BallotError as error:
            reason = f"no ballot: {error}"
            continue
        except SaleError as error:
            reason = f"{error.code}: {error.message}"
            if not (error.resendable if isinstance(error, CallError) else error.retryable):
                break
            continue
        expected = expected_scores(reply.logprobs, scores)
        votes = [
            Vote(juror=juror.name, bidder=plan.agent, value=scores[label], expected=expected.get(label))
            for label, plan in plans.items()
        ]
        return _announce(votes, sitting)
    missing = [Vote(juror=juror.name, bidder=plan.agent, value=None, note=reason) for plan in plans.values()]
    return _announce(missing, sitting)


def _announce(votes: list[Vote], sitting: JuryContext) -> list[Vote]:
    for vote in votes:
        sitting.observe(VoteArrived(vote=vote, refined=sitting.stage == "rejudge"))
    return votes
