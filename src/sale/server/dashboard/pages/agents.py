"""The agents: what they win, how their work comes out, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from sale.memory.figures import AgentFigures, AuctionFigures, WorkFigures
from sale.server.dashboard.charts.series import Series, lines
from sale.server.dashboard.formatting import percent, wilson
from sale.server.dashboard.palette import AgentPalette
from sale.server.dashboard.periods import Periods, choice, periods
from sale.server.dashboard.request_context import RequestContext

AWARDS_EACH = 12
"""Awards a period should hold for shares of them to be shown; judged executions of each agent, below."""
JUDGED_EACH = 4
DASHES = (None, "6 3", "2 3", "9 3 2 3")


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentRow:
    """One agent over the time that is looked at."""

    figures: AgentFigures
    in_pool: bool
    price: float | None
    """π: the pool's, or that of its latest bid."""
    share: float | None
    """Of all awards."""
    jobs: int
    successes: int
    failures: int
    success_range: tuple[float, float] | None
    dollars: float
    """Of its own work."""

    @property
    def judged(self) -> int:
        """Jobs with a known outcome."""
        return self.successes + self.failures

    @property
    def success(self) -> float | None:
        """Share of the judged ones."""
        return self.successes / self.judged if self.judged else None

    @property
    def each(self) -> float | None:
        """Dollars a job."""
        return self.dollars / self.jobs if self.jobs else None

    @property
    def dropout_share(self) -> float | None:
        """Of the auctions it was asked to bid in, those it left."""
        asked = self.figures.auctions + dict(self.figures.dropped).get("bid", 0)
        return self.figures.dropouts / asked if asked else None


async def show(context: RequestContext) -> Response:
    """The page."""
    memory = await context.memory()
    chosen = choice(context.query.get("days"), context.query.get("here"))
    auctions = await memory.auction_figures(chosen.span)
    works = await memory.work_figures(chosen.span)
    prices = {agent.name: agent.price.blended for agent in context.market.agents}
    palette = await context.site.palette(memory)
    rows = agent_rows(await memory.agent_figures(chosen.span), auctions, works, prices)
    awards = [one for one in auctions if one.winner is not None]
    judged = [work for work in works if work.verdict in {"success", "failure"}]
    cut = periods([one.at for one in awards], AWARDS_EACH)
    slower = periods([work.at for work in judged], JUDGED_EACH * len({work.agent for work in judged}))
    return context.render(
        "agents",
        rows=sorted(rows, key=lambda row: (not row.in_pool, row.price or 0.0, row.figures.agent)),
        shares=lines(
            "Win share over time",
            f"The share of awarded tasks that each agent won, by {cut.cut}, over {chosen.said}.",
            cut.names,
            win_shares(awards, cut, palette),
            percent,
            top=1.0,
        )
        if awards
        else None,
        quality=lines(
            "Success over time",
            f"The share of each agent's judged work that was a success, by {slower.cut}, over {chosen.said}.",
            slower.names,
            success_rates(judged, slower, palette),
            percent,
            top=1.0,
        )
        if judged
        else None,
        chosen=chosen,
        palette=palette,
    )


def agent_rows(
    figures: Sequence[AgentFigures],
    auctions: Sequence[AuctionFigures],
    works: Sequence[WorkFigures],
    prices: dict[str, float],
) -> list[AgentRow]:
    """Everybody on record, and those of the pool who are not yet."""
    awards = sum(one.winner is not None for one in auctions)
    known = {one.agent: one for one in figures}
    rows: list[AgentRow] = []
    for agent in dict.fromkeys((*prices, *known)):
        own = [work for work in works if work.agent == agent]
        verdicts = Counter(work.verdict for work in own)
        mine = known.get(agent) or AgentFigures(
            agent=agent,
            auctions=0,
            wins=0,
            refined_wins=0,
            price=None,
            mean_tokens=None,
            dropped=(),
            auction_dollars=0.0,
        )
        rows.append(
            AgentRow(
                figures=mine,
                in_pool=agent in prices,
                price=prices.get(agent, mine.price),
                share=mine.wins / awards if awards else None,
                jobs=len(own),
                successes=verdicts["success"],
                failures=verdicts["failure"],
                success_range=wilson(verdicts["success"], verdicts["success"] + verdicts["failure"]),
                dollars=sum(work.dollars for work in own),
            )
        )
    return rows


def win_shares(awarded: Sequence[AuctionFigures], cut: Periods, palette: AgentPalette) -> list[Series]:
    """Each agent's share of the awards of each period."""
    by_period = [Counter(one.winner for one in group) for group in cut.group(awarded, lambda one: one.at)]
    return [
        Series(
            name=agent,
            colour=palette.colour(agent),
            values=tuple(won[agent] / won.total() if won else None for won in by_period),
            dash=DASHES[place % len(DASHES)],
        )
        for place, agent in enumerate(palette.sorted(one.winner for one in awarded if one.winner is not None))
    ]


def success_rates(judged: Sequence[WorkFigures], cut: Periods, palette: AgentPalette) -> list[Series]:
    """Each agent's successes as a share of its judged work of each period."""
    groups = cut.group(judged, lambda work: work.at)
    found: list[Series] = []
    for place, agent in enumerate(palette.sorted(work.agent for work in judged)):
        own = [[work.verdict == "success" for work in group if work.agent == agent] for group in groups]
        values = tuple(sum(good) / len(good) if good else None for good in own)
        found.append(Series(name=agent, colour=palette.colour(agent), values=values, dash=DASHES[place % len(DASHES)]))
    return found
