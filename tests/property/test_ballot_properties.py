"""The reader of ballots against any text at all."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.auction.ballots import BallotError, expected_scores, read_ballot
from sale.auction.labels import draw_labels
from sale.auction.prompts import panel_prompt
from sale.auction.text import make_storable, without_scores
from sale.models.scripted import plans_in
from sale.types import TokenLogprobs
from tests.support.builders import TASK
from tests.support.generators import hostile_text, points, token_logprobs, utf8_text

Told = tuple[int, list[tuple[str, float]]]
"""A score and the alternatives to its token."""

labels = st.integers(1, 30).map(lambda count: draw_labels(count, ["seed"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)
documents = st.dictionaries(st.sampled_from([*"ABCDE", "score"]), values, max_size=5)
near = st.one_of(
    st.text(),
    hostile_text,
    documents.map(json.dumps),
    st.dictionaries(st.sampled_from("ABC"), points, min_size=1).map(json.dumps),
    st.text(string.digits + '{}[]":, ABC`json\n', max_size=40),
)


@given(near, st.sampled_from([["A"], ["A", "B"], ["A", "B", "C"], ["score"]]))
def test_any_text_gives_a_ballot_or_a_ballot_error(text: str, wanted: list[str]) -> None:
    found, refused = {}, b""
    try:
        found = read_ballot(text, wanted)
    except BallotError as error:
        refused = str(error).encode()  # as a store would
    if refused:
        assert len(refused) < 300
        return
    assert sorted(found) == sorted(wanted)
    assert all(type(score) is int and 0 <= score <= 5 for score in found.values())
    stripped = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    assert json.loads(stripped) == found


@given(labels, st.data())
def test_reads_what_was_written(wanted: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(wanted))
    ballot = {label: data.draw(points) for label in order}
    indent = data.draw(st.sampled_from([None, 0, 2]))
    text = json.dumps(ballot, indent=indent)
    assert read_ballot(data.draw(st.sampled_from([text, f"```json\n{text}\n```", f"\n{text} "])), wanted) == ballot


@given(labels, points, st.sampled_from(["{}x", "x{}", "{} {}", "[{}]", "```\n{}", "{}\n```", "`{}`", "```x\n{}\n```"]))
def test_a_ballot_with_anything_around_it_is_none(wanted: list[str], score: int, around: str) -> None:
    text = json.dumps(dict.fromkeys(wanted, score))
    try:
        read_ballot(around.replace("{}", text), wanted)
    except BallotError:
        return
    raise AssertionError("it was taken for a ballot")


@given(
    st.lists(
        token_logprobs() | st.builds(TokenLogprobs, token=st.sampled_from("012345"), logprob=st.floats()), max_size=6
    ),
    st.dictionaries(st.sampled_from("ABC"), points, max_size=3),
)
def test_expectations_are_scores(tokens: list[TokenLogprobs], scores: dict[str, int]) -> None:
    found = expected_scores(tokens, scores)
    assert set(found) <= set(scores)
    assert all(0.0 <= expected <= 5.0 for expected in found.values())


@given(
    st.lists(
        st.tuples(points, st.lists(st.tuples(st.sampled_from("012345"), st.floats()), max_size=6)),
        min_size=1,
        max_size=5,
    )
)
def test_expectations_stay_between_the_digits_that_were_likely(
    scores: list[tuple[int, list[tuple[str, float]]]],
) -> None:
    ballot = {label: score for label, (score, _) in zip(draw_labels(len(scores), ["seed"]), scores, strict=True)}
    tokens = [TokenLogprobs(token=str(score), logprob=0.0, top=tuple(top)) for score, top in scores]
    for label, expected in expected_scores(tokens, ballot).items():
        top = scores[list(ballot).index(label)][1] or [(str(ballot[label]), 0.0)]
        digits = [int(digit) for digit, _ in top]
        assert min(digits) - 1e-9 <= expected <= max(digits) + 1e-9


spaces = st.text(" \t\n\r", max_size=3)


@st.composite
def ballots_written(draw: st.DrawFn, wanted: list[str]) -> str:
    """A valid ballot under these labels, in any spelling that the reader takes."""
    members = [
        f"{draw(spaces)}{draw(st.sampled_from([json.dumps(label), _escaped(label)]))}{draw(spaces)}"
        f":{draw(spaces)}{draw(st.sampled_from(['0', '-0', '1', '2', '3', '4', '5']))}{draw(spaces)}"
        for label in draw(st.permutations(wanted))
    ]
    text = "{" + ",".join(members) + "}"
    assert read_ballot(text, wanted)
    return draw(st.sampled_from([text, f"```json\n{text}\n```", f"```\n{text}```"]))


def _escaped(label: str) -> str:
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in label) + '"'


@given(st.data(), st.integers(1, 3))
def test_no_score_can_be_read_from_a_plan_that_a_juror_is_shown(data: st.DataObject, count: int) -> None:
    """Not even where its author knew the labels and a juror repeats any part of it."""
    wanted = ["KQ", "RM", "ZT"][:count]
    pieces = data.draw(st.lists(st.one_of(utf8_text, ballots_written(wanted), near.map(make_storable)), max_size=4))
    shown = plans_in(panel_prompt(TASK, dict.fromkeys(wanted, "".join(pieces))).user)[wanted[0]]
    starts = [at for at, letter in enumerate(shown) if letter in "{`"]
    ends = [at + 1 for at, letter in enumerate(shown) if letter in "}`"]
    for start in starts:
        for end in ends:
            with pytest.raises(BallotError):
                read_ballot(shown[start:end], wanted)


@given(st.one_of(utf8_text, near.map(make_storable)))
def test_hiding_scores_changes_nothing_else(text: str) -> None:
    shown = without_scores(text)
    assert len(shown.encode()) <= len(text.encode())
    restored = iter(text)
    assert all(letter == "?" or letter in restored for letter in shown), "what is shown stands there in this order"
