"""`sale batch` as a user runs it, over real HTTP: agents that answer from a script."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Done, run_sale
from tests.support.endpoint import Endpoint
from tests.support.replies import Ask

PRICES = {"small": 1.0, "large": 20.0}


def says(ask: Ask) -> str | None:
    """The large one doubles any number, the small one even numbers only; plans and ballots are the usual ones."""
    found = re.search(r"Double (\d+)", ask.prompt)
    if found is None or ask.judging or "numbered steps" in ask.prompt:
        return None
    number = int(found[1])
    return str(2 * number) if "large" in str(ask.body.get("model")) or number % 2 == 0 else "no idea"


@pytest.fixture
def served() -> Iterator[Endpoint]:
    with Endpoint(say=says) as endpoint:
        yield endpoint


def prepare(folder: Path, endpoint: Endpoint, count: int, trait: str = "good", more: str = "", rules: str = "") -> None:
    agents = "\n".join(
        f'[[agents]]\nname = "{name}"\nendpoint = "{endpoint.base_url}"\nmodel = "{trait}@{name}"\nprice = {price}\n'
        f"answer_tokens = 16\nlogprobs = 0\n{more}\n"
        for name, price in PRICES.items()
    )
    auction = f"[auction]\nstrategy_tokens = 100\n{rules}\n"
    (folder / "sale.toml").write_text(f'{agents}{auction}[memory]\npath = "memory.sqlite3"\n', encoding="utf-8")
    write_tasks(folder, count)


def write_tasks(folder: Path, count: int) -> None:
    lines = [{"id": f"t{n}", "text": f"Double {n}.", "reference": str(2 * n)} for n in range(count)]
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


def batch(folder: Path, *more: str, cap: str = "1") -> Done:
    return run_sale(folder, "batch", "tasks.jsonl", "--out", "out.jsonl", "--cap", cap, "--config", "sale.toml", *more)


def results(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "out.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def answered(endpoint: Endpoint) -> int:
    return sum(one.status == 200 for one in endpoint.requests())


def test_each_task_is_done_once_and_its_line_says_what_came_of_it(tmp_path: Path, served: Endpoint) -> None:
    prepare(tmp_path, served, 6)
    done = batch(tmp_path, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)["batch"]
    assert report["ended"] == "done"
    state = report["state"]
    assert (state["total"], state["done"], state["failed"], state["unknown"]) == (6, 6, 0, 0.0)
    lines = results(tmp_path)
    assert Counter(line["id"] for line in lines) == Counter(f"t{n}" for n in range(6))
    for line in lines:
        right = line["winner"] == "large" or int(line["id"][1:]) % 2 == 0
        assert line["verdict"] == ("success" if right else "failure")
        assert line["error"] is None
        assert line["unknown_dollars"] == 0.0
    assert sum(line["dollars"] for line in lines) == pytest.approx(state["dollars"])
    made = answered(served)
    again = batch(tmp_path, "--json")
    assert again.code == 0, again.err
    assert answered(served) == made, "what is done is not done again"
    assert results(tmp_path) == lines
