"""Memories from before the first release: the database is refused with advice, and exported files are read whole."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from sale.errors import StoreError
from sale.memory.store import AuctionMemory
from tests.memory.builders import HashEmbedder, Place

EXPORTED = Path(__file__).with_name("data") / "exported_before_release.jsonl"
"""Written by the code of f47a647, whose tables were at revision 0007: five auctions that came to different ends."""


def check_kept(new: object, old: object, place: str) -> None:
    """See that all of `old` is in `new`, which may have fields that there were not then."""
    if isinstance(old, dict):
        assert isinstance(new, dict), place
        for name, value in old.items():
            check_kept(new[name], value, f"{place}.{name}")
    elif isinstance(old, list):
        assert isinstance(new, list), place
        assert len(new) == len(old), place
        for number, (one, before) in enumerate(zip(new, old, strict=True)):
            check_kept(one, before, f"{place}[{number}]")
    else:
        assert new == old, place


async def test_what_an_unreleased_version_exported_is_read_whole(empty: Callable[[], Place]) -> None:
    stream = io.StringIO()
    embedder = HashEmbedder(dimensions=4)
    async with await AuctionMemory.open(empty(), embedder=embedder) as memory:
        report = await memory.import_(EXPORTED)
        assert (report.added, report.bad) == (5, ())
        assert embedder.embedded == 0, "the vectors in the file are used"
        await memory.export(stream)
        pairs = await memory.recall((await memory.load("past")).task, "a", 5)
        assert [pair.auction_id for pair in pairs] == ["past", "awarded"]
    old = [json.loads(line) for line in EXPORTED.read_text(encoding="utf-8").splitlines()]
    assert {line["record"]["status"] for line in old} == {"settled", "awarded", "abandoned"}
    source = f"import:{EXPORTED.name}"
    for line in old:
        line["record"]["source"] = source
    for number, (new, before) in enumerate(zip(map(json.loads, stream.getvalue().splitlines()), old, strict=True)):
        check_kept(new, before, f"line {number + 1}")


async def test_the_database_of_an_unreleased_version_is_refused_with_advice(
    memory: AuctionMemory, place: Place
) -> None:
    def set_back(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE memory_version SET version_num = '0007'")

    await memory._database.write(set_back)
    await memory.aclose()
    with pytest.raises(StoreError, match="a version of sale from before the first release") as refused:
        await AuctionMemory.open(place, embedder=HashEmbedder())
    assert "'0007'" in refused.value.message
    assert "sale memory export" in refused.value.hint
    assert "sale memory import" in refused.value.hint
