"""Jurors that answer one yes-or-no question about each bid, with a probability.

A small model that cannot use a rubric over plans reads evidence well when it is asked one concrete question and the
probability of its first token is taken. Anything that gives a probability can sit here: a language model, a similarity
of task and evidence, a decision model, a function. The vote is five times the probability, on the scale of the rubric.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from sale.auction.events import VoteArrived
from sale.auction.jury import JuryContext
from sale.auction.ledger import Payer, declared_bound, worst_usage
from sale.auction.prompts import question_prompt
from sale.auction.protocols import Answer, BoundedRespondent, Question, Reads, Respondent, StatesMiddle
from sale.auction.scoring import MAX_SCORE
from sale.errors import BadReplyError, SaleError
from sale.types import NOTHING_TO_READ, Price, Strategy, Task, Usage, Vote

DEFAULT_QUESTION = "Does what the candidate found contain what is needed to do the task?"
ANSWER_TOKENS = 4
"""An answer is one word; some tokenizers take a token for the white space before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """A juror with the question it answers, and how much of a bid it is shown."""

    respondent: Respondent
    question: str = DEFAULT_QUESTION
    reads: Reads = "evidence"

    @property
    def name(self) -> str:
        """The juror's name."""
        return self.respondent.name

    @property
    def free(self) -> bool:
        """True where asking it costs nothing."""
        price = self.respondent.price
        return price.input == 0.0 and price.output == 0.0

    @property
    def early(self) -> bool:
        """True where it is asked before any plan is written: it costs nothing, and no plan would change its answer."""
        return self.free and self.reads == "evidence"

    @property
    def middle(self) -> float:
        """The probability that speaks neither for nor against a bid; one half unless its respondent says another."""
        return self.respondent.middle if isinstance(self.respondent, StatesMiddle) else 0.5

    def select_shown(self, strategy: Strategy) -> Strategy:
        """As much of a bid as it is shown."""
        return replace(
            strategy,
            text=strategy.text if self.reads != "evidence" else "",
            evidence=strategy.evidence if self.reads != "plan" else (),
        )

    def make_question(self, task: Task, strategy: Strategy) -> Question:
        """Return the question about a bid; `strategy` is as much of the bid as the seat is shown."""
        prompt = question_prompt(task, strategy, self.question)
        return Question(task=task, strategy=strategy, text=self.question, prompt=prompt)

    def bound(self, task: Task, longest: Strategy) -> tuple[Price, Usage]:
        """Its price, and the most that one answer about the longest bid takes."""
        return self.respondent.price, self.usage_bound(self.make_question(task, self.select_shown(longest)))

    def usage_bound(self, question: Question) -> Usage:
        """The most that one answer takes, as the juror says, else by the length of the prompt."""
        respondent = self.respondent
        if isinstance(respondent, BoundedRespondent):
            return declared_bound(self.name, lambda: respondent.usage_bound(question))
        return worst_usage(question.prompt, ANSWER_TOKENS)


async def ask_seats(
    seats: Sequence[Seat], sitting: JuryContext, strategies: AsyncIterator[Strategy]
) -> tuple[Vote, ...]:
    """One vote for each seat and strategy, asked for as soon as the strategy is there."""
    tasks: list[asyncio.Task[Vote]] = []
    async with asyncio.TaskGroup() as group:
        async for strategy in strategies:
            tasks += [group.create_task(_vote(seat, sitting, strategy)) for seat in seats]
    return tuple(task.result() for task in tasks)


async def _vote(seat: Seat, sitting: JuryContext, strategy: Strategy) -> Vote:
    vote = await _asked(seat, sitting, strategy)
    sitting.observe(VoteArrived(vote=vote, refined=sitting.stage == "rejudge"))
    return vote


async def _asked(seat: Seat, sitting: JuryContext, strategy: Strategy) -> Vote:
    unknown = Vote(juror=seat.name, bidder=strategy.agent, value=None)
    shown = seat.select_shown(strategy)
    if not (shown.text or shown.evidence):
        return replace(unknown, note=NOTHING_TO_READ, counts_as=MAX_SCORE * seat.middle)
    question = seat.make_question(sitting.task, shown)
    payer = Payer(stage=sitting.stage, agent=seat.name, price=seat.respondent.price, model=not seat.free)
    try:
        answer = await sitting.ledger.pay(
            payer,
            question.prompt,
            ANSWER_TOKENS,
            seconds=sitting.rules.judge_seconds,
            ask=lambda: seat.respondent.answer(question),
            worst=seat.usage_bound(question),
        )
        probability = _checked(answer, seat.name)
    except SaleError as error:
        return replace(unknown, note=f"{error.code}: {error.message}")
    value = MAX_SCORE * probability
    return Vote(juror=seat.name, bidder=strategy.agent, value=value, expected=value)


def _checked(answer: Answer, juror: str) -> float:
    if answer.fault:
        raise BadReplyError(answer.fault, where=juror)
    if not 0.0 <= answer.probability <= 1.0:
        raise BadReplyError(f"the probability is {answer.probability!r}, not from 0 to 1", where=juror)
    return answer.probability
