"""What a switch would save: the sums to the last digit, intervals that hold what they promise, and alarms."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sale.errors import StoreError
from sale.server.shadow_report import FEW, report
from sale.server.store.shadow import Arm, ShadowConversation
from sale.server.store.store import ServerStore
from sale.types import Price, Usage, Verdict

AT = datetime(2026, 11, 29, 9, tzinfo=UTC)


def row(number: int, arm: Arm = "shadow", **more: object) -> ShadowConversation:
    made = ShadowConversation(
        id=f"{arm}-{number}", session_id=str(number), key_id=None, arm=arm, began=AT, agent="large", other="small"
    )
    return replace(made, **{"turns": 1, **more})


def test_a_day_whose_saving_is_known() -> None:
    """1,000 conversations: 700 would have gone to a tenth of the price, 300 stayed; each auction cost a millidollar."""
    moved = [
        row(number, input_tokens=10_000, cached_tokens=4_000, output_tokens=1_000, turns=3, work_dollars=0.028)
        for number in range(700)
    ]
    # 6,000 at 0.2, 4,000 read from the cache at 0.05, 1,000 written at 0.8: 0.0022 dollars in place of 0.028.
    moved = [replace(one, price_input=0.2, price_cached=0.05, price_output=0.8, auction_dollars=0.001) for one in moved]
    stayed = [
        replace(one, id=f"stayed-{one.id}", other="large", price_input=2.0, price_cached=0.5, price_output=8.0)
        for one in [replace(one, work_dollars=0.022) for one in moved[:300]]
    ]
    found = report([*moved, *stayed], {}).shadow
    assert (found.conversations, found.requests, found.switched) == (1000, 3000, 700)
    assert found.agents == {"small": 700, "large": 300}
    assert found.incumbent_dollars == pytest.approx(700 * 0.028 + 300 * 0.022, abs=1e-9)
    assert found.market_dollars == pytest.approx(700 * 0.0022 + 300 * 0.022 + 1.0, abs=1e-9)
    assert found.saved is not None
    assert found.share is not None
    assert found.saved.low is not None
    assert found.saved.high is not None
    assert found.saved.value == pytest.approx(700 * 0.0258 - 1.0, abs=1e-9)
    assert found.share.value == pytest.approx((700 * 0.0258 - 1.0) / 26.2, abs=1e-12)
    # The binomial's own interval: each conversation saves 0.0248 or loses 0.001.
    reach = 1.96 * 0.0258 * (1000 * 0.7 * 0.3) ** 0.5
    assert found.saved.low == pytest.approx(found.saved.value - reach, rel=0.02)
    assert found.saved.high == pytest.approx(found.saved.value + reach, rel=0.02)


def test_the_canary_pays_its_own_bill_and_is_compared_with_the_incumbents() -> None:
    one = row(1, "canary", agent="small", other="large", input_tokens=1000, output_tokens=100, work_dollars=0.0003)
    found = report([replace(one, price_input=2.0, price_output=8.0, auction_dollars=0.0005)], {}).canary
    assert (found.incumbent_dollars, found.market_dollars) == (pytest.approx(0.0028), pytest.approx(0.0008))
    assert found.agents == {"small": 1}
    assert found.saved is not None
    assert (found.saved.value, found.saved.low, found.saved.high) == (pytest.approx(0.002), None, None)


def test_what_is_not_known_is_in_no_sum() -> None:
    open_ones = [row(1, other=None, work_dollars=5.0, auction_dollars=0.25), row(2, turns=0)]
    found = report([*open_ones, row(3, work_dollars=1.0)], {}).shadow
    assert (found.conversations, found.undecided, found.incumbent_dollars) == (1, 2, 1.0)
    assert (found.auction_dollars, found.undecided_auction_dollars) == (0.0, 0.25)
    nothing = report([], {})
    assert (nothing.shadow.saved, nothing.shadow.share, nothing.success_difference) == (None, None, None)
    assert nothing.alarms == ()
    free = report([row(1), row(2)], {}).shadow
    assert free.share is None, "an incumbent that costs nothing has no share to save"


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Conversations of very different lengths, two thirds of which would have saved half: 95 in 100 days, or nearly."""
    chance, truth, held = random.Random(7), 0.0, 0
    days = 200
    mean = 0.5 * (2 / 3) * sum(2**k for k in range(6)) / 6
    for _ in range(days):
        bills = [2.0 ** chance.randrange(6) for _ in range(150)]
        rows = [
            row(number, work_dollars=bill, output_tokens=1_000_000, price_output=bill * chance.choice([0.5, 0.5, 1.0]))
            for number, bill in enumerate(bills)
        ]
        saved = report(rows, {}).shadow.saved
        assert saved is not None
        assert saved.low is not None
        assert saved.high is not None
        truth = 150 * mean
        held += saved.low <= truth <= saved.high
    assert 0.90 <= held / days <= 0.99


def judged(arm: Arm, good: int, bad: int) -> tuple[list[ShadowConversation], dict[str, Verdict]]:
    rows = [row(number, arm, work_dollars=1.0, output_tokens=1, price_output=1.0) for number in range(good + bad)]
    return rows, {one.id: "success" if number < good else "failure" for number, one in enumerate(rows)}


@pytest.mark.parametrize(
    ("ours", "theirs", "alarmed"),
    [((40, 20), (58, 2), True), ((50, 10), (52, 8), False), ((58, 2), (40, 20), False), ((0, FEW - 1), (60, 0), False)],
)
def test_quality_alarms_only_where_it_is_worse(ours: tuple[int, int], theirs: tuple[int, int], alarmed: bool) -> None:
    canary, verdicts = judged("canary", *ours)
    shadow, others = judged("shadow", *theirs)
    stray: dict[str, Verdict] = {"unheard of": "failure"}
    found = report([*canary, *shadow], verdicts | others | stray)
    assert found.canary.success == pytest.approx(ours[0] / sum(ours))
    assert found.success_difference is not None
    assert ("quality" in found.alarms) is alarmed


@pytest.mark.parametrize(("auction", "count", "alarmed"), [(1.1, FEW, True), (1.1, FEW - 1, False), (0.9, FEW, False)])
def test_cost_alarms_only_where_a_switch_costs_more(auction: float, count: int, alarmed: bool) -> None:
    rows = [row(number, work_dollars=1.0 + number % 2 / 100, auction_dollars=auction) for number in range(count)]
    assert (report(rows, {}).alarms == ("cost",)) is alarmed


async def test_the_ledger_counts_and_keeps(tmp_path: Path) -> None:
    async with await ServerStore.open(tmp_path / "server.sqlite3") as store:
        store.shadow.begin(replace(row(1), turns=0, other=None))
        for cached in (0, 400, 5000):
            usage = Usage(input_tokens=1000, output_tokens=10)
            store.shadow.count_call("shadow-1", usage, cached=cached, dollars=0.5, answered=True)
        store.shadow.count_call("shadow-1", Usage(input_tokens=7), cached=0, dollars=0.25, answered=False)
        store.shadow.count_call("nobody's", Usage(input_tokens=7), cached=0, dollars=9.0, answered=True)
        price = Price(input=2.0, output=4.0, blended=3.0)
        store.shadow.decide("shadow-1", other="small", price=price, auction_id="a", dollars=0.125)
    async with await ServerStore.open(tmp_path / "server.sqlite3") as store:
        (found,) = await store.shadow.conversations()
        assert await store.shadow.conversations(AT.replace(hour=10)) == ()
    assert (found.turns, found.input_tokens, found.cached_tokens, found.output_tokens) == (3, 3000, 1400, 30)
    assert (found.work_dollars, found.auction_dollars) == (1.75, 0.125)
    # Cached tokens are taken to be half as dear where the price does not say.
    assert found.other_dollars == pytest.approx((1600 * 2 + 1400 * 1 + 30 * 4) / 1e6)
    assert found.began == AT


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), StoreError("x", where="y", hint="z")])
async def test_what_could_not_be_written_waits_on_whatever_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    async with await ServerStore.open(tmp_path / "server.sqlite3") as store:
        store.shadow.begin(replace(row(1), turns=0, other=None))
        with monkeypatch.context() as broken:
            broken.setattr(store._database, "write", fail)
            with pytest.raises(type(error)):
                await store.shadow.conversations()
        (found,) = await store.shadow.conversations()
    assert found.id == "shadow-1"
