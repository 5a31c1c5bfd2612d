"""One attempt at a task: agents are made ready, one works, and its work is judged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast, get_args

from sale.agents.account import keep_calls
from sale.agents.protocol import Agent, Verifier
from sale.auction.allowance import Allowance, WorkEnd, incumbent_of, prior_tokens, work_ahead
from sale.auction.breaks import BREAKS
from sale.auction.events import AwardedAgain, Judged, Observer, WorkFinished, WorkStarted
from sale.auction.following import find_handed_in, following, is_answered
from sale.auction.foreign import await_foreign, expect_kind
from sale.auction.text import make_storable
from sale.types import (
    BROKE_OFF,
    NO_JUDGE,
    Attempt,
    Auction,
    AuctionRules,
    Bid,
    Call,
    CheckErrors,
    Execution,
    Outcome,
    Task,
    Verdict,
)

CANCELLED_WORK = "cancelled"
"""The mode of an execution that was cut off by a cancellation, or by an error that is not the agent's."""


async def prepare_all(agents: Sequence[Agent]) -> None:
    """Have agents ready before the clock starts; one that cannot be says why when it is asked for its bid."""
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(_prepare(agent))


async def _prepare(agent: Agent) -> None:
    with contextlib.suppress(Exception):  # it may be anybody's agent
        await agent.prepare()


async def attempt(
    agent: Agent, task: Task, bid: Bid, attempts: list[Attempt], *, verifier: Verifier | None, observe: Observer
) -> None:
    """Have an agent do a task, and judge what it hands in.

    Args:
        agent: Whose bid was awarded.
        task: What is to be done.
        bid: Its strategy is followed, if the agent was asked for one.
        attempts: Takes the attempt; where it is cancelled, with the calls that were made until then.
        verifier: Says whether the answer is right; without one the outcome of a whole answer is unknown.
        observe: Told of each step.
    """
    began = time.monotonic()
    execution: Execution | None = None
    with keep_calls() as calls:
        try:
            execution = await _work(agent, task, bid, calls, observe)
            calls.clear()  # from now on those of the verifier
            outcome = await _judge(task, execution, verifier, observe)
        except BREAKS:
            judged = () if execution is None else tuple(calls)
            execution = execution or _without_answer(bid, calls, time.monotonic() - began, CANCELLED_WORK)
            outcome = Outcome(verdict="unknown", judged_by=NO_JUDGE, detail=CANCELLED_WORK, calls=judged)
            attempts.append(Attempt(execution=execution, outcome=outcome))
            raise
    attempts.append(Attempt(execution=execution, outcome=outcome))


async def attempt_in_order(
    agents: Mapping[str, Agent],
    auction: Auction,
    attempts: list[Attempt],
    rules: AuctionRules,
    check: CheckErrors,
    allowance: Allowance | None = None,
    *,
    verifier: Verifier | None,
    observe: Observer,
) -> None:
    """Have the winner of an auction do the task, and others after it.

    Args:
        agents: By name.
        auction: Who was awarded the task.
        attempts: Takes each attempt as it ends, so that a cancellation loses none, nor the one it cuts off. At the end
            the one whose answer is handed in is put last.
        rules: Say how many there may be, and what a failure costs.
        check: How often a check of answers is wrong.
        allowance: While it is overdrawn, no agent dearer than the incumbent follows a refused answer.
        verifier: Says whether an answer is right.
        observe: Told of each step.
    """
    bid: Bid | None = auction.winner
    while bid is not None:
        await attempt(agents[bid.agent], auction.task, bid, attempts, verifier=verifier, observe=observe)
        able = None if allowance is None else _affordable(agents, auction, rules, allowance)
        bid = following(auction, attempts, rules, check, able)
        if bid is not None:
            observe(AwardedAgain(failed=attempts[-1].outcome, bid=bid))
    if (kept := find_handed_in(attempts)) is not None:
        attempts.sort(key=lambda one: one is kept)


def _affordable(
    agents: Mapping[str, Agent], auction: Auction, rules: AuctionRules, allowance: Allowance
) -> Sequence[Bid]:
    """The bids that the allowance lets be awarded after a refused answer."""
    work = work_ahead(auction.contenders, auction.weights, prior_tokens(auction.task))
    incumbent = incumbent_of(tuple(agents.values()), rules.incumbent).name
    return allowance.pick_affordable(auction.contenders, work, incumbent)


def end_of(tried: Attempt, attempts: Sequence[Attempt]) -> WorkEnd:
    """Return the end of an attempt among all of them, of which the last is the one that counts."""
    if tried is not attempts[-1]:
        return "done again"
    return "answered" if is_answered(tried) and tried.execution.mode != CANCELLED_WORK else "broke off"


async def _work(agent: Agent, task: Task, bid: Bid, calls: Sequence[Call], observe: Observer) -> Execution:
    observe(WorkStarted(agent=bid.agent))
    done = await _executed(agent, task, bid, calls)
    execution = replace(
        done, answer=make_storable(done.answer), error=make_storable(done.error) if done.error else None
    )
    observe(WorkFinished(execution=execution))
    return execution


async def _executed(agent: Agent, task: Task, bid: Bid, calls: Sequence[Call]) -> Execution:
    """The agent's work; one that raises, which may be anybody's, has failed after these calls."""
    began = time.monotonic()
    try:
        done = expect_kind(await await_foreign(agent.execute(task, bid.strategy.text or None)), Execution, "execute")
        if not isinstance(cast("object", done.answer), str):
            raise TypeError(f"the answer of an execution must be a str, got {type(done.answer).__name__}")
        return done
    except Exception as error:  # noqa: BLE001  anything may be raised by somebody else's agent
        error_shown = f"{type(error).__name__}: {error}"
        return _without_answer(bid, calls, time.monotonic() - began, "failed", error_shown)


def _without_answer(bid: Bid, calls: Sequence[Call], seconds: float, mode: str, error: str = "") -> Execution:
    return Execution(
        agent=bid.agent,
        answer="",
        mode=mode,
        followed_strategy=bool(bid.strategy.text),
        calls=tuple(calls),
        seconds=seconds,
        error=error or mode,
    )


async def _judge(task: Task, execution: Execution, verifier: Verifier | None, observe: Observer) -> Outcome:
    """The outcome: work without an answer has failed; an answer is as good as the verifier says."""
    if not execution.answer.strip():
        outcome = Outcome(verdict="failure", judged_by=BROKE_OFF, detail=execution.error or "no answer")
    elif verifier is None:
        outcome = Outcome(verdict="unknown", judged_by=NO_JUDGE)
    else:
        outcome = await _verified(verifier, task, execution.answer)
    observe(Judged(outcome=outcome))
    return outcome


async def _verified(verifier: Verifier, task: Task, answer: str) -> Outcome:
    """Return the verifier's outcome; a verifier that raises an error, which a foreign one may, leaves it unknown."""
    try:
        outcome = expect_kind(await await_foreign(verifier.verify(task, answer), "verifier"), Outcome, "verify")
        if outcome.verdict not in get_args(Verdict):
            raise ValueError(f"{outcome.verdict!r} is no verdict")
        return outcome
    except Exception as error:  # noqa: BLE001  anything may be raised by somebody else's verifier
        name = type(verifier).__name__
        return Outcome(verdict="unknown", judged_by=name, detail=make_storable(f"{type(error).__name__}: {error}"))
