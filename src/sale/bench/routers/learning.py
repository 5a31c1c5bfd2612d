"""The state of a fitted router, with the checks of its use: the same errors for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from sale.bench.routers.protocol import OutcomeTable
from sale.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PoolFit(Generic[T]):
    """Something learnt about a pool of agents."""

    agents: tuple[str, ...]
    what: T


def need_tasks(train: OutcomeTable, where: str) -> None:
    """Refuse to learn from nothing.

    Raises:
        InputError: The table has no task.
    """
    if not len(train):
        raise InputError("there is no task to learn from", where=where, hint="Give a table with at least one task.")


def recall(learnt: PoolFit[T] | None, test: OutcomeTable, where: str) -> T:
    """Return the fitted state, if it may be used on this table.

    Raises:
        InputError: Nothing was, or for other agents.
    """
    if learnt is None:
        raise InputError("the router has not been fitted", where=where, hint="Call fit first.")
    if learnt.agents != test.agents:
        raise InputError(
            f"fitted for the agents {', '.join(learnt.agents)}, asked about {', '.join(test.agents)}",
            where=where,
            hint="Fit it on a table of the same agents in the same order.",
        )
    return learnt.what
