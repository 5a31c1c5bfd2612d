"""Success against human time by agent size, on public records of other people's agents.

    python -m benchmarks.published.human_time --data DIR --out FILE

`DIR` holds the public records, `DIR/metr_human_time/all_runs*.jsonl` and
`DIR/routers/swebench_bash_only/per_instance.jsonl`; `FILE` gets aggregates and sources only, so that the report can be
built again without them.

METR's runs (Kwa et al. 2025, arXiv 2503.14499) say who solves what by human minutes, but neither tokens nor cost of a
model. The bash-only leaderboard of SWE-bench says who resolves what for how many dollars and calls, every model in one
scaffold, with the annotators' coarse estimates of human time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import click
import numpy as np
from pydantic import BaseModel, Field, ValidationError

from benchmarks.published.horizon import PENALTY, horizon
from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval, Resampling, bootstrap, honest_rate, over_last, rate, ratio
from sale.errors import InputError, SaleError
from sale.files.reading import read_text
from sale.files.writing import write_text

SEED = 20260211
RESAMPLING = Resampling(seed=SEED)
DIGITS = 6
"""Significant digits written: further ones are the machine's."""

MINUTE_EDGES = (2.5, 12.5, 60.0, 300.0, 1500.0)
"""Upper edges of METR's bins: those of the method, and on by its factor of five."""
PUBLISHED_SOURCE = (
    "metr.org, Time Horizon 1.0: benchmark_results_1_0.yaml, p50_horizon_length, minutes and 95 % interval"
)
PUBLISHED = {
    "o1": (41.551706, 19.822684, 85.806317),
    "o1-preview": (23.254728, 12.640748, 39.370195),
    "Claude 3.5 Sonnet (New)": (30.454555, 14.72191, 60.891717),
    "Claude 3.5 Sonnet (Old)": (19.764601, 10.531997, 35.808873),
    "GPT-4o": (10.174857, 5.000948, 19.508766),
    "Claude 3 Opus": (7.148402, 3.217769, 14.764711),
    "GPT-4 Turbo": (7.777455, 4.050277, 14.21142),
    "GPT-4 0314": (6.024114, 2.768122, 11.721889),
    "gpt-3.5-turbo-instruct": (0.599247, 0.255148, 1.115905),
    "davinci-002": (0.144057, 0.093319, 0.221209),
}
DIFFERENCES = (
    "Same fit, same weights, same penalty; the published one has 170 tasks, 66 of them of seconds (SWAA), later human "
    "times and more runs. The 83 tasks here take a minute or more, so horizons of a few minutes rest on few tasks."
)

SWE_BINS = {"<15 min fix": "≤ 15 min", "15 min - 1 hour": "15–60 min", "1-4 hours": "> 60 min", ">4 hours": "> 60 min"}
"""As annotated, to as shown: only three tasks take more than four hours."""
PAIRS = (
    ("GPT-5 nano (2025-08-07) (medium reasoning)", "GPT-5 (2025-08-07) (medium reasoning)"),
    ("GPT-5 mini (2025-08-07) (medium reasoning)", "GPT-5 (2025-08-07) (medium reasoning)"),
    ("Devstral small (2512)", "Devstral (2512)"),
    ("Claude 4 Sonnet (20250514)", "Claude 4 Opus (20250514)"),
    ("Claude 4.5 Sonnet (20250929)", "Claude 4.5 Opus medium (20251101)"),
)
"""The smaller and the larger model of one maker and generation."""


class MetrRun(BaseModel):
    """One run of an agent, or of a person, on a task."""

    task_id: str
    task_family: str
    alias: str
    human_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    score_binarized: Literal[0, 1]
    invsqrt_task_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """For one run: the runs of a task together weigh 1 / sqrt(tasks in its family), an agent's runs 1."""


class SweRow(BaseModel):
    """One model on one SWE-bench Verified task."""

    instance_id: str
    model: str
    resolved: bool
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    api_calls: Annotated[int, Field(ge=0)]
    human_time_estimate: Literal["<15 min fix", "15 min - 1 hour", "1-4 hours", ">4 hours"]
    headline_consistent: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SweTable:
    """T tasks by M models, models from the cheapest run to the dearest."""

    models: tuple[str, ...]
    bins: tuple[str, ...]
    """T labels."""
    resolved: Floats
    dollars: Floats
    calls: Floats
    """(T, M), all three."""
    left_out: tuple[str, ...]
    """Models whose rows do not agree with their own headline figure."""


Row = TypeVar("Row", bound=BaseModel)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Every line of a JSON-lines file.

    Raises:
        InputError: It cannot be read, has no rows, or a line is not of its kind.
    """
    rows: list[Row] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            said = f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"
            raise InputError(f"not a record of {kind.__name__}: {said}", where=f"{path}:{number}") from error
    if not rows:
        raise InputError("there are no records", where=str(path))
    return rows


def metr(runs: Iterable[MetrRun], resampling: Resampling = RESAMPLING) -> list[dict[str, Any]]:
    """Every model's success by human minutes and its 50 % time horizon; people's own runs are left out."""
    by_model: dict[str, dict[str, list[MetrRun]]] = {}
    for run in runs:
        if run.alias != "human":
            by_model.setdefault(run.alias, {}).setdefault(run.task_id, []).append(run)
    found = [_metr_model(model, list(tasks.values()), resampling) for model, tasks in by_model.items()]
    return sorted(found, key=lambda row: -float(row["pass_at_1"].value))


def _metr_model(model: str, tasks: list[list[MetrRun]], resampling: Resampling) -> dict[str, Any]:
    minutes = np.array([runs[0].human_minutes for runs in tasks])
    tried = np.array([sum(run.invsqrt_task_weight for run in runs) for runs in tasks])
    solved = np.array([sum(run.invsqrt_task_weight * run.score_binarized for run in runs) for runs in tasks])
    families = [runs[0].task_family for runs in tasks]
    rates = np.array([sum(run.score_binarized for run in runs) / len(runs) for runs in tasks])
    curve = horizon(minutes, np.minimum(solved, tried), tried, resampling)
    wider = horizon(minutes, np.minimum(solved, tried), tried, resampling, families=families)
    ours, theirs = None if curve is None else curve.minutes, PUBLISHED.get(model)
    places = np.searchsorted(MINUTE_EDGES, minutes)
    return {
        "model": model,
        "tasks": len(tasks),
        "runs": sum(map(len, tasks)),
        "pass_at_1": rate(rates, resampling),
        "intercept": None if curve is None else curve.intercept,
        "slope": None if curve is None else curve.slope,
        "horizon": ours,
        "horizon_by_family": None if wider is None else wider.minutes,
        "published": None if theirs is None else dict(zip(("value", "low", "high"), theirs, strict=True)),
        "ours_in_published": None if ours is None or theirs is None else theirs[1] <= ours.value <= theirs[2],
        "published_in_ours": None if ours is None or theirs is None else _holds(ours, theirs[0]),
        "by_bin": [
            {
                "bin": _minutes_label(place),
                "minutes": float(np.exp2(np.log2(minutes[places == place]).mean())),
                "pass_at_1": rate(rates[places == place], resampling),
            }
            for place in range(len(MINUTE_EDGES))
            if (places == place).any()
        ],
    }


def swe_table(rows: Iterable[SweRow]) -> SweTable:
    """The rows as arrays; models that contradict their own headline are left out.

    Raises:
        InputError: A model lacks a task, or has one twice.
    """
    cells: dict[str, dict[str, SweRow]] = {}
    bad: set[str] = set()
    for row in rows:
        if not row.headline_consistent:
            bad.add(row.model)
        elif row.instance_id in cells.setdefault(row.model, {}):
            raise InputError(f"{row.model!r} has the task {row.instance_id!r} twice")
        else:
            cells[row.model][row.instance_id] = row
    cells = {model: tasks for model, tasks in cells.items() if model not in bad}
    if not cells:
        raise InputError("no model is left")
    tasks = sorted(next(iter(cells.values())))
    if odd := next((model for model, own in cells.items() if sorted(own) != tasks), None):
        raise InputError(f"{odd!r} was not run on the same tasks as the others")
    models = sorted(cells, key=lambda model: sum(cells[model][task].cost_usd for task in tasks))
    grid = [[cells[model][task] for model in models] for task in tasks]
    return SweTable(
        models=tuple(models),
        bins=tuple(SWE_BINS[line[0].human_time_estimate] for line in grid),
        resolved=np.array([[float(row.resolved) for row in line] for line in grid]),
        dollars=np.array([[row.cost_usd for row in line] for line in grid]),
        calls=np.array([[float(row.api_calls) for row in line] for line in grid]),
        left_out=tuple(sorted(bad)),
    )


def swe_models(table: SweTable, resampling: Resampling = RESAMPLING) -> list[dict[str, Any]]:
    """Success, dollars and calls of every model, in all and by bin."""
    return [
        {
            "model": model,
            **_swe_figures(table, column, np.ones(len(table.bins), dtype=np.bool_), resampling),
            "by_bin": [
                {"bin": label, **_swe_figures(table, column, np.array(table.bins) == label, resampling)}
                for label in _bins(table)
            ],
        }
        for column, model in enumerate(table.models)
    ]


def _swe_figures(table: SweTable, column: int, keep: Any, resampling: Resampling) -> dict[str, Any]:  # noqa: ANN401
    solved, dollars, calls = (part[keep, column] for part in (table.resolved, table.dollars, table.calls))
    found = bootstrap(np.column_stack([solved, dollars, calls, np.ones_like(solved)]), over_last, resampling)
    return {
        "tasks": len(solved),
        "pass_at_1": None if found[0] is None else honest_rate(found[0], resampling.level),
        "dollars_per_task": found[1],
        "calls_per_task": found[2],
        "dollars_per_solved": ratio(dollars, solved, resampling),
    }


def swe_ratios(table: SweTable, resampling: Resampling = RESAMPLING) -> list[dict[str, Any]]:
    """Compare small models with large ones, by bin: ratios of success and of dollars, as sums over tasks.

    Pairs of one maker's models, then the cheapest third of the models against the dearest third.
    """
    third = len(table.models) // 3
    contests = [
        (small, large, [table.models.index(small)], [table.models.index(large)])
        for small, large in PAIRS
        if small in table.models and large in table.models
    ]
    if third:
        names = (f"the {third} cheapest models", f"the {third} dearest models")
        every = list(range(len(table.models)))
        contests.append((*names, every[:third], every[-third:]))
    return [
        {"small": small, "large": large, "by_bin": _swe_contest(table, cheap, dear, resampling)}
        for small, large, cheap, dear in contests
    ]


def _swe_contest(table: SweTable, cheap: list[int], dear: list[int], resampling: Resampling) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for label in _bins(table):
        keep = np.array(table.bins) == label
        (small, large), (less, more) = (
            (part[keep][:, cheap].mean(axis=1), part[keep][:, dear].mean(axis=1))
            for part in (table.resolved, table.dollars)
        )
        found.append(
            {
                "bin": label,
                "tasks": int(keep.sum()),
                "success": ratio(small, large, resampling),
                "dollars": ratio(less, more, resampling),
                "small_pass_at_1": rate(small, resampling),
                "large_pass_at_1": rate(large, resampling),
            }
        )
    return found


def human_time(data: Path, resampling: Resampling = RESAMPLING) -> dict[str, Any]:
    """Everything the report needs, with sources.

    Raises:
        InputError: The records are not there or not what they should be.
    """
    folder = data / "metr_human_time"
    if not (files := sorted(folder.glob("all_runs*.jsonl"))):
        raise InputError("METR's runs are not there", where=str(folder), hint="Expected all_runs*.jsonl in it.")
    swe_file = data / "routers" / "swebench_bash_only" / "per_instance.jsonl"
    table = swe_table(read_rows(swe_file, SweRow))
    return {
        "seed": resampling.seed,
        "resamples": resampling.resamples,
        "metr": {
            "source": "METR/eval-analysis-public, data/external/all_runs.jsonl of 2025-01-28; cite arXiv 2503.14499",
            "file": files[-1].name,
            "sha256": _digest(files[-1]),
            "penalty": PENALTY,
            "published_source": PUBLISHED_SOURCE,
            "differences": DIFFERENCES,
            "models": metr(read_rows(files[-1], MetrRun), resampling),
        },
        "swebench": {
            "source": "swebench.com bash-only leaderboard of 2025-12-10 (CC BY-NC 4.0), human time by the annotators "
            "of SWE-bench Verified; aggregates only",
            "file": swe_file.name,
            "sha256": _digest(swe_file),
            "left_out": table.left_out,
            "models": swe_models(table, resampling),
            "ratios": swe_ratios(table, resampling),
        },
    }


def write(found: Mapping[str, Any], out: Path) -> None:
    """Write the aggregates as JSON, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(out, json.dumps(_plain(found), indent=1, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:  # noqa: ANN401  whatever JSON can hold
    if isinstance(value, Interval) or (is_dataclass(value) and not isinstance(value, type)):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _bins(table: SweTable) -> list[str]:
    return [label for label in dict.fromkeys(SWE_BINS.values()) if label in table.bins]


def _minutes_label(place: int) -> str:
    low = MINUTE_EDGES[place - 1] if place else 0
    return f"{low:g}–{MINUTE_EDGES[place]:g} min" if low else f"≤ {MINUTE_EDGES[place]:g} min"


def _holds(interval: Interval, value: float) -> bool | None:
    return None if interval.low is None or interval.high is None else interval.low <= value <= interval.high


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Where the public records are.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file to write.")
def main(data: Path, out: Path) -> None:
    """Success against human time by agent size, from public records."""
    try:
        found = human_time(data)
        write(found, out)
    except SaleError as error:
        raise click.ClickException(str(error)) from error
    for row in found["metr"]["models"]:
        ours, theirs = row["horizon"], row["published"]
        measured = "none within the tasks" if ours is None else f"{ours.value:.1f} [{ours.low:.1f}, {ours.high:.1f}]"
        click.echo(f"{row['model']}: horizon {measured} min, published {theirs and theirs['value']}")


if __name__ == "__main__":
    main()
