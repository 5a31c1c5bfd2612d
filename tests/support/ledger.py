"""A request on the server's ledger, for tests that change a field or two of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sale.server.store.types import LedgerEntry

_LINE = LedgerEntry(
    id="r1",
    at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    key_id="k1",
    session_id="s1",
    auction_id="a1",
    path="/v1/chat/completions",
    model="sale",
    agent="small",
    status=200,
    error=None,
    streamed=True,
    input_tokens=100,
    output_tokens=10,
    cached_tokens=50,
    work_dollars=0.25,
    auction_dollars=0.125,
    largest_dollars=1.0,
    seconds=1.5,
    first_token_seconds=0.3,
    wait_seconds=0.2,
)


def noted(**changes) -> LedgerEntry:
    """One answered request, with some fields of its own."""
    return replace(_LINE, **changes)
