"""A router: the agent that solved most for its price while it was trained, whatever the task.

[[bench.routers]]
kind = "cautious"
exponent = 0.5
"""

from __future__ import annotations

import numpy as np

from sale.bench.routers.protocol import OutcomeTable, Routing
from sale.errors import InputError


class Cautious:
    """Success per dollar, the dollar raised to an exponent."""

    name = "cautious"

    def __init__(self, exponent: float = 1.0) -> None:
        """`exponent` is a setting of its own; 0 takes no notice of cost."""
        self._exponent = exponent
        self._agents: tuple[str, ...] | None = None
        self._best = 0

    def fit(self, train: OutcomeTable, /) -> None:
        """Find the agent."""
        if not len(train):
            raise InputError("there is no task to learn from", where=self.name)
        dollars = np.maximum(train.dollars.mean(axis=0), 1e-12)
        self._agents, self._best = train.agents, int(np.argmax(train.success.mean(axis=0) / dollars**self._exponent))

    def route(self, test: OutcomeTable, /) -> Routing:
        """It does every task."""
        if self._agents is None:
            raise InputError("it has not been fitted", where=self.name)
        if test.agents != self._agents:
            raise InputError(f"it knows {', '.join(self._agents)}, not {', '.join(test.agents)}", where=self.name)
        return Routing.of(np.full(len(test), self._best, dtype=np.intp), len(test.agents))
