"""Weights: the versions there are, which of them decide, what they rest on, and whether they still hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.responses import Response

from sale.learning.drift import DriftFinding, drift
from sale.learning.health import jury_health
from sale.learning.weight_terms import explain_decision, list_terms
from sale.memory.store import AuctionMemory
from sale.server.dashboard.request_context import RequestContext
from sale.shipped import SOURCE
from sale.types import Weights, WeightSet

DEFAULT = "default"
MEASURES = {
    "pass@1": "share of tasks solved",
    "dollars": "dollars a task",
    "regret": "share of tasks that a perfect choice solves beyond",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsCheck:
    """The verdict of later outcomes on the weights in use."""

    judged: int
    findings: tuple[DriftFinding, ...]
    why_not: str = ""
    """Why nothing could be checked."""


async def show(context: RequestContext) -> Response:
    """The page; with `check=1` the weights in use are held against the outcomes since, with `jury=1` each juror is."""
    memory = await context.memory()
    sets = await memory.weight_sets()
    given = context.market.given_weights
    used = next((one for one in sets if one.in_use), None) if given is None else None
    unfitted = context.market.prior if given is None else given
    return context.render(
        "weights",
        sets=tuple(reversed(sets)),
        used=used,
        given=given,
        shipped=context.market.prior.source == SOURCE,
        uses=tuple(reversed(await memory.weight_uses())),
        terms={one.version: list_terms(one.weights) for one in sets},
        decided={one.version: explain_decision(one.weights) for one in sets},
        measures=MEASURES,
        checked=await check(memory, used, unfitted) if context.query.get("check") == "1" else None,
        jury=await asyncio.to_thread(jury_health, await memory.examples())
        if context.query.get("jury") == "1"
        else None,
        palette=await context.site.palette(memory),
    )


async def use(context: RequestContext) -> Response:
    """Another version, or the default ones, from now on."""
    fields = await context.form()
    version = fields.get("version", "")
    if version != DEFAULT and not (version.isdecimal() and len(version) < 10):
        raise HTTPException(400, f"{version[:40]!r} is no version of the weights.")
    memory = await context.memory()
    await memory.use_weights(None if version == DEFAULT else int(version))
    return context.redirect("/weights", done="used")


async def check(memory: AuctionMemory, used: WeightSet | None, unfitted: Weights) -> WeightsCheck:
    """Check whether the weights in force still hold: those in use by the memory, else those that are not of it.

    Proposes a refit; changes nothing.
    """
    model = used.weights.model if used else unfitted.model
    if used is None and model is None:
        return WeightsCheck(
            judged=0, findings=(), why_not="The weights that decide claim nothing that could be checked."
        )
    if model is None:
        return WeightsCheck(judged=0, findings=(), why_not="Weights without a success model predict nothing to check.")
    examples = await memory.examples(datetime.fromisoformat(used.made_at) if used else None)
    found = await asyncio.to_thread(drift, examples, model)
    return WeightsCheck(judged=sum(len(example.work) for example in examples), findings=found)
