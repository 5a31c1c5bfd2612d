"""opencode itself, unchanged, works through `sale serve`: it mends a file with its own tools.

It is set up as `docs/clients.md` says; `tests.support.coding` says what is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.coding import MENDED, RIGHT, TASK, WRONG, Coder, coding, next_call
from tests.support.replies import Ask, Json


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Coder]:
    with coding("opencode", tmp_path, mending) as found:
        settings = found.home / ".config" / "opencode" / "opencode.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(found.settings("text"), encoding="utf-8")
        yield found


def mending(ask: Ask, file: Path) -> list[Json] | None:
    """What a model that mends the file calls next: it reads, edits, and is done."""
    edit = {"filePath": str(file), "oldString": WRONG, "newString": RIGHT}
    return next_call(ask, [("read", {"filePath": str(file)}), ("edit", edit)])


def asked(coder: Coder, *arguments: str) -> list[Json]:
    """The events of one task."""
    told = coder.run(
        *("run", "--format", "json", *arguments),
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_LSP_DOWNLOAD="true",
        OPENCODE_DISABLE_DEFAULT_PLUGINS="true",
    )
    return [json.loads(line) for line in told.splitlines() if line.startswith("{")]


def test_a_file_is_mended_in_one_auction(coder: Coder) -> None:
    events = asked(coder, TASK)
    assert coder.file.read_text(encoding="utf-8") == MENDED, json.dumps(events, indent=1)
    said = [event["part"]["text"] for event in events if event["type"] == "text"]
    assert "The answer is 42." in said[-1]

    work = coder.work()
    roles = [[one["role"] for one in body["messages"] if one["role"] != "system"] for body in work]
    assert roles == [["user"], ["user", *["assistant", "tool"]], ["user", *["assistant", "tool"] * 2]]

    title, *turns = sorted(coder.lines(4), key=lambda line: line["auction_id"] is not None)
    assert (title["auction_id"], title["auction_dollars"]) == (None, 0), "a title was auctioned"
    (session,) = {event["sessionID"] for event in events}
    assert {line["session_id"] for line in turns} == {session}
    coder.check_bill([title, *turns])


def test_a_session_that_is_taken_up_again_is_the_same_conversation(coder: Coder) -> None:
    coder.endpoint.call = lambda _: None
    (session,) = {event["sessionID"] for event in asked(coder, "What is 6 × 7?")}
    asked(coder, "--session", session, "And 6 × 8?")
    coder.check_bill(coder.lines(3))
