"""What sale knows of the embedded pool: for whom it holds, what it says, and that its files hold what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from sale import Market, config
from sale.cli.weights import weights
from sale.config import Settings
from sale.learning.refit_trigger import check_refit
from sale.shipped import knowledge_of, load_shipped
from sale.shipped.knowledge import read
from sale.types import Example, Worked

EMBEDDED = config.parse(config.shipped_text())


def changed(**agent: object) -> Settings:
    """The embedded pool with its first agent changed."""
    first, *others = EMBEDDED.agents
    return EMBEDDED.model_copy(update={"agents": (first.model_copy(update=agent), *others)})


def test_the_embedded_pool_begins_with_what_was_measured() -> None:
    known = knowledge_of(EMBEDDED)
    assert known is not None
    model = known.weights.model
    assert model is not None
    assert set(model.intercepts) == {agent.name for agent in EMBEDDED.agents}
    assert known.weights.source == "shipped"
    assert len(known.work.digests) >= 100
    assert len(known.work.digests) == len(known.work.work) == len(known.work.vectors) == len(known.domains)
    assert np.allclose(np.linalg.norm(known.work.vectors, axis=1), 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "another"},
        {"local": "qwen2.5-coder-0.5b"},
        {"follow_strategy": True},
        {"samples": 3},
        {"execution": "repair"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_of_any_other_pool_nothing_is_known(change: Mapping[str, Any]) -> None:
    assert knowledge_of(changed(**change)) is None


def test_a_price_of_ones_own_is_another_pool() -> None:
    price = config.parse(config.shipped_text().replace("price = 0.03\n", "price = 0.04\n"))
    assert knowledge_of(price) is None


def test_the_command_line_shows_what_it_says(tmp_path: Path) -> None:
    place = tmp_path / "sale.toml"
    place.write_text(config.shipped_text(), encoding="utf-8")
    asked = ["show", "shipped", "--config", str(place)]
    done = CliRunner().invoke(weights, [*asked, "--json"])
    assert json.loads(done.output)["weights"]["training"]["objective"] == "utility"
    assert "Weights, shipped" in CliRunner().invoke(weights, asked).output
    checked = CliRunner().invoke(weights, ["check", "--config", str(place)])
    assert "Weights shipped, 0 judged executions on record: nothing speaks against them" in checked.output
    assert "the shipped weights" in CliRunner().invoke(weights, ["use", "default", "--config", str(place)]).output


def test_a_few_outcomes_do_not_ask_for_weights_in_place_of_those_that_rest_on_hundreds() -> None:
    few = [
        Example(
            auction_id=str(number),
            task=f"task {number}",
            bids=(),
            winner="qwen-coder-0.5b",
            work={"qwen-coder-0.5b": Worked(success=number % 2 == 0, dollars=1e-5)},
            overhead=0.0,
        )
        for number in range(30)
    ]
    assert check_refit(few, None).due
    found = check_refit(few, load_shipped().weight_set)
    assert not found.due
    assert "the shipped weights hold" in found.reasons[0]


def test_fewer_agents_of_the_pool_are_known_as_they_are() -> None:
    assert knowledge_of(EMBEDDED.model_copy(update={"agents": EMBEDDED.agents[1:]})) is not None


def test_questions_with_passages_say_nothing_of_questions_without() -> None:
    whole, known = load_shipped(), knowledge_of(EMBEDDED)
    assert known is not None
    assert "search" in whole.domains
    assert "search" not in known.domains
    assert len(known.work.digests) == len(known.domains) == len(whole.domains) - whole.domains.count("search")


def test_the_files_hold_what_was_found() -> None:
    known = load_shipped()
    again = read(known.as_files().__getitem__)
    assert (again.agents, again.weights, again.training, again.domains) == (
        known.agents,
        known.weights,
        known.training,
        known.domains,
    )
    assert again.work.work == known.work.work
    assert np.allclose(again.work.vectors, known.work.vectors, atol=1e-3)


@pytest.mark.slow
async def test_a_new_market_awards_by_it_without_spending_anything(tmp_path: Path) -> None:
    place = EMBEDDED.memory.model_copy(update={"path": tmp_path / "memory.sqlite3"})
    settings = EMBEDDED.model_copy(update={"memory": place})
    async with Market.from_config(settings=settings) as market:
        auction = await market.auction("Write a function `add(a, b)` that adds two numbers.")
    assert (auction.weights.source, auction.held, auction.settlement.dollars) == ("shipped", False, 0.0)
    assert all(bid.track is not None and bid.track.evidence > 0 for bid in auction.bids)
