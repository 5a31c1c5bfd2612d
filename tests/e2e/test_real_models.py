"""The main path on the real embedded models: the 135M and the 0.5B bid, judge, work, and are verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sale import ExactMatch, Market, Task
from sale.memory.store import AuctionMemory
from tests.support.hang import HANG

pytestmark = pytest.mark.slow

POOL = """
[[agents]]
name = "smollm2-135m"
local = "smollm2-135m"
price = 0.008
answer_tokens = 120

[[agents]]
name = "qwen-coder-0.5b"
local = "qwen2.5-coder-0.5b"
price = 0.03
answer_tokens = 120

[auction]
strategy_tokens = 60
examples = 1

[memory]
path = "memory.sqlite3"
"""


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "sale.toml"
    path.write_text(POOL, encoding="utf-8")
    return path


async def test_a_task_from_bids_to_memory(settings_file: Path) -> None:
    async with Market.from_config(settings_file) as market:
        task = Task(text="Write a Python function double(x) that returns twice x.", domain="coding")
        tests = market.tests("assert double(4) == 8\nassert double(0) == 0\n")
        result = await market.run(task, verifier=tests)
        memory = await market.memory()
        assert isinstance(memory, AuctionMemory)
        record = await memory.load(result.auction.id)

    auction = result.auction
    assert auction.bids, "nobody bid"
    assert {bid.agent for bid in auction.bids} | {drop.agent for drop in auction.dropouts} == {
        "smollm2-135m",
        "qwen-coder-0.5b",
    }
    for bid in auction.bids:
        assert bid.strategy.entropy is not None, "llama.cpp gives log-probabilities"
        assert 0 <= bid.strategy.entropy.normalised <= 1
        assert bid.strategy.entropy.top_k == 20
        assert len(bid.scores) == 2
        assert not any(score.imputed for score in bid.scores), "grammar-held ballots are always valid"
    assert result.outcome.judged_by == "tests"
    assert result.outcome.verdict in {"success", "failure"}
    assert result.settlement.dollars > 0
    assert record.auction == auction
    assert record.execution == result.execution


async def test_the_second_auction_learns_from_the_first(settings_file: Path) -> None:
    """The same market refines from memory as soon as a cheaper agent has something to learn from."""
    async with Market.from_config(settings_file) as market:
        first = await market.auction("Name three prime numbers, with a check of each.")
        second = await market.auction("Name four prime numbers, with a check of each.")
    leader = next(bid for bid in second.bids if bid.agent == second.provisional)
    cheaper = [bid.agent for bid in second.bids if bid.price < leader.price]
    both = {bid.agent for bid in first.bids}
    for agent in cheaper:
        refinement = next(one for one in second.refinements if one.agent == agent)
        assert len(refinement.pairs) == (1 if agent in both and len(both) > 1 else 0)


def test_the_command_line_in_json(settings_file: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sale.cli.main", "run", "What is 2 + 2? Answer with the number only."),
            *("--expect", "4", "--config", str(settings_file), "--json", "--quiet"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == "sale.result/1"
    result = found["result"]
    assert result["outcome"]["judged_by"] in {"exact match", "execution"}
    assert result["settlement"]["dollars"] == pytest.approx(
        sum(call["dollars"] for call in result["settlement"]["calls"])
    )


async def test_exact_match_on_a_real_answer(settings_file: Path) -> None:
    async with Market.from_config(settings_file) as market:
        result = await market.run("What is the capital of France? One word.", verifier=ExactMatch("Paris"))
    assert result.outcome.verdict in {"success", "failure"}
    assert result.always_largest.agent == "qwen-coder-0.5b"
