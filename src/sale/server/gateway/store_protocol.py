"""The protocol of the server's store, declared where it is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sale.server.gateway.allowance_sharing import AllowanceStore
from sale.server.store.rates import RateLimits
from sale.server.store.shadow import ShadowConversation
from sale.server.store.types import Holder, KeyInfo, LedgerEntry, Reservation, Session
from sale.types import Price, Usage


class ResponseStore(Protocol):
    """Store of responses, which later requests may go on from by `previous_response_id`. Each key has its own."""

    async def keep(
        self, response_id: str, key_id: str | None, previous: str | None, document: Mapping[str, object]
    ) -> None:
        """Keep the document of a response, with what it adds to the one it goes on from."""
        ...

    async def find(self, response_id: str, key_id: str | None) -> dict[str, Any] | None:
        """The document of a response; `None` where the key has none of that id."""
        ...

    async def chain(self, response_id: str, key_id: str | None) -> list[dict[str, Any]] | None:
        """The documents up to a response, the first one first; `None` where one of them is not there.

        Raises:
            InputError: They have too many bytes together.
        """
        ...

    async def delete(self, response_id: str, key_id: str | None) -> bool:
        """Delete a response; True where the key had one of that id."""
        ...


class AnswerStore(Protocol):
    """The ids of answers, by which feedback names what they came of. Each key has its own."""

    def put(self, answer_id: str, key_id: str | None, auction_id: str) -> None:
        """Keep what an answer came of; it is written with the session that is put next."""
        ...

    async def find(self, answer_id: str, key_id: str | None) -> str | None:
        """The id of the auction that an answer came of; `None` where the key had no answer of that id."""
        ...


class ShadowStore(Protocol):
    """Conversations in shadow and canary, with the cost of both sides of a switch."""

    def begin(self, conversation: ShadowConversation) -> None:
        """Add a conversation."""
        ...

    def count_call(self, row: str, usage: Usage, *, cached: int, dollars: float, answered: bool) -> None:
        """A call for a conversation has ended."""
        ...

    def decide(self, row: str, *, other: str, price: Price, auction_id: str, dollars: float) -> None:
        """It is known who would have done the work."""
        ...

    def leave_open(self, row: str, note: str, dollars: float = 0.0) -> None:
        """It will not be known who would have done the work."""
        ...

    async def conversations(self, since: datetime | None = None) -> tuple[ShadowConversation, ...]:
        """The conversations that began since then."""
        ...


class BeginningStore(Protocol):
    """Which process begins a session."""

    async def begin(self, session_id: str, key_id: str | None) -> bool:
        """Return whether this process may begin the session a key calls so; then no other does until `end`."""
        ...

    async def end(self, session_id: str, key_id: str | None) -> None:
        """The session is begun, or is not: other processes may look for it now, and find it."""
        ...


class GatewayStore(Protocol):
    """Keys, budgets, the ledger of requests, and sessions. None of it makes a request wait for a database as a rule."""

    @property
    def rates(self) -> RateLimits:
        """Tokens and requests of the last minute, of keys and of agents."""
        ...

    @property
    def responses(self) -> ResponseStore:
        """The responses of all conversations."""
        ...

    @property
    def answers(self) -> AnswerStore:
        """The ids of answers."""
        ...

    @property
    def beginnings(self) -> BeginningStore:
        """The sessions that are about to begin."""
        ...

    @property
    def allowance(self) -> AllowanceStore:
        """The allowance of auctions of all processes."""
        ...

    @property
    def shadow(self) -> ShadowStore:
        """The conversations in shadow and canary."""
        ...

    async def keys(self) -> tuple[KeyInfo, ...]:
        """All keys."""
        ...

    async def admit(self, secret: str | None) -> Holder:
        """Return the holder of this key; the request counts against its rate.

        Raises:
            AuthenticationError: No key, or an invalid one.
            RateLimitError: Too many requests.
        """
        ...

    async def reserve(self, holder: Holder, dollars: float, tokens: int) -> Reservation:
        """Set money and tokens aside.

        Raises:
            BudgetError: There is not so much left.
            RateLimitError: Too many tokens this minute.
        """
        ...

    async def settle(self, reservation: Reservation, *, dollars: float, tokens: int) -> None:
        """Settle the real cost; once for each reservation."""
        ...

    async def note(self, line: LedgerEntry, *, committed: bool = False) -> None:
        """A request for the ledger, in place of what was noted under its id before; `committed` waits for the disk."""
        ...

    async def session(self, session_id: str, key_id: str | None, *, fresh: bool = False) -> Session | None:
        """The session that a key calls so; with `fresh`, as all processes have left it a moment ago."""
        ...

    async def session_of_auction(self, auction_id: str, key_id: str | None) -> Session | None:
        """A key's session whose present auction this is."""
        ...

    async def recent_requests(
        self, limit: int = 50, *, session_id: str | None = None, key_id: str | None = None
    ) -> Sequence[LedgerEntry]:
        """The latest lines of the ledger, newest first."""
        ...

    async def sessions_by_digest(self, digests: Sequence[str], key_id: str | None) -> Sequence[Session]:
        """A key's sessions whose latest turn has one of these digests, the latest first."""
        ...

    def put_session(self, session: Session) -> None:
        """Keep a session, or what has become of it."""
        ...

    async def recent_sessions(self, limit: int) -> Sequence[Session]:
        """The sessions seen last."""
        ...

    async def probe(self) -> None:
        """Write something, and see that it is there.

        Raises:
            StoreError: The database cannot be written, or is no longer where it was.
        """
        ...
