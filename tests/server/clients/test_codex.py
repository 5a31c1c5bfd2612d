"""The Codex CLI itself, as it ships, works through `sale serve`: it mends a file with its own tools.

It is set up as `docs/clients.md` says; `tests.support.coding` says what is real.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.coding import MENDED, TASK, Coder, coding, next_call, signatures
from tests.support.replies import Ask, Json

PATCH = """*** Begin Patch
*** Update File: averages.py
@@
 def mean(values):
-    return sum(values) / (len(values) + 1)
+    return sum(values) / len(values)
*** End Patch
"""
HEREDOC = f"apply_patch <<'EOF'\n{PATCH}EOF\n"
SHELLS: dict[str, Callable[[str], Json]] = {
    "exec_command": lambda line: {"cmd": line},
    "shell_command": lambda line: {"command": line},
    "shell": lambda line: {"command": ["bash", "-c", line]},
}
"""Tools that run a command, by the names they have had, with the arguments that they take."""


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Coder]:
    with coding("codex", tmp_path, mending) as found:
        settings = found.home / ".codex" / "config.toml"
        settings.parent.mkdir()
        settings.write_text(found.settings("text"), encoding="utf-8")
        yield found


def mending(ask: Ask, _: Path) -> list[Json] | None:
    """What a model that mends the file calls next: it reads, patches, and is done."""
    tools: list[Json] = ask.body.get("tools") or []
    names = [tool["function"]["name"] for tool in tools]
    shell = next((name for name in SHELLS if name in names), None)
    if shell is None:
        return None
    run = SHELLS[shell]
    patch = ("apply_patch", {"input": PATCH}) if "apply_patch" in names else (shell, run(HEREDOC))
    return next_call(ask, [(shell, run("cat averages.py")), patch])


def asked(coder: Coder, *words: str) -> list[Json]:
    """The events of one task, or of a command of `codex exec`."""
    # There is nothing to keep from this machine but one folder, and not every machine has Codex's sandbox.
    options = ("--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    return [json.loads(line) for line in coder.run("exec", *options, *words).splitlines() if line.startswith("{")]


def test_a_file_is_mended_in_one_auction(coder: Coder) -> None:
    events = asked(coder, TASK)
    assert coder.file.read_text(encoding="utf-8") == MENDED, json.dumps(events, indent=1)
    said = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    assert said
    assert "The answer is 42." in said[-1]

    work = coder.work()
    assert len(work) == 3
    results = [message["content"] for message in work[-1]["messages"] if message["role"] == "tool"]
    assert "(len(values) + 1)" in results[0]
    assert signatures(work[-1]) == [{"signature": 0}, {"signature": 1}], "signatures were lost"

    lines = coder.lines(3)
    coder.check_bill(lines)
    assert {line["path"] for line in lines} == {"/v1/responses"}


def test_a_session_that_is_taken_up_again_is_the_same_conversation(coder: Coder) -> None:
    coder.endpoint.call = lambda _: None
    started = next(event for event in asked(coder, "What is 6 × 7?") if event["type"] == "thread.started")
    asked(coder, "resume", started["thread_id"], "And 6 × 8?")
    coder.check_bill(coder.lines(2))
