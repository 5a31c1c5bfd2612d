"""Reading a juror's answer: strict JSON, whole scores from 0 to 5, nothing guessed. Pure functions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from sale.auction.scoring import MAX_SCORE
from sale.types import TokenLogprobs

_FENCED = re.compile(r"```(?:json)?[ \t]*\n([^`]*)```", re.IGNORECASE)
EXCERPT = 80
"""Characters of a bad answer that are quoted."""


class BallotError(ValueError):
    """The answer is not a valid ballot; the message says why."""


def ballot_schema(labels: Sequence[str]) -> dict[str, object]:
    """JSON schema of an answer with one score for each label."""
    score = {"type": "integer", "minimum": 0, "maximum": MAX_SCORE}
    return {
        "type": "object",
        "properties": dict.fromkeys(labels, score),
        "required": list(labels),
        "additionalProperties": False,
    }


def read_ballot(text: str, labels: Sequence[str]) -> dict[str, int]:
    """The scores in an answer, in its own order: one JSON object with exactly these labels, each once.

    It stands alone or in a single code fence.

    Raises:
        BallotError: Anything else. A lenient reader would let a strategy speak through its juror.
    """
    found = _load(text)
    names = [name for name, _ in found]
    if sorted(names) != sorted(labels):
        raise BallotError(f"expected scores for {', '.join(labels)}, got {_excerpt(', '.join(names))}")
    scores: dict[str, int] = {}
    for label, value in found:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SCORE:
            raise BallotError(f"score of {label} is {_excerpt(value)}, not a whole number from 0 to {MAX_SCORE}")
        scores[label] = value
    return scores


def expected_scores(tokens: Sequence[TokenLogprobs] | None, scores: Mapping[str, int]) -> dict[str, float]:
    """Expectation of each score over the digits 0 to 5 at the token that states it; scores without one are left out.

    Sharper than the whole number where a juror hesitates between two (method, section 7 d).

    Args:
        tokens: The answer, token by token.
        scores: The ballot that was read from it, in the answer's own order.
    """
    digits = [token for token in tokens or () if token.token.strip().isdigit()]
    if [token.token.strip() for token in digits] != [str(score) for score in scores.values()]:
        return {}  # a label or a comment held a digit token too: which one states the score is not certain
    found: dict[str, float] = {}
    for label, token in zip(scores, digits, strict=True):
        masses = _digit_masses(token)
        total = math.fsum(masses.values())
        if total > 0.0:
            mean = math.fsum(score * mass for score, mass in masses.items()) / total
            found[label] = min(mean, float(MAX_SCORE))
    return found


def _digit_masses(token: TokenLogprobs) -> dict[int, float]:
    masses: dict[int, float] = {}
    for text, logprob in token.top or ((token.token, token.logprob),):
        digit = text.strip()
        if len(digit) == 1 and digit in "012345" and not math.isnan(logprob):
            masses[int(digit)] = masses.get(int(digit), 0.0) + math.exp(min(logprob, 0.0))
    return masses


def _load(text: str) -> list[tuple[str, object]]:
    """The members of a JSON object, a repeated one as often as it stands there."""
    stripped = text.strip()
    fenced = _FENCED.fullmatch(stripped)
    try:
        found: object = json.loads(fenced[1] if fenced else stripped, object_pairs_hook=_ObjectMembers)
    except (ValueError, RecursionError):
        raise BallotError(f"not JSON: {_excerpt(text)}") from None
    if not isinstance(found, _ObjectMembers):
        raise BallotError(f"not a JSON object: {_excerpt(text)}")
    return found


class _ObjectMembers(list[tuple[str, object]]):
    """The members of a JSON object, as against the items of an array."""


def _excerpt(value: object) -> str:
    """Return a bad answer for the record: short, and (as `repr` makes it) in characters any store can keep."""
    plain = isinstance(value, str | int | float | None)
    return repr(value)[:EXCERPT] if plain else "something nested"
