"""The Codex CLI itself, as it ships, works through `sale serve`: it mends a file with its own tools.

The model is scripted; everything between it and the file is real. Codex is set up as `docs/clients.md` says. Where it
is not installed the tests are skipped: `python -m benchmarks.gateway.environments codex` installs it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gateway.environments import PROGRAMS, found
from tests.support.endpoint import Endpoint
from tests.support.gateway_process import Served, gateway
from tests.support.hang import HANG
from tests.support.replies import Ask, Json

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
BUGGY = "def mean(values):\n    return sum(values) / (len(values) + 1)\n"
MENDED = "def mean(values):\n    return sum(values) / len(values)\n"
PATCH = """*** Begin Patch
*** Update File: averages.py
@@
 def mean(values):
-    return sum(values) / (len(values) + 1)
+    return sum(values) / len(values)
*** End Patch
"""
SHELLS: dict[str, Callable[[str], Json]] = {
    "exec_command": lambda line: {"cmd": line},
    "shell_command": lambda line: {"command": line},
    "shell": lambda line: {"command": ["bash", "-c", line]},
}
"""Tools that run a command, by the names they have had, with the arguments that they take."""


def settings() -> str:
    """The `config.toml` of the page for users."""
    section = PAGE.read_text(encoding="utf-8").split("## Codex\n")[1].split("\n## ")[0]
    match = re.search(r"```text\n(model = .*?)```", section, re.DOTALL)
    assert match is not None
    return match[1]


@dataclass(frozen=True)
class Coder:
    """Codex in a folder with one file."""

    served: Served
    endpoint: Endpoint
    file: Path

    def asked(self, *words: str) -> list[Json]:
        """The events of one task, or of a command of `codex exec`."""
        programs = found("codex")
        assert programs is not None
        home = self.file.parent.parent
        told = settings().replace("http://127.0.0.1:8127", self.served.origin)
        (home / ".codex").mkdir(exist_ok=True)
        (home / ".codex" / "config.toml").write_text(told, encoding="utf-8")
        command = [str(programs / PROGRAMS["codex"].command), "exec", "--json", "--skip-git-repo-check"]
        done = subprocess.run(
            # There is nothing to keep from this machine but one folder, and not every machine has Codex's sandbox.
            [*command, "--dangerously-bypass-approvals-and-sandbox", *words],
            cwd=self.file.parent,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(home),
                "SALE_KEY": "any",
                "HTTPS_PROXY": "http://127.0.0.1:9",  # what is not for this machine goes nowhere
                "HTTP_PROXY": "http://127.0.0.1:9",
                "NO_PROXY": "127.0.0.1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Coder]:
    if found("codex") is None:
        pytest.skip("Codex is not installed: python -m benchmarks.gateway.environments codex")
    file = tmp_path / "home" / "package" / "averages.py"
    file.parent.mkdir(parents=True)
    file.write_text(BUGGY, encoding="utf-8")
    with Endpoint() as endpoint:
        endpoint.call = mending
        shared = {"endpoint": endpoint.base_url, "logprobs": 0}
        agents: list[Json] = [
            {"name": "first", "model": "reasoning-field+score-3@first", "price": 0.1, **shared},
            {"name": "second", "model": "good@second", "price": 4.0, **shared},
        ]
        with gateway(tmp_path / "gateway", agents) as served:
            yield Coder(served, endpoint, file)


def mending(ask: Ask) -> list[Json] | None:
    """What a model that mends the file calls next: it reads, patches, and is done."""
    tools: list[Json] = ask.body.get("tools") or []
    names = [tool["function"]["name"] for tool in tools]
    done = sum(message["role"] == "tool" for message in ask.messages)
    shell = next((name for name in SHELLS if name in names), None)
    if shell is None or done >= 2:
        return None
    name, given = shell, SHELLS[shell]("cat averages.py")
    if done == 1 and "apply_patch" in names:
        name, given = "apply_patch", {"input": PATCH}
    elif done == 1:
        given = SHELLS[shell](f"apply_patch <<'EOF'\n{PATCH}EOF\n")
    function = {"name": name, "arguments": json.dumps(given)}
    return [{"id": f"call_{done}", "type": "function", "function": function, "extra_content": {"signature": done}}]


def test_a_file_is_mended_in_one_auction(coder: Coder) -> None:
    events = coder.asked("mean([2, 4]) gives 2.0. Mend it.")
    assert coder.file.read_text(encoding="utf-8") == MENDED, json.dumps(events, indent=1)
    said = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    assert said
    assert "The answer is 42." in said[-1]

    asked = [one.body for one in coder.endpoint.requests() if one.body.get("tools")]
    assert len(asked) == 3
    results = [message["content"] for message in asked[-1]["messages"] if message["role"] == "tool"]
    assert "(len(values) + 1)" in results[0]
    calls = [call for message in asked[-1]["messages"] for call in message.get("tool_calls", ())]
    assert [call["extra_content"] for call in calls] == [{"signature": 0}, {"signature": 1}], "signatures were lost"

    assert coder.served.wait(lambda: len(coder.served.lines()) >= 3)
    lines: list[Any] = coder.served.lines()
    assert {line["path"] for line in lines} == {"/v1/responses"}
    assert {line["status"] for line in lines} == {200}
    assert len({line["auction_id"] for line in lines}) == 1, "one conversation, one auction"
    assert len({line["session_id"] for line in lines}) == 1
    work = [one for one in lines if one["agent"]]
    price = {"first": 0.1, "second": 4.0}
    for line in work:
        tokens = line["input_tokens"] + line["output_tokens"]
        assert line["work_dollars"] == pytest.approx(tokens * price[line["agent"]] / 1e6, abs=1e-12)


def test_a_session_that_is_taken_up_again_is_the_same_conversation(coder: Coder) -> None:
    coder.endpoint.call = lambda _: None
    started = next(event for event in coder.asked("What is 6 × 7?") if event["type"] == "thread.started")
    coder.asked("resume", started["thread_id"], "And 6 × 8?")
    assert coder.served.wait(lambda: len(coder.served.lines()) == 2)
    lines = coder.served.lines()
    assert len({line["session_id"] for line in lines}) == 1
    assert len({line["auction_id"] for line in lines}) == 1
