"""Streams in pieces of any size, with any line ends: what goes on is what came, and what is counted is right."""

from __future__ import annotations

import itertools
import json
from codecs import BOM_UTF8
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sale.server.gateway.direct_estimate import weigh_embedding
from sale.server.gateway.errors import ApiError
from sale.server.gateway.stream import ANSWER_CHARACTERS, StreamRelay, StreamUsage, text_alone
from sale.types import Usage


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
CHUNKS = [chunk("Grüß"), chunk(" Gott"), chunk(finish="stop"), {"id": "c", "choices": [], "usage": USAGE}]


def stream(end: str = "\n", *, done: bool = True, space: str = " ") -> bytes:
    events = [f"data:{space}{json.dumps(one, ensure_ascii=False)}{end}{end}" for one in CHUNKS]
    return "".join([f": ping{end}{end}", *events, f"data: [DONE]{end}{end}" if done else ""]).encode()


def fed(relay: StreamRelay, data: bytes, cuts: list[int]) -> bytes:
    places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    pieces = [piece for a, b in itertools.pairwise(places) for piece in relay.feed(data[a:b])]
    return b"".join(piece[0] for piece in pieces)


@given(st.lists(st.integers(0, 10_000), max_size=30), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_wherever_it_is_cut(cuts: list[int], end: str, show: bool) -> None:
    tally = StreamUsage()
    relay = StreamRelay(tally, show_usage=show)
    sent = fed(relay, stream(end), cuts)
    # A lone carriage return at the very end may yet become a line break.
    relay.feed(b"\n") if end == "\r" else None
    relay.close()
    assert (tally.usage, tally.cached, tally.answer) == (Usage(input_tokens=7, output_tokens=2), 3, "Grüß Gott")
    assert sent.count(b"\n\n") == (5 if show else 4)
    assert (b"usage" in sent) is show
    assert b"[DONE]" not in sent, "its end is the sink's to say"


@given(st.lists(st.integers(0, 10_000), max_size=30))
@example([1])
@example([2])
@example([3])
def test_the_mark_of_its_byte_order_is_no_part_of_the_first_event(cuts: list[int]) -> None:
    tally = StreamUsage()
    relay = StreamRelay(tally, show_usage=False)
    sent = fed(relay, BOM_UTF8 + stream().removeprefix(b": ping\n\n"), cuts)
    relay.close()
    assert tally.answer == "Grüß Gott"
    assert BOM_UTF8 not in sent


def test_without_done_a_finish_is_an_end_too() -> None:
    relay = StreamRelay(StreamUsage(), show_usage=False)
    relay.feed(stream(done=False))
    relay.close()


@pytest.mark.parametrize("chunks", [[], CHUNKS[:1], [*CHUNKS[:1], CHUNKS[-1]]])
def test_an_end_in_the_middle_is_none(chunks: list[Any]) -> None:
    relay = StreamRelay(StreamUsage(), show_usage=False)
    for one in chunks:
        relay.feed(f"data: {json.dumps(one)}\n\n".encode())
    with pytest.raises(ApiError, match="broke off"):
        relay.close()


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: 5\n\n", b'data: {"error": {"message": "no"}}\n\n'])
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises(ApiError):
        StreamRelay(StreamUsage(), show_usage=False).feed(data)


def test_usage_in_a_chunk_with_text_is_taken_out_and_the_text_stays() -> None:
    tally = StreamUsage()
    ((raw, _, _),) = StreamRelay(tally, show_usage=False).feed(
        f"data: {json.dumps(chunk('x', usage=USAGE, odd=1))}\n\n".encode()
    )
    assert json.loads(raw.removeprefix(b"data: ")) == chunk("x", odd=1)
    assert tally.usage is not None


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 1}, "many", {"prompt_tokens": 1}]
)
def test_usage_that_cannot_be_is_estimated(usage: Any) -> None:
    tally = StreamUsage()
    tally.count_whole({"id": "c", "choices": [{"message": {"content": "x" * 40}}], "usage": usage})
    assert tally.estimate_usage(100) == Usage(input_tokens=100, output_tokens=10)


FIGURES = ("message", "usage", "later", "id", "size", "pieces", "finished", "begun")
PLAIN = [
    chunk("word"),
    chunk("Grüß 😀"),
    chunk("x" * 90),
    {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a", "reasoning": None}}]},
]
OTHER = [
    chunk(""),
    chunk("a", usage=USAGE),
    chunk("a", finish="stop"),
    {"choices": [{"index": 1, "delta": {"content": "a"}}]},
    {"choices": [{"index": 0, "delta": {"content": "a", "reasoning": "b"}}]},
    {"choices": [{"index": 0, "delta": {"content": "a", "tool_calls": []}}]},
    {"choices": [{"index": 0, "delta": {"reasoning": "b"}}]},
    {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}]},
    {"choices": {"a": 1}},
    {"choices": "a"},
    {},
    {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]},
    {"choices": [{"index": 0, "delta": {"content": ["a"]}}]},
    {"choices": [{"index": 0, "delta": "a"}]},
    {"choices": ["a"]},
    {"choices": []},
    {"choices": [{"index": 0, "delta": {"content": "a"}, "error": {"message": "no"}}]},
    chunk("a", error={"message": "no"}),
]


@pytest.mark.parametrize("value", PLAIN)
def test_a_plain_chunk_counts_as_any_other(value: dict[str, Any]) -> None:
    text = text_alone(value)
    assert text is not None
    assert text == value["choices"][0]["delta"]["content"]
    for usage in (None, Usage(input_tokens=7, output_tokens=2)):
        short, whole = StreamUsage(usage=usage, id="c"), StreamUsage(usage=usage, id="c")
        short.count_texts([text])
        whole.count_chunk(value)
        assert [getattr(short, name) for name in FIGURES] == [getattr(whole, name) for name in FIGURES]


@pytest.mark.parametrize("text", ["word" * 300, "字" * 1200])
def test_an_answer_without_a_count_is_estimated_by_its_bytes_as_a_question_is(text: str) -> None:
    came, whole, asked = StreamUsage(), StreamUsage(), weigh_embedding({"input": text}).as_a_rule
    came.count_texts([text])
    whole.count_whole({"choices": [{"message": {"content": text}}]})
    assert asked == -(-len(text.encode()) // 4)
    for tally in (came, whole):
        assert tally.estimate_usage(7) == Usage(input_tokens=7, output_tokens=asked)


@pytest.mark.parametrize("size", [1, ANSWER_CHARACTERS // 3, ANSWER_CHARACTERS])
def test_words_counted_together_are_counted_as_one_by_one(size: int) -> None:
    texts = [letter * size for letter in "abçd"]
    for usage in (None, Usage(input_tokens=7, output_tokens=2)):
        together, apart = StreamUsage(usage=usage), StreamUsage(usage=usage)
        together.count_texts(texts)
        for text in texts:
            apart.count_texts([text])
        assert [getattr(together, name) for name in FIGURES] == [getattr(apart, name) for name in FIGURES]


@pytest.mark.parametrize(
    "fault", ['event: error\ndata: {"message": "no"}', 'data: {"error": {"message": "no"}}', "data: {", "data: []"]
)
def test_words_before_a_fault_of_the_same_read_are_counted(fault: str) -> None:
    tally = StreamUsage()
    words = "".join(f"data: {json.dumps(chunk(word))}\n\n" for word in ("one", " two", " three"))
    with pytest.raises(ApiError) as told:
        StreamRelay(tally, show_usage=False).feed(f"{words}{fault}\n\n".encode())
    assert told.value.spent
    assert (tally.answer, tally.pieces) == ("one two three", 3)


def test_the_first_chunk_tells_the_id() -> None:
    tally = StreamUsage()
    StreamRelay(tally, show_usage=False).feed(f"data: {json.dumps(chunk('word'))}\n\n".encode())
    assert (tally.id, tally.answer) == ("c", "word")


@pytest.mark.parametrize("value", OTHER)
def test_any_other_chunk_is_looked_at_whole(value: dict[str, Any]) -> None:
    assert text_alone(value) is None
