"""A recorded day replayed in the shadow: the report's figures are those of the ledger and of the auctions' records.

The day is made by `benchmarks.gateway.traffic`. What the report should say is worked out here from the lines of the
ledger, the exported records and the prices, without any of the report's own code.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gateway.traffic import Conversation, day_lines, make_day, read_day, replay
from tests.support.endpoint import Endpoint
from tests.support.gateway_process import Served, gateway
from tests.support.replies import Ask, Json

PRICES = {"small": (0.1, 0.4), "large": (2.0, 8.0)}
"""Dollars per million tokens read, and written."""
STILL_SECONDS = 3.0
SHOWN = re.compile(r"^<plan (\w+) [0-9a-f]{8}>$(.*?)^</plan", re.MULTILINE | re.DOTALL)
TICKET = re.compile(r"ticket-\d{6}")


def ballot(ask: Ask) -> str | None:
    """Points that have the large agent win what is hard, and the small one the rest.

    They are as far apart as can be: the incumbent alone earns a track record in the shadow, and how much of one there
    is at an auction depends on how far the background has come.
    """
    if not ask.judging or ask.schema is None:
        return None
    shown = dict(SHOWN.findall(ask.prompt))
    best = "@large" if "a hard question" in ask.prompt else "@small"
    points = {label: 5 if best in shown.get(label, "") else 0 for label in ask.schema["properties"]}
    return json.dumps(points)


@dataclass
class Bill:
    """A conversation by the ledger alone."""

    arm: str = "shadow"
    agents: set[str] = field(default_factory=set[str])
    requests: int = 0
    read: int = 0
    written: int = 0
    work: float = 0.0
    auction: float | None = None
    winner: str | None = None

    def at(self, agent: str) -> float:
        """The same tokens at an agent's price."""
        return (self.read * PRICES[agent][0] + self.written * PRICES[agent][1]) / 1e6

    @property
    def pair(self) -> tuple[float, float]:
        """The incumbent's bill and the market's."""
        assert self.winner is not None
        assert self.auction is not None
        if self.arm == "shadow":
            return self.work, self.at(self.winner) + self.auction
        return self.at("large"), self.work + self.auction


def bills(lines: Sequence[Json], records: Mapping[str, Json]) -> dict[str, Bill]:
    """The conversations, by their names."""
    found: dict[str, Bill] = defaultdict(Bill)
    for line in lines:
        if line["path"] == "shadow":
            record = records[line["auction_id"]]
            named = TICKET.search(record["task"]["text"])
            assert named is not None
            one = found[named[0]]
            one.auction, one.winner = line["auction_dollars"], record["auction"]["winner"]["strategy"]["agent"]
            continue
        if line["path"] != "/v1/chat/completions":
            continue
        one = found[line["session_id"]]
        one.requests += 1
        one.read += line["input_tokens"]
        one.written += line["output_tokens"]
        one.work += line["work_dollars"]
        one.agents.add(line["agent"])
        if line["auction_dollars"]:
            one.arm, one.auction, one.winner = "canary", line["auction_dollars"], line["agent"]
    return found


def interval(pairs: Any, draws: int = 20_000) -> tuple[float, float]:
    """The bootstrap's, by counts of a multinomial in place of drawn rows."""
    counts = np.random.default_rng(1).multinomial(len(pairs), [1 / len(pairs)] * len(pairs), size=draws)
    low, high = np.quantile(counts @ (pairs[:, 0] - pairs[:, 1]), [0.025, 0.975])
    return float(low), float(high)


def exported(served: Served, folder: Path) -> dict[str, Json]:
    """The records, by their ids."""
    file = folder / "records.jsonl"
    served.command("memory", "export", str(file))
    records = [json.loads(line)["record"] for line in file.read_text(encoding="utf-8").splitlines()]
    return {one["id"]: one for one in records}


def wait_until_still(served: Served) -> None:
    """Wait until no line has been added to the ledger for a while: the last auctions are over."""
    count = -1
    while count != (count := len(served.lines())):
        time.sleep(STILL_SECONDS)


def check(arm: str, told: Json, found: Mapping[str, Bill], day: Sequence[Conversation]) -> None:
    """The report on one arm is what the ledger says."""
    own = {name: bill for name, bill in found.items() if bill.arm == arm}
    known = {name: bill for name, bill in own.items() if bill.winner is not None}
    assert {bill.winner for bill in known.values()} == {"small", "large"}, f"the {arm} tells nothing"
    pairs = np.array([bill.pair for bill in known.values()])
    incumbent, market = pairs.sum(axis=0)
    assert (told["conversations"], told["undecided"]) == (len(known), len(own) - len(known))
    assert told["requests"] == sum(bill.requests for bill in known.values())
    assert told["switched"] == sum(bill.winner != "large" for bill in known.values())
    assert told["incumbent_dollars"] == pytest.approx(incumbent, rel=1e-9)
    assert told["market_dollars"] == pytest.approx(market, rel=1e-9)
    assert told["auction_dollars"] == pytest.approx(sum(bill.auction or 0.0 for bill in known.values()), rel=1e-9)
    assert told["saved"]["value"] == pytest.approx(incumbent - market, rel=1e-9)
    assert told["share"]["value"] == pytest.approx((incumbent - market) / incumbent, rel=1e-9)
    low, high = interval(pairs)
    assert told["saved"]["low"] == pytest.approx(low, abs=0.08 * (high - low))
    assert told["saved"]["high"] == pytest.approx(high, abs=0.08 * (high - low))
    verdicts = [one.verdict for one in day if one.session in own and one.verdict is not None]
    assert told["judged"] == len(verdicts)
    assert told["success"] == pytest.approx(verdicts.count("success") / len(verdicts))


def test_the_report_on_a_day_is_what_the_ledger_says(tmp_path: Path) -> None:
    compare(tmp_path, conversations=60)


@pytest.mark.release
def test_the_report_on_a_busy_day_is_what_the_ledger_says(tmp_path: Path) -> None:
    compare(tmp_path, conversations=1500)


def compare(tmp_path: Path, conversations: int) -> None:
    """Replay a day of so many conversations, and compare the report with the ledger."""
    recorded = tmp_path / "day.jsonl"
    recorded.write_text(day_lines(make_day(conversations)), encoding="utf-8")
    day = read_day(recorded)
    with Endpoint(say=ballot) as endpoint:
        agents = [
            {
                "name": name,
                "endpoint": endpoint.base_url,
                "model": f"good@{name}",
                "price.input": PRICES[name][0],
                "price.output": PRICES[name][1],
                "logprobs": 0,
            }
            for name in PRICES
        ]
        server = {"mode": "shadow", "canary": 0.3}
        with gateway(tmp_path / "gateway", agents, server=server) as served:
            answered = asyncio.run(replay(served.base_url, day))
            assert answered == sum(len(one.turns) for one in day)
            wait_until_still(served)
            records = exported(served, tmp_path)
            found = bills(served.lines(), records)
            told = json.loads(served.command("shadow", "report", "--json"))["shadow"]
    assert set(found) == {one.session for one in day}
    assert sum(bill.requests for bill in found.values()) == answered
    assert all(bill.agents == {"large"} for bill in found.values() if bill.arm == "shadow")
    check("shadow", told["shadow"], found, day)
    check("canary", told["canary"], found, day)
