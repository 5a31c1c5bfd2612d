"""One auction in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast, get_args

from starlette.exceptions import HTTPException
from starlette.responses import Response

from sale.auction.lead import measure_lead
from sale.auction.value_of_information import explain_not_held, measure_benefit
from sale.memory.records import Record
from sale.server.dashboard.formatting import micro, money
from sale.server.dashboard.request_context import RequestContext
from sale.server.dashboard.worddiff import DiffRun, changes
from sale.types import USER, Auction, Bid, Call, Refinement, Score, Stage, Verdict

STAGES: dict[Stage, str] = {
    "bid": "bids",
    "judge": "jury",
    "refine": "refinement",
    "rejudge": "jury on refined bids",
    "execute": "work",
    "verify": "verification",
}
MAX_DETAIL_CHARACTERS = 4_000


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
class PlanRefinement:
    """The change of an agent's plan by refinement."""

    refinement: Refinement
    before: str
    pieces: tuple[DiffRun, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSum:
    """The cost of one stage."""

    name: str
    calls: int
    tokens: int
    dollars: float
    failed: int


async def show(context: RequestContext) -> Response:
    """The page; under the whole id, whatever beginning of it was asked for."""
    memory = await context.memory()
    record = await memory.load(context.request.path_params["id"])
    if record.id != context.request.path_params["id"]:
        return context.redirect(f"/auctions/{record.id}")
    auction = record.auction
    told = measure_benefit(auction) if auction else None
    lead = measure_lead(auction) if auction else None
    return context.render(
        "auction",
        record=record,
        auction=auction,
        not_held=explain_not_held(auction) if auction else None,
        brought=told.describe(money) if told else None,
        lead=lead.describe(micro) if lead else None,
        rows=bid_rows(auction) if auction else (),
        jurors=_jurors(auction) if auction else (),
        refined=refinements(auction) if auction else (),
        stages=stage_sums(record.settlement.calls),
        attempts=_attempts(record),
        palette=await context.site.palette(memory),
    )


async def judge(context: RequestContext) -> Response:
    """Record a user's verdict on the work."""
    fields = await context.form()
    verdict = fields.get("verdict", "")
    if verdict not in get_args(Verdict):
        raise HTTPException(400, "Choose success, failure or unknown.")
    memory = await context.memory()
    record = await memory.load(context.request.path_params["id"])
    detail = fields.get("detail", "").strip()[:MAX_DETAIL_CHARACTERS]
    await memory.feedback(record.id, cast("Verdict", verdict), judged_by=USER, detail=detail)
    return context.redirect(f"/auctions/{record.id}", done="judged")


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


def refinements(auction: Auction) -> tuple[PlanRefinement, ...]:
    """Each refining agent's plan before and after."""
    first = {bid.agent: bid.strategy.text for bid in auction.bids}
    return tuple(
        PlanRefinement(
            refinement=one,
            before=first.get(one.agent, ""),
            pieces=changes(first.get(one.agent, ""), one.bid.strategy.text) if one.bid else (),
        )
        for one in auction.refinements
    )


def stage_sums(calls: Sequence[Call]) -> tuple[StageSum, ...]:
    """Return the cost of each stage, in the order of the stages."""
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
