"""`python -m benchmarks.private_knowledge report [--quick] [--embed]`: the tables of docs/private-knowledge.md.

Read from `benchmarks/records/private-knowledge/`, of which a part is enough; written to
`docs/private-knowledge/`. `middle` says where the scale of `match` has its middle
(`--look`: from the passages).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.private_knowledge.looks import look, told
from benchmarks.private_knowledge.report import entries, figure, load, sheets
from benchmarks.private_knowledge.rules import MULTIPLES
from sale.bench.figure_style import svg
from sale.bench.replay import RecordedTasks
from sale.bench.report.recorded_embeddings import RecordedEmbeddings, texts_of
from sale.bench.report.report_table import ReportTable
from sale.bench.routers.baselines import learnt_routers
from sale.bench.routers.features import Embeddings
from sale.bench.routers.fixed import BestSingle, Random
from sale.bench.routers.protocol import Router
from sale.bench.tasks.files import read_tasks
from sale.learning.spending import BEYOND
from sale.models.embedding import MiniLMEmbedder

HERE = Path(__file__).resolve().parents[1]
TASKS = HERE / "pools" / "private-knowledge" / "tasks.jsonl"
POOL = HERE / "pools" / "private-knowledge.toml"
RECORDS = HERE / "records" / "private-knowledge"
OUT = HERE.parent / "docs" / "private-knowledge"
DIVISIONS = ("hash", "topic")


def main(given: Sequence[str] | None = None) -> None:
    """Make the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.private_knowledge", description=__doc__)
    parser.add_argument("what", choices=["report", "middle"])
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--out", type=Path, help="Where tables go: the docs unless given, and nowhere for dev.")
    parser.add_argument("--tasks", type=Path, default=TASKS)
    parser.add_argument("--split", choices=["test", "dev"], default="test", help="dev: to choose by, cross-fitted.")
    parser.add_argument("--quick", action="store_true", help="Without learnt routers.")
    parser.add_argument("--embed", action="store_true", help="Embed the recorded texts anew.")
    parser.add_argument("--look", action="store_true", help="middle: look into the passages anew.")
    asked = parser.parse_args(given)
    tasks = read_tasks(asked.tasks)
    if asked.what == "middle":
        known = asked.records / "looks-hash-dev.csv"
        if asked.look:
            asyncio.run(look(POOL, [task for task in tasks if task.split == "dev"], known))
        print(told(known))
        return
    found: dict[str, tuple[RecordedTasks, RecordedTasks | None]] = {}
    for division in DIVISIONS:
        test = load(asked.records, division, asked.split, tasks)
        dev = load(asked.records, division, "dev", tasks) if asked.split == "test" else None
        if test is not None and len(test.tasks) > 1:
            found[division] = (test, dev)
    if not found:
        sys.exit(f"no record with two whole tasks in {asked.records}: docs/private-knowledge.md says how to make one")
    embeddings = Embeddings(embedder(asked.records / "embeddings.npz", found, anew=asked.embed))
    out: Path | None = asked.out or (OUT if asked.split == "test" else None)
    pages: list[str] = []
    for division, (test, dev) in found.items():
        print(f"{division}: {counted(test)} {asked.split} tasks, {counted(dev)} dev tasks", file=sys.stderr)
        routers: list[Router] = [BestSingle(), Random()]
        routers += [] if asked.quick else learnt_routers(embeddings, answers=True)
        multiples = (BEYOND,) if asked.split == "test" else MULTIPLES
        rows = list(entries(test, dev, embeddings, routers, multiples=multiples))
        pages.append(
            f"Passages by {division}: on record are {counted(test)} {asked.split} tasks and {counted(dev)} others."
        )
        tables = list(sheets(test, rows, division))
        pages += [sheet.markdown() for sheet in tables]
        if out is not None:
            write(out, tables, f"{division}-pareto.svg", svg(figure(rows)))
    print("\n\n".join(pages))


def write(out: Path, tables: Sequence[ReportTable], name: str, drawn: bytes) -> None:
    """Write tables as CSV, each under its key, and a figure under its name."""
    out.mkdir(parents=True, exist_ok=True)
    for sheet in tables:
        (out / f"{sheet.key}.csv").write_text(sheet.csv(), encoding="utf-8")
    (out / name).write_bytes(drawn)


def counted(recorded: RecordedTasks | None) -> str:
    """How many tasks of each domain."""
    if recorded is None:
        return "no"
    search = sum(task.domain == "search" for task in recorded.tasks)
    return f"{search} search and {len(recorded.tasks) - search} coding"


def embedder(
    path: Path, found: dict[str, tuple[RecordedTasks, RecordedTasks | None]], *, anew: bool
) -> RecordedEmbeddings | MiniLMEmbedder:
    """The embeddings kept beside the records, so that reports agree on all machines; else made now."""
    if anew:
        texts = {text for pair in found.values() for part in pair if part is not None for text in texts_of(part)}
        made = asyncio.run(RecordedEmbeddings.create(texts, MiniLMEmbedder()))
        made.write(path)
        return made
    return RecordedEmbeddings.read(path) if path.exists() else MiniLMEmbedder()


if __name__ == "__main__":
    main()
