"""`POST /v1/feedback`: how a conversation came out, for the auction memory."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any, cast

import orjson
from starlette.types import Receive, Scope, Send

from sale.errors import InputError, SaleError
from sale.server.gateway.active_session import ActiveSession
from sale.server.gateway.errors import ApiError, as_api_error
from sale.server.gateway.exchange import Exchange, document
from sale.server.gateway.state import GatewayState
from sale.server.store.types import Holder, Session
from sale.types import USER, Outcome, Verdict

MAX_BODY_BYTES = 64 * 1024
DETAIL_CHARACTERS = 4000
GOOD = 0.5
"""From this score up it is a success."""
BEGIN_SECONDS = 5.0
"""A verdict waits so long for the first answer of a conversation in the shadow."""
LATER_SECONDS = 0.25
"""Seconds after which what another process has just answered is in the database."""
NAMES = ("session_id", "auction_id", "response_id")
AUCTION_ID = re.compile(r"[0-9a-f]{32}")
Json = dict[str, Any]


class FeedbackEndpoint:
    """Takes a verdict, and closes the record it is about."""

    def __init__(self, state: GatewayState) -> None:
        """Nothing is opened."""
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one verdict."""
        exchange = Exchange(scope, receive, send)
        try:
            holder = await self._state.store.admit(exchange.secret)
            body = document(await exchange.body(MAX_BODY_BYTES))
            auction_id = await self._judge_soon(_reference(body), _outcome(body), holder)
        except SaleError as error:
            told = as_api_error(error)
            if not exchange.left:
                await exchange.reply(told.status, told.document(), told.headers)
            return
        await exchange.reply(200, orjson.dumps({"object": "feedback", "auction_id": auction_id}))

    async def _judge_soon(self, reference: str, outcome: Outcome, holder: Holder) -> str:
        """As `_judge`; what is not known is looked for once more, since another process may be about to write it."""
        with suppress(ApiError):
            return await self._judge(reference, outcome, holder)
        await asyncio.sleep(LATER_SECONDS)
        return await self._judge(reference, outcome, holder)

    async def _judge(self, reference: str, outcome: Outcome, holder: Holder) -> str:
        """Close, or judge once more, the record that a key's session, auction or answer of this id stands for.

        An answer stands for the auction it came of, which need not be its session's present one.

        Raises:
            ApiError: The key has nothing of that id.
            StoreError: The database or the memory cannot be read or written.
        """
        store = self._state.store
        named = await store.answers.find(reference, holder.key_id) or reference
        held = self._state.sessions.of(named, holder)
        session = held.session if held else await self._session(named, holder)
        if held is not None:
            await _opened(held)
        if held is not None and await self._state.sessions.settle(held, outcome):
            return held.session.auction_id
        if session is not None and await self._state.settle_session(session, outcome):
            return session.auction_id
        auction_id = session.auction_id if session is not None else named
        # The memory takes the beginning of an id, too; who may judge must know the whole of it.
        if not AUCTION_ID.fullmatch(auction_id):
            raise _unknown(reference)
        try:
            await self._state.handle.market.feedback(auction_id, outcome.verdict, outcome.detail, tenant=holder.tenant)
        except InputError:
            raise _unknown(reference) from None
        return auction_id

    async def _session(self, reference: str, holder: Holder) -> Session | None:
        """A key's session by its id, or its auction's, as any process has left it."""
        store = self._state.store
        found = await store.session(reference, holder.key_id)
        return found or await store.session_of_auction(reference, holder.key_id)


async def _opened(held: ActiveSession) -> None:
    """Wait for a record in the shadow: it is opened after the first answer, and a user may be quicker.

    However long that takes once it is begun, the verdict is not lost. It is never begun where no answer came.
    """
    if held.recorded is None:
        return
    while not held.recorded.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_SECONDS):
                await held.recorded.wait()
        if held.shadow is not None:
            return


def _unknown(reference: str) -> ApiError:
    return ApiError(f"there is no session, auction or response {reference[:100]!r}", status=404, name="not_found")


def _reference(body: Json) -> str:
    given = [body[name] for name in NAMES if body.get(name) is not None]
    if len(given) != 1 or not isinstance(given[0], str) or not given[0]:
        raise ApiError(f"exactly one of {', '.join(NAMES)} is needed", name="invalid_value", param=NAMES[0])
    return given[0]


def _outcome(body: Json) -> Outcome:
    """The verdict, or what a score means."""
    verdict, score, detail = body.get("verdict"), body.get("score"), body.get("detail")
    if detail is not None and not isinstance(detail, str):
        raise ApiError("detail must be a text", name="invalid_value", param="detail")
    said = (detail or "")[:DETAIL_CHARACTERS].encode(errors="replace").decode().replace("\0", "")
    if verdict is not None and score is not None:
        raise ApiError("verdict and score are given: send one of them, not both", name="invalid_value", param="score")
    if verdict is not None:
        if verdict not in {"success", "failure", "unknown"}:
            raise ApiError("verdict must be success, failure or unknown", name="invalid_value", param="verdict")
        return Outcome(verdict=cast("Verdict", verdict), judged_by=USER, detail=said)
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
        raise ApiError("a verdict, or a score from 0 to 1, is needed", name="invalid_value", param="score")
    counted = f"score {score:g}" + (f": {said}" if said else "")
    return Outcome(verdict="success" if score >= GOOD else "failure", judged_by=USER, detail=counted)
