"""TO-Router: a classifier of which agent does best on a task, trained on soft labels.

Source: Stripelis et al. 2024, TensorOpera Router, EMNLP industry track, arXiv 2408.12320. Every expert runs on every
training prompt; the soft label of a prompt is a softmax over the experts' similarity to the reference (BERTSim) at
"temperature" 10; a text classifier learns it by cross-entropy and its most probable expert gets the prompt. Variants:
1-nearest-neighbour, a small multi-layer perceptron on frozen embeddings, a fine-tuned BERT. No code is public.

Adapted:
- Graded success stands for BERTSim. T = 10 is read as sharpening, softmax(10·success): dividing by 10 would make every
  label nearly uniform for values in [0, 1].
- Where all agents do equally well the published label is uniform and says nothing about cost; here such a task's
  label is the cheapest agent, unless `ties="uniform"`. Ties among the best otherwise stay shared, and ties in a
  decision go to the cheaper agent.
- The MLP on frozen embeddings and the 1-nearest-neighbour variant; BERT is not fine-tuned (no encoder offline).
- There is no knob for cost: quality ranking is the method's only objective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from sale.bench.routers.estimators import neighbour_means, soft_classifier
from sale.bench.routers.features import Features
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Floats, OutcomeTable, Routing

SHARPNESS = 10.0
HIDDEN = (64,)
Ties = Literal["cheapest", "uniform"]


class ToRouter:
    """The most probable best agent."""

    def __init__(
        self, features: Features, *, variant: Literal["mlp", "nearest"] = "mlp", ties: Ties = "cheapest"
    ) -> None:
        """`mlp`: 64 ReLU units, capped at half the training tasks. `nearest`: the label of the most similar task."""
        self.name = "TO-Router MLP" if variant == "mlp" else "TO-Router 1-NN"
        self._features = features
        self._variant = variant
        self._ties: Ties = ties
        self._learnt: PoolFit[Callable[[Sequence[str]], Floats]] | None = None

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn the soft labels of the training table."""
        need_tasks(train, self.name)
        vectorise = self._features.learn(train.texts)
        known, labels = vectorise(train.texts), soft_labels(train.success, self._ties)
        nearest = self._variant == "nearest"
        classify = neighbour_means(known, labels, 1) if nearest else soft_classifier(known, labels, HIDDEN)
        self._learnt = PoolFit(train.agents, lambda texts: classify(vectorise(texts)))

    def route(self, test: OutcomeTable, /) -> Routing:
        """The most probable; the cheaper where equal."""
        labels = recall(self._learnt, test, self.name)(test.texts)
        return Routing.of(np.argmax(labels, axis=1), len(test.agents))


def soft_labels(success: Floats, ties: Ties = "cheapest") -> Floats:
    """softmax(10·success) of each row, shape (T, A), rows summing to 1; where all are equal, by `ties`."""
    weights = np.exp(SHARPNESS * (success - success.max(axis=1, keepdims=True)))
    labels = weights / weights.sum(axis=1, keepdims=True)
    if ties == "cheapest":
        equal = np.all(success == success[:, :1], axis=1)
        labels[equal] = 0.0
        labels[equal, 0] = 1.0
    return labels
