"""What one agent's endpoint refuses another takes: the turn goes there, and the refusal is remembered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
import pytest

from sale.server.gateway import chat_request
from sale.server.gateway.abilities import Abilities, Needs, needs_of
from sale.server.gateway.errors import ApiError
from tests.server.gateway.conftest import Gateway, Serving
from tests.support.hang import HANG
from tests.support.replies import Json
from tests.support.wire import Out, Play, Request, Wire, chunk, whole

HELLO: list[Json] = [{"role": "user", "content": "What is 6 × 7?"}]
PICTURE: list[Json] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    }
]
Refuses = Callable[[Json], bool]
ALWAYS = {"allowance": math.inf}
"""Every conversation is auctioned, and the cheap agent wins."""
LONG: list[Json] = [{"role": "user", "content": "word " * 4000}]


def refusing(refuses: Refuses, status: int, **error: Any) -> Play:
    """An endpoint that refuses some requests and answers the others."""

    async def play(request: Request, out: Out) -> None:
        if refuses(request.body):
            await out.body({"error": {"type": "invalid_request_error", **error}}, status)
        elif request.body.get("stream"):
            await out.events(chunk({"content": "fine"}), chunk({}, "stop"))
        else:
            await out.body(whole())

    return play


def ask(gateway: Gateway, messages: list[Json], path: str = "/chat/completions", **more: Any) -> httpx2.Response:
    body: Json = {"model": "sale", "messages": messages, **more}
    if path == "/responses":
        body = {"model": "sale", "input": body.pop("messages"), **more}
    return httpx2.post(f"{gateway.url}{path}", json=body, timeout=HANG)


def bids(wire: Wire) -> int:
    """The plans that the small one was asked for."""
    return len([one for one in wire.all("small") if one.of_the_market and "numbered steps" in str(one.body)])


def size(body: Json) -> int:
    return len(str(body["messages"]))


def has(kind: str) -> Refuses:
    return lambda body: kind in str(body)


def is_long(body: Json) -> bool:
    return size(body) > 5000


def always(_: Json) -> bool:
    return True


CASES = [
    pytest.param(has("image_url"), 400, {"message": "this model takes no images"}, PICTURE, {}, id="images"),
    pytest.param(
        is_long,
        400,
        {"message": "the maximum context length is 1000 tokens", "code": "context_length_exceeded"},
        LONG,
        {},
        id="context",
    ),
    pytest.param(is_long, 413, {"message": "too much for this minute"}, LONG, {}, id="tokens a minute"),
    pytest.param(
        has("'max_tokens'"),
        400,
        {"message": "Use max_completion_tokens", "param": "max_tokens", "code": "unsupported_parameter"},
        HELLO,
        {"max_tokens": 50},
        id="a parameter",
    ),
    pytest.param(
        has("'developer'"),
        422,
        {"message": "role must be system, user, assistant or tool"},
        [{"role": "developer", "content": "Be brief."}, *HELLO],
        {},
        id="a role",
    ),
]


@pytest.mark.parametrize(("refuses", "status", "error", "messages", "more"), CASES)
def test_it_goes_to_the_next_bid_and_is_remembered(
    serving: Serving, refuses: Refuses, status: int, error: Json, messages: list[Json], more: Json
) -> None:
    with (
        Wire(small=refusing(refuses, status, **error)) as wire,
        serving(wire.agent("small"), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        first = ask(gateway, messages, **more)
        assert first.status_code == 200, first.text
        assert first.headers["x-sale-agent"] == "large"
        on = [*messages, {"role": "assistant", "content": "The answer is 42."}, {"role": "user", "content": "Sure?"}]
        assert ask(gateway, on, **more).headers["x-sale-auction"] == first.headers["x-sale-auction"]
        assert len(wire.work("small")) == 1, "the conversation went back to who cannot"
        other = [*messages[:-1], {**messages[-1], "name": "another"}]
        other[-1]["content"] = (
            [*PICTURE[0]["content"], {"type": "text", "text": "And?"}]
            if "image_url" in str(messages)
            else f"{messages[-1]['content']} And why?"
        )
        asked = bids(wire)
        again = ask(gateway, other, **more)
        assert (again.status_code, again.headers["x-sale-agent"]) == (200, "large")
        assert len(wire.work("small")) == 1, "the refusal was not remembered"
        assert bids(wire) == asked, "who cannot was asked for a bid"
        able = ask(gateway, [{"role": "user", "content": "Something that both can do."}])
        assert able.headers["x-sale-agent"] == "small"
        (line, *_) = gateway.lines()
        assert (line.status, line.agent) == (200, "large")


def test_a_conversation_that_outgrows_its_agent_goes_on_with_another(serving: Serving) -> None:
    short = refusing(is_long, 400, message="prompt is too long", code="context_length_exceeded")
    with (
        Wire(small=short) as wire,
        serving(wire.agent("small"), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        messages, agents, auctions = list(HELLO), [], set[str]()
        for turn in range(4):
            done = ask(gateway, messages)
            assert done.status_code == 200
            agents.append(done.headers["x-sale-agent"])
            auctions.add(done.headers["x-sale-auction"])
            answer = done.json()["choices"][0]["message"]["content"]
            messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": f"{turn} " * 3000}]
        assert agents == ["small", "large", "large", "large"]
        assert len(auctions) == 1


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_where_all_refuse_the_client_is_told_the_first_and_nobody_is_blamed(
    serving: Serving, path: str, stream: bool
) -> None:
    wrong = True

    def is_wrong(_: Json) -> bool:
        return wrong

    small, large = (
        refusing(is_wrong, 400, message=f"{name}: temperature is wrong", param="temperature")
        for name in ("small", "large")
    )
    with (
        Wire(small=small, large=large) as wire,
        serving(wire.agent("small"), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        more: dict[str, Any] = {"max_tokens": 50} if path == "/messages" else {}
        done = ask(gateway, HELLO, path, stream=stream, **more)
        assert done.status_code == 400 or (stream and done.text.startswith(": sale"))  # an auction may take long
        assert "small: temperature is wrong" in done.text
        assert "large: temperature" not in done.text
        assert len(wire.work()) == 2
        wrong = False
        again = ask(gateway, HELLO, path, stream=stream, **more)
        assert (again.status_code, again.headers["x-sale-agent"]) == (200, "small"), (
            "the conversation has changed hands"
        )
        (line, _) = gateway.lines()
        assert (line.status, line.work_dollars) == (400, 0)


def test_what_a_request_says_is_not_taken_elsewhere(serving: Serving) -> None:
    strict = refusing(always, 400, message="the prompt was filtered", code="content_filter")
    with (
        Wire(small=strict) as wire,
        serving(wire.agent("small"), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        assert ask(gateway, HELLO).status_code == 400
        assert not wire.work("large")


def test_an_agent_asked_by_name_is_not_replaced(serving: Serving) -> None:
    play = refusing(has("image_url"), 400, message="no images")
    with Wire(small=play) as wire, serving(wire.agent("small"), wire.agent("large")) as gateway:
        assert ask(gateway, PICTURE, model="small").status_code == 400
        assert not wire.work("large")


@pytest.mark.parametrize("client", [None, {"include_usage": True}])
def test_an_endpoint_that_refuses_the_gateways_own_wish_for_usage(serving: Serving, client: Json | None) -> None:
    """It is asked once more without, and tokens are estimated; what the client itself wishes is not left out."""
    play = refusing(has("stream_options"), 422, message="extra fields not permitted: stream_options")
    more: dict[str, Any] = {"stream_options": client} if client else {}
    with Wire(only=play) as wire, serving(wire.agent("only")) as gateway:
        for count in (1, 2):
            done = ask(gateway, HELLO, model="only", stream=True, **more)
            if client:
                assert done.status_code == 422
            else:
                assert done.text.endswith("data: [DONE]\n\n")
                assert "x-sale-lost" not in done.headers
                assert len(wire.work()) == count + 1
        assert {line.input_tokens > 0 for line in gateway.lines()} == {client is None}


TOOL: Json = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("refuses", "messages", "more"),
    [
        ("images", PICTURE, {}),
        ("tools", HELLO, {"tools": [TOOL]}),
        ("schema", HELLO, {"response_format": {"type": "json_object"}}),
        ("developer", [{"role": "developer", "content": "Be brief."}, *HELLO], {}),
        ("temperature", HELLO, {"temperature": 0.5}),
        ("metadata", HELLO, {"metadata": {"ticket": "7"}}),
    ],
)
def test_who_says_that_it_cannot_is_asked_nothing(
    serving: Serving, refuses: str, messages: list[Json], more: Json
) -> None:
    with (
        Wire() as wire,
        serving(wire.agent("small", refuses=[refuses]), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        found = ask(gateway, messages, **more)
        assert (found.status_code, found.headers["x-sale-agent"]) == (200, "large")
        assert not wire.work("small")
        assert bids(wire) == 0, "who cannot was asked for a bid"
        assert ask(gateway, [{"role": "user", "content": "Both can."}]).headers["x-sale-agent"] == "small"


def test_who_says_how_much_it_reads_is_not_asked_for_more(serving: Serving) -> None:
    with (
        Wire() as wire,
        serving(wire.agent("small", context=2000), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        assert ask(gateway, LONG).headers["x-sale-agent"] == "large"
        assert bids(wire) == 0
        assert ask(gateway, HELLO).headers["x-sale-agent"] == "small"
    with Wire() as wire, serving(wire.agent("only", context=2000), auction=ALWAYS) as gateway:
        assert ask(gateway, LONG).status_code == 200, "an estimate refused a request"


def test_a_conversation_goes_on_with_who_takes_its_next_turn(serving: Serving) -> None:
    """Without another auction, and without a request to the one that cannot."""
    small = {"refuses": ["images"]}
    with (
        Wire() as wire,
        serving(wire.agent("small", **small), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        first = ask(gateway, HELLO)
        assert first.headers["x-sale-agent"] == "small"
        on = [*HELLO, {"role": "assistant", "content": "The answer is 42."}, *PICTURE]
        session: Json = {"metadata": {"sale_session": first.headers["x-sale-session"]}}
        found = ask(gateway, on, **session)
        assert (found.status_code, found.headers["x-sale-agent"]) == (200, "large")
        assert found.headers["x-sale-auction"] == first.headers["x-sale-auction"]
        assert len(wire.work("small")) == 1
        assert ask(gateway, [*on, *HELLO], **session).headers["x-sale-agent"] == "large"


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
def test_what_all_say_that_they_refuse_is_refused_with_a_sentence(serving: Serving, path: str) -> None:
    with (
        Wire() as wire,
        serving(wire.agent("small", refuses=["developer"]), wire.agent("large", refuses=["developer"])) as gateway,
    ):
        done = ask(gateway, [{"role": "developer", "content": "Be brief."}, *HELLO], path)
        assert done.status_code == 400
        assert done.json()["error"]["code"] == "unsupported"
        assert "no agent here takes developer" in done.json()["error"]["message"]
        assert not wire.all("small")


def test_what_can_be_left_out_of_a_translated_request_keeps_nobody_from_it(serving: Serving) -> None:
    with Wire() as wire, serving(wire.agent("only", refuses=["max_tokens"]), auction=ALWAYS) as gateway:
        assert ask(gateway, HELLO, "/messages", max_tokens=50).status_code == 200
        assert ask(gateway, HELLO, max_tokens=50).status_code == 400


VALUES = [
    pytest.param(
        {
            "message": "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, "
            "but got a string with length 70 instead.",
            "param": "tools[0].function.name",
            "code": "string_above_max_length",
        },
        {"tools": [{"type": "function", "function": {"name": "x" * 70, "parameters": {"type": "object"}}}]},
        id="the name of a tool",
    ),
    pytest.param(
        {
            "message": "max_tokens is too large: 32000. This model supports at most 16384 completion tokens.",
            "param": "max_tokens",
            "code": "invalid_value",
        },
        {"max_tokens": 32000},
        id="the length of the answer",
    ),
]


@pytest.mark.parametrize(("error", "odd"), VALUES)
def test_a_value_that_one_endpoint_refuses_costs_it_nobody_elses_requests(
    serving: Serving, error: Json, odd: Json
) -> None:
    """Coding clients ask for 32,000 tokens, and tools of MCP servers have long names."""
    play = refusing(lambda body: any(body.get(name) == value for name, value in odd.items()), 400, **error)
    with (
        Wire(small=play) as wire,
        serving(wire.agent("small"), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        assert ask(gateway, HELLO, **odd).headers["x-sale-agent"] == "large"
        others: list[Json] = [{"role": "user", "content": "Something that both can do. " * 20}]
        assert ask(gateway, others, max_tokens=100, tools=[TOOL]).headers["x-sale-agent"] == "small"


class TestLearning:
    NEEDS = Needs(features=frozenset({"image_url", "temperature", "tools"}), tokens=1000)

    def test_only_what_the_refusal_names_and_the_request_has_is_lacking(self) -> None:
        known = Abilities()
        known.learn("a", ApiError("temperature and top_p are not supported", status=400), self.NEEDS)
        assert not known.can("a", self.NEEDS)
        assert known.can("a", Needs(features=frozenset({"image_url", "top_p"}), tokens=9000))
        assert known.can("b", self.NEEDS)
        assert known.keep_able(["a", "b"], self.NEEDS) == ["b"]
        assert known.keep_able(["a"], self.NEEDS) == ["a"], "nobody is left"

    def test_the_shortest_request_that_was_too_long_is_the_limit(self) -> None:
        known = Abilities()
        for tokens in (5000, 3000, 4000):
            needs = Needs(features=frozenset({"max_tokens"}), tokens=tokens)
            refusal = ApiError("maximum context length is 2000; max_tokens counts", status=400)
            known.learn("a", refusal, needs)
        found = {tokens: known.can("a", Needs(tokens=tokens)) for tokens in (2999, 3000, 9000)}
        assert found == {2999: True, 3000: False, 9000: False}
        assert known.can("a", Needs(features=frozenset({"max_tokens"}), tokens=10))

    def test_what_an_agent_has_taken_it_does_not_refuse(self) -> None:
        known = Abilities()
        known.take("a", Needs(features=frozenset({"tools"}), tokens=3000))
        known.learn("a", ApiError("tools and images are not supported here", status=400), self.NEEDS)
        assert known.can("a", Needs(features=frozenset({"tools"}), tokens=9000))
        assert not known.can("a", Needs(features=frozenset({"image_url"})))
        known.learn("a", ApiError("the prompt is too long", status=400), Needs(tokens=2000))
        assert known.can("a", Needs(tokens=2000))
        known.learn("a", ApiError("the prompt is too long", status=400), Needs(tokens=4000))
        assert not known.can("a", Needs(tokens=4000))
        known.take("a", Needs(features=frozenset({"image_url"}), tokens=5000))
        assert known.can("a", Needs(features=frozenset({"image_url"}), tokens=6000))
        assert not known.is_limited("a")

    def test_a_refusal_counts_for_an_hour(self) -> None:
        now = 0.0
        known = Abilities(clock=lambda: now)
        known.learn("a", ApiError("images are not supported", status=400), self.NEEDS)
        known.learn("a", ApiError("the prompt is too long", status=400), Needs(tokens=2000))
        now = 3599.0
        assert not known.can("a", Needs(features=frozenset({"image_url"})))
        assert not known.can("a", Needs(tokens=2000))
        now = 3600.0
        assert known.can("a", Needs(features=frozenset({"image_url"}), tokens=2000))

    def test_an_image_of_many_bytes_says_nothing_of_long_texts(self) -> None:
        known = Abilities()
        known.learn("a", ApiError("request entity too large", status=413), self.NEEDS)
        assert known.can("a", Needs(tokens=100_000))

    def test_what_names_nothing_teaches_nothing(self) -> None:
        known = Abilities()
        known.learn("a", ApiError("no", status=400), self.NEEDS)
        assert known.can("a", self.NEEDS)

    def test_the_needs_of_a_request(self) -> None:
        body: Json = {"model": "m", "stream": True, "metadata": {}, "n": None, "tools": [{}], "temperature": 1}
        messages = [{"role": "developer", "content": "x"}, *PICTURE]
        assert needs_of(body, messages, 7) == Needs(
            features=frozenset({"developer", "image_url", "tools", "temperature"}), tokens=7
        )


def test_the_messages_of_a_request_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def count(body: Mapping[str, object], messages: Sequence[Mapping[str, Any]], tokens: int) -> Needs:
        looked.append(tokens)
        return needs_of(body, messages, tokens)

    monkeypatch.setattr(chat_request, "needs_of", count)
    asked = chat_request.read_request({"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": 1}, 9)
    assert asked.needs is asked.needs
    assert (len(looked), asked.needs.features) == (1, {"seed"})
    assert dataclasses.replace(asked, optional=frozenset({"seed"})).needs.features == set()
