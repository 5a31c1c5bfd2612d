"""A kind of juror: it likes plans that name the words of the task, and asks no model.

[[jurors]]
name = "letters"
kind = "letters"
reads = "plan"
shortest = 5
"""

from __future__ import annotations

from dataclasses import dataclass

from sale import Answer, Price, Question, Usage

FREE = Price(input=0.0, output=0.0, blended=0.0)


@dataclass(frozen=True)
class Letters:
    """The share of the task's longer words that the plan names."""

    name: str
    """Given by sale: the juror's name in the settings."""
    shortest: int = 4
    """A setting of its own: words with fewer letters do not count."""
    price: Price = FREE

    def usage_bound(self, question: Question, /) -> Usage:
        """It takes no tokens, so nothing is reserved for it."""
        return Usage()

    async def answer(self, question: Question, /) -> Answer:
        """The probability that the plan will do."""
        wanted = {word for word in question.task.text.lower().split() if len(word) >= self.shortest}
        named = wanted & set(question.strategy.text.lower().split())
        return Answer(probability=len(named) / len(wanted) if wanted else 0.5)
