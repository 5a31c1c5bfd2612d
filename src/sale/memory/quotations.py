"""The texts of contrastive pairs, kept once.

A refinement quotes strategies of past auctions, and most of those are on record: then the row says which they are, and
the text is read from there. Strategies never change, and a past auction that is forgotten takes its quotations along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from sale.memory.schema import auctions, strategies, tasks

CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Quoted:
    """What past auctions say."""

    tasks: dict[int, str] = field(default_factory=dict[int, str])
    """The task's text, by the auction's key."""
    strategies: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])
    """A strategy's text, by the auction's key and its position there."""


def quoted_by(connection: Connection, pairs: Sequence[RowMapping]) -> Quoted:
    """The texts that rows of the table `pairs` refer to."""
    return _read(connection, sorted({row["past"] for row in pairs if row["past"] is not None}))


def shorten(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for the table `pairs`, with references in place of texts that are on record."""
    names = sorted({row["past_auction"] for row in rows})
    keys: dict[str, int] = {}
    for start in range(0, len(names), CHUNK):
        known = select(auctions.c.id, auctions.c.key).where(auctions.c.id.in_(names[start : start + CHUNK]))
        keys.update((row.id, row.key) for row in connection.execute(known).all())
    quoted = _read(connection, sorted(keys.values()))
    places = {(key, text): place for (key, place), text in quoted.strategies.items()}
    return [{**row, **_reference(row, keys.get(row["past_auction"]), quoted, places)} for row in rows]


def _reference(
    row: dict[str, Any], past: int | None, quoted: Quoted, places: dict[tuple[int, str], int]
) -> dict[str, Any]:
    if past is not None and quoted.tasks[past] == row["task"]:
        losing, winning = places.get((past, row["losing"])), places.get((past, row["winning"]))
        if losing is not None and winning is not None:
            texts = dict.fromkeys(("task", "losing", "winning"))
            return {**texts, "past": past, "losing_of": losing, "winning_of": winning}
    return dict.fromkeys(("past", "losing_of", "winning_of"))


def _read(connection: Connection, keys: Sequence[int]) -> Quoted:
    quoted = Quoted()
    for start in range(0, len(keys), CHUNK):
        some = keys[start : start + CHUNK]
        texts = select(auctions.c.key, tasks.c.text).join(tasks).where(auctions.c.key.in_(some))
        quoted.tasks.update((row.key, row.text) for row in connection.execute(texts).all())
        plans = select(strategies.c.auction, strategies.c.position, strategies.c.text)
        for row in connection.execute(plans.where(strategies.c.auction.in_(some))).all():
            quoted.strategies[row.auction, row.position] = row.text
    return quoted
