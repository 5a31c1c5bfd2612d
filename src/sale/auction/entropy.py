"""Token log-probabilities to the entropy of a strategy: pure functions.

An endpoint reports at most k alternatives for each token. What is left of the probability goes into one tail bucket,
so H_t is a lower bound of the token's true entropy, and log(k + 1) its largest possible value: dividing by it puts
endpoints with different k on one scale. Method, section 2 step 3: H is the mean over the strategy's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sale.types import Entropy, TokenLogprobs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def token_entropies(tokens: Sequence[TokenLogprobs]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """H_t of each token in nats, and normalised to [0, 1]; NaN where the endpoint's numbers are not probabilities.

    All tokens at once: there are some hundred a strategy, each with its alternatives, and this was most of what an
    auction computed.
    """
    import numpy as np  # noqa: PLC0415  the help of a verb, which needs no arrays, comes without it

    given = [[logprob for _, logprob in token.top] or [token.logprob] for token in tokens]
    counts = [len(row) for row in given]
    width = max(counts)
    if min(counts) < width:
        given = [row + [-math.inf] * (width - len(row)) for row in given]
    masses = np.exp(np.minimum(np.array(given), 0.0))
    total = masses.sum(axis=1)
    total[~(total > 0.0)] = math.nan  # nor where one of them is not a number
    # Rounded log-probabilities can sum to slightly more than one; what they lack to it is one bucket more.
    shares = np.empty((len(given), width + 1))
    shares[:, :width] = masses
    shares[:, width] = np.maximum(1.0 - total, 0.0)
    shares /= np.maximum(total, 1.0)[:, None]
    nats = -(shares * np.log(np.where(shares > 0.0, shares, 1.0))).sum(axis=1)
    nats = np.maximum(nats, 0.0)
    return nats, np.minimum(1.0, nats / np.log(np.array(counts) + 1))


def strategy_entropy(tokens: Sequence[TokenLogprobs]) -> Entropy | None:
    """Mean entropy over a strategy's tokens; `None` where not one token can be measured."""
    if not tokens:
        return None
    nats, normalised = token_entropies(tokens)
    measured = nats >= 0.0  # where it is a number
    count = int(measured.sum())
    if not count:
        return None
    return Entropy(
        normalised=math.fsum(normalised[measured].tolist()) / count,
        nats=math.fsum(nats[measured].tolist()) / count,
        top_k=max(len(token.top) for token in tokens) or 1,
        tokens=count,
    )
