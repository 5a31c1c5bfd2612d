"""The saving of a switch from the incumbent to the market: estimated in the shadow, real in the canary, with intervals.

Savings are paired: each conversation is compared with itself, its real bill with the same tokens at the other agent's
price, the auction included. Intervals are of the bootstrap over conversations, since turns of one are no news about
others. Whether the other agent would have needed as many tokens, and done as well, only the canary can say.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sale.memory.store import AuctionMemory
from sale.server.store.shadow import ShadowConversation
from sale.types import Verdict

Numbers = NDArray[np.float64]
DRAWS: Final = 2000
SEED: Final = 16
LEVEL: Final = 0.95
FEW: Final = 20
"""Conversations, of each arm where two are compared, below which no alarm is raised."""
ALARMS: Final[Mapping[str, str]] = {
    "cost": "the market costs more than the incumbent",
    "quality": "the market succeeds less often than the incumbent",
}
"""The alarms there are, and their meanings."""
GOOD: Final[Verdict] = "success"
BAD: Final[Verdict] = "failure"


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number, and its 95 % interval where there is more than one conversation."""

    value: float
    low: float | None
    high: float | None

    @property
    def is_below_zero(self) -> bool:
        """True where the whole interval is."""
        return self.high is not None and self.high < 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmReport:
    """One arm: conversations that the incumbent had (`shadow`), or the market (`canary`)."""

    conversations: int
    """Those for which both bills are known."""
    undecided: int
    """Those without an auction or an answer yet, or for which none could be held. They are in no sum."""
    requests: int
    switched: int
    """Conversations in which incumbent and market are not the same agent."""
    agents: Mapping[str, int]
    """Conversations by the agent that the market chose, most first."""
    incumbent_dollars: float
    market_dollars: float
    """Work and auctions."""
    auction_dollars: float
    """Of it auctions."""
    undecided_auction_dollars: float
    """Spent on auctions that came to nothing; in no other sum."""
    saved: Estimate | None
    """Dollars of all its conversations together; `None` where there are none."""
    share: Estimate | None
    """Of the incumbent's bill."""
    judged: int
    """Conversations that were found a success or a failure."""
    success: float | None
    """Share of successes among them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowReport:
    """Both arms, and what has drifted."""

    shadow: ArmReport
    canary: ArmReport
    success_difference: Estimate | None
    """The canary's share of successes less the shadow's; `None` where an arm has none judged."""
    alarms: tuple[str, ...]
    """`cost` where the market costs more than the incumbent, `quality` where it does worse: with 95 % confidence and
    at least twenty conversations."""


class ConversationSource(Protocol):
    """Where the conversations are."""

    async def conversations(self, since: datetime | None = None) -> tuple[ShadowConversation, ...]:
        """Those that began since then."""
        ...


async def read_report(
    source: ConversationSource, memory: AuctionMemory | None, since: datetime | None = None
) -> ShadowReport:
    """Read conversations, and the verdicts on them, and sum them up.

    Args:
        source: The conversations.
        memory: Has the verdicts; without one none are known.
        since: Only conversations that began since then.

    Raises:
        StoreError: Something cannot be read.
    """
    found = await source.conversations(since)
    verdicts = await memory.verdicts([one.id for one in found]) if memory is not None else {}
    return await asyncio.to_thread(report, found, verdicts)


def report(conversations: Sequence[ShadowConversation], verdicts: Mapping[str, Verdict]) -> ShadowReport:
    """Sum up conversations.

    Args:
        conversations: Of both arms.
        verdicts: On their work, by the id of the conversation's record.
    """
    arms = {arm: [one for one in conversations if one.arm == arm] for arm in ("shadow", "canary")}
    shadow, canary = (_arm(arms[arm], verdicts) for arm in ("shadow", "canary"))
    difference = _difference(*(_outcomes(arms[arm], verdicts) for arm in ("canary", "shadow")))
    alarms: list[str] = []
    if any(_is_dear(one) for one in (shadow, canary)):
        alarms.append("cost")
    if min(shadow.judged, canary.judged) >= FEW and difference is not None and difference.is_below_zero:
        alarms.append("quality")
    return ShadowReport(shadow=shadow, canary=canary, success_difference=difference, alarms=tuple(alarms))


def _is_dear(arm: ArmReport) -> bool:
    return arm.conversations >= FEW and arm.saved is not None and arm.saved.is_below_zero


def _arm(conversations: Sequence[ShadowConversation], verdicts: Mapping[str, Verdict]) -> ArmReport:
    known = [one for one in conversations if one.decided]
    rest = [one for one in conversations if not one.decided]
    incumbent = np.array([one.incumbent_dollars for one in known])
    market = np.array([one.market_dollars for one in known])
    outcomes = _outcomes(conversations, verdicts)
    chosen = Counter((one.other if one.arm == "shadow" else one.agent) or "" for one in known)
    return ArmReport(
        conversations=len(known),
        undecided=len(rest),
        requests=sum(one.turns for one in known),
        switched=sum(one.other != one.agent for one in known),
        agents=dict(chosen.most_common()),
        incumbent_dollars=float(incumbent.sum()),
        market_dollars=float(market.sum()),
        auction_dollars=sum(one.auction_dollars for one in known),
        undecided_auction_dollars=sum(one.auction_dollars for one in rest),
        saved=_estimate([incumbent, market], lambda drawn: drawn[0] - drawn[1]),
        share=_estimate([incumbent, market], _share) if incumbent.sum() > 0 else None,
        judged=len(outcomes),
        success=float(outcomes.mean()) if len(outcomes) else None,
    )


def _outcomes(conversations: Sequence[ShadowConversation], verdicts: Mapping[str, Verdict]) -> Numbers:
    """1 for each success, 0 for each failure; what is not known is left out."""
    found = [verdicts.get(one.id) for one in conversations]
    return np.array([float(one == GOOD) for one in found if one in {GOOD, BAD}])


def _share(drawn: Sequence[Any]) -> Any:  # noqa: ANN401  of one sample, or of all draws
    incumbent, market = drawn
    return np.where(incumbent > 0, (incumbent - market) / np.where(incumbent > 0, incumbent, 1.0), 0.0)


def _estimate(columns: Sequence[Numbers], of: Callable[[Sequence[Any]], Any]) -> Estimate | None:
    """A function of the sums of columns, with an interval from drawing rows of all columns together."""
    size = len(columns[0])
    if not size:
        return None
    value = float(of([column.sum() for column in columns]))
    if size < 2:
        return Estimate(value=value, low=None, high=None)
    table = np.stack(columns)
    sums = np.array([table[:, rows].sum(axis=1) for rows in _draws(size)])
    return _interval(value, of([sums[:, place] for place in range(len(columns))]))


def _difference(ours: Numbers, theirs: Numbers) -> Estimate | None:
    """The difference of two means, each arm drawn by itself."""
    if not len(ours) or not len(theirs):
        return None
    value = float(ours.mean() - theirs.mean())
    if min(len(ours), len(theirs)) < 2:
        return Estimate(value=value, low=None, high=None)
    pairs = zip(_draws(len(ours)), _draws(len(theirs), SEED + 1), strict=True)
    return _interval(value, np.array([ours[one].mean() - theirs[other].mean() for one, other in pairs]))


def _draws(size: int, seed: int = SEED) -> Iterator[NDArray[np.int64]]:
    """The rows of each draw: whole rows, so that pairs stay together."""
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield random.integers(size, size=size)


def _interval(value: float, drawn: Numbers) -> Estimate:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value=value, low=float(low), high=float(high))
