"""Requests with an `Idempotency-Key`: the same one sent again has the first one's answer, and is not paid for again.

    first time -> claimed -> worked on, also where its client leaves -> its answer is kept for an hour
    again      -> the kept answer, or a wait for the first one to end; another request under the same key is refused

Answers are in the memory of this process, and nowhere else: the server's database holds no text of an answer that its
client did not want kept, and a claim is quicker here than the work it guards. A request that failed is worked on anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Message

from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange, Headers
from sale.server.store.types import Holder

NAME: Final = b"idempotency-key"
PARAM: Final = NAME.decode()
MAX_CHARACTERS: Final = 255
KEPT_SECONDS: Final = 3600.0
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of all answers together; the oldest go first, and that they were given is known on."""
MAX_CLAIMS: Final = 10_000
REPLAYED: Final = (b"idempotent-replayed", b"true")
ALSO_READ: Final = (b"x-sale-session", b"x-sale-require")
"""Headers that change what a request asks for."""
Place = tuple[str, str]


@dataclass(kw_only=True, slots=True)
class KeptAnswer:
    """An answer as its client was sent it."""

    status: int = 200
    headers: Headers = ()
    parts: list[bytes] = field(default_factory=list[bytes])
    size: int = 0

    def take(self, message: Message) -> None:
        """Keep a message of the response, as far as there is room."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], tuple(message["headers"])
        elif (body := message.get("body", b"")) and self.size <= MAX_ANSWER_BYTES:
            self.size += len(body)
            if self.size > MAX_ANSWER_BYTES:
                self.parts.clear()
            else:
                self.parts.append(body)


@dataclass(kw_only=True, slots=True)
class KeyClaim:
    """One request under one key."""

    place: Place
    digest: bytes
    at: float = field(default_factory=time.monotonic)
    answer: KeptAnswer | None
    """`None` once it is too large, or others needed its room."""
    model: str = ""
    """That the request names, for the ledger's lines of its replays."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def replay(self) -> KeptAnswer | None:
        """The answer, where there is one to send again."""
        return self.answer if self.ended.is_set() else None


class Replays:
    """The claims of the last hour. It belongs to one event loop."""

    def __init__(self) -> None:
        """There are none."""
        self._claims: OrderedDict[Place, KeyClaim] = OrderedDict()
        self._bytes = 0

    async def claim(self, exchange: Exchange, holder: Holder, body: bytes) -> KeyClaim | None:
        """Claim a request's key, or wait for the answer to the one that has it already; `None` without a key.

        Raises:
            ApiError: The key is invalid, or another request's, or the answer is no longer there.
            ClientLeftError: The client gave up waiting.
        """
        name = exchange.header(NAME)
        if not name:
            return None
        if len(name) > MAX_CHARACTERS or not name.isascii() or not name.isprintable():
            raise ApiError(
                f"an idempotency key has 1 to {MAX_CHARACTERS} printable ASCII characters",
                name="invalid_value",
                param=PARAM,
            )
        place, digest = (holder.key_id or "", name), _digest(exchange, body)
        self._forget()
        while (known := self._claims.get(place)) is not None:
            if known.digest != digest:
                raise ApiError(
                    "another request had this idempotency key", status=422, name="idempotency_mismatch", param=PARAM
                )
            if not known.ended.is_set():
                async with exchange.watch_connection():
                    await known.ended.wait()
            elif known.answer is None:
                raise ApiError(
                    "this request was answered, and the answer is no longer kept; with another key it is done anew",
                    status=409,
                    name="idempotency_answer_gone",
                )
            else:
                return known
        answer = KeptAnswer()
        found = self._claims[place] = KeyClaim(place=place, digest=digest, answer=answer)
        exchange.record(answer.take)
        return found

    def settle(self, claim: KeyClaim, model: str, *, whole: bool) -> None:
        """The claimed request, of a model, has ended: its answer is kept if it is whole, else the key is free again."""
        claim.model = model
        if not whole:
            del self._claims[claim.place]
        elif claim.answer is not None and claim.answer.size > MAX_ANSWER_BYTES:
            claim.answer = None
        elif claim.answer is not None:
            self._bytes += claim.answer.size
        claim.ended.set()
        claim.at = time.monotonic()
        if whole:
            self._claims.move_to_end(claim.place)
            self._make_room()

    def _make_room(self) -> None:
        for one in self._claims.values():
            if self._bytes <= MAX_BYTES:
                return
            self._drop(one)

    def _drop(self, claim: KeyClaim) -> None:
        if (answer := claim.replay) is not None:
            self._bytes -= answer.size
            claim.answer = None

    def _forget(self) -> None:
        """Forget what has ended an hour ago, and the oldest where there are too many."""
        now = time.monotonic()
        old = [
            one
            for number, one in enumerate(self._claims.values())
            if one.ended.is_set() and (now - one.at > KEPT_SECONDS or number < len(self._claims) - MAX_CLAIMS)
        ]
        for one in old:
            self._drop(one)
            del self._claims[one.place]


async def send_again(exchange: Exchange, answer: KeptAnswer) -> None:
    """Send a kept answer, as it was sent."""
    await exchange.resend(answer.status, [*answer.headers, REPLAYED], b"".join(answer.parts))


def _digest(exchange: Exchange, body: bytes) -> bytes:
    found = hashlib.blake2b(body)
    for text in (exchange.path, *(value for name in ALSO_READ for value in exchange.all_of(name))):
        found.update(b"\0" + text.encode())
    return found.digest()
