"""What an auction costs as the pool grows, and whether who knows the answer is still asked.

    python -m benchmarks.pool_size [--tasks 10]

The 2,440 passages that come with sale are split by a hash of their title over 5, 20 and 100 librarians, so that each
question has one who holds its passage. All look into their passages, for nothing. The rest is priced as for hosted
models: plans of 60 words, and a juror that reads what was found and says yes as often as task and quotation are alike.
Models are scripted; looks, likeness, prompts, shortlist, money and award are real. Tokens are taken to be words.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from sale.agents.contractor import Contractor
from sale.agents.lookups import SearchLookup
from sale.agents.respondents import MatchRespondent
from sale.agents.tools.corpus import Corpus, Passage, read_passages
from sale.agents.tools.web.providers import Passages
from sale.auction.auctioneer import Auctioneer
from sale.auction.events import ignore
from sale.auction.ledger import Ledger
from sale.auction.protocols import Answer, Question
from sale.auction.questions import Seat
from sale.auction.scoring import default_weights
from sale.bench.tasks.hst_open import corpus_path, hst_open
from sale.bench.tasks.schema import BenchTask
from sale.config import AgentSettings
from sale.models.embedding import MiniLMEmbedder
from sale.models.scripted import ScriptedModel
from sale.types import AuctionRules, Caps, Price, Usage

SIZES = (5, 20, 100)
SHORTLIST = 3
PRICE = Price(input=0.09, output=0.09, blended=0.09)
READER = Price(input=0.03, output=0.03, blended=0.03)
PLAN = "1. " + "Search once more and answer with what was found. " * 7
ROOMY = Caps(calls=10_000, tokens=100_000_000, dollars=100.0, seconds=600.0)


@dataclass(frozen=True, slots=True)
class Reader:
    """A juror with a price: it says what the likeness says, and its prompt is paid for."""

    match: MatchRespondent
    name: str = "reader"
    price: Price = READER

    async def answer(self, question: Question, /) -> Answer:
        """The likeness, at a price."""
        words = len(f"{question.prompt.system} {question.prompt.user}".split())
        found = await self.match.answer(question)
        return Answer(probability=found.probability, usage=Usage(input_tokens=words, output_tokens=1))


def owner(title: str, agents: int) -> int:
    """Who holds a passage."""
    return int(hashlib.sha256(title.encode()).hexdigest(), 16) % agents


def librarians(passages: Sequence[Passage], agents: int) -> list[Contractor]:
    """Agents with a share of the passages each."""
    shares: list[list[Passage]] = [[] for _ in range(agents)]
    for passage in passages:
        shares[owner(passage.title, agents)].append(passage)
    return [_librarian(number, share) for number, share in enumerate(shares)]


def _librarian(number: int, share: Sequence[Passage]) -> Contractor:
    async def opened() -> Corpus:
        return Corpus(share, None, None)

    settings = AgentSettings(
        name=f"librarian-{number}", endpoint="http://127.0.0.1", model="scripted", execution="consult", look=1
    )
    lookups = [SearchLookup(Passages(opened))]
    return Contractor(settings, price=PRICE, model=ScriptedModel(lambda _prompt, _schema: PLAN), lookups=lookups)


@dataclass(frozen=True, slots=True)
class Row:
    """Means over the tasks."""

    calls: float
    dollars: float
    asked: float
    """The share of tasks whose holder was asked for a plan."""
    won: float
    """The share that the holder won."""


async def measured(tasks: Sequence[BenchTask], passages: Sequence[Passage], agents: int, shortlist: int | None) -> Row:
    """Auctions of all tasks, one after the other."""
    match = MatchRespondent(name="match", embedder=MiniLMEmbedder())
    pool = librarians(passages, agents)
    seats = [Seat(respondent=match), Seat(respondent=Reader(match))]
    rules = AuctionRules(shortlist=shortlist, refine=False, caps=ROOMY)
    weights = default_weights({agent.name: agent.price for agent in pool}, [seat.name for seat in seats])
    market = Auctioneer(bidders=pool, jurors=(), seats=seats, rules=rules, weights=weights)
    calls = dollars = asked = won = 0.0
    for number, task in enumerate(tasks):
        auction = await market.hold(str(number), task.task, Ledger(caps=rules.caps), ignore)
        holder = f"librarian-{owner(task.evidence[0], agents)}"
        calls += sum(call.dollars > 0.0 for call in auction.settlement.calls)
        dollars += auction.settlement.dollars
        asked += any(bid.planned for bid in auction.bids if bid.agent == holder)
        won += auction.winner.agent == holder
    return Row(*(total / len(tasks) for total in (calls, dollars, asked, won)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What an auction costs as the pool grows.")
    parser.add_argument("--tasks", type=int, default=10)
    count: int = parser.parse_args().tasks
    passages = read_passages(corpus_path())
    titles = {passage.title for passage in passages}
    tasks = [task for task in hst_open() if task.evidence and task.evidence[0] in titles][:count]
    print(f"{len(tasks)} questions, {len(passages):,} passages, {os.cpu_count()} cores\n")
    print(f"{'agents':>6}  {'asked for a plan':>16}  {'paid calls':>10}  {'dollars':>10}  holder asked  holder wins")
    for agents in SIZES:
        for shortlist in (None, SHORTLIST):
            row = asyncio.run(measured(tasks, passages, agents, shortlist))
            print(
                f"{agents:>6}  {shortlist or 'all':>16}  {row.calls:>10.1f}  {row.dollars:>10.2e}"
                f"  {row.asked:>12.0%}  {row.won:>11.0%}"
            )


if __name__ == "__main__":
    main()
