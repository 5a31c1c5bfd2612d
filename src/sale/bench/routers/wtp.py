"""WTP: RouterBench's predictive routers, which weigh predicted quality against price by a willingness to pay.

Source: Hu et al. 2024, RouterBench, arXiv 2403.12031, and its published code (github.com/withmartian/routerbench,
MIT). Quality P̂ of each agent comes from the task's sentence embedding, by k nearest neighbours (cosine, unweighted;
k of 5, 10 or 40) or by one multi-layer perceptron for each agent (100 or 100 and 100 ReLU units, rate 1e-3, 200
epochs, seed 1234). The agent with the largest λ·P̂ - c gets the task, λ the willingness to pay.

Adapted:
- c is the agent's price per million tokens, as in their code, which uses a per-token price and no cost per query;
  the paper writes the latter. Both are constants of an agent here, so λ absorbs the scale.
- Their grid of λ, 32 values from 1e-10 to 1e9, has about five that matter for any one pool; ours is finer and scaled
  by the pool's dearest price. λ = 0 is the cheapest agent (in their code it means quality alone; infinity does here).
- Embeddings are all-MiniLM-L6-v2 (their fallback; the shipped configuration names L12). k and hidden units are capped
  by the training tasks. Ties go to the cheaper agent.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

import numpy as np

from sale.bench.routers.estimators import Predictor, neighbour_means, neural_columns
from sale.bench.routers.features import Features
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Floats, Ints, OutcomeTable, Routing
from sale.errors import InputError

NEIGHBOURS = (5, 10, 40)
HIDDEN = ((100,), (100, 100))
GRID = np.concatenate([[0.0], np.logspace(-2, 4, 61)])
"""λ in units of the dearest price: below 0.01 nothing is worth paying for, above 10,000 price no longer counts."""


class Wtp:
    """The decision, which both variants share. Use `WtpNearest` or `WtpNeural`."""

    def __init__(self, name: str, features: Features, willingness: float) -> None:
        """`willingness` is λ, in dollars per million tokens for a certain success; `inf` looks at quality alone."""
        if not willingness >= 0:
            raise InputError(f"the willingness to pay must not be negative, got {willingness!r}", where=name)
        self.name = name
        self._features = features
        self._willingness = willingness
        self._learnt: PoolFit[Callable[[Sequence[str]], Floats]] | None = None

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn P̂ from the training table."""
        need_tasks(train, self.name)
        vectorise = self._features.learn(train.texts)
        predict = self._learn(vectorise(train.texts), train.success)
        self._learnt = PoolFit(train.agents, lambda texts: predict(vectorise(texts)))

    def _learn(self, features: Floats, success: Floats) -> Predictor:
        raise NotImplementedError

    def predict(self, test: OutcomeTable) -> Floats:
        """P̂, shape (T, A)."""
        return recall(self._learnt, test, self.name)(test.texts)

    def route(self, test: OutcomeTable, /) -> Routing:
        """The largest λ·P̂ - price; the cheaper where equal."""
        return next(iter(self.sweep(test, [self._willingness])))

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `route` with each λ in turn; predicted once."""
        quality = self.predict(test)
        for willingness in knobs:
            yield Routing.of(decide(quality, test.prices, willingness), len(test.agents))

    def grid(self, train: OutcomeTable, /) -> Floats:
        """Values of λ worth trying for these prices."""
        scale = float(train.prices[-1])
        return GRID * (scale if scale > 0 else 1.0)

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with λ = `knob`."""
        other = copy.copy(self)
        other._willingness = knob
        return other


class WtpNearest(Wtp):
    """WTP with quality from the k nearest training tasks."""

    def __init__(self, features: Features, *, willingness: float = np.inf, k: int = 10) -> None:
        """`k` is capped at the number of training tasks."""
        super().__init__(f"WTP k-NN (k={k})", features, willingness)
        self._k = k

    def _learn(self, features: Floats, success: Floats) -> Predictor:
        return neighbour_means(features, success, self._k)


class WtpNeural(Wtp):
    """WTP with quality from one small neural network for each agent."""

    def __init__(self, features: Features, *, willingness: float = np.inf, hidden: tuple[int, ...] = (100,)) -> None:
        """`hidden` units by layer, capped at half the training tasks."""
        super().__init__(f"WTP MLP ({', '.join(map(str, hidden))})", features, willingness)
        self._hidden = hidden

    def _learn(self, features: Floats, success: Floats) -> Predictor:
        return neural_columns(features, success, self._hidden)


def decide(quality: Floats, prices: Floats, willingness: float) -> Ints:
    """The largest λ·quality - price of each row; the first, and so the cheapest, where several are equal."""
    worth = quality if np.isinf(willingness) else willingness * quality - prices
    return np.argmax(worth, axis=1)
