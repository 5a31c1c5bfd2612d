"""A request whose bytes may have arrived is not sent again: the work would be done twice, and one answer billed."""

from __future__ import annotations

import asyncio
import socket

import httpx2
import pytest

from sale.errors import CallTimeoutError, ServerError, UnreachableError
from sale.models.endpoint import Address, EndpointModel, fixed_address
from sale.models.protocol import GenerationRequest
from sale.types import Prompt
from tests.support.wire import Out, Request, Wire, usage, whole

PROMPT = Prompt(system="", user="What is 6 × 7?", template="test")


async def ask(model: EndpointModel) -> str:
    try:
        return (await model.generate(GenerationRequest(PROMPT, max_tokens=10))).text
    finally:
        await model.aclose()


def model_at(url: str) -> EndpointModel:
    return EndpointModel("agent", fixed_address(Address(base_url=url, model="only")))


class Playing:
    """Answers the market's own calls, which a wire would answer well by itself."""

    def __init__(self, *steps: str) -> None:
        self.steps = list(steps)
        self.asked = 0

    async def __call__(self, request: Request, out: Out) -> None:
        self.asked += 1
        step = self.steps.pop(0) if self.steps else "good"
        if step == "close":
            return
        if step == "reset":
            out.reset()
        elif step == "half":
            await out.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
        elif step == "silent":
            await asyncio.sleep(60)
        elif step.isdigit():
            await out.body({"error": {"message": "busy"}}, int(step))
        else:
            await out.body(whole("42", usage(3, 1)))


@pytest.mark.parametrize("step", ["close", "reset", "half"])
async def test_a_lost_connection(step: str) -> None:
    play = Playing(step)
    with Wire() as wire:
        wire.default = play
        with pytest.raises(UnreachableError):
            await ask(model_at(wire.base_url))
    assert play.asked == 1


@pytest.mark.parametrize("status", [408, 504, 524])
async def test_somebody_gave_up_waiting(status: int) -> None:
    play = Playing(str(status))
    with Wire() as wire:
        wire.default = play
        with pytest.raises((CallTimeoutError, ServerError)):
            await ask(model_at(wire.base_url))
    assert play.asked == 1


async def test_silence() -> None:
    play = Playing("silent")
    with Wire() as wire:
        wire.default = play
        model = model_at(wire.base_url)
        opened = await model.for_tools()
        opened.client.timeout = 0.3
        with pytest.raises(CallTimeoutError):
            await ask(model)
    assert play.asked == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_was_refused_is_asked_again(status: int) -> None:
    play = Playing(str(status))
    with Wire() as wire:
        wire.default = play
        assert await ask(model_at(wire.base_url)) == "42"
    assert play.asked == 2


async def test_who_cannot_be_reached_is_tried_again() -> None:
    """Nothing was sent. The endpoint begins to listen while the client tries."""
    play = Playing()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    model = model_at(f"http://127.0.0.1:{port}/v1")
    asking = asyncio.create_task(ask(model))
    await asyncio.sleep(0.1)
    with Wire(port=port) as wire:
        wire.default = play
        assert await asking == "42"


async def test_what_another_transport_carries_is_carried_once() -> None:
    """A batch API has taken a request when it is refused later: who makes it again would pay twice."""
    carried: list[httpx2.Request] = []

    def refuse(request: httpx2.Request) -> httpx2.Response:
        carried.append(request)
        return httpx2.Response(500, json={"error": {"message": "busy"}})

    with pytest.raises(ServerError):
        await ask(model_at("http://127.0.0.1:9/v1").through(httpx2.MockTransport(refuse)))
    assert len(carried) == 1
