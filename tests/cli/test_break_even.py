"""`sale bench map` and `sale weights map`, as a user sees them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sale.cli.break_even import OwnMap, described_map, own_map
from tests.bench.records import EMBEDDINGS, RECORDS
from tests.learning.pools import auctions
from tests.support.command import run_sale


def printed(own: OwnMap) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(described_map(own))
    return capture.get()


def test_own_records_say_where_the_jury_stands() -> None:
    told = printed(own_map(auctions(40)))
    assert "40 judged auctions of 40 tasks among 3 agents" in told
    assert "Your best juror, good, has an area of 0." in told
    assert "auctions like yours" in told
    assert "Your auctions cost $1e-06 each" in told
    assert "0.75" in told
    assert "never observed" not in told


def test_what_is_not_known_is_said() -> None:
    told = printed(replace(own_map(auctions(40)), jurors=()))
    assert "where your jury stands is not known" in told
    seen = [replace(one, work={one.winner: one.work[one.winner]}, overhead=0.0) for one in auctions(60)]
    told = printed(own_map(seen))
    assert "67 % of the outcomes were never observed" in told
    assert "Your auctions cost" not in told
    assert "auctions like yours" not in told


def test_the_map_of_recorded_pools(tmp_path: Path) -> None:
    pool = str(RECORDS / "hst-open")
    done = run_sale(tmp_path, "bench", "map", pool, "--embeddings", str(EMBEDDINGS), "--out", "map", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["schema"] == "sale.break_even/1"
    assert told["break_even"][0]["found"]["best"] == "qwen-coder-1.5b"
    assert (tmp_path / "map" / "break-even.svg").exists()
    assert run_sale(tmp_path, "bench", "map", str(tmp_path)).code != 0
