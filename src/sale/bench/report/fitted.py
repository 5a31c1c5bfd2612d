"""The market with weights fitted on what the baselines are trained on, and remembering no more than that.

Work is done without a plan. With the objective `utility` auctions are held only where they pay, and as little is spent
as solves as many training tasks as the best agent alone; "half spend" spends half of what that one would. "Next best
bid" sends on work that fails the examples in the task's own text, as often as that is expected to pay. The other
objectives know bids alone, so they auction every task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sale.bench.metrics import DecisionOutcomes, settle
from sale.bench.online import Embed, OnlinePolicy, examples_of, run
from sale.bench.replay import RecordedTasks
from sale.bench.report.cross_validation import SEED, decide_across_folds
from sale.bench.routers.protocol import OutcomeTable, Routing
from sale.learning.fit import fit_to
from sale.learning.margin import Margin
from sale.learning.minmax import MinMax
from sale.learning.objectives import BaseObjective
from sale.learning.prepared_data import PreparedData, prepare_data
from sale.learning.spending import BEYOND, MatchBestAgent, SpendShare, Wanted
from sale.learning.utility import Utility
from sale.types import Weights

SOLVER_SECONDS = 20.0
"""Seconds the exact solvers may take for one fit; at these sizes they finish long before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedWeights:
    """Weights fitted on training sets, each once: several ways to run the market share them.

    A set is known by its tasks, so one of these serves one view of a record: with its bids or without, with verdicts
    or without.
    """

    embed: Embed
    """Sentence embeddings, as the market's memory sees them."""
    _material: dict[tuple[str, ...], PreparedData] = field(default_factory=dict[tuple[str, ...], PreparedData])

    def weights(self, objective: BaseObjective, wanted: Wanted, train: RecordedTasks) -> Weights:
        """The weights that these tasks give.

        Raises:
            InputError: They are too few.
        """
        tasks = tuple(task.id for task in train.tasks)
        if tasks not in self._material:
            self._material[tasks] = prepare_data(examples_of(train, self.embed))
        return fit_to(self._material[tasks], objective, worth=wanted, seconds=SOLVER_SECONDS).weights


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedMarket:
    """One way to fit the market."""

    name: str
    objective: BaseObjective = field(default_factory=Utility)
    attempts: int = 1
    share: float | None = None
    """Of what the best agent alone would cost; `None`: as little as solves as many, and what is worth more."""
    beyond: float = BEYOND
    """The most a solved task more may cost (`MatchBestAgent.beyond`)."""

    def decide(
        self, recorded: RecordedTasks, train: RecordedTasks | None, direct: OutcomeTable, lessons: TrainedWeights
    ) -> DecisionOutcomes | None:
        """Return the outcome of every task; `None` where the training tasks are too few.

        Args:
            recorded: The tasks to decide.
            train: The tasks to fit on; `None`: cross-fitted on the others.
            direct: Outcomes of work without a plan.
            lessons: Shared with other ways to fit the market.
        """
        wanted = (
            MatchBestAgent(self.attempts, beyond=self.beyond)
            if self.share is None
            else SpendShare(self.share, self.attempts)
        )

        def decide(training: RecordedTasks, test: RecordedTasks) -> Routing:
            weights = lessons.weights(self.objective, wanted, training)
            policy = OnlinePolicy(name=self.name, weights=weights, attempts=self.attempts, learn=False)
            return run(test, training, policy, lessons.embed, SEED).routing

        routing = decide(train, recorded) if train is not None else decide_across_folds(recorded, direct, decide)
        return None if routing is None else settle((direct, routing))


def fitted_markets(agents: int) -> Iterator[FittedMarket]:
    """Those that are compared with everybody, in a pool of so many agents; a match is no more than that."""
    yield FittedMarket(name="SALE fitted", beyond=0.0)
    yield FittedMarket(name="SALE fitted, next best bid", attempts=agents, beyond=0.0)
    yield FittedMarket(name="SALE fitted, next best bid, half spend", attempts=agents, share=0.5)
    yield FittedMarket(name="SALE fitted, margin", objective=Margin(), beyond=0.0)
    yield FittedMarket(name="SALE fitted, minmax", objective=MinMax(), beyond=0.0)
