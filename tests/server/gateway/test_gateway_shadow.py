"""The market in the incumbent's shadow: answers untouched, auctions afterwards, sums to the cent; and the canary."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sale import config
from sale.server.gateway import feedback, shadow
from sale.server.gateway.shadow import SLOTS, arm_of
from sale.server.shadow_report import FEW, ShadowReport
from sale.server.store.shadow import ShadowConversation
from sale.types import Price, Usage
from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint
from tests.support.gateway_process import gateway as gateway_process
from tests.support.hang import HANG

SHADOW = {"mode": "shadow"}
SMALL = Price(input=0.1, output=0.2, blended=0.125)
LARGE = Price(input=1.0, output=2.0, blended=1.25)
"""As `opening` prices two agents."""


def ask(gateway: Gateway, messages: list[Any], session: str, **more: Any) -> httpx2.Response:
    body = {"model": "sale", "messages": messages, **more}
    headers = {"x-sale-session": session}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG)


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def usage_of(answer: httpx2.Response) -> Usage:
    counted = answer.json()["usage"]
    return Usage(input_tokens=counted["prompt_tokens"], output_tokens=counted["completion_tokens"])


def rows(gateway: Gateway, done: int | None = None) -> dict[str, ShadowConversation]:
    """The conversations by name, once no auction is under way."""
    assert gateway.state is not None
    assert gateway.store is not None
    state, store = gateway.state, gateway.store

    async def settled() -> tuple[ShadowConversation, ...]:
        while under_way := tuple(state.shadow._tasks):
            await asyncio.wait(under_way)
        return await store.shadow.conversations()

    found = {one.session_id: one for one in gateway.do(settled())}
    assert done is None or len(found) == done
    return found


def report(gateway: Gateway) -> ShadowReport:
    assert gateway.state is not None
    rows(gateway)
    found: ShadowReport = gateway.do(gateway.state.shadow.look(gateway.state.handle.market))
    return found


def record(gateway: Gateway, auction_id: str) -> Any:
    async def load() -> Any:
        assert gateway.state is not None
        memory = await gateway.state.handle.market.memory()
        assert memory is not None
        return await memory.load(auction_id)

    return gateway.do(load())


def test_a_days_traffic_is_answered_untouched_and_summed_up_to_the_cent(opening: Opening, endpoint: Endpoint) -> None:
    used: dict[str, Usage] = {}
    with opening(SHADOW, small="good", large="good") as gateway:
        for number in range(24):
            name, messages = f"of day {number}", said(f"Question {number}: {'why ' * (number * 7 % 40)}?")
            for turn in range(1 + number % 3):
                answer = ask(gateway, messages, name, stream=False)
                assert answer.headers["x-sale-agent"] == "large"
                # A client sees, and the endpoint is sent, what it would be without a market: no plan, no other word.
                assert endpoint.requests("good@large")
                assert messages in [sent.body["messages"] for sent in endpoint.requests("good@large")]
                used[name] = used.get(name, Usage()) + usage_of(answer)
                said_back = answer.json()["choices"][0]["message"]
                messages = [*messages, said_back, {"role": "user", "content": f"And then, {turn}?"}]
        found, sums = rows(gateway, done=24), report(gateway)
        auctions = {name: record(gateway, one.auction_id or "") for name, one in found.items()}
        lines = gateway.lines()
    saved = 0.0
    for name, one in found.items():
        held = auctions[name]
        assert (one.arm, one.agent, one.other) == ("shadow", "large", "small")
        assert (held.auction.winner.agent, held.execution, held.status) == ("small", None, "awarded")
        assert one.turns == 1 + int(name.split()[-1]) % 3
        assert one.work_dollars == pytest.approx(LARGE.dollars(used[name]), abs=1e-12)
        assert one.auction_dollars == pytest.approx(held.auction.settlement.dollars, abs=1e-12)
        assert one.auction_dollars > 0
        saved += LARGE.dollars(used[name]) - SMALL.dollars(used[name]) - held.auction.settlement.dollars
    assert sums.shadow.saved is not None
    assert sums.shadow.saved.value == pytest.approx(saved, abs=1e-9)
    assert (sums.shadow.conversations, sums.shadow.requests, sums.shadow.switched) == (24, 48, 24)
    # What the auctions cost is on the ledger, beside the requests, and on no key's bill.
    beside = [line for line in lines if line.path == "shadow"]
    assert sum(line.auction_dollars for line in beside) == pytest.approx(sums.shadow.auction_dollars, abs=1e-12)
    assert len(lines) == 48 + 24
    assert all(line.auction_dollars == 0.0 for line in lines if line.path != "shadow")


def test_an_auction_that_hangs_keeps_nobody_waiting_and_few_are_held_at_once(
    opening: Opening, endpoint: Endpoint
) -> None:
    with opening(SHADOW, slow="hang", large="good") as gateway:
        for number in range(SLOTS + 4):
            assert ask(gateway, said(f"Question {number}?"), str(number)).status_code == 200
        assert endpoint.wait(lambda: len(endpoint.requests("hang@slow")) == SLOTS)
        assert gateway.state is not None
        assert gateway.state.shadow.waiting == SLOTS + 4
    assert len(endpoint.requests("hang@slow")) == SLOTS
    assert all(sent.cancelled for sent in endpoint.requests("hang@slow"))


def test_feedback_and_settlement_are_about_the_incumbents_work(opening: Opening) -> None:
    with opening(SHADOW, small="good", large="good") as gateway:
        for name in ("good", "bad", "silent"):
            ask(gateway, said(f"Is this {name}?"), name)
        found = rows(gateway, done=3)
        for name, verdict in (("good", "success"), ("bad", "failure")):
            body = {"session_id": name, "verdict": verdict}
            assert httpx2.post(f"{gateway.url}/feedback", json=body, timeout=HANG).status_code == 200
        kept = {name: record(gateway, one.id) for name, one in found.items()}
        sums = report(gateway)
    assert (kept["good"].execution.agent, kept["good"].outcome.verdict) == ("large", "success")
    assert (kept["bad"].execution.agent, kept["bad"].outcome.verdict) == ("large", "failure")
    assert not kept["good"].auction.held
    assert (sums.shadow.judged, sums.shadow.success) == (2, 0.5)


def test_a_verdict_quicker_than_the_record_waits_for_it(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "BEGIN_SECONDS", 0.01)
    open_record = shadow._open_record

    async def late(*given: Any) -> None:
        await asyncio.sleep(0.5)
        await open_record(*given)

    monkeypatch.setattr(shadow, "_open_record", late)
    with opening(SHADOW, small="good", large="good") as gateway:
        ask(gateway, said("Is this slow?"), "slow")
        body = {"session_id": "slow", "verdict": "success"}
        assert httpx2.post(f"{gateway.url}/feedback", json=body, timeout=HANG).status_code == 200
        (one,) = rows(gateway, done=1).values()
        assert record(gateway, one.id).outcome.verdict == "success"


def test_the_incumbents_errors_are_the_clients_and_the_others_stay_out_of_it(
    opening: Opening, endpoint: Endpoint
) -> None:
    with opening(SHADOW, small="good", large="500-then-good") as gateway:
        first = ask(gateway, said("Question?"), "mine")
        assert (first.status_code, first.json()["error"]["code"]) == (502, "upstream_failed")
        assert endpoint.requests("good@small") == []
        assert not rows(gateway)["mine"].decided
        assert ask(gateway, said("Question?"), "mine").headers["x-sale-agent"] == "large"
        assert rows(gateway)["mine"].decided


@pytest.mark.parametrize("named", [True, False])
def test_titles_and_probes_are_the_incumbents_too(opening: Opening, endpoint: Endpoint, named: bool) -> None:
    with opening(SHADOW, small="good", large="500-then-good") as gateway:
        headers = {"x-claude-code-session-id": "mine"} if named else {}
        body = {"model": "sale", "max_tokens": 50 if named else 1, "messages": said("Question?")}

        def title() -> httpx2.Response:
            return httpx2.post(f"{gateway.url}/messages", json=body, headers=headers, timeout=HANG)

        first, second = title(), title()
        assert (first.status_code, first.headers["x-sale-error"]) == (502, "upstream_failed")
        assert second.headers["x-sale-agent"] == "large"
        assert endpoint.requests("good@small") == []


def test_a_new_task_changes_nothing_of_it(opening: Opening) -> None:
    with opening(SHADOW | {"reauction": "task"}, small="good", large="good") as gateway:
        answer = ask(gateway, said("Question?"), "mine")
        turns = [*said("Question?"), answer.json()["choices"][0]["message"], *said("Another task?")]
        assert ask(gateway, turns, "mine").headers["x-sale-agent"] == "large"
        assert rows(gateway, done=1)["mine"].turns == 2


def test_requirements_hold_in_the_shadow_too(opening: Opening, endpoint: Endpoint) -> None:
    labels = {"large": {"labels": {"region": "eu"}}, "other": {"labels": {"region": "eu"}}}
    with opening(SHADOW, labels, small="good", other="good", large="good") as gateway:
        ask(gateway, said("Question?"), "mine", metadata={"sale_require": "region=eu"})
        assert rows(gateway)["mine"].other == "other"
    assert endpoint.requests("good@small") == []


def test_what_no_allowance_covers_is_no_auction_and_what_the_market_would_have_done(opening: Opening) -> None:
    made = opening(SHADOW, small="good", large="good")
    made.settings = made.settings.model_copy(update={"auction": replace(made.settings.auction, allowance=0.0)})
    with made as gateway:
        ask(gateway, said("Question?"), "mine")
        (one,) = rows(gateway).values()
        sums = report(gateway)
    assert (one.other, one.auction_dollars) == ("large", 0.0)
    assert sums.shadow.saved is not None
    assert sums.shadow.saved.value == pytest.approx(0.0, abs=1e-12)


class TestCanary:
    def test_the_share_is_what_was_asked_for_and_a_name_has_one_arm(self) -> None:
        for share in (0.0, 0.05, 0.5, 1.0):
            settings = config.ServerSettings(mode="shadow", canary=share)
            arms = [arm_of(settings, "k", f"session {number}") for number in range(20_000)]
            assert arms == [arm_of(settings, "k", f"session {number}") for number in range(20_000)]
            assert arms.count("canary") / len(arms) == pytest.approx(share, abs=0.012)
        assert arm_of(config.ServerSettings(canary=0.0), "k", "session 1") is None

    def test_its_conversations_are_the_markets_to_their_end(self, opening: Opening) -> None:
        settings = config.ServerSettings(mode="shadow", canary=0.5)
        used: dict[str, Usage] = {}
        with opening(SHADOW | {"canary": 0.5}, small="good", large="good") as gateway:
            for number in range(8):
                name, messages = f"talk {number}", said(f"Question {number}?")
                agent = {"canary": "small", "shadow": "large"}[arm_of(settings, None, name) or ""]
                for _ in range(2):
                    answer = ask(gateway, messages, name)
                    assert answer.headers["x-sale-agent"] == agent
                    used[name] = used.get(name, Usage()) + usage_of(answer)
                    messages = [*messages, answer.json()["choices"][0]["message"], *said("Sure?")]
            found, sums = rows(gateway, done=8), report(gateway)
        canary = {name: one for name, one in found.items() if one.arm == "canary"}
        assert 0 < len(canary) < 8
        for name, one in canary.items():
            assert (one.agent, one.other, one.turns) == ("small", "large", 2)
            assert one.market_dollars == pytest.approx(SMALL.dollars(used[name]) + one.auction_dollars, abs=1e-12)
            assert one.incumbent_dollars == pytest.approx(LARGE.dollars(used[name]), abs=1e-12)
        assert sums.canary.conversations == len(canary)
        assert sums.shadow.conversations == 8 - len(canary)


def test_an_alarm_is_said_once_and_taken_back(opening: Opening, caplog: pytest.LogCaptureFixture) -> None:
    raised: list[tuple[str, ...]] = []
    with opening(SHADOW, small="good", large="good") as gateway, caplog.at_level(logging.WARNING, "sale.server"):
        assert gateway.state is not None
        assert gateway.store is not None
        gateway.state.shadow.on_alarms = lambda alarms: raised.append(tuple(alarms))
        store = gateway.store

        async def add(prefix: str, count: int, auction: float) -> None:
            for number in range(count):
                store.shadow.begin(
                    ShadowConversation(
                        id=f"{prefix}{number}",
                        session_id="s",
                        key_id=None,
                        arm="shadow",
                        began=datetime.now(UTC),
                        agent="large",
                        other="small",
                        turns=1,
                        work_dollars=1.0,
                        auction_dollars=auction,
                    )
                )

        gateway.do(add("dear", FEW, 1.5))
        assert report(gateway).alarms == report(gateway).alarms == ("cost",)
        gateway.do(add("cheap", 20 * FEW, 0.1))
        assert report(gateway).alarms == ()
    assert raised == [("cost",), ("cost",), ()]
    told = [line for line in caplog.messages if "the market costs more" in line]
    assert len(told) == 2
    assert (told[0].startswith("alarm: "), told[1].startswith("no longer: ")) == (True, True)


def test_the_command_the_page_and_the_metrics(tmp_path: Path, endpoint: Endpoint) -> None:
    pool: list[Mapping[str, object]] = [
        {"name": name, "endpoint": endpoint.base_url, "model": f"good@{name}", "price": price}
        for name, price in (("small", 0.1), ("large", 1.0))
    ]
    with gateway_process(tmp_path, pool, server=SHADOW) as served:
        assert "No conversation has been compared yet" in served.command("shadow", "report")
        for number in range(3):
            body = {"model": "sale", "messages": said(f"Question {number}?")}
            assert httpx2.post(f"{served.base_url}/chat/completions", json=body, timeout=HANG).status_code == 200

        def compared() -> int:
            found = json.loads(served.command("shadow", "report", "--json", "--days", "1"))["shadow"]["shadow"]
            return int(found["conversations"])

        assert served.wait(lambda: compared() == 3)
        shown = served.command("shadow", "report")
        with urllib.request.urlopen(f"{served.origin}/shadow", timeout=HANG) as answer:
            page = answer.read().decode()
        with urllib.request.urlopen(f"{served.origin}/metrics", timeout=HANG) as answer:
            metrics = answer.read().decode()
    assert "The market would have chosen: small 3." in shown
    assert "With the market" in page
    assert "of it auctions" in page
    assert "sale_shadow_alarm" in metrics
