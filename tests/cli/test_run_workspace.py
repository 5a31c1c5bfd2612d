"""`sale run --workspace`, as a user runs it: a process of its own, over real HTTP, on a real repository."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import platformdirs
import pytest

from sale import Outcome, Task, Workspace, config
from sale.agents.tools.bubblewrap import find_bwrap
from sale.cli.run_workspace import WorkspaceRequest, run_in_workspace
from tests.support.endpoint import Ask, Endpoint
from tests.support.hang import HANG
from tests.support.preloaded import sale_command

pytestmark = pytest.mark.skipif(find_bwrap() is None, reason="bubblewrap is not installed")

WRONG = "def area(a, b):\n    return a + b\n"
RIGHT = "def area(a, b):\n    return a * b\n"
SETTINGS = """
[[agents]]
name = "worker"
price = 0.1
endpoint = "{url}"
model = "good@a"
turns = 2

[auction]
attempts = 2
"""


def handing_in(code: str) -> str:
    return f"shapes.py\n```python\n{code}```\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "my repository"
    place.mkdir()
    (place / "shapes.py").write_text(WRONG)
    (place / "check.py").write_text("from shapes import area\nassert area(3, 4) == 12\n")
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    return place


@pytest.fixture
def answers() -> list[str]:
    """What the model hands in, time after time; the last one again and again."""
    return [handing_in(RIGHT)]


@pytest.fixture
def config_file(tmp_path: Path, answers: list[str]) -> Iterator[Path]:
    def say(ask: Ask) -> str | None:
        if "These files matter most" not in str(ask.body):
            return None
        return answers.pop(0) if len(answers) > 1 else answers[0]

    with Endpoint(say=say) as endpoint:
        file = tmp_path / "sale.toml"
        file.write_text(SETTINGS.format(url=endpoint.base_url), encoding="utf-8")
        yield file


def sale(config_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*sale_command(), "run", "--config", str(config_file), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=HANG, cwd=config_file.parent, env=dict(os.environ)
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_patch_is_all_there_is_on_stdout_and_git_takes_it(config_file: Path, repository: Path) -> None:
    done = sale(config_file, "--workspace", str(repository), "--verify", "python3 check.py", "Fix the check.")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("diff --git a/shapes.py b/shapes.py\n")
    assert "success, by command" in done.stderr
    assert (repository / "shapes.py").read_text() == WRONG
    subprocess.run(["git", "-C", str(repository), "apply", "-"], input=done.stdout.encode(), check=True)
    assert (repository / "shapes.py").read_text() == RIGHT


def test_it_is_applied_and_kept_where_that_is_asked_for(config_file: Path, repository: Path, tmp_path: Path) -> None:
    patch = tmp_path / "fix.patch"
    done = sale(
        config_file, "--workspace", str(repository), "--verify", "python3 check.py", "--apply", "--patch", str(patch)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "applied to" in done.stderr
    assert (repository / "shapes.py").read_text() == RIGHT
    assert patch.read_text().startswith("diff --git a/shapes.py")


@pytest.mark.parametrize("more", [[], ["--patch", "fix.patch"], ["--json"]])
def test_a_patch_is_handed_out_where_the_directory_has_changed_meanwhile(
    repository: Path, tmp_path: Path, more: list[str]
) -> None:
    def say(ask: Ask) -> str | None:
        if "These files matter most" not in str(ask.body):
            return None
        (repository / "late.txt").write_text("saved by the user while the agent worked")
        return handing_in(RIGHT)

    with Endpoint(say=say) as endpoint:
        file = tmp_path / "sale.toml"
        file.write_text(SETTINGS.format(url=endpoint.base_url), encoding="utf-8")
        done = sale(file, "--workspace", str(repository), "--verify", "python3 check.py", "--apply", *more, "Fix it.")
    assert done.returncode == 1, done.stderr
    assert "not applied" in done.stderr
    assert "changed since it was copied" in done.stderr
    assert "success, by command" in done.stderr
    assert (repository / "shapes.py").read_text() == WRONG
    if "--json" in more:
        assert json.loads(done.stdout)["result"]["answer"].startswith("diff --git")
    else:
        patch = (tmp_path / "fix.patch").read_text() if more else done.stdout
        assert patch.startswith("diff --git a/shapes.py")


def test_a_patch_that_could_not_be_checked_is_handed_out_and_not_applied(
    config_file: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(_workspace: Workspace, _task: Task, _answer: str) -> Outcome:
        return Outcome(verdict="unknown", judged_by="command", detail="sandbox: no room is left")

    monkeypatch.setattr(Workspace, "verify", fail)
    request = WorkspaceRequest(
        directory=repository, task="Fix the check.", verify="python3 check.py", patch=None, apply=True, check=False,
        allow_removals=False, settings=config.load(config_file), as_json=False, quiet=True,
    )  # fmt: skip
    with pytest.raises(click.exceptions.Exit) as ended:
        run_in_workspace(request)
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert "not applied: the command could not check the patch: sandbox: no room is left" in err
    assert out.startswith("diff --git a/shapes.py")
    assert (repository / "shapes.py").read_text() == WRONG


ASK = "Fix area; see notes.txt"
NOTES = "".join(f"Note {number}: nobody is to lose this.\n" for number in range(30))


@pytest.fixture
def losing(repository: Path, answers: list[str]) -> Path:
    """A repository whose notes the model cuts short while it does what it was asked for."""
    (repository / "notes.txt").write_text(NOTES)
    cut = f"<<<<<<< SEARCH\n{NOTES}=======\nNote 0: nobody is to lose this.\n>>>>>>> REPLACE\n"
    answers[:] = [f"{handing_in(RIGHT)}\nnotes.txt\n```text\n{cut}```\n"]
    return repository


def held_patch() -> Path:
    (kept,) = (platformdirs.user_data_path("sale") / "held").iterdir()
    return kept


@pytest.mark.parametrize("more", [["--apply"], ["--patch", "fix.patch"], ["--json"], []])
def test_a_patch_that_removes_more_than_was_asked_is_held_back(
    config_file: Path, losing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    done = sale(
        config_file, "--workspace", str(losing), "--verify", "python3 check.py", *more, "Fix area; see notes.txt"
    )
    assert done.returncode == 3, done.stderr
    assert "notes.txt: 29 of 30 lines are removed" in done.stderr
    assert (losing / "shapes.py").read_text() == WRONG
    assert (losing / "notes.txt").read_text() == NOTES
    assert not (tmp_path / "fix.patch").exists()
    assert ("diff --git" in done.stdout) == (more == ["--json"])
    kept = held_patch()
    assert kept.stat().st_mode & 0o777 == 0o600
    command = next(line for line in done.stderr.splitlines() if "apply it by hand" in line).partition("by hand: ")[2]
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert (losing / "shapes.py").read_text() == RIGHT
    assert (losing / "notes.txt").read_text() != NOTES


@pytest.mark.parametrize("asked", [["--allow-removals", "Fix area."], ["Fix area, and shorten notes.txt."]])
def test_what_was_asked_to_be_removed_is_applied(
    config_file: Path, losing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    task = asked if "--allow-removals" not in asked else [*asked[:-1], ASK]
    done = sale(config_file, "--workspace", str(losing), "--verify", "python3 check.py", "--apply", *task)
    assert done.returncode == 0, done.stderr
    assert (losing / "notes.txt").read_text() != NOTES


def test_a_held_patch_that_cannot_be_kept_is_printed(
    config_file: Path, losing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").write_text("in the way")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    done = sale(config_file, "--workspace", str(losing), "--verify", "python3 check.py", ASK)
    assert done.returncode == 3
    assert "cannot be kept" in done.stderr
    assert done.stdout.startswith("diff --git")


def test_inner_repositories_and_what_is_left_out_are_said(config_file: Path, repository: Path, tmp_path: Path) -> None:
    inner = repository / "lib"
    subprocess.run(["git", "init", "-q", str(inner)], check=True)
    (inner / "m.py").write_text("m = 1\n")
    for number in range(7):
        (repository / f"out{number}").symlink_to(tmp_path)
    done = sale(config_file, "--workspace", str(repository), "--verify", "python3 check.py", "Fix the check.")
    assert "repositories of their own, copied as they are checked out: lib" in done.stderr
    assert done.stderr.count("a symbolic link that leads out") == 5
    assert "left out: and 2 more" in done.stderr


def test_what_does_not_pass_is_not_handed_out(config_file: Path, repository: Path, answers: list[str]) -> None:
    answers[:] = [handing_in("def area(a, b):\n    return a - b\n")]
    done = sale(
        config_file, "--workspace", str(repository), "--verify", "python3 check.py", "--apply", "Fix the check."
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "failure, by command" in done.stderr
    assert (repository / "shapes.py").read_text() == WRONG


def test_json_has_all_of_it(config_file: Path, repository: Path) -> None:
    done = sale(
        config_file,
        "--workspace",
        str(repository),
        "--verify",
        "python3 check.py",
        "--json",
        "--quiet",
        "Fix the check.",
    )
    result = json.loads(done.stdout)["result"]
    assert result["outcome"]["verdict"] == "success"
    assert result["execution"]["mode"] == "edits"
    assert result["execution"]["answer"].startswith("diff --git")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--verify", "true", "x"], "go with --workspace"),
        (["--workspace", ".", "--apply", "x"], "--apply needs --verify"),
        (["--workspace", "."], "the task is empty"),
        (["--workspace", "nowhere", "x"], "does not exist"),
        (["--workspace", ".", "--expect", "5", "x"], "checked by --verify"),
    ],
)
def test_mistakes_end_in_one_line(config_file: Path, arguments: list[str], said: str) -> None:
    done = sale(config_file, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
