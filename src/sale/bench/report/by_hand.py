"""Rules that a person who knows the agents would write down: by the kind of a task, and by the examples in its text.

They learn nothing and hold no auction. That of the specialists were written when outcomes were known, so they are no
evidence of foresight; but what a router is worth shows beside what a line of configuration reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sale.bench.replay import RecordedTasks
from sale.bench.routers.protocol import OutcomeTable, Routing
from sale.bench.tasks.schema import BenchTask, Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class HandWrittenRule:
    """The agent for each kind of task."""

    name: str
    agents: Mapping[Kind, str]
    in_turn: tuple[str, ...] = ()
    """Agents that work on programs whose text has examples: the next one where they show that an answer is wrong."""

    def suits(self, pool: Sequence[str]) -> bool:
        """Return whether the pool has all these agents."""
        return all(agent in pool for agent in (*self.agents.values(), *self.in_turn))

    def route(self, recorded: RecordedTasks, table: OutcomeTable) -> Routing:
        """The agents of each task's kind, one after the other.

        Args:
            recorded: Tasks, and which of them have examples.
            table: Outcomes of work on them without a plan.
        """
        orders = [[table.agents.index(agent) for agent in self._order(recorded, task)] for task in recorded.tasks]
        routing = Routing.of(np.array([order[0] for order in orders], np.intp), len(table.agents))
        shown = np.zeros(table.success.shape) if table.checks is None else table.checks
        chosen = routing.chosen.copy()
        for row, order in enumerate(orders):
            for agent in order[1:]:
                if shown[row, chosen[row]] >= 0.0:
                    break
                chosen[row] = agent
                routing.called[row, agent] = True
        return replace(routing, chosen=chosen)

    def _order(self, recorded: RecordedTasks, task: BenchTask) -> tuple[str, ...]:
        shows = task.kind == "tests" and task.id in recorded.checkable
        return self.in_turn if shows and self.in_turn else (self.agents[task.kind],)


BY_KIND: Mapping[Kind, str] = {"tests": "coder", "choice": "coder", "short": "scout"}
BY_SIZE = ("smollm2-135m", "qwen-coder-0.5b", "qwen-coder-1.5b")
RULES = (
    HandWrittenRule(name="by hand: code to coder, questions to scout", agents=BY_KIND),
    HandWrittenRule(
        name="by hand: the same, programs small, coder, tester by the examples",
        agents=BY_KIND,
        in_turn=("small", "coder", "tester"),
    ),
    HandWrittenRule(
        name="by hand: the largest, programs by size by the examples",
        agents={"tests": BY_SIZE[-1], "choice": BY_SIZE[-1], "short": BY_SIZE[-1]},
        in_turn=BY_SIZE,
    ),
)
"""Of the pools on record."""
