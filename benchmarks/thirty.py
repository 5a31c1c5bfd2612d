"""The thirty example tasks through the embedded pool: what jury, entropy and refinement do at this model size.

    python -m benchmarks.thirty run       # resumable: each task is recorded as it ends (about an hour on two cores)
    python -m benchmarks.thirty direct    # resumable: every agent on every task without a plan
    python -m benchmarks.thirty report    # writes the tables of docs/small-models.md from the record

Beside the market's own run, every standing first bid is executed by its author, so that each plan can be compared with
what came of it; and `direct` executes each agent without a plan. Those executions are no part of the market.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.thirty_report import tables
from sale import ExactMatch, Market, config
from sale.agents.protocol import Agent, Verifier
from sale.cli.encode import encode
from sale.cli.examples import TaskLine, examples
from sale.types import Execution, Outcome, Task

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "benchmarks" / "records"
RECORD, DIRECT = RECORDS / "thirty.jsonl.gz", RECORDS / "thirty-direct.jsonl.gz"
POOL = ROOT / "examples" / "auction.toml"
PAGE = ROOT / "docs" / "small-models.md"
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


async def run(record: Path, memory: Path) -> None:
    """Run what is not on record yet. The memory is kept beside the record, so that a resumed run learns on."""
    done = {line["id"] for line in read(record)}
    settings = config.load(POOL)
    settings = settings.model_copy(update={"memory": config.MemorySettings(path=memory)})
    async with Market.from_config(settings=settings) as market:
        for number, line in enumerate(interleaved(examples()), start=1):
            if line.id in done:
                continue
            entry = await one(market, line)
            append(record, entry)
            verdicts = {name: done["verdict"] for name, done in entry["executions"].items()}
            print(f"{number:2} {line.id:42} {entry['result']['auction']['winner']['agent']:16} {verdicts}", flush=True)


async def direct(record: Path) -> None:
    """Every agent on every task without a plan: what it can do when nobody asks it to plan first."""
    done = {(line["id"], line["agent"]) for line in read(record)}
    settings = config.load(POOL)
    settings = settings.model_copy(update={"memory": config.MemorySettings(enabled=False)})
    async with Market.from_config(settings=settings) as market:
        for line in interleaved(examples()):
            for agent in market.agents:
                if (line.id, agent.name) in done:
                    continue
                entry = {"id": line.id, "agent": agent.name, **await work(agent, line.task, None, judge(market, line))}
                append(record, entry)
                print(f"{line.id:42} {agent.name:16} {entry['verdict']}", flush=True)


def judge(market: Market, line: TaskLine) -> Verifier:
    """Tests where the task has them, else its reference answer."""
    if line.tests is not None:
        return market.tests(line.tests, prelude=line.prelude)
    return ExactMatch(line.reference or "", line.aliases)


def append(record: Path, entry: dict[str, Any]) -> None:
    """Add a line to a record."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(record, "at", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def interleaved(lines: list[TaskLine]) -> list[TaskLine]:
    """Kinds of tasks in turn, so that the memory holds some of each early on; a fixed order."""
    kinds: dict[str | None, list[TaskLine]] = {}
    for line in lines:
        kinds.setdefault(line.source, []).append(line)
    longest = max(len(kind) for kind in kinds.values())
    return [kind[turn] for turn in range(longest) for kind in kinds.values() if turn < len(kind)]


async def one(market: Market, line: TaskLine) -> dict[str, Any]:
    """One task: the market's run, then every standing first bid executed by its author."""
    verifier = judge(market, line)
    result = await market.run(line.task, verifier=verifier)
    won = result.auction.winner
    executions: dict[str, dict[str, Any]] = {}
    for bid in result.auction.bids:
        agent = next(agent for agent in market.agents if agent.name == bid.agent)
        if bid == won:  # the market has done this very work already
            executions[bid.agent] = kept(result.execution, result.outcome)
        else:
            executions[bid.agent] = await work(agent, line.task, bid.strategy.text, verifier)
    return {
        "id": line.id,
        "source": line.source,
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("sale", "xllamacpp", "pydantic-ai-slim")},
        "result": encode(result),
        "executions": executions,
    }


async def work(agent: Agent, task: Task, plan: str | None, verifier: Verifier) -> dict[str, Any]:
    """One execution and its outcome, for the record."""
    execution = await agent.execute(task, plan)
    return kept(execution, await verifier.verify(task, execution.answer))


def kept(execution: Execution, outcome: Outcome) -> dict[str, Any]:
    """What the record keeps of an execution."""
    return {
        "verdict": outcome.verdict if execution.answer.strip() else "failure",
        "detail": outcome.detail or execution.error or "",
        "answer": execution.answer,
        "seconds": execution.seconds,
        "usage": [asdict(call.usage) for call in execution.calls],
    }


def read(record: Path) -> list[dict[str, Any]]:
    """The record, oldest first. A last line cut off by a kill is left out; its task is run again."""
    if not record.exists():
        return []
    lines: list[dict[str, Any]] = []
    with gzip.open(record, "rt", encoding="utf-8") as file:
        try:
            for line in file:
                lines.append(json.loads(line))
        except (EOFError, ValueError):
            print(f"{record} ends in the middle of a record; that task is run again", file=sys.stderr)
    return lines


def report(record: Path, page: Path, *, check: bool) -> int:
    """Put the tables into the page, or check that they are there."""
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = f"{head}{BEGIN}\n{tables(read(record), read(DIRECT))}\n{END}{tail}"
    if check:
        return int(made != text)
    page.write_text(made, encoding="utf-8")
    return 0


def main() -> int:
    """Run, or report."""
    parser = argparse.ArgumentParser(description="Thirty tasks through the embedded pool.")
    parser.add_argument("act", choices=["run", "direct", "report", "check"])
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--memory", type=Path, default=Path("thirty-memory.sqlite3"))
    arguments = parser.parse_args()
    if arguments.act == "run":
        asyncio.run(run(arguments.record, arguments.memory))
        return 0
    if arguments.act == "direct":
        asyncio.run(direct(DIRECT))
        return 0
    return report(arguments.record, PAGE, check=arguments.act == "check")


if __name__ == "__main__":
    sys.exit(main())
