"""Killed at any moment, nothing settled is lost and the next start is clean: real processes, real SIGKILL."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_commands import Shell, settings
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.preloaded import PLAIN

# One agent: its calls are a bid, a judgement, and the work, each long enough to be killed in.
MOMENTS = {"bidding": 1, "judging": 2, "executing": 3}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as served:
        yield served


def summaries(shell: Shell) -> list[dict[str, object]]:
    done = shell("memory", "list", "--json")
    assert done.code == 0, done.err
    found: list[dict[str, object]] = json.loads(done.out)["summaries"]
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_loses_nothing_settled(tmp_path: Path, endpoint: Endpoint, moment: str) -> None:
    config = tmp_path / "sale.toml"
    config.write_text(settings(endpoint, "good"), encoding="utf-8")
    shell = Shell(tmp_path)
    assert shell("run", "Name a colour.", "--expect", "red", "--quiet").code == 0
    settled = shell("memory", "show", str(summaries(shell)[0]["id"]), "--json").out

    config.write_text(settings(endpoint, "slow-1500+good"), encoding="utf-8")
    before = len(endpoint.requests())
    with subprocess.Popen(
        [*PLAIN, "run", "Name a shape.", "--quiet"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 60
        while len(endpoint.requests()) < before + MOMENTS[moment]:
            assert time.monotonic() < until, "the run did not come so far"
            assert process.poll() is None, "the run ended early"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)

    left = summaries(shell)
    assert [one["status"] for one in left] == ["abandoned", "settled"]
    assert shell("memory", "show", str(left[1]["id"]), "--json").out == settled
    if moment == "executing":
        record = json.loads(shell("memory", "show", str(left[0]["id"]), "--json").out)["record"]
        assert record["auction"]["winner"]["strategy"]["agent"] == "agent-1", "the award was on record"
    config.write_text(settings(endpoint, "good"), encoding="utf-8")
    assert shell("run", "Name a number.", "--quiet").code == 0
    assert [one["status"] for one in summaries(shell)] == ["settled", "abandoned", "settled"]


def test_an_interrupted_run_says_so_and_is_on_record(tmp_path: Path, endpoint: Endpoint) -> None:
    (tmp_path / "sale.toml").write_text(settings(endpoint, "slow-20000+good"), encoding="utf-8")
    with subprocess.Popen(
        [*PLAIN, "run", "Name a shape.", "--quiet"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + 60
        while not endpoint.requests():
            assert time.monotonic() < until, "the run did not begin"
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert [one["status"] for one in summaries(Shell(tmp_path))] == ["abandoned"]
