"""Which jurors reproduce the paper's tables? A calibrated simulation; nothing here was measured on agents.

    python -m benchmarks.paper_simulation            # writes its part of docs/paper-simulation.md and its CSV files
    python -m benchmarks.paper_simulation --print

About two minutes of the processor. Everything is drawn from fixed seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paper_simulation.report import (
    AREAS,
    GAINS,
    LIFTS,
    FittedDomain,
    ablation_table,
    draw_worlds,
    fit_domain,
    fit_table,
    quality_table,
    share_table,
    world_table,
)
from benchmarks.paper_simulation.world import DOMAINS
from sale.bench.report.report_table import ReportTable

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "paper-simulation.md"
OUT = ROOT / "docs" / "paper-simulation"
BEGIN, END = "<!-- tables -->\n", "<!-- end -->"


def simulation_tables() -> list[ReportTable]:
    """Make all tables."""
    found: list[FittedDomain] = []
    sheets: list[ReportTable] = []
    for domain in DOMAINS:
        worlds = draw_worlds(domain)
        fitted, grid = fit_domain(domain, worlds, AREAS, LIFTS, GAINS)
        found.append(fitted)
        sheets += [world_table(domain, worlds), quality_table(domain, grid)]
    return [fit_table(found), share_table(found), ablation_table(found), *sheets]


def main(given: Sequence[str] | None = None) -> int:
    """Make the tables, and write them unless told to print them alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_simulation")
    parser.add_argument("--print", action="store_true", help="Print the tables, and write nothing.")
    asked = parser.parse_args(given)
    sheets = simulation_tables()
    text = "\n\n".join(sheet.markdown() for sheet in sheets)
    print(text)
    if not asked.print:
        OUT.mkdir(parents=True, exist_ok=True)
        for sheet in sheets:
            (OUT / f"{sheet.key}.csv").write_text(sheet.csv(), encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}\n{rest[rest.index(END) :]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
