"""RouteLLM's measures of a router between a weak and a strong model: what share of their gap how many calls recover.

Source: Ong et al. 2024, RouteLLM, arXiv 2406.18665, and its published evaluation (github.com/lm-sys/RouteLLM,
Apache-2.0): tasks are sent to the strong model where the router's score for it reaches a threshold; eleven thresholds,
the deciles of the scores; between them straight lines.
- CPT(x): the share of strong calls that recovers the share x of the gap.
- APGR: the mean share of the gap recovered, over all shares of strong calls. Chance has about 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sale.bench.routers.protocol import Floats

BINS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class CallCurve:
    """Performance against the share of strong calls, from none to all."""

    shares: Floats
    """Ascending, in [0, 1]."""
    performance: Floats
    weak: float
    strong: float

    def cpt(self, recovered: float) -> float:
        """CPT, as a share; by linear interpolation over performance, as published."""
        wanted = self.weak + recovered * (self.strong - self.weak)
        return float(np.interp(wanted, self.performance, self.shares))

    def apgr(self) -> float:
        """APGR; the area is taken over the shares there are points for."""
        width = float(self.shares[-1] - self.shares[0])
        area = float(np.trapezoid(self.performance, self.shares))
        return (area - self.weak * width) / ((self.strong - self.weak) * width)


def call_curve(scores: Floats, weak: Floats, strong: Floats) -> CallCurve:
    """Of one router.

    Args:
        scores: Shape (T,): how much the task needs the strong model.
        weak: Shape (T,): the weak model's success.
        strong: Shape (T,): the strong model's.
    """
    thresholds = np.quantile(scores, np.linspace(0, 1, BINS + 1))
    sent = [scores >= threshold for threshold in thresholds[:-1]] + [scores > thresholds[-1]]
    points = sorted((float(up.mean()), float(np.where(up, strong, weak).mean())) for up in sent)
    return CallCurve(
        shares=np.array([share for share, _ in points]),
        performance=np.array([performance for _, performance in points]),
        weak=float(weak.mean()),
        strong=float(strong.mean()),
    )


def random_curve(weak: Floats, strong: Floats, *, seed: int, rounds: int = 10) -> CallCurve:
    """Of the router that scores by chance: the mean of several curves, ten as published."""
    rng = np.random.default_rng(seed)
    curves = [call_curve(rng.random(len(weak)), weak, strong) for _ in range(rounds)]
    return CallCurve(
        shares=np.mean([curve.shares for curve in curves], axis=0),
        performance=np.mean([curve.performance for curve in curves], axis=0),
        weak=curves[0].weak,
        strong=curves[0].strong,
    )
