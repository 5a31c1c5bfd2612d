"""One auction in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, get_args

from starlette.exceptions import HTTPException
from starlette.responses import Response

from sale.auction.standing import brought, not_held
from sale.memory.records import Record
from sale.server.dashboard.desk import Desk
from sale.server.dashboard.worddiff import Piece, changes
from sale.server.dashboard.words import money
from sale.types import Auction, Bid, Call, Refinement, Score, Stage, Verdict

STAGES: dict[Stage, str] = {
    "bid": "bids",
    "judge": "jury",
    "refine": "refinement",
    "rejudge": "jury on refined bids",
    "execute": "work",
    "verify": "verification",
}
LONGEST_DETAIL = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class BidRow:
    """A bid as it is shown."""

    number: int
    bid: Bid
    cost_share: float
    """C and V as shares of the largest of either, for bars."""
    value_share: float
    leads: bool
    """The provisional winner's."""
    won: bool

    @property
    def jury(self) -> float | None:
        """The mean score, in points."""
        scores = self.bid.scores
        return sum(score.value for score in scores) / len(scores) if scores else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refined:
    """What an agent made of its plan."""

    refinement: Refinement
    before: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSum:
    """What one stage cost."""

    name: str
    calls: int
    tokens: int
    dollars: float
    failed: int


async def show(desk: Desk) -> Response:
    """The page; under the whole id, whatever beginning of it was asked for."""
    memory = await desk.memory()
    record = await memory.load(desk.request.path_params["id"])
    if record.id != desk.request.path_params["id"]:
        return desk.redirect(f"/auctions/{record.id}")
    auction = record.auction
    told = brought(auction) if auction else None
    return desk.render(
        "auction",
        record=record,
        auction=auction,
        not_held=not_held(auction) if auction else None,
        brought=told.said(money) if told else None,
        rows=bid_rows(auction) if auction else (),
        jurors=_jurors(auction) if auction else (),
        refined=refinements(auction) if auction else (),
        stages=stage_sums(record.settlement.calls),
        attempts=_attempts(record),
        palette=await desk.site.palette(memory),
    )


async def judge(desk: Desk) -> Response:
    """Somebody says how the work was."""
    fields = await desk.form()
    verdict = fields.get("verdict", "")
    if verdict not in get_args(Verdict):
        raise HTTPException(400, "Choose success, failure or unknown.")
    memory = await desk.memory()
    record = await memory.load(desk.request.path_params["id"])
    detail = fields.get("detail", "").strip()[:LONGEST_DETAIL]
    await memory.feedback(record.id, cast("Verdict", verdict), judged_by="user", detail=detail)
    return desk.redirect(f"/auctions/{record.id}", done="judged")


def bid_rows(auction: Auction) -> tuple[BidRow, ...]:
    """The bids, the best first: by C − V, as the award goes."""
    bids = auction.contenders
    largest = max((max(abs(bid.cost), abs(bid.value)) for bid in bids), default=0.0) or 1.0
    order = sorted(bids, key=lambda bid: (not _same(bid, auction.winner), bid.net_cost, bid.agent))
    return tuple(
        BidRow(
            number=number,
            bid=bid,
            cost_share=max(0.0, bid.cost) / largest,
            value_share=max(0.0, bid.value) / largest,
            leads=bid.agent == auction.provisional and not bid.strategy.refined,
            won=_same(bid, auction.winner),
        )
        for number, bid in enumerate(order)
    )


def refinements(auction: Auction) -> tuple[Refined, ...]:
    """Each refining agent's plan before and after."""
    first = {bid.agent: bid.strategy.text for bid in auction.bids}
    return tuple(
        Refined(
            refinement=one,
            before=first.get(one.agent, ""),
            pieces=changes(first.get(one.agent, ""), one.bid.strategy.text) if one.bid else (),
        )
        for one in auction.refinements
    )


def stage_sums(calls: Sequence[Call]) -> tuple[StageSum, ...]:
    """What each stage cost, in the order of the stages."""
    return tuple(
        StageSum(
            name=name,
            calls=len(mine),
            tokens=sum(call.usage.total for call in mine),
            dollars=sum(call.dollars for call in mine),
            failed=sum(call.error is not None for call in mine),
        )
        for stage, name in STAGES.items()
        if (mine := [call for call in calls if call.stage == stage])
    )


def _same(bid: Bid, other: Bid) -> bool:
    return bid.agent == other.agent and bid.strategy.refined == other.strategy.refined


def _jurors(auction: Auction) -> tuple[tuple[str, dict[tuple[str, bool], Score]], ...]:
    """By juror, its scores by bidder and whether the bid was refined."""
    found: dict[str, dict[tuple[str, bool], Score]] = {}
    for bid in auction.contenders:
        for score in bid.scores:
            found.setdefault(score.juror, {})[bid.agent, bid.strategy.refined] = score
    return tuple(found.items())


def _attempts(record: Record) -> list[tuple[int, object, str | None]]:
    """Executions by number, each with its latest verdict."""
    verdicts = {one.execution: one.outcome.verdict for one in record.outcomes}
    return [(number, one, verdicts.get(number)) for number, one in enumerate(record.executions)]
