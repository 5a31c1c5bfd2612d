"""Reading P(yes) off the first word of an answer: a pure function."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from sale.types import TokenLogprobs

YES, NO = "yes", "no"
_MARKS = " \t\r\n\"'`*_.,:;!()[]{}"
_WORD = re.compile(r"[\w'\u2019-]+")


def probability_of_yes(text: str, tokens: Sequence[TokenLogprobs] | None) -> float | None:
    """P(yes) / (P(yes) + P(no)) at the first word; `None` where the answer is neither.

    Where the endpoint gives no log-probabilities the word itself counts: 1 for yes, 0 for no.

    Args:
        text: The answer.
        tokens: The answer, token by token, with alternatives.
    """
    first = next((token for token in tokens or () if token.token.strip(_MARKS)), None)
    if first is not None:
        mass = {YES: 0.0, NO: 0.0}
        for word, logprob in first.top or ((first.token, first.logprob),):
            meant = word.strip(_MARKS).casefold()
            if meant in mass and not math.isnan(logprob):
                mass[meant] += math.exp(min(logprob, 0.0))
        total = mass[YES] + mass[NO]
        return mass[YES] / total if total > 0.0 else None
    word = _WORD.match(text.strip(_MARKS).casefold())
    return {YES: 1.0, NO: 0.0}.get(word[0]) if word else None
