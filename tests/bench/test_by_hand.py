"""Rules by the kind of a task: who is asked, in which order, and when the next one is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sale.bench.market_router import SaleRouter, default_weights
from sale.bench.metrics import settle
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import RecordedTasks
from sale.bench.report.by_hand import RULES, HandWrittenRule
from sale.bench.routers.protocol import OutcomeTable
from sale.bench.tasks.schema import BenchTask, HumanTime, Kind
from tests.bench.records import pool

AGENTS = ("small", "coder", "tester")


def task(number: int, kind: Kind) -> BenchTask:
    return BenchTask(
        id=f"{number}",
        domain="coding",
        source="own",
        split="test",
        kind=kind,
        prompt=f"task {number}",
        reference="A",
        tests="assert True",
        time=HumanTime(provenance="nobody has timed it"),
        licence="MIT",
    )


def table(checks: list[list[float]]) -> OutcomeTable:
    shown = np.array(checks)
    return OutcomeTable(
        agents=AGENTS,
        prices=np.array([1.0, 2.0, 3.0]),
        ids=tuple(map(str, range(len(shown)))),
        texts=tuple(f"task {number}" for number in range(len(shown))),
        success=np.ones(shown.shape),
        dollars=np.tile([1.0, 2.0, 3.0], (len(shown), 1)),
        checks=shown,
    )


def test_the_next_one_works_where_the_examples_show_a_failure() -> None:
    rule = HandWrittenRule(name="by hand", agents={"tests": "coder", "choice": "coder"}, in_turn=AGENTS)
    kinds: list[Kind] = ["tests", "tests", "tests", "tests", "choice", "tests"]
    recorded = RecordedTasks(agents=AGENTS, tasks=[task(place, kind) for place, kind in enumerate(kinds)])
    recorded.checks = {(str(place), "an answer"): "failure" for place in range(5)}
    found = rule.route(recorded, table([[1, -1, -1], [-1, 1, -1], [-1, -1, -1], [0, -1, -1], [-1, -1, -1], [0, 0, 0]]))
    assert [AGENTS[place] for place in found.chosen] == ["small", "coder", "tester", "small", "coder", "coder"]
    assert found.called.sum(axis=1).tolist() == [1, 2, 3, 1, 1, 1]
    unseen = replace(table([[-1, -1, -1]] * 6), checks=None)
    assert rule.route(recorded, unseen).called.sum() == 6, "nobody tried the examples"


def test_a_rule_is_for_pools_that_have_its_agents() -> None:
    assert not RULES[1].suits(AGENTS)
    assert RULES[1].suits((*AGENTS, "scout"))


def test_what_rules_reach_on_record() -> None:
    """A line of configuration does as well as what learns: no claim may forget that."""
    recorded = pool("specialists", "test")
    direct = recorded.table(planned=False)
    found = {rule.name: settle((direct, rule.route(recorded, direct))) for rule in RULES if rule.suits(direct.agents)}
    reached = [(round(100 * one.success.mean(), 1), round(1e6 * one.dollars.mean(), 1)) for one in found.values()]
    assert reached == [(45.5, 20.3), (48.6, 30.5)]


@pytest.mark.parametrize("folder", ["specialists", "hst-open"])
def test_default_weights_award_as_the_market_did(folder: str) -> None:
    """Jurors are those that judged: weight given to agents that do not sit in the jury is weight lost."""
    recorded = pool(folder, "test")
    rows = {task: row for (order, task), row in recorded.auctions.items() if order == FIRST_BIDS}
    router = SaleRouter("market", rows, default_weights(recorded))
    assert [router.winner(row) for row in rows.values()] == [row.provisional or row.winner for row in rows.values()]
