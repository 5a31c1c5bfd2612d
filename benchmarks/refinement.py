"""Does refining a plan make it succeed, or only please the jury? And which pairs teach more?

    python -m benchmarks.refinement run [--first N]   # resumable: every call is recorded as it is made
    sale bench pack benchmarks/records/refinement.jsonl
    python -m benchmarks.refinement report            # writes the table of docs/research.md from the record
    python -m benchmarks.refinement check             # whether the page says what the record says

For each recorded coding task the 0.5B refines its own first plan with the product's prompt, shown the three most
similar other recorded tasks: once with pairs chosen by who won the auction, as the memory chooses them, once with pairs
chosen by what came of the work, a plan whose author failed with it against one whose author succeeded. All plans are
judged side by side by the two larger models, and each is followed by its author. First bids and their work are those of
the first pool's record; this record holds the calls made here, and the report goes through the same steps over them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sale import config
from sale.agents.contractor import Contractor
from sale.agents.pool import open_sandbox
from sale.auction.bidding import refined_strategy
from sale.auction.jury import JuryContext, PanelJury
from sale.auction.ledger import Ledger, ignore
from sale.auction.scoring import impute
from sale.bench.recording.calls import NotRecordedError
from sale.bench.recording.log import FIRST_BIDS, unpack
from sale.bench.recording.pools import for_recording
from sale.bench.recording.run import Recorder
from sale.bench.replay import AuctionRow, RecordedTasks, load_recorded
from sale.bench.routers.features import Embeddings
from sale.bench.stats import Interval, Resampling, compare_paired, mean
from sale.bench.tasks.hst_open import hst_open
from sale.bench.tasks.schema import BenchTask
from sale.memory.retrieval import PairCandidate, contrast
from sale.models.embedding import MiniLMEmbedder
from sale.types import Pair, Strategy

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "benchmarks" / "records"
BIDS = RECORDS / "hst-open" / "coding-test.jsonl.xz"
OPEN = RECORDS / "refinement.jsonl"
"""While it is being recorded."""
RECORD = RECORDS / "refinement.jsonl.xz"
POOL = ROOT / "examples" / "auction.toml"
PAGE = ROOT / "docs" / "research.md"
BEGIN, END = "<!-- refinement: begin -->\n", "<!-- refinement: end -->\n"
AGENT = "qwen-coder-0.5b"
JURORS = ("qwen-coder-0.5b", "qwen-coder-1.5b")
FIRST, BY_AUCTION, BY_OUTCOME = "first plan", "pairs by auction", "pairs by outcome"
PAIRS = 3
AT_ONCE = 8
SEED = 7

Finder = Callable[[RecordedTasks, str, float], Pair | None]
"""A pair from one past task, of which the similarity is given."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One plan for one task and what came of it."""

    score: float
    """Mean of the jurors'."""
    success: bool


def by_auction(recorded: RecordedTasks, task: str, similarity: float) -> Pair | None:
    """The pair the memory would show: not of work that is known to have failed."""
    auction = recorded.auctions[FIRST_BIDS, task]
    if auction.winner is None or not recorded.works[task, auction.winner, auction.strategy].success:
        return None
    candidates = [
        PairCandidate(
            agent=bid.agent,
            text=bid.strategy.text,
            net_cost=bid.net_cost,
            refined=False,
            won=bid.agent == auction.winner,
        )
        for bid in auction.bids
    ]
    found = contrast(candidates, AGENT)
    if found is None:
        return None
    losing, winning, own = found
    return Pair(
        auction_id=task, task=_text(recorded, task), similarity=similarity, losing=losing, winning=winning, own=own
    )


def by_outcome(recorded: RecordedTasks, task: str, similarity: float) -> Pair | None:
    """A plan its author failed with against one its author succeeded with, one of them the agent's own."""
    auction = recorded.auctions[FIRST_BIDS, task]
    plan = _own(auction)
    if plan is None:
        return None
    solved = {
        bid.agent: recorded.works[task, bid.agent, bid.strategy.text].success
        for bid in sorted(auction.bids, key=lambda bid: bid.price)
    }
    other = next((agent for agent, good in solved.items() if agent != AGENT and good != solved[AGENT]), None)
    if other is None:
        return None
    theirs = next(bid.strategy.text for bid in auction.bids if bid.agent == other)
    losing, winning = (theirs, plan.text) if solved[AGENT] else (plan.text, theirs)
    return Pair(
        auction_id=task,
        task=_text(recorded, task),
        similarity=similarity,
        losing=losing,
        winning=winning,
        own="winning" if solved[AGENT] else "losing",
    )


WAYS: dict[str, Finder] = {BY_AUCTION: by_auction, BY_OUTCOME: by_outcome}


def _text(recorded: RecordedTasks, task: str) -> str:
    return next(one.prompt for one in recorded.tasks if one.id == task)


def _own(auction: AuctionRow) -> Strategy | None:
    return next((bid.strategy for bid in auction.bids if bid.agent == AGENT), None)


@dataclass(frozen=True, kw_only=True)
class Study:
    """The recorded bids and the agents, over a record of the calls made here."""

    recorded: RecordedTasks
    recorder: Recorder
    alike: np.ndarray[tuple[int, int], np.dtype[np.float64]]

    async def task(self, place: int) -> dict[str, Variant] | None:
        """One task's plans; `None` where the agent made no bid, or there is nothing for it to learn from."""
        task = self.recorded.tasks[place]
        own = _own(self.recorded.auctions[FIRST_BIDS, task.id])
        pairs = {way: self._pairs(place, finder) for way, finder in WAYS.items()}
        if own is None or not all(pairs.values()):
            return None
        agent = self._agents[AGENT]
        rules = replace(self._settings.auction, refine=True)
        plans = {FIRST: own}
        for way, shown in pairs.items():
            made = await refined_strategy(agent, task.task, own, shown, rules, Ledger(caps=rules.caps))
            if not isinstance(made, Strategy):
                return None
            plans[way] = made
        scores = await self._judged(task, plans)
        done = {way: await self._solved(task, plan) for way, plan in plans.items()}
        return {way: Variant(score=scores[way], success=done[way]) for way in plans}

    @property
    def _agents(self) -> dict[str, Contractor]:
        return {agent.name: agent for agent in self.recorder.agents if isinstance(agent, Contractor)}

    @property
    def _settings(self) -> config.Settings:
        return for_recording(config.load(POOL), "coding")

    def _pairs(self, place: int, finder: Finder) -> tuple[Pair, ...]:
        found: list[Pair] = []
        for other in np.argsort(-self.alike[place], kind="stable"):
            pair = finder(self.recorded, self.recorded.tasks[int(other)].id, float(self.alike[place, other]))
            if int(other) != place and pair is not None:
                found.append(pair)
            if len(found) == PAIRS:
                break
        return tuple(found)

    async def _judged(self, task: BenchTask, plans: dict[str, Strategy]) -> dict[str, float]:
        """Mean score of each plan, by jurors that see all of them and know no names."""

        async def arriving() -> AsyncIterator[Strategy]:
            for way, plan in plans.items():
                yield replace(plan, agent=way)

        rules = self._settings.auction
        jurors = [juror for name in JURORS if (juror := self._agents[name].juror) is not None]
        sitting = JuryContext(
            auction_id=task.id,
            task=task.task,
            stage="rejudge",
            rules=rules,
            ledger=Ledger(caps=rules.caps),
            observe=ignore,
        )
        scores = impute(await PanelJury(jurors).sit(sitting, arriving()))
        return {way: float(np.mean([score.value for score in scores if score.bidder == way])) for way in plans}

    async def _solved(self, task: BenchTask, plan: Strategy) -> bool:
        known = self.recorded.works.get((task.id, AGENT, plan.text))
        if known is not None:
            return known.success
        execution = await self._agents[AGENT].execute(task.task, plan.text)
        return (await self.recorder.judge(task, execution.answer)).verdict == "success"


async def study(*, replay: bool, first: int | None) -> list[dict[str, Variant]]:
    """Go through the tasks; over recorded calls alone, or making those that are missing."""
    recorded = load_recorded(BIDS, hst_open())
    settings = for_recording(config.load(POOL), "coding")
    sandbox, _ = open_sandbox(settings.sandbox)
    vectors = Embeddings(MiniLMEmbedder())([task.prompt for task in recorded.tasks])
    places = asyncio.Semaphore(AT_ONCE)
    found: dict[int, dict[str, Variant]] = {}
    if not replay and RECORD.exists() and not OPEN.exists():
        unpack(RECORD, OPEN)
    record = RECORD if replay else OPEN
    recorder = Recorder(record, recorded.tasks, settings, sandbox=sandbox, width=AT_ONCE, replay=replay)

    async def one(place: int) -> None:
        async with places:
            variants = None
            try:
                variants = await study.task(place)
            except* NotRecordedError:
                pass  # the record ends before its last call
        if variants is not None:
            found[place] = variants
        print(f"{recorded.tasks[place].id:42} {variants}", flush=True, file=sys.stderr)

    async with recorder:
        if not replay:
            recorder.begin("refinement")
        study = Study(recorded=recorded, recorder=recorder, alike=vectors @ vectors.T)
        async with asyncio.TaskGroup() as group:
            for place in shortest_first(recorded.tasks)[:first]:
                group.create_task(one(place))
    return [found[place] for place in sorted(found)]  # intervals hang on the order, and work ends in any


def shortest_first(tasks: Sequence[BenchTask]) -> list[int]:
    """Their places. A prompt shows three past tasks whole beside its own: long ones take minutes of a core each."""
    return sorted(range(len(tasks)), key=lambda place: len(tasks[place].prompt))


def table(found: Sequence[dict[str, Variant]]) -> str:
    """The figures, as markdown."""
    rows = [
        "| plan | jury, mean of 0 to 5 | above the first plan | solved with it, % | above the first plan, points |",
        "|---|---|---|---|---|",
    ]
    resampling = Resampling(seed=SEED)
    for way in (FIRST, *WAYS):
        scores = np.array([[one[way].score, one[FIRST].score] for one in found])
        solved = np.array([[one[way].success, one[FIRST].success] for one in found], dtype=np.float64)
        score, rate = mean(scores[:, 0], resampling), mean(100 * solved[:, 0], resampling)
        gains = ["–", "–"]
        if way != FIRST:
            better = compare_paired(scores[:, 0], scores[:, 1], resampling).difference
            more = compare_paired(100 * solved[:, 0], 100 * solved[:, 1], resampling).difference
            gains = [_said(better, 2), _said(more, 1)]
        rows.append(f"| {way} | {_said(score, 2)} | {gains[0]} | {_said(rate, 1)} | {gains[1]} |")
    return "\n".join([*rows, "", f"{len(found)} coding tasks, 95 % intervals over tasks."]) + "\n"


def page(text: str, found: Sequence[dict[str, Variant]]) -> str:
    """The page with the table in its place."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{table(found)}{END}{rest.split(END)[1]}"


def _said(found: Interval, digits: int) -> str:
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})".replace("-", "−")


def main() -> int:
    """Run, report or check."""
    parser = argparse.ArgumentParser(description="Refinement: success, or only scores?")
    parser.add_argument("act", choices=["run", "report", "check"])
    parser.add_argument("--first", type=int)
    given = parser.parse_args()
    found = asyncio.run(study(replay=given.act != "run", first=given.first))
    if given.act == "run" or not found:
        return 0
    text = PAGE.read_text(encoding="utf-8")
    made = page(text, found)
    if given.act == "report":
        PAGE.write_text(made, encoding="utf-8")
    return int(given.act == "check" and made != text)


if __name__ == "__main__":
    sys.exit(main())
