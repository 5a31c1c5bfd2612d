"""The calibrated simulation of the paper: it holds what is published, and it is the market's own auction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.paper_simulation import __main__ as command
from benchmarks.paper_simulation.market import (
    SimulatedMarket,
    ablated,
    open_market,
    refined_plans,
    reweighed,
    with_memory,
    without_memory,
)
from benchmarks.paper_simulation.report import (
    ablation_table,
    draw_worlds,
    fit_domain,
    fit_table,
    quality_table,
    share_table,
    world_table,
)
from benchmarks.paper_simulation.world import (
    AGENTS,
    CODING,
    DOMAINS,
    PRICES,
    JurorQuality,
    PaperDomain,
    as_bid,
    draw_world,
    success_by_bin,
)
from sale.agents.contractor import Contractor
from sale.config import AgentSettings
from sale.market import Market
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from sale.models.scripted import Line, Script, ScriptedModel, plans_in
from sale.types import AuctionRules, Price, Prompt, Strategy

QUALITY = JurorQuality(area=0.65, lift=1.5)


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.name)
def test_a_world_holds_what_is_published(domain: PaperDomain) -> None:
    assert sum(domain.tasks) == {"deep search": 354, "coding": 399}[domain.name]
    rates = success_by_bin(domain)
    assert ((rates > 0) & (rates < 1)).all()
    assert (np.diff(rates, axis=0) >= 0).all()  # larger agents solve more
    assert rates[-1] @ np.array(domain.tasks) / sum(domain.tasks) == pytest.approx(domain.largest)
    assert rates[0, 0] / rates[-1, 0] == pytest.approx(domain.smallest[0])
    assert rates[0, -1] / rates[-1, -1] == pytest.approx(domain.smallest[1])
    world = draw_world(domain, 3)
    assert world.success[:, -1].mean() == pytest.approx(domain.largest, abs=0.005)
    assert world.success.any(axis=1).mean() == pytest.approx(domain.oracle, abs=0.005)
    for place, known in enumerate(domain.known):
        if known is not None:
            assert world.success[world.bins == place, -1].mean() == pytest.approx(known, abs=0.007)
    again = draw_world(domain, 3)
    assert (again.deviates == world.deviates).all()


def test_better_jurors_solve_more_and_jurors_that_know_nothing_solve_no_more_than_the_best_agent() -> None:
    worlds = draw_worlds(CODING, 2)
    solved = [
        np.mean([one.success for world, dev in worlds for one in without_memory(open_market(world, dev, quality))])
        for quality in (JurorQuality(area=area, lift=0.0) for area in (0.5, 0.7, 0.9))
    ]
    assert solved[0] < CODING.largest < solved[2] < CODING.oracle
    assert solved[0] < solved[1] < solved[2]


def plan_text(task: int, agent: str, *, refined: bool) -> str:
    return f"1. Write {'second' if refined else 'first'}-{task}-{agent}.\n2. Hand it in."


def script_of(name: str, plans: Mapping[str, tuple[Strategy, Mapping[str, int]]]) -> Script:
    """An agent that writes the plans and gives the votes that were drawn."""

    def script(prompt: Prompt, schema: Mapping[str, object] | None) -> Line | str:
        stage = prompt.template.partition("@")[0]
        if schema is not None and stage.startswith("judge"):
            return json.dumps({label: plans[text][1][name] for label, text in plans_in(prompt.user).items()})
        if stage in {"bid", "refine"}:
            task = int(prompt.user.split("Do task ")[1].split(".")[0])
            text = plan_text(task, name, refined=stage == "refine")
            return Line(text=text, tokens=plans[text][0].tokens)
        return "done"

    return script


async def test_the_simulation_is_the_market(tmp_path: Path) -> None:
    """The same plans and votes through the market itself, with its memory: the same winners, one after the other."""
    world = draw_world(CODING, 0, share=0.05)
    drawn = open_market(world, draw_world(CODING, 1, share=0.2), QUALITY)
    weights = replace(drawn.weights, entropy=0.0)  # no log-probabilities can be scripted to a given entropy
    first = tuple(tuple(reweighed(bids, weights)) for bids in drawn.first)
    market = SimulatedMarket(world=world, first=first, weights=weights, quality=QUALITY)
    order = np.random.default_rng(0).permutation(len(world.bins))
    expected = with_memory(market, order, 0.5)
    second, _ = refined_plans(market, order, 0.5)
    plans: dict[str, tuple[Strategy, Mapping[str, int]]] = {}
    for task, bids in enumerate(first):
        for agent, bid in enumerate(bids):
            for strategy, scores in ((bid.strategy, bid.scores), as_bid(second, task, agent, refined=True)):
                votes = {score.juror: int(score.value) for score in scores}
                plans[plan_text(task, strategy.agent, refined=strategy.refined)] = strategy, votes
    agents = [
        Contractor(
            AgentSettings(name=name, endpoint="http://127.0.0.1:9", model=name),
            price=Price(input=price, output=price, blended=price),
            model=ScriptedModel(script_of(name, plans)),
        )
        for name, price in zip(AGENTS, PRICES, strict=True)
    ]

    async def memory() -> AuctionMemory:
        return await AuctionMemory.open(tmp_path / "memory.sqlite3", embedder=MiniLMEmbedder())

    rules = AuctionRules(strategy_tokens=1000)
    async with Market(agents, rules=rules, weights=weights, memory=memory) as real:
        for task, award in zip(map(int, order), expected, strict=True):
            auction = (await real.run(f"Do task {task}.")).auction
            assert (auction.winner.agent, auction.winner.strategy.refined) == (AGENTS[award.agent], award.refined)
            refined = tuple(one.agent for one in auction.refinements if one.bid is not None)
            assert refined == award.refiners
    assert any(award.refined for award in expected)
    assert len({award.agent for award in expected}) > 1


def test_a_small_part_makes_every_table_and_each_line_says_what_it_is() -> None:
    worlds = draw_worlds(CODING, 2, share=0.3)
    fitted, grid = fit_domain(CODING, worlds, (0.6, 0.7), (0.0, 2.0), (0.0, 1.0))
    again, _ = fit_domain(CODING, worlds, (0.6, 0.7), (0.0, 2.0), (0.0, 1.0))
    assert fitted == again  # from fixed seeds
    assert fitted.quality in {JurorQuality(area=area, lift=lift) for area, lift in grid}
    assert 0.5 < fitted.one_juror < fitted.jury < 1.0  # four jurors know more than one
    sheets = [
        fit_table([fitted]),
        share_table([fitted]),
        ablation_table([fitted]),
        world_table(CODING, worlds),
        quality_table(CODING, grid),
    ]
    for sheet in sheets:
        assert {row[0] for row in sheet.rows} <= {"published", "simulated"}
        assert all(len(row) == len(sheet.head) for row in sheet.rows)
    whole = ablated(open_market(*worlds[0], fitted.quality))
    assert {"no price", "no jury", "without juror 4B"} <= set(whole)


def test_the_page_holds_the_tables_beside_it() -> None:
    text = command.PAGE.read_text(encoding="utf-8")
    kept = sorted(path.stem for path in command.OUT.glob("*.csv"))
    assert kept == sorted(
        ["ablations", "coding-quality", "coding-world", "deep-search-quality", "deep-search-world", "fit", "shares"]
    )
    for name in kept:
        for line in (command.OUT / f"{name}.csv").read_text(encoding="utf-8").splitlines()[1:]:
            assert "| " + line.replace(",", " | ") + " |" in text


@pytest.mark.release
def test_the_tables_are_made_again() -> None:
    for sheet in command.simulation_tables():
        assert (command.OUT / f"{sheet.key}.csv").read_text(encoding="utf-8") == sheet.csv(), sheet.key
