"""The money: what was spent on auctions and on work, and what always using the largest agent would have cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from starlette.responses import Response

from sale.errors import SaleError
from sale.memory.figures import AuctionFigures
from sale.server.dashboard.charts.series import Series, lines, stacked_bars
from sale.server.dashboard.formatting import money, round_money
from sale.server.dashboard.headline import Headline, headline
from sale.server.dashboard.periods import Periods, choice, periods
from sale.server.dashboard.request_context import RequestContext
from sale.server.store.store import ServerStore
from sale.server.store.types import Spending


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodSums:
    """One row of the table."""

    name: str
    total: Headline


async def show(context: RequestContext) -> Response:
    """The page."""
    memory = await context.memory()
    chosen = choice(context.query.get("days"), context.query.get("here"))
    auctions = await memory.auction_figures(chosen.span)
    cut = periods([one.at for one in auctions])
    rows = by_period(auctions, cut)
    spent = stacked_bars(
        "Spent",
        f"Dollars spent on work and on auctions, by {cut.cut}, over {chosen.said}.",
        cut.names,
        [
            Series(name="work", colour="work", values=tuple(row.total.work_dollars for row in rows)),
            Series(name="auctions", colour="overhead", values=tuple(row.total.auction_dollars for row in rows)),
        ],
        money,
        round_money,
    )
    compared = lines(
        "Against always-largest, added up",
        f"Dollars paid and dollars that always using the largest agent would have cost, added up over {chosen.said}.",
        cut.names,
        [
            Series(name="the market", colour="work", values=_running(row.total.compared_dollars for row in rows)),
            Series(
                name="always-largest",
                colour="largest",
                values=_running(row.total.largest_dollars for row in rows),
                dash="6 4",
            ),
        ],
        money,
        mark=round_money,
    )
    ledger, fault = await _spending_by_key(context.site.store, chosen.span.since)
    allowance = context.market.allowance
    limited = allowance is not None and math.isfinite(allowance.share)
    return context.render(
        "money",
        share=allowance.share if allowance and limited else None,
        balance=max(0.0, allowance.balance) if allowance else None,
        incumbent=context.market.incumbent.name,
        total=headline(auctions),
        rows=[row for row in reversed(rows) if row.total.auctions],
        spent=spent if auctions else None,
        compared=compared if auctions else None,
        imported=sum(one.imported for one in auctions),
        chosen=chosen,
        cut=cut.cut,
        ledger=ledger,
        fault=fault,
    )


async def _spending_by_key(store: ServerStore | None, since: datetime | None) -> tuple[Sequence[Spending], str]:
    """Return the ledger's sums, and why there are none: a file of its archive may be gone."""
    try:
        return (await store.spend(since, "key"), "") if store else ((), "")
    except SaleError as error:
        return (), str(error)


def by_period(auctions: Sequence[AuctionFigures], cut: Periods) -> list[PeriodSums]:
    """The sums of each period."""
    groups = cut.group(auctions, lambda one: one.at)
    return [PeriodSums(name=name, total=headline(group)) for name, group in zip(cut.names, groups, strict=True)]


def _running(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(accumulate(values))
