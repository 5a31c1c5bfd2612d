"""The tables, by the names they are asked for, and how their tasks are divided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sale.bench.routers.agent_runs import AgentRuns, coderouterbench, openhands_index
from sale.bench.routers.protocol import SOLVED, Ints, OutcomeTable

FOLDS = 5
OPENHANDS = "OpenHands/openhands-index-results at 3015ac6"
CODEROUTERBENCH = "davidpizon/agent-as-a-router at 7772d92"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A table that can be asked for."""

    title: str
    repository: str
    load: Callable[[Path], AgentRuns]


def _openhands(folder: Path) -> AgentRuns:
    return openhands_index(folder / "routers" / "openhands_index")


def _trusted(folder: Path) -> AgentRuns:
    return openhands_index(folder / "routers" / "openhands_index", trusted=("claude-fable-5",))


def _dearer(folder: Path) -> AgentRuns:
    found = _openhands(folder)
    return replace(found, table=without_cheapest(found.table))


def _single_turn(folder: Path) -> AgentRuns:
    return coderouterbench(folder / "routers" / "coderouterbench")


def _agentic(folder: Path) -> AgentRuns:
    return coderouterbench(folder / "routers" / "coderouterbench", "agentic", unknown=0.1)


SOURCES: Mapping[str, Source] = {
    "swe-bench": Source(title="SWE-bench Verified", repository=OPENHANDS, load=_openhands),
    "coderouterbench": Source(title="CodeRouterBench", repository=CODEROUTERBENCH, load=_single_turn),
    "swe-bench-dearer": Source(
        title="SWE-bench Verified without the cheapest agent", repository=OPENHANDS, load=_dearer
    ),
    "swe-bench-trusted": Source(title="SWE-bench Verified with claude-fable-5", repository=OPENHANDS, load=_trusted),
    "coderouterbench-agentic": Source(title="CodeRouterBench, agentic part", repository=CODEROUTERBENCH, load=_agentic),
}


def right_or_wrong(table: OutcomeTable) -> OutcomeTable:
    """The table with graded outcomes as solved or not: a check says yes or no."""
    return replace(table, success=np.where(table.success >= SOLVED, 1.0, 0.0))


def without_cheapest(table: OutcomeTable) -> OutcomeTable:
    """The table without its first agent."""
    return replace(
        table,
        agents=table.agents[1:],
        prices=table.prices[1:],
        success=table.success[:, 1:],
        dollars=table.dollars[:, 1:],
    )


def group_folds(groups: Sequence[str], count: int = FOLDS) -> list[tuple[Ints, Ints]]:
    """Whole groups in folds, as (train, held out): the largest first, always to the smallest fold."""
    filled = [0] * count
    place: dict[str, int] = {}
    for name, size in sorted(Counter(groups).items(), key=lambda one: (-one[1], one[0])):
        place[name] = filled.index(min(filled))
        filled[place[name]] += size
    own = np.array([place[name] for name in groups])
    held = [np.flatnonzero(own == fold) for fold in range(count)]
    return [(np.flatnonzero(own != fold), rows) for fold, rows in enumerate(held) if len(rows)]
