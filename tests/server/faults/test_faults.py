"""Every way an endpoint can fail, through the gateway: somebody else takes over, or the client is told the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx
import pytest

from tests.support.faulty_server import AFTER, BEFORE, HUGE, RIGHT, FaultWall
from tests.support.gateway_process import KEY, Served
from tests.support.replies import ANSWER
from tests.support.sse_client import Heard, chat, listen

numbers = count(1)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as found:
        yield found


async def ask(
    client: httpx.AsyncClient, served: Served, model: str, fault: str, *, stream: bool, **more: object
) -> tuple[Heard, dict[str, Any]]:
    """What the client heard, and the ledger's line of it."""
    lines = len(served.lines())
    words = f"What is six times seven? ({next(numbers)}) fault:{fault}"
    heard = await listen(client, served.base_url, chat(model, words, stream=stream, **more))
    return heard, last_line(served, lines)


def last_line(served: Served, lines: int) -> dict[str, Any]:
    """The ledger's line for the one request made since it had so many."""
    assert served.wait(lambda: len(served.lines()) > lines), "nothing was noted"
    (line,) = served.lines()[lines:]
    return line


def openai_error(heard: Heard) -> dict[str, object]:
    error = heard.error
    assert error is not None
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    return error


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", BEFORE)
async def test_the_next_best_takes_over_before_the_first_token(
    client: httpx.AsyncClient, served: Served, wall: FaultWall, fault: str, stream: bool
) -> None:
    heard, line = await ask(client, served, "sale", fault, stream=stream)
    assert (heard.status, heard.error, heard.finish) == (200, None, "stop")
    assert heard.text == ANSWER
    assert heard.done is stream
    asked = [one.body["model"] for one in wall.seen()]
    assert (asked[0], asked[-1]) == ("as-told", "always")
    assert (line["status"], line["agent"]) == (200, "spare")
    if not stream:
        assert heard.headers["x-sale-agent"] == "spare"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", [*BEFORE, "truncated"])
async def test_an_agent_asked_for_by_name_has_nobody_to_take_over(
    client: httpx.AsyncClient, served: Served, wall: FaultWall, fault: str, stream: bool
) -> None:
    heard, line = await ask(client, served, "first", fault, stream=stream)
    error = openai_error(heard)
    assert not heard.done
    assert heard.text == "" if heard.events else True
    assert heard.status in {429, 502, 503, 504} or heard.events, heard
    if fault in {"429", "quota"}:
        assert heard.status == 429
        assert error["type"] == "rate_limit_error"
    if fault == "429":
        assert heard.headers["retry-after"] == "1"
    told = str(heard)
    assert "sk-provider-secret" not in told
    assert KEY not in told
    assert wall.base_url.removeprefix("http://").removesuffix("/v1") not in told
    assert line["error"] is not None
    assert len(wall.seen()) <= 2, "it was asked again and again"


@pytest.mark.parametrize("model", ["sale", "first"])
@pytest.mark.parametrize("fault", AFTER)
async def test_after_the_first_token_a_stream_ends_with_an_error_and_no_done(
    client: httpx.AsyncClient, served: Served, wall: FaultWall, fault: str, model: str
) -> None:
    heard, line = await ask(client, served, model, fault, stream=True)
    assert heard.status == 200
    assert heard.text, "the tokens that came were not passed on"
    assert ANSWER.startswith(heard.text)
    openai_error(heard)
    assert heard.events[-1].get("error"), "something came after the error"
    assert not heard.done
    assert len(wall.seen()) == 1, "the answer was begun again"
    assert line["error"] is not None
    assert line["agent"] == "first"
    assert line["output_tokens"] > 0, "what had been written was not counted"
    assert line["work_dollars"] > 0, "what had been written was not billed"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", RIGHT)
async def test_what_is_odd_but_right_arrives_whole(
    client: httpx.AsyncClient, served: Served, wall: FaultWall, fault: str, stream: bool
) -> None:
    heard, line = await ask(client, served, "first", fault, stream=stream)
    assert (heard.status, heard.error, heard.broken) == (200, None, None)
    assert heard.text == (HUGE if fault == "huge-frame" else ANSWER)
    assert heard.finish == "stop"
    assert heard.done is stream
    if stream and fault != "usage-everywhere":
        assert heard.usage is None, "usage that nobody asked for"
    assert (line["status"], line["error"], line["agent"]) == (200, None, "first")
    assert line["output_tokens"] > 0
    assert line["work_dollars"] > 0


async def test_usage_in_the_stream_is_for_those_who_ask(
    client: httpx.AsyncClient, served: Served, wall: FaultWall
) -> None:
    heard, _ = await ask(client, served, "first", "good", stream=True, stream_options={"include_usage": True})
    assert heard.usage is not None
    assert heard.usage["completion_tokens"] > 0
    assert heard.done


@pytest.mark.parametrize("fault", ["context-too-long"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_request_that_is_itself_wrong_is_the_clients(
    client: httpx.AsyncClient, served: Served, wall: FaultWall, fault: str, stream: bool
) -> None:
    heard, _ = await ask(client, served, "first", fault, stream=stream)
    assert heard.status == 400
    assert openai_error(heard)["code"] == "context_length_exceeded"


async def test_bytes_that_are_no_utf8_never_reach_the_client(
    client: httpx.AsyncClient, served: Served, wall: FaultWall
) -> None:
    for stream in (False, True):
        heard, _ = await ask(client, served, "first", "not-utf8", stream=stream)
        openai_error(heard)
        assert not heard.done


@pytest.mark.parametrize("fault", ["hang", "drip-100", "stall-2"])
async def test_a_client_that_leaves_takes_the_endpoint_along(
    client: httpx.AsyncClient, served: Served, wall: FaultWall, fault: str
) -> None:
    lines = len(served.lines())
    body = chat("first", f"Hello. fault:{fault}", stream=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(listen(client, served.base_url, body), 0.7)
    assert await asyncio.to_thread(wall.wait, lambda: bool(wall.seen()) and wall.seen()[0].gone, 1.2), (
        "the endpoint went on working for nobody"
    )
    line = last_line(served, lines)
    assert line["error"] is not None
    if fault == "stall-2":
        assert line["work_dollars"] > 0


async def test_nothing_of_a_key_or_an_address_is_in_the_log(served: Served) -> None:
    assert KEY not in served.said
    assert "sk-provider-secret" not in served.said
    assert "Traceback" not in served.said, served.said
