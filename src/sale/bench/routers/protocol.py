"""The protocol of a router, and its data: outcomes of every agent on every task, as arrays.

A router is fitted on one table and routes another. While it routes it may look at a task's text, and at the answer of
an agent whose execution it pays for; never at an outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

SOLVED = 0.5
"""A graded outcome of at least this counts as solved where only yes or no will do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeTable:
    """T tasks by A agents, agents from the cheapest to the dearest."""

    agents: tuple[str, ...]
    prices: Floats
    """(A,): π, dollars per million tokens; ascending."""
    ids: tuple[str, ...]
    """T task ids."""
    texts: tuple[str, ...]
    """T task texts."""
    success: Floats
    """(T, A): how good the agent's answer is, in [0, 1]; 0 or 1 where it is right or wrong."""
    dollars: Floats
    """(T, A): what the agent's execution costs."""
    tokens: Floats | None = None
    """(T, A): tokens of the execution, read and written; `None` where the table's source does not say."""
    answers: tuple[tuple[str, ...], ...] | None = None
    """T by A answers; `None` where the table's source has none."""
    checks: Floats | None = None
    """(T, A): what the examples in the task's own text say of the answer: 1 they hold, −1 they fail, 0 there are none;
    `None` where they were not run. Anybody who has the answer can know it, so cascades may look."""
    groups: tuple[str, ...] | None = None
    """T names of domains or benchmarks, for reports and grouped splits; no router may use them."""

    def __post_init__(self) -> None:
        shape = (len(self.ids), len(self.agents))
        for name in ("success", "dollars", "tokens", "checks"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
        if len(self.texts) != shape[0] or self.prices.shape != (shape[1],):
            raise ValueError("texts and prices must match ids and agents")
        if np.any(np.diff(self.prices) < 0):
            raise ValueError("agents must be ordered from the cheapest to the dearest")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | Ints) -> OutcomeTable:
        """The table of some tasks only, in the order given."""
        index: Any = np.asarray(rows, dtype=np.intp)
        rows = index.tolist()

        def pick(values: tuple[Any, ...] | None) -> Any:  # noqa: ANN401  a tuple of whatever it is given
            return None if values is None else tuple(map(values.__getitem__, rows))

        return OutcomeTable(
            agents=self.agents,
            prices=self.prices,
            ids=pick(self.ids),
            texts=pick(self.texts),
            success=self.success[index],
            dollars=self.dollars[index],
            tokens=None if self.tokens is None else self.tokens[index],
            answers=pick(self.answers),
            checks=None if self.checks is None else self.checks[index],
            groups=pick(self.groups),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    """A router's decisions on T tasks, and what they cost beside the executions."""

    chosen: Ints
    """(T,): whose answer counts, as an index into the table's agents."""
    called: Bools
    """(T, A): whose execution is paid for; the chosen one's is, unless a row is empty: then the task is not done."""
    extra_dollars: Floats
    """(T,): what deciding cost: bids, judgements, scorers that are paid for."""
    extra_tokens: Floats
    """(T,): tokens of deciding."""

    @classmethod
    def of(cls, chosen: Ints, agents: int) -> Self:
        """Decisions that cost nothing and call the chosen agents only."""
        called = np.zeros((len(chosen), agents), dtype=np.bool_)
        called[np.arange(len(chosen)), chosen] = True
        nothing = np.zeros(len(chosen))
        return cls(chosen=chosen, called=called, extra_dollars=nothing, extra_tokens=nothing)


class Router(Protocol):
    """Something that decides who does a task."""

    @property
    def name(self) -> str:
        """As tables show it."""
        ...

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn from outcomes. Deterministic: same table, same router."""
        ...

    def route(self, test: OutcomeTable, /) -> Routing:
        """Decide for every task of a table with the same agents; `test.success` must not be looked at."""
        ...
