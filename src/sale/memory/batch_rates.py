"""Requests and tokens of the last minute at each endpoint, exact over all processes that share a memory.

They are read and raised in the transaction that admits a call, so no two processes can take the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from sale.memory.schema import batch_rates

WINDOW: Final = 60
"""Seconds of the window that limits of requests and tokens hold in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """The most that a model's endpoint is asked in a minute, by all processes together."""

    endpoint: str
    """SHA-256 of where it is, in hex."""
    requests: int | None
    tokens: int | None


def rate_wait(connection: Connection, limit: RateLimit, tokens: int, now: float) -> float:
    """Seconds until a call fits under a limit; 0 where it does.

    A call that is above the limit by itself fits when nothing else is in the window: else it could never be made.
    """
    window = select(batch_rates.c.second, batch_rates.c.requests, batch_rates.c.tokens).where(
        batch_rates.c.endpoint == limit.endpoint, batch_rates.c.second > now - WINDOW
    )
    rows = connection.execute(window.order_by(batch_rates.c.second)).all()
    wait = 0.0
    for most, more, name in ((limit.requests, 1, "requests"), (limit.tokens, tokens, "tokens")):
        if most is None:
            continue
        over = sum(getattr(row, name) for row in rows) + min(more, most) - most
        for row in rows:
            if over <= 0:
                break
            over -= getattr(row, name)
            wait = max(wait, row.second + WINDOW - now)
    return wait


def count_request(connection: Connection, endpoint: str, second: int, requests: int, tokens: int) -> None:
    """Count a request and the most tokens it can take, and forget what is long past."""
    insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    row = insert(batch_rates).values(endpoint=endpoint, second=second, requests=requests, tokens=tokens)
    more = {"requests": batch_rates.c.requests + requests, "tokens": batch_rates.c.tokens + tokens}
    connection.execute(row.on_conflict_do_update(index_elements=["endpoint", "second"], set_=more))
    connection.execute(delete(batch_rates).where(batch_rates.c.second < second - 2 * WINDOW))


def correct(connection: Connection, limit: RateLimit, second: int, tokens: int) -> None:
    """Add tokens to those counted in a second; negative where a call took fewer than it could have."""
    counted = and_(batch_rates.c.endpoint == limit.endpoint, batch_rates.c.second == second)
    connection.execute(update(batch_rates).where(counted).values(tokens=batch_rates.c.tokens + tokens))
