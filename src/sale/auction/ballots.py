"""Reading a juror's answer: strict JSON, whole scores from 0 to 5, nothing guessed. Pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import cast

from sale.auction.scoring import MAX_SCORE
from sale.types import TokenLogprobs

SINGLE = "score"
"""The key of a per-bid answer."""


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
    """The scores in an answer: one JSON object with exactly these labels, alone or in a single code fence.

    Raises:
        BallotError: Anything else. A lenient reader would let a strategy speak through its juror.
    """
    found = _load(_unfenced(text))
    if set(found) != set(labels):
        raise BallotError(f"expected scores for {', '.join(labels)}, got {', '.join(map(str, found)) or 'none'}")
    scores: dict[str, int] = {}
    for label in labels:
        value = found[label]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SCORE:
            raise BallotError(f"score of {label} is {value!r}, not a whole number from 0 to {MAX_SCORE}")
        scores[label] = value
    return scores


def expected_scores(tokens: Sequence[TokenLogprobs] | None, labels: Sequence[str]) -> dict[str, float]:
    """Expectation of each score over the digits 0 to 5 at the token that states it; labels without one are left out.

    Sharper than the whole number where a juror hesitates between two (method, section 7 d).
    """
    if not tokens:
        return {}
    digits = [token for token in tokens if token.token.strip().isdigit()]
    if len(digits) != len(labels):
        return {}  # a label or a comment held a digit token too: which one states the score is not certain
    found: dict[str, float] = {}
    for label, token in zip(labels, digits, strict=True):
        masses = _digit_masses(token)
        total = math.fsum(masses.values())
        if total > 0.0:
            found[label] = math.fsum(score * mass for score, mass in masses.items()) / total
    return found


def _digit_masses(token: TokenLogprobs) -> dict[int, float]:
    masses: dict[int, float] = {}
    for text, logprob in token.top or ((token.token, token.logprob),):
        digit = text.strip()
        if len(digit) == 1 and digit in "012345":
            masses[int(digit)] = masses.get(int(digit), 0.0) + math.exp(logprob)
    return masses


def _unfenced(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and stripped.count("```") == 2:
        _, _, body = stripped[3:-3].partition("\n")
        return body.strip()
    return stripped


def _load(text: str) -> Mapping[str, object]:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        raise BallotError(f"not JSON: {text[:80]!r}") from None
    if not isinstance(found, dict):
        raise BallotError(f"not a JSON object: {text[:80]!r}")
    return cast("Mapping[str, object]", found)
