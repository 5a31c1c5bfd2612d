"""Functions with types over scikit-learn: neighbours, logistic and neural predictors.

Every predictor is deterministic, accepts graded outcomes in [0, 1], and copes with what small or one-sided training
tables bring: fewer tasks than neighbours, one task, an agent that always fails or always succeeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from sklearn import linear_model, model_selection, neighbors, neural_network
from sklearn.exceptions import ConvergenceWarning

from sale.bench.routers.protocol import Floats, Ints

# scikit-learn has no full types: from here on its classes are whatever they are, and results are turned into arrays.
_NearestNeighbors: Any = neighbors.NearestNeighbors
_LogisticRegression: Any = linear_model.LogisticRegression
_Ridge: Any = linear_model.Ridge
_MLPRegressor: Any = neural_network.MLPRegressor
_MLPClassifier: Any = neural_network.MLPClassifier
_KFold: Any = model_selection.KFold

SEED = 1234
LOGISTIC_STEPS = 10_000
LOGISTIC_TOLERANCE = 1e-9
"""Of the gradient: stopped as early as is usual (1e-4), what is predicted depends on the processor, and tables do."""
NEURAL_STEPS = 200
RIDGE = 1.0
MIN_UNITS = 4


class Predictor(Protocol):
    """Features of n texts to an (n, A) array."""

    def __call__(self, features: Floats, /) -> Floats:
        """Predict."""
        ...


def nearest(known: Floats, asked: Floats, k: int) -> Ints:
    """The rows of `known` closest by cosine to each row of `asked`.

    Returns:
        Shape (asked, min(k, known)), nearest first.
    """
    model = _NearestNeighbors(n_neighbors=min(k, len(known)), metric="cosine", algorithm="brute")
    return np.asarray(model.fit(known).kneighbors(asked, return_distance=False), dtype=np.intp)


def neighbour_means(known: Floats, values: Floats, k: int) -> Predictor:
    """The mean of the k nearest rows' values, unweighted, for all A columns at once; k is capped at the rows."""

    def predict(features: Floats) -> Floats:
        if not len(features):
            return np.zeros((0, values.shape[1]))
        return values[nearest(known, features, k)].mean(axis=1)

    return predict


def folds(rows: int, most: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Shuffled folds as (train, held out); fewer than asked where there are fewer rows, none for a single row."""
    count = min(most, rows)
    if count < 2:
        return []
    splitter = _KFold(n_splits=count, shuffle=True, random_state=seed)
    return [
        (np.asarray(train, dtype=np.intp), np.asarray(held, dtype=np.intp))
        for train, held in splitter.split(np.zeros((rows, 1)))
    ]


def units(wanted: int, rows: int) -> int:
    """Hidden units that a table of so many rows may have: at most one for two rows."""
    return min(wanted, max(MIN_UNITS, rows // 2))


def neural_columns(features: Floats, values: Floats, hidden: tuple[int, ...]) -> Predictor:
    """One multi-layer perceptron for each column: ReLU, Adam at 1e-3, at most 200 epochs, seed 1234."""
    sizes = tuple(units(size, len(features)) for size in hidden)
    models = [
        _MLPRegressor(hidden_layer_sizes=sizes, max_iter=NEURAL_STEPS, learning_rate_init=1e-3, random_state=SEED)
        for _ in range(values.shape[1])
    ]
    with _steps_may_run_out():
        for column, model in enumerate(models):
            model.fit(features, values[:, column])

    def predict(asked: Floats) -> Floats:
        return _each([model.predict for model in models], asked)

    return predict


def ridge_columns(features: Floats, values: Floats) -> Predictor:
    """Linear regression with an L2 penalty of 1, on values brought to mean 0 and deviation 1 and back."""
    middle, spread = values.mean(axis=0), values.std(axis=0)
    spread[spread == 0] = 1.0
    model = _Ridge(alpha=RIDGE).fit(features, (values - middle) / spread)

    def predict(asked: Floats) -> Floats:
        if not len(asked):
            return np.zeros((0, values.shape[1]))
        found = np.asarray(model.predict(asked), dtype=np.float64).reshape(len(asked), -1)
        return found * spread + middle

    return predict


def logistic_columns(features: Floats, success: Floats, strength: float = 1.0) -> Predictor:
    """Multi-label classification: for each column P(success), by logistic regression.

    A graded outcome y counts as a success of weight y and a failure of weight 1 - y: the cross-entropy of soft labels.
    A column without both is its constant.

    Args:
        features: Shape (n, d).
        success: Shape (n, A), in [0, 1].
        strength: scikit-learn's C, the inverse of the penalty.
    """
    columns = [_logistic(features, success[:, column], strength) for column in range(success.shape[1])]

    def predict(asked: Floats) -> Floats:
        return _each(columns, asked)

    return predict


def soft_classifier(features: Floats, labels: Floats, hidden: tuple[int, ...]) -> Predictor:
    """A multi-layer perceptron with a softmax over A classes, trained by cross-entropy on soft labels.

    Each row stands once for every class it gives weight to: that is the cross-entropy of the soft label. Where all
    weight is on one class, that class is certain.
    """
    rows, classes = np.nonzero(labels > 0)
    present = np.unique(classes)
    total = labels.shape[1]
    if len(present) == 1:
        return lambda asked: np.tile(np.eye(total)[present[0]], (len(asked), 1))
    sizes = tuple(units(size, len(features)) for size in hidden)
    model = _MLPClassifier(hidden_layer_sizes=sizes, max_iter=NEURAL_STEPS, learning_rate_init=1e-3, random_state=SEED)
    with _steps_may_run_out():
        model.fit(features[rows], classes, sample_weight=labels[rows, classes])

    def predict(asked: Floats) -> Floats:
        found = np.zeros((len(asked), total))
        if len(asked):
            found[:, present] = np.asarray(model.predict_proba(asked), dtype=np.float64)
        return found

    return predict


def _logistic(features: Floats, success: Floats, strength: float) -> Predictor:
    mean = float(success.mean())
    if mean in {0.0, 1.0}:
        return lambda asked: np.full(len(asked), mean)
    right, wrong = np.flatnonzero(success > 0), np.flatnonzero(success < 1)
    model = _LogisticRegression(C=strength, max_iter=LOGISTIC_STEPS, tol=LOGISTIC_TOLERANCE)
    with _steps_may_run_out():
        model.fit(
            np.concatenate([features[right], features[wrong]]),
            np.repeat([1, 0], [len(right), len(wrong)]),
            sample_weight=np.concatenate([success[right], 1 - success[wrong]]),
        )
    return lambda asked: np.asarray(model.predict_proba(asked), dtype=np.float64)[:, 1]


def _each(columns: Sequence[Predictor], asked: Floats) -> Floats:
    """Return the prediction of each column's own model, side by side."""
    return np.column_stack([column(asked) for column in columns]) if len(asked) else np.zeros((0, len(columns)))


@contextmanager
def _steps_may_run_out() -> Generator[None]:
    """The number of steps is part of the published descriptions; that training stops there is no fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
