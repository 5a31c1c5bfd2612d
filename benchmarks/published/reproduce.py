"""Published router figures, computed again from the public outcome tables they were published with.

    python -m benchmarks.published.reproduce --data DIR --out FILE

`DIR` holds the tables, `DIR/routers/<source>/…`; `FILE` gets aggregates and sources only, so that the report can be
built again without the tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import numpy as np

from benchmarks.published.gap import call_curve, random_curve
from benchmarks.published.reproduction import (
    SEED,
    Figure,
    Published,
    Reproduction,
    bootstrap,
    make_exact,
    mean_of,
    spread,
    write,
)
from sale.bench.routers import external
from sale.bench.routers.carrot import CarrotNearest, CarrotText
from sale.bench.routers.estimators import folds
from sale.bench.routers.features import Embeddings, Features, JoinedFeatures, WordNgrams
from sale.bench.routers.fixed import AlwaysLargest, BestSingle, Oracle
from sale.bench.routers.protocol import Floats, Ints, OutcomeTable
from sale.bench.routers.tuning import TunedRouter, outcome
from sale.bench.routers.wtp import NEIGHBOURS, WtpNearest, WtpNeural
from sale.errors import SaleError
from sale.models.embedding import Embedder, MiniLMEmbedder

MINI = "RouterBench-Mini V5, github.com/ken-ab/routerbench-mini @c03410c, "
PAPER = "RouteLLM, arXiv 2406.18665v4, "
ARENA = "RouterArena, github.com/RouteWorks/RouterArena, "
GOLDEN = 1500
"""Golden labels that RouteLLM's MMLU routers were given (about so many, says their announcement)."""
ASKED = 4000
"""MMLU questions the learnt routers are tried on: enough for ± 0.06 of APGR."""
LEFT_OUT = {
    "RouteLLM's trained routers": "the four routers need Chatbot Arena's battles, hosted embeddings or their weights; "
    "the nearest that the tables allow is under `RouteLLM MMLU, learnt`",
    "LLMRouter": "no accuracy of its routers on these splits was found in its repository (@4e7a796) or documentation",
    "TwinRouterBench": "75 of 100 issues for $25.66 against 74 for $54.73 (README) comes from live runs; the "
    "outcomes of single issues are not published, so there is nothing to compute it from",
    "CARROT, RouterBench": "their figures (for CARROT-KNN 0.787 against 0.785 for the best single model) are on "
    "RouterBench and SPROUT, which are not among the tables",
    "RouterArena's routers": "no router's choices are among the tables; only the score's formula is checked",
    "aider, Eval-Arena": "they publish no router",
}


def reproductions(data: Path, embedder: Embedder | None = None) -> list[Reproduction]:
    """Every figure there is a table for.

    Args:
        data: Has `routers/routerbench_mini`, `routellm` and `swebench_bash_only`.
        embedder: For the learnt routers; the embedded MiniLM unless given.

    Raises:
        InputError: A table is missing.
        MissingExtraError: The embedder needs an extra that is not installed.
    """
    tables = data / "routers"
    embeddings = Embeddings(embedder or MiniLMEmbedder())
    return [
        *routerbench_mini(tables / "routerbench_mini", embeddings),
        *routellm(tables / "routellm"),
        *routellm_learnt(tables / "routellm", embeddings),
        *routerarena(),
        *swebench(tables / "swebench_bash_only"),
    ]


def routerbench_mini(folder: Path, features: Features) -> Iterator[Reproduction]:
    """Frozen routers between two models on 800 tasks: their strategies' outcomes, and our oracle over the models'."""
    names = ("always_cheap", "always_strong", "task_aware", "learned_combined")
    table = external.routerbench_mini(folder, names)
    won = {name: table.success[:, table.agents.index(name)] for name in names}
    paid = {name: table.dollars[:, table.agents.index(name)] for name in names}
    readme = partial(Published, source=MINI + "README, main results", checked="at the source")
    told = "Their router's outcomes, our accounting: it checks the adapter and the bootstrap, no router of ours."
    row = partial(Reproduction, n=len(table), explanation=told)
    yield row(
        name="RouterBench-Mini, Task-Aware: accuracy",
        unit="%",
        published=readme(value=72.12, error=0.005),
        ours=mean_of(won["task_aware"], 100),
    )
    yield row(
        name="RouterBench-Mini, Task-Aware: accuracy less always-strong's",
        unit="percentage points",
        published=readme(value=-0.63, error=0.005),
        ours=mean_of(won["task_aware"] - won["always_strong"], 100),
    )

    def dearer(rows: Ints) -> float:
        return 100 * float(paid["task_aware"][rows].sum() / paid["always_strong"][rows].sum() - 1)

    yield row(
        name="RouterBench-Mini, Task-Aware: cost against always-strong's",
        unit="%",
        published=readme(value=-13.94, error=0.005),
        ours=bootstrap(len(table), dearer),
    )
    yield row(
        name="RouterBench-Mini, Learned Combined: accuracy less always-strong's",
        unit="percentage points",
        published=Published(
            value=-0.75,
            error=0.5,
            source=MINI + "paired_bootstrap_comparisons.csv (-0.75, interval -1.375 to -0.25)",
            checked="at the source",
        ),
        ours=mean_of(won["learned_combined"] - won["always_strong"], 100),
    )
    yield from _mini_by_our_routers(external.routerbench_mini(folder), features)


def _mini_by_our_routers(table: OutcomeTable, features: Features) -> Iterator[Reproduction]:
    controls = partial(Published, source=MINI + "README, Random and Oracle controls", checked="at the source")
    routing = Oracle().route(table)
    won, paid = outcome(routing, table)
    row = partial(Reproduction, n=len(table), explanation="Our Oracle over the two models' outcomes.")
    yield row(
        name="RouterBench-Mini, oracle: accuracy",
        unit="%",
        published=controls(value=76.25, error=0.005),
        ours=mean_of(won, 100),
    )
    yield row(
        name="RouterBench-Mini, oracle: use of the strong model",
        unit="%",
        published=controls(value=8.00, error=0.005),
        ours=mean_of(np.asarray(routing.chosen == 1, dtype=np.float64), 100),
    )
    yield row(
        name="RouterBench-Mini, oracle: cost of a task",
        unit="CNY/1000",
        published=Published(value=0.32054, error=5e-6, source=MINI + "main_results.csv", checked="at the source"),
        ours=mean_of(paid, 1000),
    )
    cheap, strong = table.success.mean(axis=0)
    yield row(
        name="RouterBench-Mini, random at 95.875 % strong: accuracy",
        unit="%",
        published=Published(
            value=72.52,
            error=0.47,
            source=MINI + "main_results.csv (mean of 100 draws; interval 72.06 to 73.00)",
            checked="at the source",
        ),
        ours=make_exact(100 * float(cheap + 0.95875 * (strong - cheap))),
        explanation="Ours is the exact expectation of chance on these outcomes.",
    )
    success, dollars = _cross_fitted(table, features)
    saved = 100 * float(dollars.sum() / table.dollars[:, 1].sum() - 1)
    yield row(
        name="RouterBench-Mini, our WTP k-NN, tuned, 5 folds: accuracy",
        unit="%",
        published=None,
        ours=mean_of(success, 100),
        explanation=f"For comparison only, at {saved:+.1f} % of always-strong's cost. The questions are not in the "
        "table, so it knows a task's family and type alone; it learns from the other four fifths of these 800.",
        same_conditions=False,
    )


def _cross_fitted(table: OutcomeTable, features: Features) -> tuple[Floats, Floats]:
    success, dollars = np.zeros(len(table)), np.zeros(len(table))
    for train, held in folds(len(table), 5, SEED):
        router = TunedRouter("WTP k-NN", [WtpNearest(features, k=k) for k in NEIGHBOURS])
        router.fit(table.take(train))
        asked = table.take(held)
        success[held], dollars[held] = outcome(router.route(asked), asked)
    return success, dollars


def routellm(folder: Path) -> Iterator[Reproduction]:
    """Reproduce the figures RouteLLM's tables give alone: the two models, half of their gap, and the random router."""
    tables = {
        "MMLU": (external.routellm(folder, "mmlu"), 100, 81, 75, (0.500, 0.0005), (50.07, 0.005), (79.93, 0.005)),
        "GSM8K": (external.routellm(folder, "gsm8k"), 100, 86, 75, (0.497, 0.01), (50.00, 2), (80.08, 1)),
        "MT-Bench": (external.routellm_chat(folder), 10, 9.3, 8.8, (0.500, 0.02), (49.03, 4), (78.08, 3)),
    }
    for name, (table, scale, strongest, half, apgr, cpt50, cpt80) in tables.items():
        weak, strong = table.success.T
        rounding = 0.5 if scale == 100 else 0.05
        quoted = partial(Published, error=rounding, source=PAPER + "table 6", checked="second hand")
        row = partial(Reproduction, n=len(table), unit="points of 100" if scale == 100 else "points of 10")
        yield row(
            name=f"RouteLLM {name}, always the strong model: score",
            published=quoted(value=strongest),
            ours=mean_of(outcome(AlwaysLargest().route(table), table)[0], scale),
            explanation="GPT-4 on the prompts left after their own check for contamination.",
        )
        yield row(
            name=f"RouteLLM {name}, at CPT(50 %): score",
            published=quoted(value=half),
            ours=mean_of((weak + strong) / 2, scale),
            explanation="Half of the gap is what CPT(50 %) means; the paper prints the score of a router there.",
        )
        curves = [random_curve(weak, strong, seed=seed) for seed in range(DRAWS)]
        printed = partial(Published, source=PAPER + f"row Random of the table for {name}", checked="not read again")
        row = partial(Reproduction, n=len(table), explanation=f"Our random router, by their evaluation: {RANDOM}")
        yield row(
            name=f"RouteLLM {name}, random: APGR",
            unit="",
            published=printed(value=apgr[0], error=apgr[1]),
            ours=spread([curve.apgr() for curve in curves]),
        )
        for share, (value, error) in ((50, cpt50), (80, cpt80)):
            yield row(
                name=f"RouteLLM {name}, random: CPT({share} %)",
                unit="% strong calls",
                published=printed(value=value, error=error),
                ours=spread([100 * curve.cpt(share / 100) for curve in curves]),
            )


DRAWS = 200
RANDOM = "deciles of chance scores, the mean of ten curves; the interval is over 200 such means."


def routellm_learnt(folder: Path, features: Features) -> Iterator[Reproduction]:
    """Our learnt routers on MMLU with as many golden labels as RouteLLM's had, against the best of theirs."""
    table = external.routellm(folder, "mmlu")
    rows = np.random.default_rng(SEED).permutation(len(table))
    train, test = table.take(rows[:GOLDEN]), table.take(rows[GOLDEN : GOLDEN + ASKED])
    weak, strong = test.success.T
    rest = np.flatnonzero(np.array(test.groups) != TEMPLATE)
    for name, scores in _needs(train, test, features):
        for unit, value, error, share in (("APGR", 0.603, 0.0005, None), ("CPT(50 %)", 35.4, 0.05, 0.5)):
            without = _measured(scores[rest], weak[rest], strong[rest], share)
            yield Reproduction(
                name=f"RouteLLM MMLU, learnt: {unit} of our {name}",
                unit="" if share is None else "% strong calls",
                published=Published(
                    value=value,
                    error=error,
                    source=PAPER + "table 2, the best of four routers with golden labels",
                    checked="second hand",
                ),
                ours=_measured(scores, weak, strong, share),
                n=len(test),
                explanation=f"{LEARNT} Without the {len(test) - len(rest)} questions of {TEMPLATE}, which share one "
                f"template and tell GPT-4 from Mixtral at once, ours is {without.value:.3g} [{without.low:.3g}, "
                f"{without.high:.3g}]: that much those few are worth to a router of in-domain labels alone.",
                same_conditions=False,
            )


TEMPLATE = "moral_scenarios"
LEARNT = (
    "Not the same training: theirs learn from 65,000 Chatbot Arena battles and about 1,500 golden labels of MMLU's "
    "validation split, with hosted embeddings or a fine-tuned BERT or Llama; ours from 1,500 questions of the test "
    "split alone (the validation split's labels are not published), with MiniLM, tried on 4,000 others."
)


def _needs(train: OutcomeTable, test: OutcomeTable, features: Features) -> Iterator[tuple[str, Floats]]:
    """By router, how much more success it predicts for the strong model than for the weak."""
    for wtp in (WtpNearest(features, k=40), WtpNeural(features, hidden=(100,))):
        wtp.fit(train)
        yield wtp.name, np.diff(wtp.predict(test), axis=1)[:, 0]
    for carrot in (CarrotNearest(features), CarrotText(JoinedFeatures(features, WordNgrams()))):
        carrot.fit(train)
        yield carrot.name, np.diff(carrot.predict(test)[0], axis=1)[:, 0]


def _measured(scores: Floats, weak: Floats, strong: Floats, share: float | None) -> Figure:
    def measure(rows: Ints) -> float:
        curve = call_curve(scores[rows], weak[rows], strong[rows])
        return curve.apgr() if share is None else 100 * curve.cpt(share)

    return bootstrap(len(scores), measure, resamples=500)


def routerarena() -> Iterator[Reproduction]:
    """RouterArena's score, from the accuracy and cost printed beside it."""
    printed = (
        ("LLM Router", 72.05, 0.20, 0.005, 71.26, "pull request 139"),
        ("llm-router submission, all", 71.67, 0.311, 0.0005, 70.46, "pull request 129"),
        ("llm-router submission, open tenth", 75.75, 0.125, 0.0005, 75.05, "pull request 129"),
    )
    for name, accuracy, dollars, error, score, where in printed:
        yield Reproduction(
            name=f"RouterArena, {name}: arena score",
            unit="points of 100",
            published=Published(value=score, error=0.005, source=ARENA + where, checked="at the source"),
            ours=Figure(
                value=100 * arena_score(accuracy / 100, dollars),
                low=100 * arena_score((accuracy - 0.005) / 100, dollars + error),
                high=100 * arena_score((accuracy + 0.005) / 100, dollars - error),
            ),
            n=809 if "tenth" in name else 8400,
            explanation="The formula alone; our interval is the rounding of the accuracy and cost printed.",
        )


def arena_score(accuracy: float, dollars: float) -> float:
    """RouterArena's score (arXiv 2510.00202): β-weighted harmonic mean of accuracy and cheapness, β = 0.1.

    Args:
        accuracy: In [0, 1].
        dollars: For 1,000 queries; 200 is worth nothing and 0.0044 everything, by logarithm.
    """
    cheapness = math.log2(200 / dollars) / math.log2(200 / 0.0044)
    return 1.1 * accuracy * cheapness / (0.1 * accuracy + cheapness)


def swebench(folder: Path) -> Iterator[Reproduction]:
    """SWE-bench's bash-only leaderboard: the best single agent's headline figures."""
    table = external.swebench(folder)
    router = BestSingle()
    router.fit(table)
    success, dollars = outcome(router.route(table), table)
    source = "swebench.com bash-only leaderboard of 2025-12-10, Claude 4.5 Opus medium (20251101)"
    row = partial(Reproduction, n=len(table), explanation="Our BestSingle over the 24 models of our table.")
    yield row(
        name="SWE-bench bash-only, best single agent: resolved",
        unit="%",
        published=Published(value=74.4, error=0.05, source=source, checked="at the source"),
        ours=mean_of(success, 100),
    )
    yield row(
        name="SWE-bench bash-only, best single agent: cost of an issue",
        unit="$",
        published=Published(value=0.7212, error=5e-5, source=source, checked="at the source"),
        ours=mean_of(dollars),
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Where the tables are.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file to write.")
def main(data: Path, out: Path) -> None:
    """Compute published router figures again and record how they compare."""
    try:
        found = reproductions(data)
        write(found, LEFT_OUT, out)
    except SaleError as error:
        raise click.ClickException(str(error)) from error
    for one in found:
        said = {True: "agrees", False: "DIFFERS", None: "no figure published"}[one.agrees]
        theirs = "-" if one.published is None else f"{one.published.value:g}"
        click.echo(
            f"{one.name}: {theirs} published, {one.ours.value:.4g} [{one.ours.low:.4g}, {one.ours.high:.4g}], {said}"
        )


if __name__ == "__main__":
    main()
