"""A batch whose processes are killed at random moments: nothing is lost, nothing is paid twice, and the books agree.

Real processes, real SIGKILL, real HTTP. The endpoint keeps books of its own: each request that it answered.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_batch_command import IN_A_FILE, batch, prepare, results, says
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.postgres import Server
from tests.support.preloaded import sale_command

ROUNDING = 1e-9
"""Dollars: each call is kept to the nearest nano-dollar."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(say=says) as served:
        yield served


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [*sale_command(), "batch", "tasks.jsonl", "--out", "out.jsonl", "--cap", "50", "--config", "sale.toml"]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen([*command, "--concurrency", "4"], cwd=folder, stdout=said, stderr=said)


def kill_once(folder: Path, endpoint: Endpoint, chance: random.Random) -> bool:
    """Start one process, or two on the same batch, and kill one after a while; whether it was still at work."""
    processes = [start(folder) for _ in range(chance.choice((1, 1, 2)))]
    until = len(endpoint.requests()) + chance.randrange(12)
    limit = time.monotonic() + HANG
    while len(endpoint.requests()) < until and processes[0].poll() is None:
        assert time.monotonic() < limit, "the batch does not go on"
        time.sleep(0.002)
    time.sleep(chance.random() * 0.06)
    alive = processes[0].poll() is None
    for process in processes:  # the second a little later, while it works alone
        process.kill()
        process.wait(HANG)
        time.sleep(chance.random() * 0.1)
    return alive


Ask = Callable[[str], Sequence[tuple[Any, ...]]]
"""Asks the database of a memory."""


def asks_file(folder: Path) -> Ask:
    def ask(query: str) -> Sequence[tuple[Any, ...]]:
        with closing(sqlite3.connect(folder / "memory.sqlite3")) as connection:
            return connection.execute(query).fetchall()

    return ask


def check_books(folder: Path, endpoint: Endpoint, count: int, rows: Ask) -> None:
    lines = results(folder)
    assert Counter(line["id"] for line in lines) == Counter(f"t{n}" for n in range(count)), "each task has one line"
    assert all(line["error"] is None and line["winner"] for line in lines)
    for line in lines:
        right = line["winner"] == "large" or int(line["id"][1:]) % 2 == 0
        assert line["verdict"] == ("success" if right else "failure")

    sums = "SELECT count(*), coalesce(sum(dollars), 0) FROM batch_calls WHERE status = "
    paid, unknown = ([int(value) for value in rows(f"{sums} '{status}'")[0]] for status in ("paid", "unknown"))
    assert rows("SELECT count(*) FROM batch_calls WHERE status = 'open'") == [(0,)]
    keys = "SELECT count(*) FROM batch_calls WHERE status = 'paid' GROUP BY batch, task, attempt, phase, agent, request"
    assert {number for (number,) in rows(keys)} == {1}, "no key is settled twice"

    # What the endpoint answered is settled, or was under way at a kill and is charged as unknown.
    live = [one.body for one in endpoint.requests() if one.status == 200]
    bodies = Counter(json.dumps(body, sort_keys=True) for body in [*live, *endpoint.books.done])
    assert paid[0] <= sum(bodies.values()) <= paid[0] + unknown[0]
    assert sum(bodies.values()) - len(bodies) <= unknown[0], "only what was under way at a kill was asked again"

    # The lines, the ledger and the auction memory name the same money.
    dollars = paid[1] / 1e9
    assert sum(line["dollars"] for line in lines) == pytest.approx(dollars, abs=ROUNDING)
    assert sum(line["unknown_dollars"] for line in lines) == pytest.approx(unknown[1] / 1e9, abs=ROUNDING)
    kept = rows("SELECT sum(dollars) FROM calls")[0][0]
    assert kept == pytest.approx(dollars, abs=ROUNDING * paid[0])
    assert rows("SELECT charged FROM batches") == [(paid[1] + unknown[1],)]
    assert rows("SELECT status, count(*) FROM auctions GROUP BY status") == [("settled", count)]
    assert rows("SELECT count(*) FROM executions") == [(count,)]


def storm(folder: Path, endpoint: Endpoint, kills: int, seed: int, memory: str = IN_A_FILE) -> int:
    """Kill, then finish; gives back how many tasks there were."""
    count = 4 + 3 * kills
    # Winners depend on the bids alone, not on what the memory held when a task was taken up again.
    prepare(folder, endpoint, count, "slow-30+good", rules="base_rates = false", memory=memory)
    chance = random.Random(seed)
    done = sum(kill_once(folder, endpoint, chance) for _ in range(kills))
    assert done >= kills * 0.8, "most kills were of a batch at work"
    with (folder / "out.jsonl").open("ab") as file:
        file.write(b'{"id": "t1", "att')  # as a crash in the middle of a write would leave it
    last = batch(folder, "--json", "--concurrency", "4", cap="50")
    assert last.code == 0, (last.err, (folder / "said.txt").read_text())
    return count


def test_killed_at_random_moments_a_batch_loses_and_doubles_nothing(tmp_path: Path, endpoint: Endpoint) -> None:
    count = storm(tmp_path, endpoint, 5, seed=1)
    check_books(tmp_path, endpoint, count, asks_file(tmp_path))


def test_on_a_server_too(tmp_path: Path, endpoint: Endpoint, postgres: Server) -> None:
    url = postgres.database()
    count = storm(tmp_path, endpoint, 4, seed=3, memory=f'url = "{url}"')
    check_books(tmp_path, endpoint, count, lambda query: postgres.run(query, url=url))


@pytest.mark.release
def test_killed_fifty_times_a_batch_loses_and_doubles_nothing(tmp_path: Path, endpoint: Endpoint) -> None:
    count = storm(tmp_path, endpoint, 50, seed=2)
    check_books(tmp_path, endpoint, count, asks_file(tmp_path))
    ((unknown,),) = asks_file(tmp_path)("SELECT count(*) FROM batch_calls WHERE status = 'unknown'")
    assert unknown > 10, "most kills cut calls off"
