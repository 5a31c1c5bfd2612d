"""Success against dollars a task: each agent by its own work, and the market as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.responses import Response

from sale.memory.figures import AuctionFigures, WorkFigures
from sale.server.dashboard.charts.scatter import ScatterPoint, frontier, scatter
from sale.server.dashboard.formatting import mean_interval, wilson
from sale.server.dashboard.palette import AgentPalette
from sale.server.dashboard.periods import choice
from sale.server.dashboard.request_context import RequestContext

MARKET = "the market"
NOTE = (
    "Each agent is shown by the tasks it was awarded, which are not the same tasks: one that is given the hard ones "
    "looks worse than it is. The market's dollars hold its auctions and every attempt; an agent's hold its work alone. "
    "The dashed line is what drawing among single agents at random would reach for the same money: the market is worth "
    "something only where it lies above that line."
)


async def show(context: RequestContext) -> Response:
    """The page."""
    memory = await context.memory()
    chosen = choice(context.query.get("days") or "all", context.query.get("here"))
    palette = await context.site.palette(memory)
    found = points(await memory.work_figures(chosen.span), await memory.auction_figures(chosen.span), palette)
    best = {point.name for point in frontier(found)}
    summary = (
        f"Success against dollars a task over {chosen.said}; nobody is both cheaper and better than {_listed(best)}."
    )
    chart = scatter("Success against dollars a task", summary, found, NOTE) if found else None
    return context.render("pareto", figure=chart, chosen=chosen)


def points(
    works: Sequence[WorkFigures], auctions: Sequence[AuctionFigures], palette: AgentPalette
) -> list[ScatterPoint]:
    """Agents with judged work, then the market."""
    judged = [work for work in works if work.verdict in {"success", "failure"}]
    found = [
        _point(
            agent,
            palette.colour(agent),
            palette.mark(agent),
            [(work.dollars, work.verdict == "success") for work in judged if work.agent == agent],
        )
        for agent in palette.sorted(work.agent for work in judged)
    ]
    done = [(one.dollars, one.verdict == "success") for one in auctions if one.verdict in {"success", "failure"}]
    return [*found, replace(_point(MARKET, "market", "diamond", done), agent=False)] if done else found


def _point(name: str, colour: str, mark: str, done: Sequence[tuple[float, bool]]) -> ScatterPoint:
    good = sum(success for _, success in done)
    spread = mean_interval([dollars for dollars, _ in done])
    return ScatterPoint(
        name=name,
        colour=colour,
        mark=mark,
        dollars=sum(dollars for dollars, _ in done) / len(done),
        dollars_range=None if spread is None else (max(0.0, spread[1]), spread[2]),
        success=good / len(done),
        success_range=wilson(good, len(done)) or (0.0, 1.0),
        tasks=len(done),
    )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nobody"
