"""The texts of contrastive pairs, kept once.

A refinement quotes strategies of past auctions, and most of those are on record: then the row says which they are, and
the text is read from there. Strategies never change, and a past auction that is forgotten takes its quotations along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, select

from sale.memory.schema import auctions, strategies, tasks
from sale.storage.columns import text_digest

CHUNK = 500

_PAST: Final = (
    select(
        auctions.c.id,
        auctions.c.key,
        tasks.c.text_digest,
        strategies.c.position,
        strategies.c.text,
    )
    .join_from(auctions, tasks, tasks.c.key == auctions.c.task)
    .join(strategies, strategies.c.auction == auctions.c.key)
    .where(auctions.c.id.in_(bindparam("ids", expanding=True)))
)

Place = tuple[int, int]
"""A strategy on record: its auction's key, its position there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotedTexts:
    """The texts of past auctions."""

    tasks: dict[int, str] = field(default_factory=dict[int, str])
    """The task's text, by the auction's key."""
    strategies: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])
    """A strategy's text, by the auction's key and its position there."""


def find_quoted(connection: Connection, pairs: Sequence[RowMapping]) -> QuotedTexts:
    """The texts that rows of the table `pairs` refer to."""
    return _read(connection, sorted({row["past"] for row in pairs if row["past"] is not None}))


def shorten(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for the table `pairs`, with references in place of texts that are on record."""
    names = sorted({row["past_auction"] for row in rows})
    known: dict[tuple[str, str, str], Place] = {}
    for start in range(0, len(names), CHUNK):
        for past, key, digest, place, text in connection.execute(_PAST, {"ids": names[start : start + CHUNK]}):
            known[past, digest, text] = key, place
    return [{**row, **_reference(row, known)} for row in rows]


def _reference(row: dict[str, Any], known: Mapping[tuple[str, str, str], Place]) -> dict[str, Any]:
    """Return the fields of a pair with its texts replaced by references; without references where a text is not known.

    Args:
        row: The pair.
        known: Strategies by their auction's id, the digest of its task's text, and their own text.
    """
    of = (row["past_auction"], text_digest(row["task"]))
    losing, winning = known.get((*of, row["losing"])), known.get((*of, row["winning"]))
    if losing is None or winning is None:
        return dict.fromkeys(("past", "losing_of", "winning_of"))
    texts = dict.fromkeys(("task", "losing", "winning"))
    return {**texts, "past": losing[0], "losing_of": losing[1], "winning_of": winning[1]}


def _read(connection: Connection, keys: Sequence[int]) -> QuotedTexts:
    quoted = QuotedTexts()
    for start in range(0, len(keys), CHUNK):
        some = keys[start : start + CHUNK]
        texts = select(auctions.c.key, tasks.c.text).join(tasks).where(auctions.c.key.in_(some))
        quoted.tasks.update((row.key, row.text) for row in connection.execute(texts).all())
        plans = select(strategies.c.auction, strategies.c.position, strategies.c.text)
        for row in connection.execute(plans.where(strategies.c.auction.in_(some))).all():
            quoted.strategies[row.auction, row.position] = row.text
    return quoted
