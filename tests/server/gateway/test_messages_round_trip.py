"""Messages and chat completions, there and back: what one of them says is kept, or said to be lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.server.gateway.messages.blocks import RAW_INPUT, ContentBlocks, Display
from sale.server.gateway.messages.to_chat import to_chat
from sale.server.gateway.messages.wire import read_messages_request
from sale.server.gateway.reasoning import PREFIX, Reasoning
from sale.server.gateway.tool_calls import ToolCallIndex
from tests.support.replies import Json

MANY = settings(max_examples=150, deadline=None, derandomize=True)

words = st.text(alphabet='ab 12\n"\\é😀{}', min_size=1, max_size=12)
names = st.sampled_from(["look", "edit", "run"])
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), words),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(names, inner, max_size=2)),
    max_leaves=4,
)
objects = st.dictionaries(names, values, max_size=3)


# An endpoint's answer, shown to a client and sent back by it


def _answer(content: str | None, calls: list[Json], reasoning: Json) -> Json:
    message: Json = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [call | {"id": f"call_{place}"} for place, call in enumerate(calls)]
        message |= reasoning
    elif content is None:
        message["content"] = "…"
    return message


def _call(name: str, arguments: Json, extra: Json) -> Json:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **extra}


def _in_both(text: str) -> Json:
    return {"reasoning": text, "reasoning_content": text}


def _index(detail: Json) -> object:
    return detail.get("index", object())


details = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["reasoning.text", "reasoning.encrypted"]), "text": words},
        optional={"signature": words, "index": st.integers(0, 5)},
    ),
    min_size=1,
    max_size=3,
    unique_by=_index,
)
calls = st.builds(_call, names, objects, st.one_of(st.just({}), st.just({"extra_content": {"google": {"s": "xyz"}}})))
reasonings = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"reasoning_content": words}),
    st.fixed_dictionaries({"reasoning": words, "reasoning_details": details}),
    st.fixed_dictionaries({"reasoning_details": details}),
    words.map(_in_both),
)
answers = st.builds(_answer, st.one_of(st.none(), words), st.lists(calls, max_size=3), reasonings)
displays = st.sampled_from(["shown", "omitted", "hidden"])


def deltas_of(message: Json, cut: int) -> Iterator[Json]:
    """A message as a stream: the reasoning, the text, then the calls, each in pieces of `cut` characters."""
    for name, value in message.items():
        if name.startswith("reasoning") and isinstance(value, list):
            yield {name: value}
    for name in ("reasoning_content", "reasoning"):
        if name in message:
            # Both fields hold the same text where both are there, and come in the same deltas.
            both = [one for one in ("reasoning_content", "reasoning") if one in message]
            for part in pieces(message[name], cut):
                yield dict.fromkeys(both, part)
            break
    for part in pieces(message["content"] or "", cut):
        yield {"content": part}
    for index, call in enumerate(message.get("tool_calls", ())):
        first, *rest = [*pieces(call["function"]["arguments"], cut), ""]
        yield {
            "tool_calls": [call | {"index": index, "function": {"name": call["function"]["name"], "arguments": first}}]
        }
        for part in rest:
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def replayed(events: Sequence[Json]) -> list[Json]:
    """The blocks that a client puts together from the events; checks that they are in the protocol's order."""
    blocks: list[Json] = []
    partial: dict[int, str] = {}
    ended: set[int] = set()
    for event in events:
        index = event["index"]
        assert index not in ended, "an event of a block that has ended"
        match event["type"]:
            case "content_block_start":
                assert index == len(blocks)
                blocks.append(copy.deepcopy(event["content_block"]))
            case "content_block_stop":
                ended.add(index)
            case _:
                delta = dict(event["delta"])
                kind = delta.pop("type").removesuffix("_delta")
                if kind == "input_json":
                    partial[index] = partial.get(index, "") + delta["partial_json"]
                else:
                    blocks[index][kind] += delta[kind]
    assert ended == set(range(len(blocks)))
    for index, text in partial.items():
        blocks[index]["input"] = json.loads(text)
    return blocks


def sent_back(blocks: list[Json]) -> Json:
    """The assistant's message as the endpoint gets it in the next turn."""
    turns = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": "On."},
    ]
    chat = to_chat(read_messages_request({"model": "only", "max_tokens": 9, "messages": turns}))
    assert not chat.lost
    return _parsed(chat.body["messages"][1])


def _parsed(message: Json) -> Json:
    """A message with its arguments read: their spaces are not the same."""
    found = copy.deepcopy(message)
    for call in found.get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return found


def _written(message: Json) -> Json:
    found = copy.deepcopy(message)
    for call in found.get("tool_calls", ()):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return found


@MANY
@given(message=answers, display=displays)
def test_a_whole_answer_comes_back_as_it_was(message: Json, display: Display) -> None:
    blocks = ContentBlocks(display)
    blocks.add(_written(message))
    blocks.close()
    assert sent_back(blocks.content) == message


@MANY
@given(message=answers, display=displays, cut=st.integers(1, 5))
def test_a_streamed_answer_comes_back_as_it_was(message: Json, display: Display, cut: int) -> None:
    blocks = ContentBlocks(display)
    events = [event for delta in deltas_of(_written(message), cut) for event in blocks.add(delta)]
    heard = replayed([*events, *blocks.close()])
    assert heard == blocks.content, "the stream and the whole message differ"
    assert sent_back(heard) == message


# A client's request


def block(kind: str, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


def turns(three: tuple[list[Json], list[Json], list[Json]]) -> list[Json]:
    return [{"role": role, "content": said} for role, said in zip(("user", "assistant", "user"), three, strict=True)]


mark = st.just({"type": "ephemeral"})
texts = st.fixed_dictionaries({"type": st.just("text"), "text": words}, optional={"cache_control": mark})
images = block("image", source=block("base64", media_type=st.just("image/png"), data=words))
pdfs = block("document", source=block("base64", media_type=st.just("application/pdf"), data=words))
notes = block("document", title=st.just("t"), source=block("text", data=words.map(str.strip)))
uses = block("tool_use", id=st.just("c"), name=names, input=objects)
results = block(
    "tool_result",
    tool_use_id=st.just("c"),
    content=st.lists(st.one_of(texts, images), max_size=2),
    is_error=st.booleans(),
)
tools = st.fixed_dictionaries({"name": names, "description": words, "input_schema": objects})
conversations = st.tuples(
    st.lists(st.one_of(texts, images, pdfs, notes), min_size=1, max_size=3),
    st.lists(st.one_of(texts, uses), min_size=1, max_size=2),
    st.lists(st.one_of(results, texts), min_size=1, max_size=3),
)
requests = st.fixed_dictionaries(
    {"model": st.just("only"), "max_tokens": st.integers(2, 99), "messages": conversations.map(turns)},
    optional={
        "system": st.lists(texts, max_size=2),
        "stop_sequences": st.lists(words, min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 9),
        "stream": st.booleans(),
        "tools": st.lists(tools, min_size=1, max_size=2),
        "brand_new": objects,
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "thinking": block("enabled", budget_tokens=st.integers(1024, 30000)),
    },
)
HAVE_OTHER_NAMES = {"stop_sequences": "stop", "thinking": "reasoning_effort"}
SAID_ELSEWHERE = {"system", "max_tokens", "messages", "model", "tools"}


def leaves(value: object) -> Iterator[object]:
    """All texts in a value, but those that name a kind or a role."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name not in {"type", "role", "media_type", "cache_control", "id", "tool_use_id"}:
                yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, str):
        yield value


def told(value: object) -> str:
    """All texts of a body, arguments of calls read."""
    if isinstance(value, dict):
        return "\n".join(told(json.loads(one)) if name == "arguments" else told(one) for name, one in value.items())
    if isinstance(value, list):
        return "\n".join(told(one) for one in value)
    return value if isinstance(value, str) else ""


@MANY
@given(request=requests)
def test_what_a_request_says_is_kept_or_said_to_be_lost(request: Json) -> None:
    chat = to_chat(read_messages_request(request))
    text = told(chat.body)
    for name, value in request.items():
        chat_name = HAVE_OTHER_NAMES.get(name, name)
        if name in chat.lost or (name == "service_tier" and value == "auto"):
            assert name not in chat.body
            continue
        assert name in SAID_ELSEWHERE or chat_name in chat.body, f"{name} is neither kept nor lost"
        if name in SAID_ELSEWHERE:
            missing = [leaf for leaf in leaves(value) if str(leaf) not in text]
            assert not missing, f"{missing} of {name} is neither kept nor lost"
        elif name != "thinking":
            assert chat.body[chat_name] == value
    marked = json.dumps(request).count("cache_control")
    kept = json.dumps(chat.body).count("cache_control")
    # Two marks within one result are one mark of its message.
    assert (kept > 0) == (marked > 0) or "cache_control" in chat.lost
    assert ("thinking.budget_tokens" in chat.lost) == ("thinking" in request)


# Calls of tools, as endpoints number them


@pytest.mark.parametrize(
    "parts",
    [
        [{"index": 0, "id": "a"}, {"index": 0}, {"index": 1, "id": "b"}, {"index": 1}],
        [{"id": "a"}, {}, {"id": "b"}, {}],
        [{"index": None, "id": "a"}, {"index": None}, {"index": None, "id": "b"}, {"index": None}],
        [{"index": 0, "id": "a"}, {"index": 0}, {"index": 0, "id": "b"}, {"index": 0}],
        [{"index": 0, "id": "a"}, {"index": 0, "id": "a"}, {"index": 0, "id": "b"}, {"index": 0, "id": "b"}],
        [{"function": {"name": "f"}}, {}, {"function": {"name": "f"}}, {}],
        [{"index": True, "id": "a"}, {"index": "0"}, {"index": "1", "id": "b"}, {"index": "1"}],
    ],
)
def test_parts_of_calls_are_told_apart(parts: list[Json]) -> None:
    index = ToolCallIndex()
    assert [place for part in parts for place in index.add([part])] == [0, 0, 1, 1]


def test_an_id_that_comes_late_begins_no_call() -> None:
    index = ToolCallIndex()
    parts: list[Json] = [{"index": 0, "function": {"name": "f"}}, {"index": 0, "id": "a"}, {"index": 0, "id": "a"}]
    assert [place for part in parts for place in index.add([part])] == [0, 0, 0]


def test_inputs_that_come_by_turns() -> None:
    blocks = ContentBlocks("hidden")
    parts: list[Json] = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":'}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"y":'}},
        {"index": 0, "function": {"arguments": "1}"}},
        {"index": 1, "function": {"arguments": "2}"}},
    ]
    events = [event for part in parts for event in blocks.add({"tool_calls": [part]})]
    heard = replayed([*events, *blocks.close()])
    assert [(block["name"], block["input"]) for block in heard] == [("f", {"x": 1}), ("g", {"y": 2})]


def test_a_name_that_comes_late_and_arguments_that_are_an_object() -> None:
    blocks = ContentBlocks("hidden")
    events = blocks.add({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": {"x": 1}}}]})
    assert events == []
    events = blocks.add({"tool_calls": [{"index": 0, "function": {"name": "f"}}]})
    assert replayed([*events, *blocks.close()]) == [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]


@pytest.mark.parametrize("arguments", ["[1]", '{"x": ', "NaN", '"text"'])
def test_arguments_that_are_no_object_reach_the_client(arguments: str) -> None:
    blocks = ContentBlocks("hidden")
    blocks.add({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]})
    blocks.close()
    assert blocks.content[0]["input"] == {RAW_INPUT: arguments}


@pytest.mark.parametrize("finish", ["stop", "tool_calls", None])
def test_calls_end_an_answer_whatever_the_endpoint_says(finish: str | None) -> None:
    blocks = ContentBlocks("hidden")
    blocks.add({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]})
    assert blocks.stop_reason(finish) == "tool_use"
    assert ContentBlocks("hidden").stop_reason("tool_calls") == "end_turn"
    assert blocks.stop_reason("length") == "max_tokens"


# Opaque texts


@pytest.mark.parametrize(
    "opaque",
    ["", "EqQBCgIYAh", PREFIX, f"{PREFIX}!!!", f"{PREFIX}W10=", f"{PREFIX}{'W1tb' * 400}", f"{PREFIX}eyJuYW1lcyI6"],
)
def test_signatures_of_others_say_nothing(opaque: str) -> None:
    reasoning = Reasoning()
    assert not reasoning.restore(opaque, "hm")
    assert not reasoning


def test_a_forged_state_changes_no_field_but_its_own() -> None:
    forged = Reasoning(names=["reasoning"], text="hm", fields={"reasoning_details": [1]}, calls={"a": {"x": 1}})
    forged.names += ["role", "content"]
    forged.fields |= {"role": "system", "extra_content": 5}
    forged.calls["a"] |= {"function": {"name": "rm"}, "id": "b"}
    opaque = forged.take(text=True)
    assert opaque is not None
    reasoning = Reasoning()
    assert reasoning.restore(opaque)
    message: Json = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    reasoning.put_back(message)
    assert message == {
        "role": "assistant",
        "tool_calls": [{"id": "a", "function": {"name": "f"}, "x": 1}],
        "reasoning": "hm",
        "reasoning_details": [1],
    }


def test_pieces_of_one_detail_are_joined() -> None:
    reasoning = Reasoning()
    for part in ({"text": "I "}, {"text": "must"}, {"signature": "xyz"}):
        reasoning.add({"reasoning_details": [{"type": "reasoning.text", "index": 0, **part}]})
    message: Json = {"role": "assistant"}
    reasoning.put_back(message)
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "I must", "signature": "xyz"}
    ]


def test_what_comes_in_many_pieces_is_joined_once() -> None:
    """Each piece would be joined to all before it: ten thousand to ten megabytes."""

    def detail(index: int, text: str, **more: object) -> Json:
        return {"type": "reasoning.text", "index": index, "text": text, **more}

    long, count = "x" * 10_000_000, 10_000
    reasoning = Reasoning()
    for place in range(count):
        text = long if place == 0 else "y"
        opaque = Reasoning(names=["reasoning"], text=text, fields={"reasoning_details": [detail(0, text)]}).take(
            text=True
        )
        assert reasoning.restore(str(opaque))
    reasoning.add({"reasoning_details": [detail(1, "a"), detail(1, "b", data="c"), detail(2, "d"), detail(2, "e")]})
    message: Json = {"role": "assistant"}
    reasoning.put_back(message)
    whole = long + "y" * (count - 1)
    assert message["reasoning"] == whole
    assert message["reasoning_details"] == [detail(0, whole), detail(1, "ab", data="c"), detail(2, "de")]
