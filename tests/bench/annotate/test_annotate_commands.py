"""`sale bench annotate` and `times`, as a user runs them."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from sale.bench.tasks.files import read_tasks, write_tasks
from tests.bench.annotate.site import Clock, lines, session, task
from tests.support.hang import HANG
from tests.support.preloaded import sale_command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tasks([task(), task("other")], tmp_path / "tasks.jsonl")
    return tmp_path


def sale(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*sale_command(), "bench", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=HANG)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def solved(folder: Path, name: str, seconds: float, *, right: bool = True) -> None:
    """A record in which one of two tasks was solved."""
    clock = Clock()
    with session(folder / f"tasks.{name}.jsonl", clock, [task()], name) as served:
        served.start("made/capital")
        clock.work(seconds)
        served.submit("made/capital", "Paris" if right else "Rome")
        served.record_verdict("made/capital", right)


def test_a_session_from_start_to_ctrl_c(folder: Path) -> None:
    command = [*sale_command(), "bench", "annotate", "tasks.jsonl"]
    command += ["--annotator", "ada", "--port", "0", "--no-open"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        own = {"origin": found[0]}
        with httpx2.Client(base_url=found[0], trust_env=False, follow_redirects=True, timeout=HANG) as client:
            own_task = re.search(r'name="task" value="([^"]+)"', client.get("/").text)
            assert own_task
            form = {"task": own_task[1], "answer": "paris."}
            assert "capital of France" in client.post("/start", data=form, headers=own).text
            assert "1 of 2 done" in client.post("/submit", data=form, headers=own).text
        refused = sale(folder, "annotate", "tasks.jsonl", "--annotator", "ada", "--no-open")
        assert refused.returncode == 2
        assert "in it" in refused.stderr
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=HANG)
    assert process.returncode == 0, errors
    assert "1 of 2 tasks done" in out
    assert "Traceback" not in errors
    assert [line["right"] for line in lines(folder / "tasks.ada.jsonl", "judged")] == [True]


def test_times_are_written(folder: Path) -> None:
    for name, seconds in (("ada", 20), ("bob", 30), ("eve", 40)):
        solved(folder, name, seconds)
    solved(folder, "dan", 1, right=False)
    records = sorted(path.name for path in folder.glob("tasks.*.jsonl"))
    done = sale(folder, "times", *records, "--tasks", "tasks.jsonl", "--out", "timed.jsonl")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 tasks timed, by ada, bob, dan, eve" in done.stdout
    assert "made/other: 0 right: needs 3 more right" in done.stdout
    assert "only one task has" in done.stdout
    timed, other = read_tasks(folder / "timed.jsonl")
    assert (timed.time.minutes, timed.time.people, timed.time.bins) == (0.5, 3, (1,))
    assert other == task("other")

    report = json.loads(sale(folder, "times", *records, "--json").stdout)
    assert report["schema"] == "sale.times/1"
    one = report["times"]["tasks"][0]
    assert (one["status"], one["minutes"], one["wrong"], one["missing"]) == ("timed", 0.5, 1, "")
    assert [level["alpha"] for level in report["times"]["agreement"]] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("times", "nothing.jsonl"), "no such record"),
        (("times", "tasks.jsonl"), "tasks.jsonl, entry 1: no event of an annotation"),
        (("times", "tasks.jsonl", "--out", "x.jsonl"), "--out needs --tasks"),
        (("annotate", "tasks.jsonl", "--annotator", "a/b"), "name of an annotator"),
        (("annotate", "tasks.jsonl", "--annotator", "a", "--record", "tasks.jsonl"), "cannot be the task file"),
        (("annotate", "nothing.jsonl", "--annotator", "a"), "nothing.jsonl: cannot be read"),
    ],
)
def test_mistakes_end_in_one_line(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    before = (folder / "tasks.jsonl").read_bytes()
    done = sale(folder, *arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert (folder / "tasks.jsonl").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["away", "tasks.jsonl"]


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = sale(folder, "annotate", "tasks.jsonl", "--annotator", "ada", "--no-open", "--port", port)
    assert done.returncode == 2
    assert "--port" in done.stderr
