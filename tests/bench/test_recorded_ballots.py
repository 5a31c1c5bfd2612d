"""Ballots on record: calls recorded before labels were drawn are found, and answers come back under today's labels."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.agents.prompts import verify_prompt
from sale.agents.verify import verdict_schema
from sale.auction.ballots import BallotError, ballot_schema, read_ballot
from sale.auction.labels import draw_labels
from sale.auction.prompts import bid_prompt, judge_prompt, panel_prompt
from sale.bench.recording.ballots import labels_for, question_of
from sale.models.scripted import plans_in
from sale.types import Prompt, Reply, Task, Usage
from tests.support.builders import TASK

RECORD = Path(__file__).parents[2] / "benchmarks/records/hst-open/coding-dev.jsonl.xz"


def asked(seed: str, plans: list[str]) -> tuple[Prompt, dict[str, object], list[str]]:
    labels = draw_labels(len(plans), [seed], plans)
    return panel_prompt(TASK, dict(zip(labels, plans, strict=True))), ballot_schema(labels), labels


def test_labels_on_record() -> None:
    assert labels_for(0) == []
    assert labels_for(3) == ["A", "B", "C"]
    assert labels_for(27)[:2] + labels_for(27)[-1:] == ["AA", "AB", "BA"]


def test_every_recorded_ballot_is_the_question_that_is_asked_today() -> None:
    with lzma.open(RECORD, "rt", encoding="utf-8") as lines:
        calls = [line for line in map(json.loads, lines) if line.get("stage") == "judge_panel"]
    assert len(calls) == 135
    for call in calls:
        text = call["prompt"]["user"]
        task = Task(text=text.removeprefix("<task>\n").partition("\n</task>")[0])
        plans = list(plans_in(text).values())
        labels = draw_labels(len(plans), ["seed"], plans)
        question = question_of(panel_prompt(task, dict(zip(labels, plans, strict=True))), ballot_schema(labels))
        assert question.prompt.user == text
        assert question.schema == ballot_schema(labels_for(len(plans)))


def test_other_calls_stay_as_they_are() -> None:
    prompt = bid_prompt(TASK, [], 300)
    question = question_of(prompt, None)
    reply = Reply(text='{"A": 5}', usage=Usage(), seconds=0.0)
    assert (question.prompt, question.schema, question.exchange_labels(reply)) == (prompt, None, reply)


def test_a_verdict_and_one_bid_alone_have_fixed_names_too() -> None:
    one = question_of(verify_prompt(TASK, "55", None, label="correct_KQ"), verdict_schema("correct_KQ"))
    other = question_of(verify_prompt(TASK, "55", None, label="correct_RM"), verdict_schema("correct_RM"))
    assert one.prompt == other.prompt
    assert one.prompt.user.endswith('{"correct": true} or {"correct": false}')
    assert one.schema == other.schema == verdict_schema("correct")
    alone = question_of(judge_prompt(TASK, "1. x", label="KQ"), ballot_schema(["KQ"]))
    assert alone.prompt == judge_prompt(TASK, "1. x", label="A")


@given(st.lists(st.sampled_from(["1. x", "1. y", "1. z"]), min_size=1, max_size=5), st.integers(0, 5))
def test_an_answer_recorded_under_other_labels_is_read_under_these(plans: list[str], first: int) -> None:
    before, its_schema, its_labels = asked("before", plans)
    now, schema, labels = asked("now", plans)
    written, read = question_of(before, its_schema), question_of(now, schema)
    assert (written.prompt, written.schema) == (read.prompt, read.schema)
    scores = [(first + place) % 6 for place in range(len(plans))]
    answer = Reply(text=json.dumps(dict(zip(its_labels, scores, strict=True))), usage=Usage(), seconds=0.0)
    found = read.exchange_labels(written.exchange_labels(answer))
    assert read_ballot(found.text, labels) == dict(zip(labels, scores, strict=True))
    assert read.exchange_labels(read.exchange_labels(answer)) == answer


def test_an_answer_under_wrong_labels_does_not_become_a_ballot_on_record() -> None:
    """Neither where it is read at once, nor in another auction."""
    copied = Reply(text='{"A": 5, "B": 0}', usage=Usage(), seconds=0.0)
    prompt, schema, _ = asked("now", ["1. x", "1. y"])
    recorded = question_of(prompt, schema).exchange_labels(copied)
    for seed in ("now", "again"):
        prompt, schema, labels = asked(seed, ["1. x", "1. y"])
        with pytest.raises(BallotError):
            read_ballot(question_of(prompt, schema).exchange_labels(recorded).text, labels)
