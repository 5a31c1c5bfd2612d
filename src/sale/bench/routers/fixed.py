"""Routers that learn nothing from a task: single agents, chance, and the oracle in hindsight (method, section 6).

They are the lines every other router is read against: the cheapest and the dearest agent, the agent that did best on
the training table, chance, and what perfect knowledge would have reached.
"""

from __future__ import annotations

import numpy as np

from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import OutcomeTable, Routing
from sale.errors import InputError


class SingleAgent:
    """One agent does everything."""

    def __init__(self, agent: str | int, *, name: str = "") -> None:
        """By name, or by place in the table: 0 is the cheapest, -1 the dearest."""
        self.name = name or (agent if isinstance(agent, str) else f"agent {agent}")
        self._agent = agent

    def fit(self, train: OutcomeTable, /) -> None:
        """Nothing is learnt; the agent must be there."""
        self._index(train)

    def route(self, test: OutcomeTable, /) -> Routing:
        """Always the same."""
        return _always(test, self._index(test))

    def _index(self, table: OutcomeTable) -> int:
        places = range(len(table.agents))
        if isinstance(self._agent, str) and self._agent in table.agents:
            return table.agents.index(self._agent)
        if isinstance(self._agent, int) and -len(places) <= self._agent < len(places):
            return places[self._agent]
        raise InputError(f"no agent {self._agent!r} in the table", hint=f"Its agents: {', '.join(table.agents)}.")


class AlwaysCheapest(SingleAgent):
    """The agent with the lowest price does everything."""

    def __init__(self) -> None:
        super().__init__(0, name="always cheapest")


class AlwaysLargest(SingleAgent):
    """The agent with the highest price, which in the method's pool is the largest, does everything."""

    def __init__(self) -> None:
        super().__init__(-1, name="always largest")


class BestSingle:
    """The agent with the highest mean success on the training table does everything; ties go to the cheaper."""

    name = "best single"

    def __init__(self) -> None:
        self._learnt: PoolFit[SingleAgent] | None = None

    def fit(self, train: OutcomeTable, /) -> None:
        """Find it."""
        need_tasks(train, self.name)
        self._learnt = PoolFit(train.agents, SingleAgent(int(np.argmax(train.success.mean(axis=0)))))

    def route(self, test: OutcomeTable, /) -> Routing:
        """Always the same."""
        return recall(self._learnt, test, self.name).route(test)


class Random:
    """An agent drawn at random, all alike, for each task. Reports give its exact expectation beside one draw."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        """The same seed and table give the same draw."""
        self._seed = seed

    def fit(self, train: OutcomeTable, /) -> None:
        """Nothing is learnt."""

    def route(self, test: OutcomeTable, /) -> Routing:
        """Draw."""
        agents = len(test.agents)
        return Routing.of(np.random.default_rng(self._seed).integers(agents, size=len(test)), agents)


class Oracle:
    """IN HINDSIGHT: THE ONE ROUTER THAT LOOKS AT `test.success`. An upper bound, never a competitor.

    The cheapest agent that solves the task, the cheapest of all where none does: it pays for the failure, unlike the
    oracle of RouterBench (Hu et al. 2024, arXiv 2403.12031), which is charged nothing there. Where outcomes are graded,
    the cheapest of those that do best.
    """

    name = "oracle (hindsight)"

    def fit(self, train: OutcomeTable, /) -> None:
        """Nothing is learnt."""

    def route(self, test: OutcomeTable, /) -> Routing:
        """Look, then choose."""
        return Routing.of(np.argmax(test.success, axis=1), len(test.agents))


def _always(table: OutcomeTable, agent: int) -> Routing:
    return Routing.of(np.full(len(table), agent, dtype=np.intp), len(table.agents))
