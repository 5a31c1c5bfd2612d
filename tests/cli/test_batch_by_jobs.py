"""`sale batch` with agents that are asked by a batch API, over real HTTP, and killed at random moments."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_batch_command import batch, prepare, results, says
from tests.cli.test_batch_killed import asks_file, check_books, start
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG

BY_JOBS = 'batch = "openai"'
RULES = "base_rates = false"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(say=says) as served:
        yield served


def test_all_bids_go_first_then_all_judgements_then_all_work_at_half_the_price(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    prepare(tmp_path, endpoint, 6, more=BY_JOBS, rules=RULES)
    done = batch(tmp_path, "--json")
    assert done.code == 0, done.err
    state = json.loads(done.out)["batch"]["state"]
    assert (state["done"], state["unknown"], state["set_aside"]) == (6, 0.0, 0.0)
    assert endpoint.requests() == [], "nothing is asked live"
    begun = endpoint.books.begun
    assert begun[:2] == [6, 6], "the bids of both agents"
    assert len(begun) <= 6, "a job for each agent and phase"
    assert {line["winner"] for line in results(tmp_path)} <= {"small", "large"}

    live = tmp_path / "live"
    live.mkdir()
    prepare(live, endpoint, 6, more=BY_JOBS, rules=RULES)
    dear = batch(live, "--json", "--live")
    assert dear.code == 0, dear.err
    assert len(endpoint.books.begun) == len(begun)
    assert json.loads(dear.out)["batch"]["state"]["dollars"] == pytest.approx(2 * state["dollars"], rel=0.1)


def test_one_agent_may_be_asked_in_jobs_and_others_live(tmp_path: Path, endpoint: Endpoint) -> None:
    prepare(tmp_path, endpoint, 4, rules=RULES)
    settings = tmp_path / "sale.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace('name = "small"', f'name = "small"\n{BY_JOBS}\nbatch_discount = 0.25'), "utf-8")
    done = batch(tmp_path, "--json")
    assert done.code == 0, done.err
    assert {one.model for one in endpoint.requests()} == {"good@large"}
    assert {one["model"] for one in endpoint.books.done} == {"good@small"}
    assert len(results(tmp_path)) == 4


def kill_once(folder: Path, endpoint: Endpoint, chance: random.Random) -> None:
    """Start one process, or two on the same batch, and kill them after a while."""
    processes = [start(folder) for _ in range(chance.choice((1, 1, 2)))]
    books = endpoint.books
    wanted = books.events + 1 + chance.randrange(6)
    limit = time.monotonic() + HANG
    while books.events < wanted and processes[0].poll() is None:
        assert time.monotonic() < limit, "the batch does not go on"
        time.sleep(0.002)
    time.sleep(chance.random() * 0.06)
    for process in processes:
        process.kill()
        process.wait(HANG)


def storm(folder: Path, endpoint: Endpoint, kills: int, seed: int) -> None:
    """Kill, then finish, and compare the books."""
    count = 4 + kills
    endpoint.books.questions = 2
    endpoint.books.hold_begin = 0.2
    prepare(folder, endpoint, count, more=BY_JOBS, rules=RULES)
    chance = random.Random(seed)
    for _ in range(kills):
        kill_once(folder, endpoint, chance)
    last = batch(folder, "--json", "--concurrency", "4", cap="50")
    assert last.code == 0, (last.err, (folder / "said.txt").read_text())
    rows = asks_file(folder)
    check_books(folder, endpoint, count, rows)
    assert rows("SELECT count(*) FROM batch_calls WHERE status = 'unknown'") == [(0,)], "a job survives its process"
    asked = Counter(json.dumps(one, sort_keys=True) for one in endpoint.books.done)
    assert set(asked.values()) == {1}, "nothing is asked twice, whatever was under way at a kill"
    assert endpoint.requests() == []


def test_killed_at_random_moments_it_pays_for_nothing_twice(tmp_path: Path, endpoint: Endpoint) -> None:
    storm(tmp_path, endpoint, 4, seed=4)


@pytest.mark.release
def test_killed_fifty_times_it_pays_for_nothing_twice(tmp_path: Path, endpoint: Endpoint) -> None:
    storm(tmp_path, endpoint, 50, seed=5)
