"""Checks for authors of extensions: does it keep what its group promises? Run them in your own tests.

    from sale.check import check_router
    check_router(MyRouter(), train, test)

Each raises `AssertionError` with a sentence that says what is wrong, and returns nothing where all is well. They try
what a market does with an extension, odd input included; they cannot say whether it is any good.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from sale.agents.protocol import Verifier
from sale.agents.tools.web.providers import Provider, SearchHit
from sale.auction.protocols import BoundedRespondent, Question, Respondent
from sale.auction.questions import Seat
from sale.errors import CallError, FetchError, SaleError
from sale.types import NOTHING_TO_READ, Evidence, Example, Outcome, Strategy, Task, Usage

if TYPE_CHECKING:
    from sale.bench.routers.protocol import OutcomeTable, Router
    from sale.learning.objectives import BaseObjective

T = TypeVar("T")
TASKS = ("Name the capital of France.", "x", "Ä 🦊 \u202e" * 50)
"""Texts that a market may be given."""


def _need(true: bool, said: str) -> None:
    if not true:
        raise AssertionError(said)


async def check_juror(juror: Respondent) -> None:
    """Check that a juror answers questions about bids of every shape, and knows how much it may take.

    Raises:
        AssertionError: It does not.
    """
    _need(bool(juror.name), "a juror needs a name")
    _need(juror.price.input >= 0 and juror.price.output >= 0, "a juror's price is from 0 up")
    quote = Evidence(tool="search", source="page", quote="Paris is the capital of France.")
    answered = 0
    for text in TASKS:
        for plan, evidence in (("1. Look it up. 2. Say it.", ()), ("", (quote,)), ("1. " + "x" * 4000, (quote,) * 5)):
            strategy = Strategy(agent="a", text=plan, tokens=10, entropy=None, evidence=evidence)
            question = Seat(respondent=juror, reads="bid").make_question(Task(text=text), strategy)
            bound = _bound(juror, question)
            answer = await _kept(juror.answer(question), CallError, f"answer, about {plan[:20]!r}")
            if answer is None or answer.fault:
                continue
            answered += 1
            _need(0.0 <= answer.probability <= 1.0, f"the probability is {answer.probability!r}, not from 0 to 1")
            over = 0 if bound is None else answer.usage.total - bound.total
            _need(over <= 0, f"the answer took {over} tokens more than usage_bound said")
    _need(answered > 0, f"the juror answered nothing at all; {NOTHING_TO_READ!r} goes for what it was not shown")


def _bound(juror: object, question: Question) -> Usage | None:
    if not isinstance(juror, BoundedRespondent):
        return None
    bound = cast("object", juror.usage_bound(question))
    if not isinstance(bound, Usage):
        raise AssertionError(f"usage_bound gives {bound!r}, not a Usage")
    _need(min(bound.input_tokens, bound.output_tokens) >= 0, f"usage_bound is negative: {bound!r}")
    return bound


async def check_provider(provider: Provider, query: str) -> None:
    """Check that a search provider gives hits, and no more than asked for; their order is not looked at.

    Args:
        provider: The provider.
        query: Something it finds.

    Raises:
        AssertionError: It does not.
    """
    _need(bool(provider.name), "a provider needs a name: it stands on the bill")
    for asked, limit in ((query, 5), (query, 1), ("", 3), ("\u202e🦊 " * 30, 2)):
        given = await _kept(provider.search(asked, limit), FetchError, f"search, for {asked[:20]!r}")
        if given is None:
            continue
        found = cast("Sequence[object]", given)
        _need(all(isinstance(one, SearchHit) for one in found), "search gives Hits")
        _need(len(found) <= limit, f"search was to give {limit} hits at most, and gave {len(found)}")
        _need(asked != query or bool(found), f"search finds nothing for {query!r}")


async def check_verifier(verifier: Verifier) -> None:
    """Check that a verifier judges any answer.

    Raises:
        AssertionError: It does not.
    """
    for text in TASKS:
        for answer in ("Paris.", "", "```python\nprint(1)\n```", "x" * 10_000):
            found: object = await _kept(verifier.verify(Task(text=text), answer), (), f"verify, of {answer[:20]!r}")
            _need(isinstance(found, Outcome), f"verify gives {found!r}, not an Outcome")


def check_router(router: Router, train: OutcomeTable, test: OutcomeTable) -> None:
    """Check that a router decides the same again, whatever it learnt before, and does not look at outcomes.

    Args:
        router: The router; it is fitted anew.
        train: A table to fit it on.
        test: Another with the same agents.

    Raises:
        AssertionError: It does not.
    """
    import numpy as np  # noqa: PLC0415  checks of jurors need no arrays

    _need(bool(router.name), "a router needs a name: tables show it")
    router.fit(train.take(range(len(train) // 2)))
    router.fit(train)
    first = router.route(test)
    rows = np.arange(len(test))
    shape = test.success.shape
    _need(first.chosen.shape == (len(test),), f"chosen has the shape {first.chosen.shape}, not {(len(test),)}")
    _need(first.called.shape == shape, f"called has the shape {first.called.shape}, not {shape}")
    _need(bool(np.all((first.chosen >= 0) & (first.chosen < shape[1]))), "chosen holds no places of agents")
    paid = first.called[rows, first.chosen] | ~first.called.any(axis=1)
    _need(bool(paid.all()), "the agent that is chosen is called, unless nobody is")
    blind = router.route(replace(test, success=np.full(shape, np.nan)))
    _need(np.array_equal(first.chosen, blind.chosen), "it looks at test.success, which it does not know")
    router.fit(train)
    again = router.route(test)
    _need(np.array_equal(first.chosen, again.chosen), "fitted on the same table it decides otherwise")
    _need(len(router.route(test.take([])).chosen) == 0, "it must be able to route no task at all")


def check_objective(objective: BaseObjective, examples: Sequence[Example]) -> None:
    """Check that an objective finds weights, the same again, for every setting it would try.

    Args:
        objective: The objective.
        examples: Past auctions, a few dozen at least.

    Raises:
        AssertionError: It does not.
    """
    from sale.learning.prepared_data import prepare_data  # noqa: PLC0415  checks of jurors need no arrays

    ready = prepare_data(examples)
    how = objective.with_worth(0.01) if objective.knows_worth else objective
    _need(bool(how.grid), "the grid is empty")
    for setting in how.grid:
        _need(len(setting) == len(how.tuned), f"the setting {setting!r} does not match {how.tuned!r}")
        first = how.at(setting).fit(ready.table, ready.completed).fitted
        again = how.at(setting).fit(ready.table, ready.completed).fitted
        _need(first.weights == again.weights, f"with {setting!r} the same records give other weights")
    held, _ = ready.solve(how, 5.0)
    _need(held.setting in how.grid, f"pick chooses {held.setting!r}, which is not on the grid")


async def _kept(asked: Awaitable[T], allowed: type[SaleError] | tuple[()], what: str) -> T | None:
    _need(inspect.isawaitable(asked), f"{what} must be async")
    try:
        return await asked
    except allowed:
        return None
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__}: {error}") from error
