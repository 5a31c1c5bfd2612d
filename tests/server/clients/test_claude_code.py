"""Claude Code itself, unchanged, works through `sale serve`: it mends a file with its own tools.

It is set up as `docs/clients.md` says; `tests.support.coding` says what is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.coding import MENDED, RIGHT, TASK, WRONG, Coder, coding, next_call, signatures
from tests.support.replies import Ask, Json

QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Coder]:
    with coding("claude-code", tmp_path, mending) as found:
        yield found


def mending(ask: Ask, file: Path) -> list[Json] | None:
    """What a model that mends the file calls next: it reads, edits, and is done."""
    edit = {"file_path": str(file), "old_string": WRONG, "new_string": RIGHT}
    return next_call(ask, [("Read", {"file_path": str(file)}), ("Edit", edit)])


def asked(coder: Coder, words: str, *options: str) -> Json:
    """Its report of one task."""
    return json.loads(coder.run("-p", words, "--output-format", "json", *options, **QUIET))


def test_a_file_is_mended_in_one_auction(coder: Coder) -> None:
    report = asked(coder, TASK, "--permission-mode", "acceptEdits")
    assert report["is_error"] is False
    assert coder.file.read_text(encoding="utf-8") == MENDED
    assert "The tool said" in report["result"]

    work = coder.work()
    roles = [[message["role"] for message in body["messages"] if message["role"] != "system"] for body in work]
    assert roles == [["user"], ["user", *["assistant", "tool"]], ["user", *["assistant", "tool"] * 2]]
    assert signatures(work[-1]) == [{"signature": 0}, {"signature": 1}], "signatures were lost"
    assert {body["reasoning_effort"] for body in work} == {"high"}

    lines = coder.lines(3)
    coder.check_bill(lines)
    assert {line["path"] for line in lines} == {"/v1/messages"}
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
    report = asked(coder, "Have somebody look around.")
    assert report["is_error"] is False
    assert coder.served.wait(lambda: len({line["session_id"] for line in coder.served.lines()}) == 2)
    lines = coder.served.lines()
    ids = {line["session_id"] for line in lines}
    assert report["session_id"] in ids
    assert all(one.startswith(report["session_id"]) for one in ids)
    assert len({line["auction_id"] for line in lines}) == 2


def test_a_request_without_tools_is_no_auction(coder: Coder) -> None:
    report = asked(coder, "What is six times seven?", "--tools", "")
    assert report["result"] == "The answer is 42."
    (line,) = coder.lines(1)
    assert line["auction_id"] is None
    assert line["auction_dollars"] == 0
