"""Error rates of a check of answers, estimated from feedback that came later.

A check passes or fails an answer; later feedback says whether the answer was right. Feedback comes mostly on
answers that were handed in, that is on those that passed: the share of passes among wrong answers with feedback is
therefore not an estimate of the false-pass rate (verification bias: Begg and Greenes, Biometrics 1983). So answers
without feedback are counted, too: each is right with the chance that the rates themselves give to an answer with its
verdict, and rates and chances are found together (EM: Dempster, Laird and Rubin, JRSS B 1977). Feedback is taken to
come as often on right as on wrong answers of one verdict.

The prior of each rate is a Beta distribution that counts like the answers stated (`CheckErrors.evidence`), with the
stated rate for its mean; that of the share of right answers is Beta(1, 1). What is returned are posterior means given
the completed counts. Their intervals are in `check_intervals`, as they need SciPy, which a market does without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sale.types import CheckedAnswer, CheckErrors

STEPS = 200
"""Rounds of EM: more move no rate by as much as feedback leaves it uncertain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckHistory:
    """Answers that a check has judged."""

    passed: int = 0
    """Without feedback, likewise below."""
    failed: int = 0
    passed_right: int = 0
    """With feedback, likewise below."""
    passed_wrong: int = 0
    failed_right: int = 0
    failed_wrong: int = 0

    @property
    def feedback(self) -> int:
        """Number of answers that have feedback."""
        return self.passed_right + self.passed_wrong + self.failed_right + self.failed_wrong

    @classmethod
    def of(cls, answers: Iterable[CheckedAnswer], check: str | None = None) -> CheckHistory:
        """Count the answers that one check has judged, or any check."""
        counts: dict[tuple[bool, bool | None], int] = {}
        for one in answers:
            if check not in {None, one.check}:
                continue
            key = (one.passed, one.right)
            counts[key] = counts.get(key, 0) + 1
        return cls(
            passed=counts.get((True, None), 0),
            failed=counts.get((False, None), 0),
            passed_right=counts.get((True, True), 0),
            passed_wrong=counts.get((True, False), 0),
            failed_right=counts.get((False, True), 0),
            failed_wrong=counts.get((False, False), 0),
        )


def estimate_errors(history: CheckHistory, prior: CheckErrors) -> CheckErrors:
    """The prior, moved by feedback; without feedback the prior itself.

    Its evidence is that of the prior: it says what the rates were before there was feedback.
    """
    if history.feedback == 0:
        return prior
    pass_rate, fail_rate, share = prior.false_pass, prior.false_fail, 0.5
    for _ in range(STEPS):
        passed_right = history.passed * chance_right(share * (1.0 - fail_rate), (1.0 - share) * pass_rate)
        failed_right = history.failed * chance_right(share * fail_rate, (1.0 - share) * (1.0 - pass_rate))
        right_passed, right_failed = history.passed_right + passed_right, history.failed_right + failed_right
        wrong_passed = history.passed_wrong + history.passed - passed_right
        wrong_failed = history.failed_wrong + history.failed - failed_right
        pass_rate = _rate(wrong_passed, wrong_failed, prior.false_pass, prior.evidence)
        fail_rate = _rate(right_failed, right_passed, prior.false_fail, prior.evidence)
        right, wrong = right_passed + right_failed, wrong_passed + wrong_failed
        share = (right + 1.0) / (right + wrong + 2.0)
    return CheckErrors(false_pass=pass_rate, false_fail=fail_rate, evidence=prior.evidence, dollars=prior.dollars)


def usual_errors(answers: Sequence[CheckedAnswer], prior: CheckErrors) -> CheckErrors:
    """The errors of the check that has judged most answers; the prior where none has."""
    counts = Counter(one.check for one in answers)
    return (
        estimate_errors(CheckHistory.of(answers, max(counts, key=lambda name: counts[name])), prior)
        if counts
        else prior
    )


def chance_right(right: float, wrong: float) -> float:
    """The chance to be right, from two likelihoods; one half where neither is possible."""
    return right / (right + wrong) if right + wrong > 0.0 else 0.5


def _rate(hits: float, others: float, prior: float, evidence: float) -> float:
    """The posterior mean of a rate under a Beta prior."""
    return float(np.clip((hits + prior * evidence) / (hits + others + evidence), 0.0, 1.0))
