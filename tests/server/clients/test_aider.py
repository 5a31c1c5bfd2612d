"""aider itself, unchanged, works through `sale serve`: it mends a file, tests it, and commits it.

It is set up as `docs/clients.md` says; `tests.support.coding` says what is real.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.coding import BUGGY, MENDED, TASK, Coder, coding
from tests.support.replies import Ask

HALF = BUGGY.replace("+ 1", "+ 0.5")
"""What the model tries first."""
CHECK = "from averages import mean\n\nassert mean([2, 4]) == 3, mean([2, 4])\n"


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Coder]:
    with coding("aider", tmp_path, _no_call) as found:
        found.endpoint.say = mending
        weak = "weak-model: openai/second\n"
        (found.home / ".aider.conf.yml").write_text(found.settings("yaml") + weak, encoding="utf-8")
        (found.file.parent / "check.py").write_text(CHECK, encoding="utf-8")
        yield found


def _no_call(_: Ask, __: Path) -> None:
    """aider offers no tools."""


def mending(ask: Ask) -> str | None:
    """A listing of the whole file, as aider asks for it: a wrong one first, the right one once the test has failed."""
    if ask.planning or ask.judging or "file listing" not in ask.prompt:
        return None
    found = MENDED if "AssertionError" in ask.prompt else HALF
    why = "The number of values is what the sum is divided by, so nothing is to be added to it before."
    return f"I mend the function. {why}\n\naverages.py\n```\n{found}```\n"


def git(coder: Coder, *arguments: str) -> str:
    """What git says of the folder."""
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
        cwd=coder.file.parent,
        env={"PATH": "/usr/bin:/bin", "HOME": str(coder.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_file_is_mended_in_one_auction(coder: Coder) -> None:
    git(coder, "init", "--quiet")
    git(coder, "add", ".")
    git(coder, "commit", "--quiet", "-m", "Begin")
    said = coder.run(
        *("--yes-always", "--no-pretty", "--no-fancy-input", "--no-gitignore", "--auto-test"),
        *("--test-cmd", "python3 check.py", "--message", TASK, "averages.py"),
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    assert coder.file.read_text(encoding="utf-8") == MENDED, said
    requests = [one for one in coder.endpoint.requests() if "<task>" not in str(one.body["messages"][-1]["content"])]
    assert [one.model.rpartition("@")[2] for one in requests] == ["first", "second", "first", "second"]
    assert git(coder, "log", "--format=%s").splitlines() == ["The answer is 42.", "The answer is 42.", "Begin"]

    lines = coder.lines(4)
    coder.check_bill(lines)
    assert [line["model"] for line in lines] == ["sale", "second", "sale", "second"]
