"""The jury of an auction in words, apart from what makes it judge: whoever shows an auction loads no prompts."""

from __future__ import annotations

from sale.types import Auction


def list_jurors(auction: Auction) -> list[str]:
    """Return the jurors that gave or owed a score, in the order the board shows them."""
    return list(dict.fromkeys(score.juror for bid in auction.bids for score in bid.scores))


def describe_jury(auction: Auction) -> str:
    """The jury in words: agents as a panel or bid by bid, jurors that settings name, or both."""
    agents = {bid.agent for bid in auction.bids} | {one.agent for one in auction.dropouts}
    jurors = list_jurors(auction)
    sat = [juror for juror in jurors if juror in agents]
    named = [juror for juror in jurors if juror not in agents]
    parts = [f"{auction.jury} jury"] if sat else []
    if named:
        parts.append(f"juror{'s' if len(named) > 1 else ''} {', '.join(named)}")
    return " and ".join(parts) or "no jury"
