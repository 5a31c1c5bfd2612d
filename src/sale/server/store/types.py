"""The values of the server's store, frozen. No database here: every module of the server may import it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sale.memory.tenants import DEFAULT
from sale.types.labels import NOTHING_REQUIRED, Requirements

Period = Literal["day", "week", "month"]
"""The period of a budget: a calendar day, a week from Monday, or a calendar month, all in UTC."""
Grouping = Literal["day", "agent", "key", "session", "path", "model"]
"""The groups that `ServerStore.spend` sums by."""
_IDS: Final = random.Random()  # noqa: S311  ids are no secrets
"""A generator of its own, seeded by the system: no other code can seed it again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The holder of a key."""

    key_id: str | None
    """`None` where no key was shown and none is needed."""
    name: str
    agents: frozenset[str] | None
    """The agents this holder may use; `None` for all."""
    tenant: str = DEFAULT
    """The tenant of its auctions on record."""
    require: Requirements = NOTHING_REQUIRED
    """Labels of all agents that may see its requests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Money and tokens set aside for one request, until it is settled."""

    id: str
    holder: Holder
    dollars: float


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyInfo:
    """A virtual key, without its secret, which is shown once and not kept."""

    id: str
    name: str
    prefix: str
    """The beginning of the secret, enough to tell keys apart and far too little to use one."""
    budget: float | None
    """Dollars per `period`; `None` for no limit."""
    period: Period | None
    """`None` where the budget is for the key's whole life."""
    rpm: int | None
    """Requests per minute; `None` for no limit."""
    tpm: int | None
    """Tokens per minute; `None` for no limit."""
    agents: frozenset[str] | None
    """The agents it may use; `None` for all."""
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    tenant: str
    """The tenant of its auctions on record: agents of other tenants are not shown their texts."""
    require: str
    """Labels that agents must have for its requests, `region=eu, retention=none`; empty for none."""
    spent: float
    """Dollars settled in the current period."""
    reserved: float
    """Dollars set aside for requests under way, in all processes."""
    resets_at: datetime | None
    """When the current period ends; `None` where there is none."""

    def is_in_force(self, at: datetime) -> bool:
        """Return whether it is accepted at that time."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One agentic conversation: auctioned once, then with its winner."""

    id: str
    """As its client names it; another key may name another one the same."""
    market: str
    tail: str
    """The digest of the latest request; `gateway.identity` says what the digests are."""
    agent: str
    auction_id: str
    plan: str
    turns: int
    dollars: float
    prompt_tokens: int
    began: datetime
    seen: datetime
    key_id: str | None
    talk: str = ""
    """The digest of the latest request and its answer."""
    link: str = ""
    """The digest of the latest exchange alone; empty where it was too short."""
    hint: str = ""
    """The digest of the client's cache key and first words; empty where it had no such key."""
    require: str = ""
    """Labels that its requests have required so far, as `Requirements` writes them; they hold to its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """One request on the ledger."""

    id: str
    at: datetime
    key_id: str | None
    session_id: str | None
    auction_id: str | None
    path: str
    model: str
    agent: str | None
    status: int
    error: str | None
    """The code of what went wrong, never a text that may hold what a user wrote."""
    streamed: bool
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    work_dollars: float
    auction_dollars: float
    largest_dollars: float
    """The cost of the same tokens at the dearest agent's price: an estimate. Where the market awarded nothing, the
    request's own cost of work."""
    seconds: float
    first_token_seconds: float | None
    wait_seconds: float
    """Seconds it waited for its auction and its turn before the upstream was asked."""


def new_id() -> str:
    """Return an id for a line of the ledger, or for an answer.

    Whoever asks for a thing shows its key, so the id need not be secret and its randomness takes no system call.
    """
    return f"{_IDS.getrandbits(128):032x}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """The sums of the requests of one group: a day, an agent, a key, a session, a path or a model."""

    label: str
    """The day as 2026-11-21, or the name; `(none)` for lines without."""
    requests: int
    failures: int
    """Requests answered with a status from 400 up."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    work_dollars: float
    auction_dollars: float
    largest_dollars: float

    @property
    def dollars(self) -> float:
        """Work and auctions together."""
        return self.work_dollars + self.auction_dollars

    @property
    def saved(self) -> float:
        """Dollars less than always using the largest agent, auctions counted; negative where it cost more."""
        return self.largest_dollars - self.dollars
