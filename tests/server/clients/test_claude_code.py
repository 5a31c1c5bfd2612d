"""Claude Code itself, unchanged, works through `sale serve`: it mends a file with its own tools.

The model is scripted; everything between it and the file is real. Where Claude Code is not installed the tests are
skipped: `python -m benchmarks.gateway.environments claude-code` installs it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gateway.environments import PROGRAMS, found
from tests.support.endpoint import Endpoint
from tests.support.gateway_process import Served, gateway
from tests.support.hang import HANG
from tests.support.replies import Ask, Json

BUGGY = "def mean(values):\n    return sum(values) / (len(values) + 1)\n"
MENDED = "def mean(values):\n    return sum(values) / len(values)\n"
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "HTTPS_PROXY": "http://127.0.0.1:9",  # what is not for this machine goes nowhere
    "HTTP_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True)
class Coder:
    """Claude Code in a folder with one file."""

    served: Served
    endpoint: Endpoint
    file: Path

    def asked(self, words: str, *options: str, **environment: str) -> Json:
        """Its report of one task."""
        programs = found("claude-code")
        assert programs is not None
        done = subprocess.run(
            [str(programs / PROGRAMS["claude-code"].command), "-p", words, "--output-format", "json", *options],
            cwd=self.file.parent,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.file.parent.parent),
                "ANTHROPIC_BASE_URL": self.served.origin,
                "ANTHROPIC_API_KEY": "any",
                "ANTHROPIC_MODEL": "sale",
                **QUIET,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def work(self) -> list[Json]:
        """The requests for work that reached the endpoint."""
        return [one.body for one in self.endpoint.requests() if one.body.get("tools")]


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Coder]:
    if found("claude-code") is None:
        pytest.skip("Claude Code is not installed: python -m benchmarks.gateway.environments claude-code")
    file = tmp_path / "home" / "package" / "averages.py"
    file.parent.mkdir(parents=True)
    file.write_text(BUGGY, encoding="utf-8")
    with Endpoint() as endpoint:
        endpoint.call = lambda ask: mending(ask, file)
        shared = {"endpoint": endpoint.base_url, "logprobs": 0}
        agents: list[Json] = [
            {"name": "first", "model": "reasoning-field+score-3@first", "price": 0.1, **shared},
            {"name": "second", "model": "good@second", "price": 4.0, **shared},
        ]
        with gateway(tmp_path / "gateway", agents) as served:
            yield Coder(served, endpoint, file)


def mending(ask: Ask, file: Path) -> list[Json] | None:
    """What a model that mends the file calls next: it reads, edits, and is done."""
    if not ask.body.get("tools"):
        return None
    done = sum(message["role"] == "tool" for message in ask.messages)
    steps: list[tuple[str, Any]] = [
        ("Read", {"file_path": str(file)}),
        ("Edit", {"file_path": str(file), "old_string": "(len(values) + 1)", "new_string": "len(values)"}),
    ]
    if done >= len(steps):
        return None
    name, given = steps[done]
    function = {"name": name, "arguments": json.dumps(given)}
    return [{"id": f"call_{done}", "type": "function", "function": function, "extra_content": {"signature": done}}]


def test_a_file_is_mended_in_one_auction(coder: Coder) -> None:
    report = coder.asked("mean([2, 4]) gives 2.0. Mend it.", "--permission-mode", "acceptEdits")
    assert report["is_error"] is False
    assert coder.file.read_text(encoding="utf-8") == MENDED
    assert "The tool said" in report["result"]

    asked = coder.work()
    roles = [[message["role"] for message in body["messages"] if message["role"] != "system"] for body in asked]
    assert roles == [["user"], ["user", *["assistant", "tool"]], ["user", *["assistant", "tool"] * 2]]
    calls = [call for message in asked[-1]["messages"] for call in message.get("tool_calls", ())]
    assert [call["extra_content"] for call in calls] == [{"signature": 0}, {"signature": 1}], "signatures were lost"
    assert {body["reasoning_effort"] for body in asked} == {"high"}

    assert coder.served.wait(lambda: len(coder.served.lines()) == 3)
    lines = coder.served.lines()
    assert {line["path"] for line in lines} == {"/v1/messages"}
    assert {line["status"] for line in lines} == {200}
    assert len({line["auction_id"] for line in lines}) == 1, "one conversation, one auction"
    assert {line["session_id"] for line in lines} == {report["session_id"]}
    used = report["usage"]
    assert sum(line["input_tokens"] for line in lines) == used["input_tokens"] + used["cache_read_input_tokens"]
    assert sum(line["output_tokens"] for line in lines) == used["output_tokens"]


def test_an_agent_that_it_sets_to_work_is_a_conversation_of_its_own(coder: Coder) -> None:
    def calls(ask: Ask) -> list[Json] | None:
        told = json.dumps(ask.messages)
        if not ask.body.get("tools") or "LOOK-AROUND" in told.partition('"role": "assistant"')[0]:
            return None
        if any(message["role"] == "tool" for message in ask.messages):
            return None
        given = {"description": "look", "prompt": "LOOK-AROUND here", "subagent_type": "general-purpose"}
        return [{"id": "call_0", "type": "function", "function": {"name": "Agent", "arguments": json.dumps(given)}}]

    coder.endpoint.call = calls
    report = coder.asked("Have somebody look around.")
    assert report["is_error"] is False
    assert coder.served.wait(lambda: len({line["session_id"] for line in coder.served.lines()}) == 2)
    lines = coder.served.lines()
    ids = {line["session_id"] for line in lines}
    assert report["session_id"] in ids
    assert all(one.startswith(report["session_id"]) for one in ids)
    assert len({line["auction_id"] for line in lines}) == 2


def test_a_request_without_tools_is_no_auction(coder: Coder) -> None:
    report = coder.asked("What is six times seven?", "--tools", "")
    assert report["result"] == "The answer is 42."
    assert coder.served.wait(lambda: len(coder.served.lines()) == 1)
    (line,) = coder.served.lines()
    assert line["auction_id"] is None
    assert line["auction_dollars"] == 0
