"""Looks: what agents find in their own tools before they bid, so that a bid can say what only its author knows.

A router sees the task. An agent knows more: which documents it has, and what a first look into them shows. The look is
made by the harness through read-only calls and quoted word for word; no model writes evidence. It is settled like every
call, and text found is text of others: it is cut, fenced and never believed.
"""

from __future__ import annotations

import re
from dataclasses import replace

from sale.auction.ledger import Ledger
from sale.auction.protocols import Bidder, Look, Looker
from sale.auction.text import clip, make_storable, without_invisible
from sale.errors import SaleError
from sale.types import AuctionRules, Evidence, Task

MAX_EVIDENCE = 3
"""Quotations a bid may hold."""
MAX_QUOTE_WORDS = 60
MAX_QUOTE_BYTES = 480
"""Worst cases count bytes of UTF-8, of which some scripts need three or four for a character."""
MAX_SOURCE_BYTES = 120
MAX_READ_CHARACTERS = 20_000
"""Characters of a text that are searched for its best passage."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w{3,}")


async def look(bidder: Bidder, task: Task, rules: AuctionRules, ledger: Ledger) -> Look | None:
    """Have an agent look, within the caps of the auction; `None` where it has nothing to look in.

    What goes wrong costs the evidence and no more: the agent bids without.
    """
    if (looker := looker_of(bidder)) is None:
        return None
    try:
        found = await ledger.look(looker, task, seconds=rules.bid_seconds)
    except SaleError as error:
        return Look(evidence=(), note=f"{error.code}: {error.message}")
    return replace(found, evidence=tuple(_cut(one) for one in found.evidence[:MAX_EVIDENCE] if one.quote.strip()))


def looker_of(bidder: Bidder) -> Looker | None:
    """The bidder as one that looks; `None` where it has nothing to look into."""
    # To tell by a protocol takes longer than to look for the one attribute, and most bidders have nothing to look into.
    looks = getattr(bidder, "looks", 0) > 0
    return bidder if looks and isinstance(bidder, Looker) else None


def excerpt(text: str, query: str, words: int = MAX_QUOTE_WORDS) -> str:
    """The stretch of a text, at most so many words long, that holds most of the words of a query; the first of equals.

    It begins where a sentence begins. A quotation that is cut ends with an ellipsis.
    """
    wanted = {word.casefold() for word in _WORD.findall(query)}
    sentences = [sentence.split() for sentence in _SENTENCE.split(text[:MAX_READ_CHARACTERS].strip())]
    read = [word for sentence in sentences for word in sentence]
    most, best, start = -1, 0, 0
    for sentence in sentences:
        shown = " ".join(read[start : start + words])
        held = len(wanted & {word.casefold() for word in _WORD.findall(shown)})
        if held > most:
            most, best = held, start
        start += len(sentence)
    cut = best + words < len(read) or len(text) > MAX_READ_CHARACTERS
    return " ".join(read[best : best + words]) + ("…" if cut else "")


def _cut(evidence: Evidence) -> Evidence:
    """The quotation as it may stand on record: one line of at most so many words and bytes."""
    quote = " ".join(_visible(evidence.quote).split()[:MAX_QUOTE_WORDS])
    source = " ".join(_visible(evidence.source).split())
    return replace(evidence, quote=clip(quote, MAX_QUOTE_BYTES), source=clip(source, MAX_SOURCE_BYTES))


def _visible(text: str) -> str:
    return without_invisible(make_storable(text))


def longest_evidence() -> tuple[Evidence, ...]:
    """The largest evidence that a bid can hold, for worst cases."""
    one = Evidence(tool="x" * 32, source="x" * MAX_SOURCE_BYTES, quote="x" * MAX_QUOTE_BYTES)
    return (one,) * MAX_EVIDENCE
