"""Tables of many agents with the dollars of every run: the OpenHands Index and CodeRouterBench.

Like `external`, whose rules hold here, but agents lack outcomes and dollars here and there. So a table comes with what
was left out of it and what was filled in, and a row that cannot be right is refused by its line. An outcome that is not
known is never replaced. Dollars that are not known, none given or exactly 0, are replaced by the agent's mean, if at
most one in fifty is missing; an agent that lacks more is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sale.bench.routers.protocol import Floats, OutcomeTable
from sale.bench.routers.table_files import AgentColumn, make_table, read_csv, read_json_lines
from sale.errors import InputError
from sale.wording import quantity

MAX_UNKNOWN = 0.02
"""Share of an agent's executions whose dollars may be unknown."""
MIN_AGENTS = 0.9
"""Share of the agents that must have tried a task: some benchmarks changed their tasks between two agents."""
MILLION = 1e6
OPENHANDS = (
    "A line an agent and task, made from results/<model>/instance_results and alternative_agents of "
    "github.com/OpenHands/openhands-index-results (read at 3015ac6)."
)
CODEROUTERBENCH = "It is in data/coderouterbench of github.com/davidpizon/agent-as-a-router (read at 7772d92)."
FREE = "its runs say that they cost nothing"
BROKEN = "far below its siblings, so the runs are probably broken"
SEEN = "far above every other agent, so it may have seen the solutions"
SUSPECT: Mapping[str, Mapping[str, str]] = {
    "swe-bench": {"claude-fable-5": SEEN},
    "gaia": {"DeepSeek-V4-Pro": BROKEN, "claude-sonnet-4-6": BROKEN, "MiniMax-M2.7": BROKEN},
    "swe-bench-multimodal": {"claude-fable-5": SEEN},
    "commit0": {},
}
"""Agents that claims do not rest on, by benchmark, and why. Runs of `acp-codex` are left out everywhere."""
KIMI = "kimi-k2.5"
KIMI_PRICE = (0.60, 3.00)
"""Dollars per million tokens, in and out, of Kimi-K2.5 by the OpenHands Index; CodeRouterBench has $0.01 for input."""
OpenHandsBenchmark = Literal["swe-bench", "gaia", "swe-bench-multimodal", "commit0"]
CodeRouterPart = Literal["single-turn", "agentic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentRuns:
    """A table, and what was done to get it."""

    table: OutcomeTable
    """An agent's price is its mean dollars for a task; groups are repositories, or datasets."""
    left_out: Mapping[str, str]
    """Why, by agent."""
    filled: Mapping[str, int]
    """Number of executions that the mean stands in for, by agent; those with none are not named."""
    tasks_left_out: int
    """Tasks that too few agents tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    agent: str
    task: str
    success: float | None
    dollars: float | None


def openhands_index(
    folder: Path,
    benchmark: OpenHandsBenchmark = "swe-bench",
    *,
    trusted: Sequence[str] = (),
    unknown: float = MAX_UNKNOWN,
) -> AgentRuns:
    """The OpenHands Index: agents on SWE-bench Verified, GAIA, SWE-bench Multimodal or Commit0, one run each.

    An agent is a model in the scaffold OpenHands; one in another scaffold has the scaffold in its name. A text is the
    issue's on SWE-bench Verified, by `swe-bench-issues.jsonl` (task, text); elsewhere the task's name.

    Args:
        folder: Has `<benchmark>.csv` (scaffold, model, task, resolved, dollars), packed with xz or not.
        benchmark: Which.
        trusted: Agents of `SUSPECT` that are kept all the same.
        unknown: Share of an agent's dollars that may be unknown.

    Raises:
        InputError: A file cannot be read, or a row cannot be right.
    """
    path = folder / f"{benchmark}.csv"
    runs: list[_Run] = []
    left_out: dict[str, str] = {}
    suspect = {name: why for name, why in SUSPECT[benchmark].items() if name not in trusted}
    for line, row in _lines(path, ("scaffold", "model", "task", "resolved", "dollars"), OPENHANDS):
        scaffold, model = row["scaffold"], row["model"]
        agent = model if scaffold == "openhands" else f"{model} ({scaffold})"
        why = FREE if scaffold == "acp-codex" else suspect.get(model)
        if why is not None:
            left_out[agent] = why
            continue
        runs.append(_run(path, line, agent, row["task"], row["resolved"], row["dollars"], OPENHANDS))
    issues = read_json_lines(folder / "swe-bench-issues.jsonl") if benchmark == "swe-bench" else []
    said = {row["task"]: row["text"] for row in issues}
    texts = {run.task: said.get(run.task, run.task) for run in runs}
    groups = {run.task: run.task.rpartition("-")[0] or run.task for run in runs}
    return _collected(path, runs, texts, groups, left_out, unknown)


def coderouterbench(folder: Path, part: CodeRouterPart = "single-turn", *, unknown: float = MAX_UNKNOWN) -> AgentRuns:
    """CodeRouterBench: eight models, on 2,919 single-turn coding tasks, or on 176 agentic ones.

    Single-turn tasks have no prompts in the source: a text is the task's dataset and dimension, a group its dataset.
    Agentic tasks have their prompts; a group is the repository, where there is one. NO CLAIM SHOULD REST ON THE AGENTIC
    PART: nearly half of the rows of its old half have no call in them, the dollars of its new half are one mean for
    each model, and four models' outcomes there are those of other versions.

    Args:
        folder: The source's own files, packed with xz or not.
        part: Which.
        unknown: Share of an agent's dollars that may be unknown.

    Raises:
        InputError: A file cannot be read, or a row cannot be right.
    """
    alone = part == "single-turn"
    name, score = ("id_test_results_long.csv", "score") if alone else ("ood176_results_long.csv", "resolved")
    tokens = ("input_tokens", "output_tokens") if alone else ("in_tok", "out_tok")
    path = folder / name
    runs: list[_Run] = []
    texts: dict[str, str] = {}
    groups: dict[str, str] = {}
    prompts = {} if alone else {row["task_id"]: row["prompt"] for row in read_json_lines(folder / "ood176_tasks.jsonl")}
    for line, row in _lines(path, ("task_id", "model", "dimension", score, "cost_usd", *tokens), CODEROUTERBENCH):
        task, dollars = row["task_id"], row["cost_usd"]
        if row["model"] == KIMI:
            counts = [_number(path, line, one, row[one], CODEROUTERBENCH) or 0.0 for one in tokens]
            dollars = str(sum(count * price / MILLION for count, price in zip(counts, KIMI_PRICE, strict=True)))
        runs.append(_run(path, line, row["model"], task, row[score], dollars, CODEROUTERBENCH))
        groups[task] = _dataset(task) if alone else _repository(task)
        texts[task] = f"{groups[task]} {row['dimension'].replace('_', ' ')}" if alone else prompts.get(task, task)
    return _collected(path, runs, texts, groups, {}, unknown)


def _dataset(task: str) -> str:
    """`lcb` of `dim2_lcb_3091`."""
    return task.split("_")[1] if task.count("_") > 1 else task


def _repository(task: str) -> str:
    """`django/django` of `old112::django__django-11206` and of `new64::featurebench::django__django.1a2b.test.lv1`."""
    source, _, name = task.rpartition("::")
    owner, _, rest = name.partition("__")
    rest = rest.partition("__")[0]
    repository = rest.rpartition("-")[0] if source == "old112" else rest.partition(".")[0]
    return f"{owner}/{repository}" if repository else source.rpartition("::")[2]


def _lines(path: Path, columns: Sequence[str], source: str) -> list[tuple[int, dict[str, str]]]:
    """Rows with their line in the file, the columns being there."""
    rows = read_csv(path)
    missing = [name for name in columns if rows and name not in rows[0]]
    if missing or not rows:
        what = f"there is no column {', '.join(missing)}" if missing else "there is no row"
        raise InputError(what, where=str(path), hint=source)
    return list(enumerate(rows, start=2))


def _run(path: Path, line: int, agent: str, task: str, success: str, dollars: str, source: str) -> _Run:
    if not agent or not task:
        raise InputError("a row without an agent or a task", where=f"{path}, line {line}", hint=source)
    good, spent = _number(path, line, "outcome", success, source), _number(path, line, "dollars", dollars, source)
    if good is not None and good > 1.0:
        raise _bad(path, line, f"the outcome of {agent!r} on {task!r} must lie in [0, 1], got {success!r}", source)
    return _Run(agent=agent, task=task, success=good, dollars=spent or None)


def _number(path: Path, line: int, name: str, text: str, source: str) -> float | None:
    """Return a number that is not negative; `None` for an empty cell."""
    if not text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0.0 <= found < math.inf:
        raise _bad(path, line, f"{name} must be a number, not negative, got {text!r}", source)
    return found


def _bad(path: Path, line: int, what: str, source: str) -> InputError:
    return InputError(what, where=f"{path}, line {line}", hint=f"Leave the row out, or fetch the file again. {source}")


def _collected(
    path: Path,
    runs: Sequence[_Run],
    texts: Mapping[str, str],
    groups: Mapping[str, str],
    left_out: dict[str, str],
    unknown: float,
) -> AgentRuns:
    """Keep the tasks that nearly all agents tried, and the agents that are complete on them."""
    by_agent: dict[str, dict[str, _Run]] = {}
    for run in runs:
        own = by_agent.setdefault(run.agent, {})
        if run.task in own:
            hint = "Keep one of the two."
            raise InputError(f"{run.agent!r} has done {run.task!r} twice", where=str(path), hint=hint)
        own[run.task] = run
    tried = Counter(run.task for run in runs)
    ids = sorted(task for task, count in tried.items() if count >= MIN_AGENTS * len(by_agent))
    columns: list[AgentColumn] = []
    filled: dict[str, int] = {}
    for agent, own in sorted(by_agent.items()):
        found = _column(agent, [own.get(task) for task in ids], unknown)
        if isinstance(found, str):
            left_out[agent] = found
            continue
        columns.append(found[0])
        if found[1]:
            filled[agent] = found[1]
    if not columns:
        hint = "Each was left out: " + "; ".join(f"{agent}, {why}" for agent, why in sorted(left_out.items()))
        raise InputError("no agent is complete", where=str(path), hint=hint)
    table = make_table(columns, ids, [texts[task] for task in ids], [groups[task] for task in ids])
    return AgentRuns(table=table, left_out=left_out, filled=filled, tasks_left_out=len(tried) - len(ids))


def _column(agent: str, own: Sequence[_Run | None], unknown: float) -> tuple[AgentColumn, int] | str:
    """Return an agent's column and how many of its dollars are filled in, or why it is left out."""
    outcomes = [None if run is None else run.success for run in own]
    success: Floats = np.array([np.nan if one is None else one for one in outcomes], np.float64)
    dollars: Floats = np.array([np.nan if run is None or run.dollars is None else run.dollars for run in own])
    if lacking := int(np.isnan(success).sum()):
        return f"its outcome is not known on {lacking} of {quantity(len(own), 'task')}"
    missing = int(np.isnan(dollars).sum())
    if missing > unknown * len(own):
        return f"its dollars are not known on {missing} of {quantity(len(own), 'task')}"
    dollars = np.where(np.isnan(dollars), np.nanmean(dollars), dollars)
    return AgentColumn(name=agent, price=float(dollars.mean()), success=success, dollars=dollars), missing
