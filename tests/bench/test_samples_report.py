"""The reports of the two experiments on samples, on made-up records of which it is known what should come out."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks import ways
from benchmarks.samples import bids_report, compute_report
from benchmarks.samples.bids import Sample
from benchmarks.samples.compute_report import CASCADE, CONTRACTORS, Contractor, Estimates, Tried, plans
from benchmarks.ways import Way, above_mixtures
from sale.bench.stats import Resampling
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.types import Verdict

TIME = HumanTime(provenance="nobody has timed it")
SAMPLE = 1e-6
"""What a sample of the small model costs."""
Samples = dict[tuple[str, str], tuple[Sample, ...]]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to tell, and quick."""
    for module in (ways, bids_report, compute_report):
        monkeypatch.setattr(module, "RESAMPLING", Resampling(seed=1, resamples=400))
    monkeypatch.setattr(ways, "FEWER", Resampling(seed=1, resamples=100))


def bench_task(number: int, kind: str, source: str) -> BenchTask:
    given = {
        "id": f"{source}/{number}",
        "domain": "coding",
        "source": source,
        "split": "test",
        "kind": kind,
        "prompt": f"What is number {number}?\n\nA. one\nB. two\nC. three\nD. four",
        "reference": "A" if kind == "choice" else None,
        "tests": None if kind == "choice" else "assert True",
        "time": TIME,
        "licence": "MIT",
    }
    return BenchTask.model_validate(given)


def sample(answer: str, dollars: float, *, success: bool, held: Verdict = "unknown", margin: float = 1.0) -> Sample:
    return Sample(answer=answer, success=success, dollars=dollars, held=held, margin=margin)


def choices(*, telling: bool, count: int = 250) -> tuple[list[BenchTask], Samples]:
    """Half the questions are easy. Where samples tell, those of an easy one agree and those of a hard one differ."""
    chance = random.Random(20)
    tasks = [bench_task(number, "choice", "mmlu" if number % 5 < 3 else "javascript") for number in range(count)]
    samples: Samples = {}
    for task in tasks:
        easy = chance.random() < 0.5
        shown = easy if telling else chance.random() < 0.5
        answers = "AAA" if shown and easy else "BBB" if shown else "BCD" if not easy else "BCA"
        for name, dollars in (("small", 1e-6), ("large", 3e-6)):
            samples[task.id, name] = tuple(sample(one, dollars, success=one == "A") for one in answers)
        samples[task.id, "small-reasons"] = (sample("A" if easy else "B", 20e-6, success=easy),)
        right = easy or chance.random() < 0.7
        samples[task.id, "large-reasons"] = tuple(sample("A" if right else "B", 60e-6, success=right) for _ in range(3))
    return tasks, samples


def test_samples_that_tell_pass_and_samples_that_do_not_fail() -> None:
    said = bids_report.report(*choices(telling=True))
    assert "**150 tasks held out**" in said
    assert "part 1 passes, part 2 passes, part 3 passes. It passes." in said
    assert "Times that bids of samples choose each agent: small " in said
    said = bids_report.report(*choices(telling=False))
    assert "part 1 fails" in said
    assert "It fails." in said
    assert "All six direct samples name an option on 150 of the tasks" in said


def test_answers_are_judged_anew_from_what_is_on_record() -> None:
    tasks, samples = choices(telling=True, count=1)
    here = tasks[0].id
    samples[here, "small"] = tuple(sample(one, 1e-6, success=False) for one in (r"So \(\boxed{A}\)", "B", "Let's"))
    again = bids_report.judged_again(tasks, samples)
    assert [one.success for one in again[here, "small"]] == [True, False, False]
    assert bids_report.bids_of(tasks, again).named[0].tolist() == [False, True, True, True]


def test_the_bids_are_charged_once_and_rivals_do_not_pay_for_them() -> None:
    known = bids_report.bids_of(*choices(telling=True, count=4))
    assert known.bidding == pytest.approx(3 * 1e-6 + 3 * 3e-6)
    chosen = np.zeros(4, np.intp)
    assert known.way("", chosen, bids=True).dollars == pytest.approx(known.bidding)
    assert known.way("", chosen, bids=False).dollars == pytest.approx(1e-6)
    chosen = np.full(4, 4)
    assert known.way("", chosen, bids=True).dollars == pytest.approx(known.bidding + 180e-6)
    assert known.way("", chosen, bids=False).dollars == pytest.approx(180e-6)


def test_the_cascade_goes_on_where_samples_differ() -> None:
    task = bench_task(1, "choice", "mmlu")
    drawn = {
        "small": tuple(sample(one, 1.0, success=one == "A") for one in "AAB"),
        "large": tuple(sample(one, 10.0, success=one == "A") for one in "AAA"),
        "small-reasons": (sample("B", 100.0, success=False),),
        "large-reasons": tuple(sample(one, 1000.0, success=one == "A") for one in "BAA"),
    }
    known = bids_report.bids_of([task], {(task.id, name): given for name, given in drawn.items()})
    assert (known.cascade.success[0], known.cascade.dollars[0]) == (1.0, 33.0)
    # The direct agents, reasoning once, and the answer that most of three give.
    assert known.success[0].tolist() == [1.0, 1.0, 0.0, 0.0, 1.0]
    drawn["large"] = tuple(sample(one, 10.0, success=one == "A") for one in "ABA")
    known = bids_report.bids_of([task], {(task.id, name): given for name, given in drawn.items()})
    assert (known.cascade.success[0], known.cascade.dollars[0]) == (0.0, 1033.0)


def test_a_margin_that_is_not_known_is_the_mean_of_the_others() -> None:
    tasks, samples = choices(telling=True, count=40)
    told = bids_report.bids_of(tasks, samples)
    for task in tasks[:20]:
        drawn = samples[task.id, "small"]
        samples[task.id, "small"] = tuple(
            Sample(answer=one.answer, success=one.success, dollars=one.dollars, held=one.held, margin=None)
            for one in drawn
        )
    found = bids_report.bids_of(tasks, samples)
    assert np.isnan(found.signals[:20, 0, 1]).all()
    assert bids_report.foretold(found, found) == pytest.approx(bids_report.foretold(told, told))


def program(number: int, first: str, large: str = "fffff", source: str = "mbpp") -> Tried:
    """Samples by a letter each: `p` passes the examples and is right, `f` fails, `u` has none and is right."""
    verdicts: dict[str, Verdict] = {"p": "success", "f": "failure", "u": "unknown"}

    def drawn(letters: str, dollars: float) -> tuple[Sample, ...]:
        return tuple(
            sample(f"{letter}{place}", dollars, success=letter != "f", held=verdicts[letter])
            for place, letter in enumerate(letters)
        )

    prices = {"small": (first, SAMPLE), "large": (large, 5 * SAMPLE)}
    return Tried(
        task=bench_task(number, "tests", source), drawn={name: drawn(*given) for name, given in prices.items()}
    )


@pytest.mark.parametrize(
    ("one", "plan", "after_bid", "success", "dollars"),
    [
        (program(1, "p"), CASCADE, False, 1.0, 1.0),
        (program(1, "ffp", "fp"), CASCADE, False, 1.0, 1.0 + 5.0 + 2.0),
        (program(1, "f" * 20, "p"), CASCADE, False, 1.0, 1.0 + 5.0),
        (program(1, "f" * 20), CASCADE, False, 0.0, 20.0 + 5.0),
        (program(1, "ffp"), (Contractor("small", 5),), True, 1.0, 3.0),
        (program(1, "f" * 20, "fffp"), (Contractor("large", 5),), True, 1.0, 1.0 + 20.0),
        (program(1, "f" * 20, "p"), (Contractor("small", 5), Contractor("large", 1)), True, 1.0, 5.0 + 5.0),
        (program(1, "f" * 20), (), True, 0.0, 1.0),
        (program(1, "u", "u"), (Contractor("small", 5),), True, 1.0, 1.0),
    ],
)
def test_a_sample_is_charged_once_and_the_first_that_holds_ends_it(
    one: Tried, plan: compute_report.Plan, after_bid: bool, success: float, dollars: float
) -> None:
    found = one.follow(plan, after_bid=after_bid)
    assert (found.success, found.dollars) == (success, pytest.approx(dollars * SAMPLE))


def test_plans_never_ask_for_what_was_drawn() -> None:
    found = list(plans(bidding=True))
    assert found[0] == ()
    assert (Contractor("small", 1),) not in found
    assert (Contractor("small", 5), Contractor("large", 1), Contractor("small", 20)) in found
    assert (Contractor("small", 20), Contractor("small", 5)) not in found
    assert CASCADE in plans(bidding=False)


def programs(*, cascade: bool) -> Sequence[Tried]:
    """Where the bid fails, the larger model does it at once; or further tries do, of one source alone."""
    chance = random.Random(7)
    found: list[Tried] = []
    for number in range(200):
        source = ("mbpp", "humaneval")[number % 2]
        yields = not cascade and source == "mbpp"
        first = "p" if chance.random() < 0.3 else "f" + ("ffp" if yields else "f" * 19)
        found.append(program(number, first, "p" if cascade else "fffff", source))
    return found


def test_a_market_that_learns_better_plans_passes_and_one_that_can_only_do_the_same_does_not() -> None:
    for cascade in (False, True):
        tried = programs(cascade=cascade)
        samples = {(one.task.id, model): drawn for one in tried for model, drawn in one.drawn.items()}
        said = compute_report.report([one.task for one in tried], samples)
        assert "**120 tasks held out**" in said
        assert ("It fails." if cascade else "It passes.") in said
        assert "examples fail: 1.5B × 1" in said if cascade else "examples fail: 0.5B × 5" in said
        _, worths = said.split("Looked at afterwards")
        rows = [line.split(" | ") for line in worths.splitlines() if line.startswith("| ")][2:]
        assert "nobody" in rows[0][1], "where a solved task is worth next to nothing the market gives up"
        assert int(rows[0][-1].rstrip(" |")) == sum(one.bid.held == "failure" for one in tried[80:])
        assert int(rows[-1][-1].rstrip(" |")) < int(rows[0][-1].rstrip(" |"))
        bids = [one.bid.success for one in tried if one.bid.held == "success"]
        assert f"where the examples hold {sum(bids)} of {len(bids)}" in worths


def test_at_a_worth_of_nothing_the_market_gives_up_and_its_bid_is_all_it_costs() -> None:
    tried = programs(cascade=False)
    market = Estimates.of(tried[:80]).market(0.0)
    left = [one for one in tried if market.gives_up(one)]
    assert len(left) == sum(one.bid.held != "success" for one in tried)
    assert {market.follow(one).dollars for one in left} == {SAMPLE}
    assert {market.follow(one).success for one in left} == {0.0}


def test_equal_money_is_read_off_the_line_below_and_above_the_cascade() -> None:
    count = 100

    def way(success: float, dollars: float) -> Way:
        return Way(name="", success=np.full(count, success), dollars=np.full(count, dollars))

    cascade, dearer = way(0.4, 4.0), way(0.6, 8.0)
    found = compute_report.equal_money(way(0.4, 2.0), cascade, [dearer])
    assert found is not None
    assert found.value == pytest.approx(0.2)
    found = compute_report.equal_money(way(0.5, 6.0), cascade, [dearer])
    assert found is not None
    assert found.value == pytest.approx(0.0)
    assert above_mixtures(way(0.5, 4.0), [cascade, dearer]) is not None
    assert len(CONTRACTORS) == 5
