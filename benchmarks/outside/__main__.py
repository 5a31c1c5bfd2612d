"""Every router of the bench, and attempts under checks of stated quality, on a table that others recorded.

    python -m benchmarks.outside swe-bench          # writes its part of docs/outside-tables.md and its CSV files
    python -m benchmarks.outside coderouterbench    # the table kept back: the same command

The folder with the tables is `--data`, or the environment variable SALE_BENCH_DATA. What a router comes to is kept in
`.make/outside`, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import threadpoolctl

from benchmarks.outside.contenders import (
    LEARNT,
    SEEDS,
    STATED,
    afterwards,
    learnt_entries,
    reference_lines,
    surface,
    without_check,
)
from benchmarks.outside.measures import measured
from benchmarks.outside.report import (
    afterwards_table,
    answer_line,
    check_table,
    loss_table,
    orders_line,
    reach_table,
    router_table,
)
from benchmarks.outside.tables import SOURCES, right_or_wrong
from sale.bench.routers.features import Embeddings
from sale.errors import InputError, SaleError
from sale.models.embedding import MiniLMEmbedder

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "outside-tables.md"
OUT = ROOT / "docs" / "outside-tables"
CACHE = ROOT / ".make" / "outside"
END = "<!-- end -->"
_limit: Any = threadpoolctl.threadpool_limits  # threadpoolctl is untyped


def main(given: Sequence[str] | None = None) -> int:
    """Run one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outside", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", choices=list(SOURCES))
    parser.add_argument("--data", type=Path, help="The folder with routers/openhands_index and so on.")
    parser.add_argument("--routers", default=",".join(LEARNT), help="Names with commas; nothing for none.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="How often the check is drawn.")
    parser.add_argument("--print", action="store_true", help="Print the tables, and write nothing.")
    asked = parser.parse_args(given)
    try:
        # The matrices are small: several threads at one of them wait for each other, six times as long as one takes.
        with _limit(1):
            names = [name for name in asked.routers.split(",") if name]
            made = study(asked.table, _folder(asked.data), names, asked.seeds)
    except SaleError as error:
        print(error, file=sys.stderr)
        return 1
    print(made[0])
    if not asked.print:
        write(asked.table, *made)
    return 0


def study(key: str, data: Path, routers: Sequence[str], seeds: int = SEEDS) -> tuple[str, dict[str, str]]:
    """The part of the page and the CSV files of one table."""
    source = SOURCES[key]
    runs = source.load(data)
    table = right_or_wrong(runs.table)
    embeddings = Embeddings(MiniLMEmbedder())
    checked = surface(table, seeds)
    stated = next(one for one in checked if one.check == STATED)
    entries = [
        *reference_lines(table),
        *learnt_entries(table, embeddings, routers, CACHE, lambda text: print(text, file=sys.stderr)),
        without_check(table),
        stated.entry,
    ]
    sheets = [
        router_table(key, source, table, entries),
        check_table(key, source, table, checked),
        reach_table(key, source, table, stated),
        loss_table(key, source, table, stated),
        afterwards_table(key, source, table, afterwards(table, seeds)),
    ]
    filled = ", ".join(f"{agent} {count}" for agent, count in runs.filled.items()) or "none"
    head = [
        answer_line(measured(stated.entry, table)),
        orders_line(stated),
        f"Dollars filled in by an agent's mean: {filled}.",
    ]
    return "\n\n".join([*head, *(sheet.markdown() for sheet in sheets)]), {one.key: one.csv() for one in sheets}


def write(key: str, text: str, sheets: dict[str, str]) -> None:
    """Put a table's part into the page, and its sheets beside it."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, content in sheets.items():
        (OUT / f"{name}.csv").write_text(content, encoding="utf-8")
    begin = f"<!-- {key} -->\n"
    page = PAGE.read_text(encoding="utf-8")
    if begin not in page:
        raise InputError(f"there is no {begin.strip()!r}", where=str(PAGE), hint="Put it and an end where it belongs.")
    before, rest = page.split(begin)
    PAGE.write_text(f"{before}{begin}{text}\n{rest[rest.index(END) :]}", encoding="utf-8")


def _folder(given: Path | None) -> Path:
    named = os.environ.get("SALE_BENCH_DATA")
    if given is None and named is None:
        raise InputError(
            "no folder with outside tables is named",
            where="--data",
            hint="Give it, or set SALE_BENCH_DATA; docs/outside-tables.md says where the tables are.",
        )
    return given or Path(str(named))


if __name__ == "__main__":
    sys.exit(main())
