"""What each contender comes to on a table, task by task, each task by what was learnt on other repositories."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.outside.tables import FOLDS, group_folds
from sale.bench.metrics import best_single
from sale.bench.report.cross_validation import join_routings, train_and_route
from sale.bench.routers.attempts import CheckedAttempts, CheckTerms
from sale.bench.routers.baselines import RELATED
from sale.bench.routers.estimators import SEED, folds
from sale.bench.routers.features import Features
from sale.bench.routers.fixed import AlwaysCheapest, BestSingle, Oracle, SingleAgent
from sale.bench.routers.protocol import Bools, Floats, Ints, OutcomeTable, Router, Routing
from sale.extensions import make

SEEDS = 10
PRICE = 0.02
"""Of a check, as a share of the work it looks at."""
PASSES, REFUSALS = (0.0, 0.1, 0.2, 0.3), (0.0, 0.1, 0.2)
STATED = CheckTerms(false_pass=0.2, false_fail=0.1, price=PRICE)
"""The check of the question."""
WEAKER = ((0.4, 0.1), (0.6, 0.1), (0.8, 0.1), (0.8, 0.4))
"""Wrong work passed and right work refused by checks beyond the surface, to see where they stop paying."""
LEARNT = ("wtp-knn", "carrot-knn", "to-router-knn", *RELATED)
"""Routers that are fitted on outcomes, unless others are asked for. FrugalGPT needs answers. The variants that train a
model an agent and fold (`wtp-mlp`, `carrot-text`, `to-router-mlp`) take minutes to hours each on these tables."""
WORTHS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""What a solved task is worth, in executions of the best agent, where it is stated."""
ROUTERS = Path(__file__).resolve().parents[2] / "src" / "sale" / "bench" / "routers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A contender: T tasks, the mean over seeds where checks are simulated."""

    name: str
    success: Floats
    dollars: Floats
    looked: Floats
    """Dollars of the work that a check looked at."""
    price: float = 0.0
    """Of the check, as a share of the work it looks at."""
    learnt: bool = True
    """Whether it was chosen by what other repositories taught; else it is a line to read others against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedEntry:
    """The market under one check, and how its runs went."""

    check: CheckTerms
    entry: Entry
    orders: tuple[tuple[str, ...], ...]
    """Who tried after whom, in every fold of every seed."""
    runs: tuple[tuple[OutcomeTable, Routing], ...]


def cross_fit(
    make_router: Callable[[], Router], table: OutcomeTable, divided: Sequence[tuple[Ints, Ints]] | None = None
) -> tuple[Routing, list[Router]]:
    """Every task routed by what was learnt on the other folds; and the routers, a fold each.

    Args:
        make_router: Makes a fresh one.
        table: The tasks.
        divided: Folds as (train, held out); whole repositories unless given.
    """
    parts: list[tuple[Ints, Routing]] = []
    fitted: list[Router] = []
    for train, test in divided or group_folds(table.groups or table.ids):
        router = make_router()
        parts.append((test, train_and_route(router, table.take(train), table.take(test))))
        fitted.append(router)
    return join_routings(parts, table), fitted


def reference_lines(table: OutcomeTable) -> list[Entry]:
    """The cheapest agent, the best in hindsight and by training, and the oracle."""
    best = SingleAgent(table.agents[best_single(table)], name=f"best single: {table.agents[best_single(table)]}")
    fixed: list[Router] = [AlwaysCheapest(), best, Oracle()]
    lines = [entry_of(one.name, [(table, one.route(table))], learnt=False) for one in fixed]
    lines[0] = replace(lines[0], name=f"cheapest: {table.agents[0]}")
    trained = entry_of("best single on the training folds", [(table, cross_fit(BestSingle, table)[0])])
    return [lines[0], lines[1], trained, lines[2]]


def learnt_entries(
    table: OutcomeTable, features: Features, names: Sequence[str], cache: Path, say: Callable[[str], None]
) -> Iterator[Entry]:
    """The routers of the bench, kept in `cache` by the table and the routers' code."""
    key = _digest(table)
    for name in names:

        def one(name: str = name) -> Router:
            return make("routers", name, Router, given={"features": features}, options={}, where=f"router {name!r}")

        shown, kept = one().name, cache / f"{name}-{key}.npz"
        if not kept.exists():
            say(f"{shown} …")
            found = entry_of(shown, [(table, cross_fit(one, table)[0])])
            cache.mkdir(parents=True, exist_ok=True)
            np.savez(kept, success=found.success, dollars=found.dollars, looked=found.looked)
        with np.load(kept) as held:
            yield Entry(name=shown, success=held["success"], dollars=held["dollars"], looked=held["looked"])


def without_check(table: OutcomeTable) -> Entry:
    """The market where nothing looks at work: one attempt."""
    routing, _ = cross_fit(lambda: CheckedAttempts(CheckTerms(), attempts=1), table)
    return entry_of("market, one attempt", [(table, routing)])


def with_check(table: OutcomeTable, check: CheckTerms, seeds: int = SEEDS) -> CheckedEntry:
    """The market under a check, which is drawn anew for each seed."""
    runs: list[tuple[OutcomeTable, Routing]] = []
    orders: list[tuple[str, ...]] = []
    for seed in range(seeds):
        seen = replace(table, checks=verdicts(table.success > 0.0, check, seed))
        routing, fitted = cross_fit(lambda: CheckedAttempts(check), seen)
        runs.append((seen, routing))
        for one in fitted:
            if isinstance(one, CheckedAttempts):
                orders.append(tuple(seen.agents[agent] for agent in one.plan(seen).order()))
    shown = f"market, check {100 * check.false_pass:.0f}/{100 * check.false_fail:.0f}"
    return CheckedEntry(
        check=check, entry=entry_of(shown, runs, price=check.price), orders=tuple(orders), runs=tuple(runs)
    )


def afterwards(table: OutcomeTable, seeds: int = SEEDS) -> list[Entry]:
    """What was asked once the answer was known: the stated check with other goals, and checks that are worse."""
    best = best_single(table)
    unit = float(table.dollars[:, best].mean())
    seen = [replace(table, checks=verdicts(table.success > 0.0, STATED, seed)) for seed in range(seeds)]
    mixed = folds(len(table), FOLDS, SEED)
    known = [(one, cross_fit(lambda: CheckedAttempts(STATED), one, mixed)[0]) for one in seen]
    named: dict[str, Callable[[], CheckedAttempts]] = {
        "match, without its margin": lambda: CheckedAttempts(STATED, margin=0.0),
        "match, two attempts": lambda: CheckedAttempts(STATED, attempts=2),
        "match, judged on whole repositories": lambda: CheckedAttempts(STATED, divide=_by_group),
    }
    for worth in WORTHS:
        named[f"worth {worth:g}"] = lambda worth=worth: CheckedAttempts(STATED, worth=worth * unit)
    found = [entry_of("match, folds by task: repositories are known", known, price=PRICE)]
    for name, maker in named.items():
        found.append(entry_of(name, [(one, cross_fit(maker, one)[0]) for one in seen], price=PRICE))
    for false_pass, false_fail in WEAKER:
        worse = with_check(table, CheckTerms(false_pass=false_pass, false_fail=false_fail, price=PRICE), seeds).entry
        found.append(replace(worse, name=worse.name.replace("market, check", "match, check")))
    return found


def surface(table: OutcomeTable, seeds: int = SEEDS) -> list[CheckedEntry]:
    """The market under every check of the surface."""
    return [
        with_check(table, CheckTerms(false_pass=false_pass, false_fail=false_fail, price=PRICE), seeds)
        for false_pass in PASSES
        for false_fail in REFUSALS
    ]


def verdicts(right: Bools, check: CheckTerms, seed: int) -> Floats:
    """(T, A) what a check says, 1 or −1: one uniform number decides, the same for all rates."""
    drawn = np.random.default_rng(seed).random(right.shape)
    passed = np.where(right, drawn >= check.false_fail, drawn < check.false_pass)
    return np.where(passed, 1.0, -1.0)


def entry_of(
    name: str, runs: Iterable[tuple[OutcomeTable, Routing]], *, price: float = 0.0, learnt: bool = True
) -> Entry:
    """The mean of some runs, task by task."""
    success: list[Floats] = []
    dollars: list[Floats] = []
    extra: list[Floats] = []
    for table, routing in runs:
        success.append(table.success[np.arange(len(table)), routing.chosen])
        dollars.append((table.dollars * routing.called).sum(axis=1) + routing.extra_dollars)
        extra.append(routing.extra_dollars)
    looked = np.mean(extra, axis=0) / price if price else np.zeros_like(success[0])
    return Entry(
        name=name,
        success=np.mean(success, axis=0),
        dollars=np.mean(dollars, axis=0),
        looked=looked,
        price=price,
        learnt=learnt,
    )


def _by_group(train: OutcomeTable) -> Sequence[tuple[Ints, Ints]]:
    parts = group_folds(train.groups or train.ids)
    return parts if len(parts) > 1 else []


def _digest(table: OutcomeTable) -> str:
    found = hashlib.sha256()
    for part in (table.success, table.dollars):
        found.update(np.ascontiguousarray(part).tobytes())
    found.update("\n".join((*table.agents, *table.texts, *(table.groups or ()))).encode())
    for path in sorted(ROUTERS.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]
