"""Qwen Code itself, unchanged, works through `sale serve`: it mends a file with its own tools.

It is set up as `docs/clients.md` says; `tests.support.coding` says what is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.coding import MENDED, RIGHT, TASK, WRONG, Coder, coding, next_call
from tests.support.replies import Ask, Json

EXPLAINED = (
    "Six times seven is forty-two. You can see it so: seven and seven is fourteen, and three times fourteen, which is "
    "thirty and twelve, is forty-two. The other way round, seven times six, comes to the same."
)


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Coder]:
    with coding("qwen-code", tmp_path, mending) as found:
        settings = found.home / ".qwen" / "settings.json"
        settings.parent.mkdir()
        settings.write_text(found.settings("text"), encoding="utf-8")
        yield found


def mending(ask: Ask, file: Path) -> list[Json] | None:
    """What a model that mends the file calls next: it reads, edits, and is done."""
    edit = {"file_path": str(file), "old_string": WRONG, "new_string": RIGHT}
    return next_call(ask, [("read_file", {"file_path": str(file)}), ("edit", edit)])


def asked(coder: Coder, words: str, *options: str) -> list[Json]:
    """The events of one task."""
    return json.loads(coder.run(words, "--approval-mode", "auto-edit", "--output-format", "json", *options))


def test_a_file_is_mended_in_one_auction(coder: Coder) -> None:
    events = asked(coder, TASK)
    assert coder.file.read_text(encoding="utf-8") == MENDED, json.dumps(events, indent=1)
    result = events[-1]
    assert (result["type"], result["is_error"]) == ("result", False)
    assert "The answer is 42." in result["result"]

    turns = [body for body in coder.work() if body["messages"][-1]["role"] != "user" or len(body["messages"]) == 2]
    roles = [[one["role"] for one in body["messages"] if one["role"] != "system"] for body in turns]
    assert roles == [["user"], ["user", *["assistant", "tool"]], ["user", *["assistant", "tool"] * 2]]

    # It may end before it has asked what is worth remembering.
    lines = coder.lines(len(coder.work()))
    coder.check_bill(lines)
    used = result["usage"]
    assert sum(line["input_tokens"] for line in lines) >= used["input_tokens"]


def test_what_is_worth_remembering_is_asked_within_the_conversation(coder: Coder) -> None:
    coder.endpoint.call = lambda _: None
    asked(coder, "What is six times seven?")
    remembered = [body for body in coder.work() if len(body["messages"]) > 2]
    assert remembered, "Qwen Code has not asked"
    coder.check_bill(coder.lines(len(coder.work())))


def test_a_session_that_is_taken_up_again_is_the_same_conversation(coder: Coder) -> None:
    coder.endpoint.call = lambda _: None
    coder.endpoint.say = lambda ask: None if ask.planning or ask.judging else EXPLAINED
    asked(coder, "What is six times seven?")
    asked(coder, "And six times eight?", "--continue")
    coder.check_bill(coder.lines(len(coder.work())))
