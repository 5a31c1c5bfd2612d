"""Token log-probabilities to the entropy of a strategy: pure functions.

An endpoint reports at most k alternatives for each token. What is left of the probability goes into one tail bucket,
so H_t is a lower bound of the token's true entropy, and log(k + 1) its largest possible value: dividing by it puts
endpoints with different k on one scale. Method, section 2 step 3: H is the mean over the strategy's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sale.types import Entropy, TokenLogprobs


def token_entropy(token: TokenLogprobs) -> tuple[float, float] | None:
    """H_t in nats and normalised to [0, 1]; `None` where the endpoint's numbers are not probabilities."""
    # Some hundred tokens a strategy, each with its alternatives: this is most of what an auction computes.
    alternatives = [logprob for _, logprob in token.top] or [token.logprob]
    masses = [1.0 if logprob >= 0.0 else math.exp(logprob) for logprob in alternatives]
    total = math.fsum(masses)
    if not total > 0.0:  # nor where one of them is not a number
        return None
    if total > 1.0:  # rounded log-probabilities can sum to slightly more than one
        masses = [mass / total for mass in masses]
    else:
        masses.append(1.0 - total)
    nats = -math.fsum([mass * math.log(mass) for mass in masses if mass > 0.0])
    return (nats, min(1.0, nats / math.log(len(alternatives) + 1))) if nats > 0.0 else (0.0, 0.0)


def strategy_entropy(tokens: Sequence[TokenLogprobs]) -> Entropy | None:
    """Mean entropy over a strategy's tokens; `None` where not one token can be measured."""
    measured = [pair for token in tokens if (pair := token_entropy(token)) is not None]
    if not measured:
        return None
    return Entropy(
        normalised=math.fsum(normalised for _, normalised in measured) / len(measured),
        nats=math.fsum(nats for nats, _ in measured) / len(measured),
        top_k=max(len(token.top) or 1 for token in tokens),
        tokens=len(measured),
    )
