"""The parts of a trial: intervals that hold at every look, a purse that holds through a kill, a sale.toml as text."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sale import config
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import RecordedExecution, RecordedTasks, unpaid_auction
from sale.bench.stats import Interval
from sale.bench.trial.past import _bench_task as bench_task  # pyright: ignore[reportPrivateUsage]
from sale.bench.trial.purse import CapReachedError, Purse
from sale.bench.trial.recommend import recommended_text, with_rules
from sale.bench.trial.sequential import _bets, difference_between, mean_between
from sale.bench.trial.tasks import tasks_of_folder
from sale.bench.trial.verdict import (
    Way,
    _further,  # pyright: ignore[reportPrivateUsage]
    agents_clear,
    judge_trial,
)
from sale.errors import ConfigError, InputError
from tests.learning.pools import bid

OWN_RULES = "\n[auction] # mine\nattempts = 7\nrefine = false\n\n[sandbox]\n"
POOL = "\n".join(f'[[agents]]\nname = "{name}"\nlocal = "smollm2-135m"\nprice = 0.1\n' for name in "ab")


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_a_confidence_sequence_holds_at_every_look_together(rate: float) -> None:
    """Of 200 trials looked at after each of 120 tasks no more than a twentieth may ever be wrong (and one in a hundred
    by chance of the drawing); a plain interval looked at as often is wrong far more often."""
    rng = np.random.default_rng(7)
    wrong = plain = 0
    for _ in range(200):
        drawn = (rng.random(120) < rate).astype(float)
        low, high = mean_between(drawn.tolist(), 0.05)  # the intersection over all looks
        wrong += not low <= rate <= high
        counts = np.arange(10, 121)
        means = np.cumsum(drawn)[9:] / counts
        widths = 1.96 * np.sqrt(np.maximum(means * (1 - means), 1e-12) / counts)
        plain += bool((np.abs(means - rate) > widths).any())
    assert wrong <= 0.05 * 200
    assert plain > 0.15 * 200


def test_a_confidence_sequence_narrows_and_tells_differences() -> None:
    few, many = mean_between([1.0, 0.0] * 10, 0.05), mean_between([1.0, 0.0] * 200, 0.05)
    assert many[1] - many[0] < 0.6 * (few[1] - few[0])
    assert mean_between([], 0.05) == (0.0, 1.0)
    low, high = difference_between([1.0] * 60, [0.0, 1.0] * 30, 0.05)
    assert 0.0 < low < 0.5 < high
    with pytest.raises(ValueError, match="must lie in"):
        mean_between([1.2], 0.05)


def test_what_is_staked_on_a_value_rests_on_those_before_it_alone() -> None:
    """A stake that knew the value would refute what is true."""
    values = np.random.default_rng(0).random(40)
    for at in range(40):
        other = np.where(np.arange(40) < at, values, 1.0 - values)
        assert _bets(other, 0.05)[: at + 1].tolist() == _bets(values, 0.05)[: at + 1].tolist()


def test_it_is_clear_who_is_the_cheapest_that_is_as_good_once_it_is() -> None:
    dollars = np.tile([0.1, 1.0, 9.0], (400, 1))
    poor, good = np.tile([0.0, 1.0], 200), np.ones(400)
    assert agents_clear(np.stack([poor, good, good], axis=1), dollars, 0.05) == 1
    assert agents_clear(np.stack([good, good, good], axis=1), dollars, 0.05) == 0
    assert agents_clear(np.stack([poor, good, good], axis=1)[:10], dollars[:10], 0.05) is None
    nearly = np.where(np.arange(400) % 40 == 0, 0.0, 1.0)
    found = agents_clear(np.stack([nearly, good, good], axis=1), dollars, 0.05)
    assert found is None, "the cheapest is neither clearly worse nor clearly as good"
    assert agents_clear(np.zeros((0, 2)), np.zeros((0, 2)), 0.05) is None


async def test_a_purse_never_goes_beyond_its_cap_and_counts_what_was_cut_short() -> None:
    lines: list[dict[str, Any]] = []
    purse = Purse(1.0, lines.append)
    first = await purse.reserve(0.6)
    waiting = asyncio.create_task(purse.reserve(0.6))  # fits once the first turns out cheaper
    await asyncio.sleep(0)
    assert not waiting.done()
    await purse.pay(first, 0.1)
    await waiting
    assert purse.left == pytest.approx(0.3)
    with pytest.raises(CapReachedError):
        await purse.reserve(0.95)
    again = Purse(1.0, lines.append)
    again.read(lines)  # the process died with the second under way
    assert again.spent == pytest.approx(0.7)
    with pytest.raises(CapReachedError):
        await again.reserve(0.31)
    await again.lose(await again.reserve(0.3))
    assert again.spent == pytest.approx(1.0)


def way(name: str, **more: Any) -> Way:
    some = Interval(value=0.5, low=0.4, high=0.6, tasks=30, how="bootstrap")
    given: dict[str, Any] = {
        "kind": "market",
        "success": some,
        "dollars": some,
        "share": 0.5,
        "difference": (0.0, 0.1),
        "standing": "as good",
        "more_tasks": None,
    }
    return Way(name=name, **(given | more))


@pytest.mark.parametrize(
    ("chosen", "rules"),
    [
        (way("b", kind="agent"), {"allowance": 0.0, "incumbent": "b", "attempts": 1}),
        (way("market", hold="worthwhile", attempts=2), {"hold": "worthwhile", "attempts": 2, "allowance": inf}),
        (way("market", hold="never"), {"hold": "worthwhile", "attempts": 1, "allowance": 0.0}),
    ],
)
@pytest.mark.parametrize("ending", ["", "\n[auction]\n", OWN_RULES])
def test_the_recommended_file_is_the_users_own_with_these_rules(
    chosen: Way, rules: dict[str, object], ending: str
) -> None:
    text = recommended_text(POOL + ending, chosen, origin="sale.toml", base=None)
    found = config.parse(text)
    assert {name: getattr(found.auction, name) for name in rules} == rules
    assert found.auction.refine == ("refine" not in ending)
    assert with_rules(text, {}) == text or text.endswith("\n")


def test_what_would_forbid_the_recommended_auctions_is_taken_out() -> None:
    """An earlier trial recommended one agent alone: its allowance of nothing forbade the auctions of the next."""
    alone = recommended_text(POOL, way("b", kind="agent"), origin="sale.toml", base=None)
    after = config.parse(recommended_text(alone, way("market", hold="worthwhile"), origin="sale.toml", base=None))
    assert after.auction.allowance == inf
    assert after.served.auction.allowance == inf


def test_a_file_that_writes_its_rules_otherwise_is_not_guessed_at() -> None:
    with pytest.raises(ConfigError):
        recommended_text("auction = { attempts = 3 }\n" + POOL, way("m", hold="always"), origin="f", base=None)


def test_a_folder_of_prompts_is_read_with_what_lies_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Write f.")
    (tmp_path / "a.py").write_text("assert f()")
    (tmp_path / "b.md").write_text("Name a prime.")
    (tmp_path / "c.md").write_text("What is 2 + 2?")
    (tmp_path / "c.expect").write_text("4\n")
    found = {task.id: (task.kind, task.prompt, task.tests, task.reference) for task in tasks_of_folder(tmp_path)}
    assert found == {
        "a": ("tests", "Write f.", "assert f()", None),
        "b": ("judged", "Name a prime.", None, None),
        "c": ("short", "What is 2 + 2?", None, "4"),
    }
    (tmp_path / "d.txt").write_text(" \n")
    with pytest.raises(InputError, match="the prompt is empty"):
        tasks_of_folder(tmp_path)


@pytest.mark.parametrize(("ours", "theirs"), [(3, 12), (10, 12), (12, 12)])
def test_how_many_more_tasks_would_tell_goes_by_the_interval_that_decides(ours: int, theirs: int) -> None:
    """A plain interval said one, where the sequence was far from telling."""
    mine = np.roll((np.arange(20) < ours).astype(float), 4)
    best = (np.arange(20) < theirs).astype(float)
    found = _further(mine, best, 0.1, 0.05)

    def tells(total: int) -> bool:
        low, high = difference_between(np.resize(mine, total).tolist(), np.resize(best, total).tolist(), 0.05)
        return low > -0.1 or high < 0.0

    assert not tells(20)
    if found is None:
        assert not tells(2000)
    else:
        assert tells(20 + found)
        assert not tells(20 + found - 3)


def told_apart_by_a_juror(count: int) -> RecordedTasks:
    """Two agents of one price, one of which solves each task; a juror of small cost always tells which."""
    names = ("a", "b")
    tasks = [bench_task(f"Task {number}, one of many.") for number in range(count)]
    found = RecordedTasks(agents=names, prices=(1.0, 1.0), tasks=tasks)
    for number, one in enumerate(tasks):
        able = names[np.random.default_rng(number).integers(2)]
        bids = tuple(bid(name, 1.0, points={"juror": 5.0 if name == able else 0.0}) for name in names)
        for made in bids:
            for plan in ("", made.strategy.text):
                found.works[one.id, made.agent, plan] = RecordedExecution(
                    agent=made.agent,
                    success=made.agent == able,
                    judged=True,
                    dollars=0.001,
                    tokens=1000,
                    seconds=1.0,
                    answer=f"of {made.agent}",
                    error=None,
                )
        found.auctions[FIRST_BIDS, one.id] = replace(
            unpaid_auction(one.id),
            bids=bids,
            winner=able,
            strategy=bids[0].strategy.text,
            dollars=2e-5,
            first_dollars=2e-5,
        )
    return found


def test_a_trial_finds_auctions_that_pay() -> None:
    """What was fitted without bids served for all ways: no juror could earn a weight, and no auction seemed to pay."""
    recorded = told_apart_by_a_juror(60)
    rows = {one.id: np.eye(60)[number] for number, one in enumerate(recorded.tasks)}
    report = judge_trial(recorded, lambda texts: np.stack([rows[text] for text in texts]), 0.05, 2)
    found = {one.name: one for one in report.ways}
    assert found["market, no auctions"].success.value < 0.7
    assert found["market, auctions where they pay"].success.value > 0.9
    assert found["market, 2 attempts"].success.value > 0.9


def test_what_is_cheapest_and_worse_is_not_recommended() -> None:
    recorded = told_apart_by_a_juror(20)
    for at, work in recorded.works.items():
        good = at[1] == "b"
        recorded.works[at] = replace(work, success=good, dollars=0.01 if good else 0.001)
    rows = {one.id: np.eye(20)[number] for number, one in enumerate(recorded.tasks)}
    report = judge_trial(recorded, lambda texts: np.stack([rows[text] for text in texts]), 0.05, 2)
    found = {one.name: one for one in report.ways}
    assert min(report.ways, key=lambda way: way.dollars.value).name == "a"
    assert (report.best, report.cheapest, found["a"].standing) == ("b", None, "worse")
    assert report.recommended.success.value == 1.0
