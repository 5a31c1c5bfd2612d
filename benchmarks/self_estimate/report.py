"""The table: how well what agents say of themselves ranks their work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.self_estimate.asking import AGENTS, MOMENTS, Question, questions
from sale.bench.replay import RecordedTasks, load_recorded
from sale.bench.signals import MIN_PLANS, area_over_pairs
from sale.bench.stats import Resampling
from sale.bench.tasks.hst_open import hst_open

ROOT = Path(__file__).parent.parent.parent
RECORDS = ROOT / "benchmarks" / "records"
RECORD = RECORDS / "self-estimate.jsonl"
PAGE = ROOT / "docs" / "research.md"
BEGIN, END = "<!-- self-estimate: begin -->\n", "<!-- self-estimate: end -->\n"
DOMAINS = ("coding", "search")
RESAMPLING = Resampling(seed=7)


def recorded(domain: str) -> RecordedTasks:
    """The test tasks of the embedded pool's record."""
    return load_recorded(RECORDS / "hst-open" / f"{domain}-test.jsonl.xz", hst_open())


def table(lines: Sequence[dict[str, Any]]) -> str:
    """The figures, as markdown."""
    said = {(line["task"], line["agent"], line["moment"]): line for line in lines}
    asked = {domain: [one for one in questions(recorded(domain)) if one.key in said] for domain in DOMAINS}
    rows = [
        "| agent | asked | coding: area | says yes, % | is right, % | search: area | says yes, % | is right, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for agent in AGENTS:
        for moment in MOMENTS:
            cells = [
                cell
                for domain in DOMAINS
                for cell in _cells([one for one in asked[domain] if (one.agent, one.moment) == (agent, moment)], said)
            ]
            rows.append(f"| {agent} | {moment} | {' | '.join(cells)} |")
    total = len({one.task.id for ones in asked.values() for one in ones})
    note = (
        f"{total} tasks. Area under the ROC curve among tasks of one source, 95 % intervals over tasks, in brackets "
        "successes and failures; 0.5 is chance. Says yes: mean probability of yes against no, where either is among "
        "the likeliest words."
    )
    return "\n".join([*rows, "", note]) + "\n"


def _cells(asked: Sequence[Question], said: dict[tuple[str, str, str], dict[str, Any]]) -> tuple[str, str, str]:
    known = [(one, said[one.key]) for one in asked]
    known = [(one, line["yes"] / (line["yes"] + line["no"])) for one, line in known if line["yes"] + line["no"] > 0]
    good = sum(one.success for one, _ in known)
    if not known:
        return "–", "–", "–"
    share, rate = f"{100 * fmean(value for _, value in known):.0f}", f"{100 * good / len(known):.0f}"
    if min(good, len(known) - good) < MIN_PLANS:
        return f"– ({good} + {len(known) - good})", share, rate
    sources = np.array([one.task.source for one, _ in known])
    area = area_over_pairs(
        np.array([value for _, value in known]),
        np.array([one.success for one, _ in known]),
        sources[:, None] == sources[None, :],
        [one.task.id for one, _ in known],
        RESAMPLING,
    )
    counts = f"({good} + {len(known) - good})"
    return "–" if area is None else f"{area.value:.2f} ({area.low:.2f} to {area.high:.2f}) {counts}", share, rate


def page(text: str, lines: Sequence[dict[str, Any]]) -> str:
    """The page with the table in its place."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{table(lines)}{END}{rest.split(END)[1]}"
