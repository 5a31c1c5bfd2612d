"""Any OpenAI-compatible endpoint through Pydantic AI: hosted, Ollama, vLLM, or llama.cpp in this very process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sale.errors import CallError, NotReadyError, SaleError
from sale.models.address import Address
from sale.models.asking import SamplingOptions, ask
from sale.models.chat import ChatModel
from sale.models.connection import connect
from sale.models.protocol import GenerationRequest
from sale.types import Reply

if TYPE_CHECKING:
    import httpx2

__all__ = ["Address", "EndpointModel", "SamplingOptions", "fixed_address"]


class EndpointModel:
    """A model behind an OpenAI-compatible URL, found and opened on first use.

    It may be used from one event loop after another: connections belong to a loop, so a new loop gets new ones.
    """

    def __init__(
        self,
        name: str,
        locate: Callable[[], Awaitable[Address]],
        *,
        manner: SamplingOptions | None = None,
        release: Callable[[], Awaitable[None]] | None = None,
        alive: Callable[[Address], bool] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: The agent's name, for error messages.
            locate: Finds the address; for the embedded pool this loads the weights.
            manner: How to ask.
            release: Undoes `locate`, on close and before the address of an engine that died is found anew.
            alive: Whether something still answers at an address that was found; an engine may have died. It is asked
                before each use. Always, unless given.
            transport: Carries the requests in place of connections of its own.
        """
        self._name = name
        self._locate = locate
        self._release = release
        self._alive = alive
        self._transport = transport
        self._manner = manner or SamplingOptions()
        self._address: Address | None = None
        self._model: ChatModel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    async def for_tools(self) -> ChatModel:
        """The Pydantic AI model, opened if need be. What it raises are `CallError`s.

        Raises:
            NotReadyError: It could not be opened: its weights are missing, say.
        """
        async with self._locked():
            await self._let_go_of_dead()
            if self._model is None:
                self._model = connect(
                    await self._found(), agent=self._name, retries=self._manner.retries, transport=self._transport
                )
            return self._model

    async def address(self) -> Address:
        """Where it answers, for those who speak the protocol themselves.

        Raises:
            NotReadyError: As for `for_tools`.
        """
        if self._address is not None and not self._dead:
            return self._address
        async with self._locked():
            await self._let_go_of_dead()
            return await self._found()

    def through(self, transport: httpx2.AsyncBaseTransport) -> EndpointModel:
        """The same model, whose requests are made as ever and carried by `transport`; none is made a second time."""
        manner = replace(self._manner, retries=0)
        return EndpointModel(self._name, self.address, manner=manner, alive=self._alive, transport=transport)

    async def _found(self) -> Address:
        if self._address is None:
            self._address = await self._located()
        return self._address

    @property
    def _dead(self) -> bool:
        return self._address is not None and self._alive is not None and not self._alive(self._address)

    async def _let_go_of_dead(self) -> None:
        """Let go of an address where nothing answers any more."""
        if self._dead:
            await self._let_go()

    async def _let_go(self) -> None:
        model, self._model = self._model, None
        address, self._address = self._address, None
        try:
            if model is not None:
                await model.client.close()
        finally:
            if address is not None and self._release is not None:
                await self._release()

    def _locked(self) -> asyncio.Lock:
        """The lock of the running loop; what belonged to another loop is left to it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock, self._model = loop, asyncio.Lock(), None
        return self._lock

    async def _located(self) -> Address:
        try:
            return await self._locate()
        except CallError:
            raise
        except SaleError as error:
            place = f"{error.where}: " if error.where else ""
            raise NotReadyError(f"{error.code}: {place}{error.message}", where=self._name, hint=error.hint) from error

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """Ask once; see `Model.generate`."""
        return await ask(await self.for_tools(), request, self._manner, agent=self._name)

    async def aclose(self) -> None:
        """Close the connection pool and release what `locate` took."""
        async with self._locked():
            await self._let_go()


def fixed_address(address: Address) -> Callable[[], Awaitable[Address]]:
    """A `locate` for an address that is known already."""

    async def locate() -> Address:
        return address

    return locate
