"""Jurors that answer a question about a bid: a language model, a similarity, a decision model, a function.

Each gives the probability of yes (`sale.auction.questions`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from math import nan
from typing import cast

import numpy as np

from sale.auction.protocols import Answer, JudgeRequest, Juror, Question
from sale.auction.questions import ANSWER_TOKENS
from sale.auction.text import without_invisible
from sale.auction.yes_no import probability_of_yes
from sale.errors import BadReplyError, CallError
from sale.models.embedding import Embedder, Vectors
from sale.types import Price, Usage

MAX_TASKS = 64
"""Number of tasks whose vectors are kept."""
MATCH_MIDDLE = 0.35
"""The cosine at which a quotation is neither about a task nor beside it.

On dev tasks of the pool private knowledge the best of four searches reaches 0.28 to 0.73 for 60 questions, 59 of them
above, and 0.09 to 0.33 for 30 programs, of which the passages know nothing: `python -m benchmarks.private_knowledge
middle`.
"""
FREE_PRICE = Price(input=0.0, output=0.0, blended=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRespondent:
    """A language model: the probability that the first word of its answer is yes."""

    name: str
    juror: Juror
    """The agent whose model is asked."""

    @property
    def price(self) -> Price:
        """The agent's own."""
        return self.juror.price

    async def answer(self, question: Question, /) -> Answer:
        """Ask once; an answer that is neither yes nor no was paid for, and says so.

        Raises:
            CallError: The model could not be asked.
        """
        request = JudgeRequest(prompt=question.prompt, max_tokens=ANSWER_TOKENS, schema=None)
        reply = await self.juror.judge(request)
        probability = probability_of_yes(reply.text, reply.logprobs)
        if probability is None:
            return Answer(probability=nan, usage=reply.usage, fault=f"neither yes nor no: {reply.text[:80]!r}")
        return Answer(probability=probability, usage=reply.usage)


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchRespondent:
    """The likeness of a task and the best of a bid's quotations: their cosine, from 0 to 1; it costs nothing.

    It is not a probability. What it is worth is learnt from outcomes, like the weight of every juror.
    """

    name: str
    embedder: Embedder
    price: Price = FREE_PRICE
    middle: float = MATCH_MIDDLE
    _tasks: dict[str, Vectors] = field(default_factory=dict[str, Vectors], repr=False, compare=False)
    """Tasks as vectors: the bids of a task are compared with it one after the other."""

    def usage_bound(self, question: Question, /) -> Usage:  # noqa: ARG002  whatever it is asked
        """Nothing: no model is called."""
        return Usage()

    async def answer(self, question: Question, /) -> Answer:
        """Compare the task with each quotation; where there is none, with the plan."""
        strategy, task = question.strategy, question.task.text
        found = [f"{one.source}. {one.quote}" for one in strategy.evidence] or [strategy.text]
        texts = [without_invisible(text) for text in found]
        known = self._tasks.get(task)
        vectors = await self.embedder.embed(texts if known is not None else [*texts, task])
        if known is None:
            known, vectors = vectors[-1], vectors[:-1]
            while len(self._tasks) >= MAX_TASKS:
                self._tasks.pop(next(iter(self._tasks)))
            self._tasks[task] = known
        return Answer(probability=min(1.0, max(0.0, float(np.max(vectors @ known)))))


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionRespondent:
    """A function of yours: a probability for a bid, or `None` where it cannot tell."""

    name: str
    function: Callable[[Question], Awaitable[float | None] | float | None]
    """Plain or async; while a plain one runs, everything else waits."""
    price: Price = FREE_PRICE

    async def answer(self, question: Question, /) -> Answer:
        """Call it.

        Raises:
            CallError: It cannot tell, or gives no number.
        """
        given = self.function(question)
        found = cast("object", await given if isawaitable(given) else given)
        if found is None:
            raise CallError("it cannot tell", where=self.name)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise BadReplyError(f"it gave {type(found).__name__}, not a probability", where=self.name)
        return Answer(probability=float(found))
