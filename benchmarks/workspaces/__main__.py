"""Run the repairs, or report on them. Every repair is recorded as it ends, and none is done twice."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import click

from sale.agents.pool import Engines, build_agents
from sale.agents.tools.workspace.workspace import Workspace
from sale.agents.workspace_run import in_workspace
from sale.bench.stats import wilson
from sale.config import Settings, llama_server

HERE = Path(__file__).parent
RECORD = HERE / "record.jsonl"
MODELS = {"0.5b": ("qwen2.5-coder-0.5b", 0.03), "1.5b": ("qwen2.5-coder-1.5b", 0.09)}
WAYS = ("direct", "steps", "tools")
NAMES = {"direct": "hands in changes", "steps": "tools, step by step", "tools": "tools, native calls"}
VERIFY = "python -m pytest -q -p no:asyncio"


@click.group()
def main() -> None:
    """Repairs of small repositories by the embedded models."""


@main.command()
@click.option("--model", type=click.Choice(list(MODELS)), multiple=True, default=["0.5b"])
@click.option("--way", type=click.Choice(WAYS), multiple=True, default=["direct"])
@click.option("--turns", default=6, help="The most answers of one repair.")
@click.option("--seconds", default=900.0, help="The longest one repair may take.")
@click.option("--only", multiple=True, help="Repositories by name; all unless given.")
def run(model: tuple[str, ...], way: tuple[str, ...], turns: int, seconds: float, only: tuple[str, ...]) -> None:
    """Have models repair the repositories."""
    for name in model:
        for how in way:
            asyncio.run(_repairs(name, how, turns, seconds, only))


async def _repairs(model: str, way: str, turns: int, seconds: float, only: tuple[str, ...]) -> None:
    local, price = MODELS[model]
    agent = {"name": f"qwen-coder-{model}", "local": local, "price": price, "execution": way, "turns": turns}
    settings = Settings.model_validate(
        {
            "agents": [{**agent, "answer_tokens": 512, "seconds": seconds, "follow_strategy": False}],
            "tools": {"python": False},
        }
    )
    (worker,) = build_agents(settings, engines=Engines(parallel=1, turns=True, server=llama_server()))
    done = {(one["repository"], one["model"], one["way"], one["turns"]) for one in _recorded()}
    try:
        for repository in _repositories():
            name = repository["name"]
            if (name, model, way, turns) in done or (only and name not in only):
                continue
            with tempfile.TemporaryDirectory(prefix="sale-bench-") as place:
                _write(Path(place), repository["files"])
                workspace = await Workspace.open(place, verify=VERIFY)
                task = workspace.task(repository["task"])
                await worker.prepare()
                began = time.monotonic()
                (there,) = in_workspace((worker,), workspace)
                work = await there.execute(task, None)
                took = time.monotonic() - began
                outcome = await workspace.verify(task, work.answer)
            line = {
                "repository": name,
                "model": model,
                "way": way,
                "turns": turns,
                "verdict": "failure" if not work.answer else outcome.verdict,
                "calls": len(work.calls),
                "input_tokens": sum(call.usage.input_tokens for call in work.calls),
                "output_tokens": sum(call.usage.output_tokens for call in work.calls),
                "seconds": round(took, 1),
                "error": work.error,
                "patch": work.answer,
                "trace": [dict(one) for one in work.trace],
            }
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(name, model, way, line["verdict"], line["calls"], "calls", line["seconds"], "s", work.error or "")
            sys.stdout.flush()
    finally:
        await worker.aclose()


@main.command()
def report() -> None:
    """The table of the record, as in docs/workspace.md."""
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    for one in _recorded():
        groups[one["model"], one["way"], one["turns"]].append(one)
    print("| model | way | answers at most | repaired | model calls, mean | tokens read and written, mean |")
    print("|---|---|---|---|---|---|")
    for (model, way, turns), found in sorted(groups.items()):
        good = sum(one["verdict"] == "success" for one in found)
        interval = wilson(good, len(found))
        calls = sum(one["calls"] for one in found) / len(found)
        read = sum(one["input_tokens"] for one in found) / len(found)
        written = sum(one["output_tokens"] for one in found) / len(found)
        share = f"{good}/{len(found)} ({interval.low:.0%} to {interval.high:.0%})"
        print(f"| {model} | {NAMES[way]} | {turns} | {share} | {calls:.1f} | {read:,.0f} and {written:,.0f} |")


def _recorded() -> list[dict[str, Any]]:
    if not RECORD.exists():
        return []
    return [json.loads(line) for line in RECORD.read_text(encoding="utf-8").splitlines()]


def _repositories() -> list[dict[str, Any]]:
    return tomllib.loads((HERE / "repositories.toml").read_text(encoding="utf-8"))["repositories"]


def _write(place: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")


if __name__ == "__main__":
    main()
