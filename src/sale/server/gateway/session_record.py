"""The record of a session's auction, whichever processes answered its turns: theirs are read from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sale.server.gateway.store_protocol import GatewayStore
from sale.server.store.types import LedgerEntry, Session
from sale.types import Call, Execution, Usage

MAX_LINES: Final = 10_000
"""Lines of one session that are read, the latest."""


async def ledger_calls(store: GatewayStore, session: Session, known: Collection[str] = ()) -> list[Call]:
    """The calls of a session's present auction as the ledger has them, one for each request, the oldest first.

    Args:
        store: Has the ledger.
        session: Which.
        known: Ids of lines whose calls are known already.

    Raises:
        StoreError: The ledger cannot be read.
    """
    lines = await store.recent_requests(MAX_LINES, session_id=session.id, key_id=session.key_id)
    return [_call(line) for line in reversed(_own(lines, session)) if line.id not in known]


def _own(lines: Sequence[LedgerEntry], session: Session) -> list[LedgerEntry]:
    """The lines of a session's auction for which an agent was asked; another key may call a session the same."""
    return [
        line
        for line in lines
        if line.key_id == session.key_id and line.auction_id == session.auction_id and _has_work(line)
    ]


def _has_work(line: LedgerEntry) -> bool:
    return line.agent is not None and (line.error is None or line.input_tokens + line.output_tokens > 0)


def _call(line: LedgerEntry) -> Call:
    return Call(
        stage="execute",
        agent=line.agent or "",
        usage=Usage(input_tokens=line.input_tokens, output_tokens=line.output_tokens),
        dollars=line.work_dollars,
        seconds=line.seconds - line.wait_seconds,
        error=line.error,
    )


def execution_of(session: Session, calls: Sequence[Call], error: str | None) -> Execution:
    """The work on a session that this process does not hold, as far as it is on record.

    Args:
        session: Which.
        calls: As the ledger has them.
        error: Why there is no whole answer on record.
    """
    return Execution(
        agent=session.agent,
        answer="",
        mode="session",
        followed_strategy=bool(session.plan),
        calls=tuple(calls),
        seconds=max(0.0, (session.seen - session.began).total_seconds()),
        error=error,
    )
