"""A batch on a real Ray cluster of two nodes on this machine: a node, a worker and the command itself are killed.

The endpoint keeps books of its own, and they are compared with the ledger as in `test_batch_killed`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_batch_command import prepare, results, says
from tests.cli.test_batch_killed import check_books
from tests.support.command import run_sale
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.postgres import Server
from tests.support.preloaded import PLAIN
from tests.support.ray_cluster import RayCluster, two_nodes

pytest.importorskip("ray", reason="a batch on a cluster needs Ray: pip install 'sale[ray]'")
RULES = "base_rates = false"
"""So winners depend on the bids alone, not on what the memory held when a task was taken up again."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(say=says) as served:
        yield served


@pytest.fixture
def cluster() -> Iterator[RayCluster]:
    with two_nodes({}) as nodes:
        yield nodes


def start(folder: Path, cluster: RayCluster) -> subprocess.Popen[bytes]:
    arguments = ["batch", "tasks.jsonl", "--out", "out.jsonl", "--cap", "50", "--config", "sale.toml", "--json"]
    with (folder / "out.txt").open("ab") as out, (folder / "err.txt").open("ab") as err:
        return subprocess.Popen(
            [*PLAIN, *arguments, "--concurrency", "2", "--ray", cluster.address], cwd=folder, stdout=out, stderr=err
        )


def wait_for_lines(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + HANG
    file = folder / "out.jsonl"
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        assert process.poll() is None, (folder / "err.txt").read_text()
        assert time.monotonic() < limit, (folder / "err.txt").read_text()
        time.sleep(0.02)


def wait_for_tables(url: str, postgres: Server, process: subprocess.Popen[bytes]) -> None:
    while postgres.run("SELECT to_regclass('batch_calls')", url=url) == [(None,)]:
        assert process.poll() is None
        time.sleep(0.05)


def finish(folder: Path, process: subprocess.Popen[bytes]) -> None:
    assert process.wait(HANG * 4) == 0, (folder / "err.txt").read_text()


@pytest.mark.release
def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(
    tmp_path: Path, endpoint: Endpoint, postgres: Server, cluster: RayCluster
) -> None:
    url, count = postgres.database(), 40
    prepare(tmp_path, endpoint, count, "slow-200+good", rules=RULES, memory=f'url = "{url}"')
    process = start(tmp_path, cluster)
    wait_for_tables(url, postgres, process)
    limit = time.monotonic() + HANG
    while len(postgres.run("SELECT DISTINCT owner FROM batch_calls WHERE owner IS NOT NULL", url=url)) < 2:
        assert process.poll() is None, "it ended before both nodes were at work"
        assert time.monotonic() < limit, (tmp_path / "err.txt").read_text()
        time.sleep(0.05)
    cluster.nodes[1].kill()
    finish(tmp_path, process)
    check_books(tmp_path, endpoint, count, lambda query: postgres.run(query, url=url))
    report = json.loads((tmp_path / "out.txt").read_text())["batch"]
    assert (report["ended"], report["state"]["done"]) == ("done", count)


@pytest.mark.release
def test_the_command_killed_ends_its_workers_and_the_same_command_goes_on(
    tmp_path: Path, endpoint: Endpoint, postgres: Server, cluster: RayCluster
) -> None:
    url, count = postgres.database(), 24
    prepare(tmp_path, endpoint, count, "slow-60+good", rules=RULES, memory=f'url = "{url}"')
    first = start(tmp_path, cluster)
    wait_for_lines(tmp_path, 6, first)
    first.send_signal(signal.SIGKILL)
    first.wait(HANG)
    before = len(results(tmp_path))
    assert before < count
    again = start(tmp_path, cluster)
    wait_for_lines(tmp_path, before + 2, again)
    # One worker alone, as one that runs out of memory ends.
    os.kill(cluster.processes("ray::BatchWorker")[0], signal.SIGKILL)
    finish(tmp_path, again)
    check_books(tmp_path, endpoint, count, lambda query: postgres.run(query, url=url))


@pytest.mark.release
def test_what_cannot_be_is_said_before_anything_is_spent(
    tmp_path: Path, endpoint: Endpoint, cluster: RayCluster, postgres: Server
) -> None:
    prepare(tmp_path, endpoint, 2)
    command = ["batch", "tasks.jsonl", "--out", "out.jsonl", "--cap", "1", "--config", "sale.toml"]
    in_a_file = subprocess.run(
        [*PLAIN, *command, "--ray", cluster.address], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert in_a_file.returncode == 2
    assert "is a file of this machine" in " ".join(in_a_file.stderr.split())
    by_client = run_sale(tmp_path, *command, "--ray", "ray://127.0.0.1:1")
    assert by_client.code == 2
    assert "not through a Ray client" in " ".join(by_client.err.split())
    alone = run_sale(tmp_path, *command, "--workers", "3")
    assert alone.code == 2
    assert "--workers goes with --ray" in alone.err
    assert endpoint.requests() == []
