"""Every exit status of the table, reached as a user reaches it: a process of its own, real agents, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from sale.cli.main import app
from sale.cli.statuses import STATUSES, status_of
from sale.types import Attempt, Execution, Outcome
from tests.support.endpoint import Endpoint
from tests.support.preloaded import PLAIN, sale_command

AGENT = """
[[agents]]
name = "worker"
command = {command}
price = 1.0
price_per_task = 0.001
plan = "1. Do it. 2. Check it."
env = ["PATH"]
seconds = 30
"""
LOOPING = """
[[agents]]
name = "looper"
endpoint = "{url}"
model = "tool-loops-forever"
price = 1.0
execution = "tools"
turns = 2
judge = false

[sandbox]
unsafe_subprocess = true

[tools]
python = true
"""
GUARD = 60
"""Seconds after which a process that does not end is a failure, on the slowest machine."""


def write(folder: Path, *command: str, more: str = "") -> Path:
    text = AGENT.format(command=json.dumps(command, ensure_ascii=False)) + more
    (folder / "sale.toml").write_text(text, encoding="utf-8")
    return folder


def run(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [*sale_command(), *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=2 * GUARD,
        env={**os.environ, **(env or {})},
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stdout.decode() + done.stderr.decode()


def test_the_table_is_in_the_help_and_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    shown = " ".join(app.get_help(app.make_context("sale", [], resilient_parsing=True)).split())
    for number, meaning in STATUSES.items():
        assert f"| {number} | {meaning} |" in page
        assert f"{number} {meaning}" in shown


class TestDone:
    def test_an_answer_is_done_even_one_that_is_wrong(self, tmp_path: Path) -> None:
        write(tmp_path, "echo", "42")
        assert run(tmp_path, "run", "--quiet", "What is 6 times 7?").returncode == 0
        assert run(tmp_path, "run", "--quiet", "--expect", "41", "What is 6 times 7?").returncode == 0
        assert run(tmp_path, "run", "--quiet", "--check", "--expect", "42", "What is 6 times 7?").returncode == 0


class TestFailed:
    @pytest.mark.parametrize(
        ("command", "more", "why"),
        [
            (("false",), "", "exit status 1"),
            (("true",), "", "wrote nothing"),
            (("sleep", "97"), "", "within 0.5 s"),
            (("sh", "-c", "kill -9 $$"), "", "exit status 137"),
        ],
    )
    @pytest.mark.parametrize("form", ["--json", "--quiet"])
    def test_work_that_failed(self, tmp_path: Path, command: tuple[str, ...], more: str, why: str, form: str) -> None:
        write(tmp_path, *command, more=more)
        if "within" in why:
            text = (tmp_path / "sale.toml").read_text(encoding="utf-8")
            (tmp_path / "sale.toml").write_text(text.replace("seconds = 30", "seconds = 0.5"), encoding="utf-8")
        done = run(tmp_path, "run", "--quiet", form, "Do it.")
        assert done.returncode == 1, said(done)
        assert why in said(done)

    def test_an_endpoint_that_fails_at_work(self, tmp_path: Path) -> None:
        with Endpoint() as endpoint:
            text = f'[[agents]]\nname = "a"\nprice = 1.0\nendpoint = "{endpoint.base_url}"\nmodel = "500-after-2"\n'
            (tmp_path / "sale.toml").write_text(text, encoding="utf-8")
            done = run(tmp_path, "run", "--quiet", "--json", "Do it.")
        assert "call.server" in json.loads(done.stdout)["result"]["execution"]["error"]
        assert done.returncode == 1

    def test_turns_that_are_used_up(self, tmp_path: Path) -> None:
        with Endpoint() as endpoint:
            (tmp_path / "sale.toml").write_text(LOOPING.format(url=endpoint.base_url), encoding="utf-8")
            done = run(tmp_path, "run", "--quiet", "--json", "Do it.")
        assert "execution.turns" in json.loads(done.stdout)["result"]["execution"]["error"]
        assert done.returncode == 1

    def test_an_answer_that_is_not_found_right_where_that_is_asked_for(self, tmp_path: Path) -> None:
        write(tmp_path, "echo", "42")
        done = run(tmp_path, "run", "--quiet", "--check", "--expect", "41", "What is 6 times 7?")
        assert done.returncode == 1
        assert b"42" in done.stdout, "it is shown all the same"

    def test_no_bid_stands(self, tmp_path: Path) -> None:
        text = AGENT.format(command='["no-such-program-anywhere"]').replace('plan = "1. Do it. 2. Check it."\n', "")
        (tmp_path / "sale.toml").write_text(text, encoding="utf-8")
        assert run(tmp_path, "bid", "--quiet", "Do it.").returncode == 1


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("run", "--check", "Do it."),
            ("run", "--check", "--workspace", ".", "Do it."),
            ("run", ""),
            ("run", "--no-such-option"),
            ("run", "--config", "nowhere.toml", "x"),
            ("memory", "import", "nowhere.jsonl"),
        ],
    )
    def test_a_mistake(self, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        write(tmp_path, "echo", "42")
        done = run(tmp_path, *arguments)
        assert done.returncode == 2, said(done)
        assert done.stdout == b""


@contextmanager
def at_work(folder: Path, *before: str, session: bool = True) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """A run whose agent is at work, and the number of the agent's process."""
    script = folder / "agent.sh"
    script.write_text(
        f"#!/bin/sh\necho $$ > {folder}/number.part\nmv {folder}/number.part {folder}/number\nexec sleep 97\n"
    )
    script.chmod(0o755)
    write(folder, str(script))
    command = [*before, *sale_command(), "run", "--quiet", "Do it."]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=session
    ) as process:
        try:
            until = time.monotonic() + GUARD
            while not (folder / "number").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until, "the agent did not start"
                time.sleep(0.02)
            yield process, int((folder / "number").read_text())
        finally:
            process.kill()


def gone(number: int) -> bool:
    """Whether a process has ended, or is about to be reaped."""
    until = time.monotonic() + GUARD
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_what_was_started_ends_too_and_the_record_says_so(self, tmp_path: Path, number: int) -> None:
        with at_work(tmp_path) as (process, agent):
            process.send_signal(number)
            _, errors = process.communicate(timeout=GUARD)
            assert gone(agent)
        assert process.returncode == 128 + number
        assert b"what was settled is on record" in errors
        assert b"Traceback" not in errors
        listed = run(tmp_path, "memory", "list", "--json")
        assert [one["status"] for one in json.loads(listed.stdout)["summaries"]] == ["abandoned"]

    def test_in_the_background_ctrl_c_is_for_others_and_sigterm_is_not(self, tmp_path: Path) -> None:
        """A shell without job control starts what has an `&` with SIGINT ignored."""
        with at_work(tmp_path, "sh", "-c", 'trap "" INT; exec "$@"', "sh") as (process, agent):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=GUARD)
            assert gone(agent)
        assert (process.returncode, b"Traceback" in errors) == (128 + signal.SIGTERM, False)

    def test_nohup_is_heard(self, tmp_path: Path) -> None:
        with at_work(tmp_path, "nohup") as (process, agent):
            process.send_signal(signal.SIGHUP)
            os.kill(agent, signal.SIGTERM)
            output, _ = process.communicate(timeout=GUARD)
        assert process.returncode == 1, "the run came to its own end: the agent was killed"
        assert b"exit status 143" in output

    def test_a_terminal_that_is_gone_ends_it_without_a_word(self, tmp_path: Path) -> None:
        """Nothing can be written any more, and what was started still ends."""
        with at_work(tmp_path) as (process, agent):
            assert process.stderr is not None
            assert process.stdout is not None
            process.stderr.close()
            process.stdout.close()
            process.send_signal(signal.SIGHUP)
            assert process.wait(GUARD) == 128 + signal.SIGHUP
            assert gone(agent)


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    write(tmp_path, "sh", "-c", "yes | head -n 20000")
    for arguments in (("run", "--quiet", "Do it."), ("memory", "export", "-"), ("memory", "list", "--json")):
        with subprocess.Popen(
            [*PLAIN, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            errors = process.stderr.read()
        assert (process.returncode, errors) == (141, b""), arguments


@pytest.mark.parametrize("verdict", ["success", "failure", "unknown"])
@pytest.mark.parametrize("answer", ["42", " "])
@pytest.mark.parametrize("error", [None, "execution.turns: not done within 2 turns"])
@pytest.mark.parametrize("check", [False, True])
def test_the_rule(verdict: str, answer: str, error: str | None, check: bool) -> None:
    execution = Execution(agent="a", answer=answer, mode="direct", followed_strategy=True, error=error)
    attempt = Attempt(execution=execution, outcome=Outcome(verdict=verdict, judged_by="tests"))  # pyright: ignore[reportArgumentType]
    result = _Judged(attempt)
    expected = 0 if verdict == "success" or (answer == "42" and error is None and not check) else 1
    assert status_of(result, check=check) == expected  # pyright: ignore[reportArgumentType]


class _Judged:
    """The part of a result that the rule looks at."""

    def __init__(self, attempt: Attempt) -> None:
        self.execution, self.outcome = attempt.execution, attempt.outcome
        self.answer = attempt.execution.answer
