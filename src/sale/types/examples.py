"""Past auctions as learning sees them: what was bid, and what is known of the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sale.types.bids import Bid


@dataclass(frozen=True, kw_only=True, slots=True)
class Worked:
    """The known result of one agent's work on one task."""

    success: bool
    dollars: float | None
    """Cost of the work, without the auction; `None` where it is not known."""
    after: tuple[str, ...] = ()
    """The agents whose work on the task had failed before, so that this one followed."""
    check: str | None = None
    """The check that said so, as `judged_by` of an outcome; `None`: a user did, or it is certain."""
    right: float | None = None
    """The chance that the work was right, where the check may be wrong; unless given what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One auction to learn from.

    A market that runs knows the outcome of the winner's work alone; a recorded run of the bench knows everybody's.
    """

    auction_id: str
    task: str
    """Its text."""
    bids: tuple[Bid, ...]
    """The bids the award was made among, in the pool's order."""
    winner: str
    """The agent that was awarded the task."""
    work: Mapping[str, Worked]
    """By agent, where it worked and the work was judged."""
    overhead: float = 0.0
    """Cost of the auction itself, in dollars."""
    checked: bool = False
    """Failed work on it is found out before it is handed in, so that another agent can follow."""
    propensities: Mapping[str, float] = field(default_factory=dict[str, float])
    """By agent, the probability with which it was awarded the task, where awards explored. Empty: the best bid won."""
    domain: str | None = None
    """The kind of the task, where one was named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedAnswer:
    """The verdict of a check on an answer, and the feedback on that answer."""

    check: str
    """Which check: `tests`, `model:<agent>` and so on."""
    passed: bool
    right: bool | None = None
    """True where feedback says that the answer is right; `None`: there is no feedback."""
