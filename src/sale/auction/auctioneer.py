"""One auction from first bids to award, readable top to bottom (method, section 2, steps 1 to 7).

    looks -> shortlist -> bids (concurrent) -> jury -> provisional winner -> cheaper agents refine from memory -> jury
    -> award

Where an auction would not pay, or is not covered by the allowance, the rules may have the award made on track records.

The auctioneer knows bidders, jurors and a memory by the protocols beside it; what wins is decided by `scoring` alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sale.auction import exploration, scoring, value_of_information
from sale.auction.allowance import PRIOR_GAIN, Allowance, Outlook, incumbent_of, prior_tokens, work_ahead
from sale.auction.attempt_order import first_to_try
from sale.auction.bidding import first_strategy, recall_pairs, refined_strategy
from sale.auction.events import (
    AuctionOpened,
    Awarded,
    BiddingOpened,
    EvidenceFound,
    LeaderFound,
    Observer,
    ShortlistMade,
    StandingReason,
)
from sale.auction.fanout import FanOut, check_fan_out
from sale.auction.jury import Jury, JuryContext, convene
from sale.auction.ledger import Ledger
from sale.auction.looking import look
from sale.auction.protocols import Bidder, Experience, Juror, Recall
from sale.auction.questions import Seat, ask_seats
from sale.auction.rounds import Asked, RoundResult, hold_round, iterate_strategies, keep_strategy
from sale.auction.shortlist import make_unplanned, shortlist
from sale.auction.terms import AuctionTerms
from sale.errors import NoBidsError, SaleError
from sale.types import (
    Auction,
    AuctionRules,
    Bid,
    Dropout,
    Exploration,
    Refinement,
    Stage,
    Strategy,
    Task,
    TrackRecord,
    Vote,
    Weights,
)


@dataclass(frozen=True, slots=True)
class _AuctionFindings:
    """The findings of an auction beside bids and winner."""

    provisional: str
    refinements: tuple[Refinement, ...] = ()
    dropouts: Sequence[Dropout] = ()
    keeps: bool = False
    """True where the agent that has the conversation keeps it, whatever plans and exploration say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _RunningAuction:
    """One auction while it is held."""

    auction_id: str
    task: Task
    ledger: Ledger
    observe: Observer
    tracks: Mapping[str, TrackRecord]

    def sitting(self, stage: Stage, rules: AuctionRules) -> JuryContext:
        """Return the context of jurors at a stage of the auction."""
        return JuryContext(
            auction_id=self.auction_id,
            task=self.task,
            stage=stage,
            rules=rules,
            ledger=self.ledger,
            observe=self.observe,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Auctioneer:
    """Holds auctions among a fixed pool under fixed rules and weights."""

    bidders: Sequence[Bidder]
    jurors: Sequence[Juror]
    rules: AuctionRules
    weights: Weights
    seats: Sequence[Seat] = ()
    """Jurors that answer a question about each bid, beside those that score by the rubric."""
    memory: Recall | None = None
    experience: Experience | None = None
    weigh: scoring.ScoringRule = scoring.weigh
    """The rule that turns a strategy and its scores into C and V; the published linear rule by default."""
    attempts: int = 1
    """Number of agents that may try, one after the other, where it will be found out that work has failed."""
    allowance: Allowance | None = None
    """The money auctions may still take; without an allowance they are held whatever they cost."""
    terms: AuctionTerms = field(default_factory=AuctionTerms)
    """The terms of this auction: who has the conversation, what kind of work it is, how well it is checked."""

    def check(self, task: Task) -> FanOut:
        """Return the most an auction of a task can take, before anything is recorded or spent; see `fanout`.

        What makes no sense is refused; so is what could exceed a cap, unless the allowance lets the award be made
        without an auction.
        """
        remembers, capped = self.memory is not None, self.allowance is None
        pool = self.bidders, self.jurors
        return check_fan_out(*pool, task, self.rules, self.seats, remembers=remembers, capped=capped)

    async def hold(
        self, auction_id: str, task: Task, ledger: Ledger, observe: Observer, *, worst: FanOut | None = None
    ) -> Auction:
        """Hold one auction.

        Args:
            auction_id: Given by the caller, who stores the record.
            task: What is auctioned.
            ledger: Takes every call; the caller can read the spending from it even if this raises.
            observe: Called with every event, in order.
            worst: What `check` has returned for the task; it is asked unless given.

        Raises:
            CapError: The pool and the rules could exceed the caps; nothing was spent.
            NoBidsError: Not one agent bid, and the terms do not want an award all the same.
        """
        worst = worst or self.check(task)
        may = worst.fits(self.rules.caps) and self.terms.affordable
        agents = tuple(bidder.name for bidder in self.bidders)
        observe(AuctionOpened(auction_id=auction_id, task=task, agents=agents))
        tracks = await self._tracks(task, ledger)
        running = _RunningAuction(auction_id=auction_id, task=task, ledger=ledger, observe=observe, tracks=tracks)
        if not may or not self._wanted(tracks):
            return self._standing(running, "not-worth-it" if may else "budget")
        if self.allowance is None:
            return await self._auctioned(running)
        ahead = self._outlook(task, tracks, worst)
        if not self.allowance.reserve(ahead):
            return self._standing(running, self.allowance.explain_refusal(ahead))
        whole = False
        try:
            auction = await self._auctioned(running)
            whole = True
            return auction
        finally:
            self.allowance.settle(ahead, ledger.at_most, whole=whole)

    async def _auctioned(self, running: _RunningAuction) -> Auction:
        """Bids, jury, refinement, award."""
        running.observe(BiddingOpened(agents=tuple(bidder.name for bidder in self.bidders)))
        bids, first = await self._first_bids(running)
        if not bids and self.terms.must_award:
            return self._standing(running, "no-bids", first.dropouts)
        if not bids:
            raise NoBidsError(f"no agent made a bid ({first.reasons})", dollars=running.ledger.settlement.dollars)
        leader = scoring.provisional_winner(bids)
        refinements, late = await self._refine(running, bids, first.votes)
        winner = scoring.award(leader, [r.bid for r in refinements if r.bid is not None])
        found = _AuctionFindings(leader.agent, refinements, (*self._by_pool(first.dropouts), *late))
        return self._awarded(running, bids, winner, found)

    def _awarded(self, running: _RunningAuction, bids: Sequence[Bid], winner: Bid, found: _AuctionFindings) -> Auction:
        contenders, exploration = [*bids, *(one.bid for one in found.refinements if one.bid is not None)], None
        if not found.keeps:
            winner, exploration = self._drawn(running, self._first(running, winner, contenders), contenders)
        auction = Auction(
            id=running.auction_id,
            task=running.task,
            bids=tuple(bids),
            provisional=found.provisional,
            refinements=found.refinements,
            winner=winner,
            dropouts=tuple(found.dropouts),
            weights=self.weights,
            jury=self.rules.jury,
            settlement=running.ledger.settlement,
            seconds=running.ledger.seconds,
            exploration=exploration,
        )
        running.observe(Awarded(auction=auction))
        return auction

    def _first(self, running: _RunningAuction, best: Bid, contenders: Sequence[Bid]) -> Bid:
        """Return the bid that tries first: the best, or another where failures are found out and that should pay."""
        if (model := self.weights.model) is None or self.attempts == 1:
            return best
        able = self._affordable([bid for bid in contenders if scoring.is_judged(bid)], running.task)
        return first_to_try(able or [best], model, self.attempts, self.terms.check)

    def _affordable(self, bids: Sequence[Bid], task: Task) -> Sequence[Bid]:
        """While the allowance is overdrawn: those of agents that are expected to cost no more than the incumbent."""
        if self.allowance is None:
            return bids
        work = work_ahead(bids, self.weights, prior_tokens(task, looping=self.terms.looping))
        incumbent = incumbent_of(self.bidders, self.rules.incumbent).name
        return self.allowance.pick_affordable(bids, work, incumbent) or bids

    def _drawn(self, running: _RunningAuction, best: Bid, contenders: Sequence[Bid]) -> tuple[Bid, Exploration | None]:
        """The bid that is awarded: the best, or, for the share of awards that explores, one that is drawn."""
        rules = self.rules
        if rules.explore == 0.0:
            return best, None
        able = self._affordable([bid for bid in contenders if scoring.is_judged(bid)], running.task)
        work = work_ahead(contenders, self.weights, prior_tokens(running.task, looping=self.terms.looping))
        work = scoring.add_cache_losses(work, self.weigh)
        drawn = exploration.explore(best, able, work, share=rules.explore, most_dollars=rules.explore_dollars)
        agent = exploration.draw(drawn.propensities, running.auction_id)
        own = scoring.rank(bid for bid in able if bid.agent == agent)
        return best if agent == best.agent else own[0], drawn

    def _wanted(self, tracks: Mapping[str, TrackRecord]) -> bool:
        """Return whether the rules want an auction: always, or where one is expected to be worth its cost."""
        model = self.weights.model
        if self.rules.hold == "always" or model is None:
            return True
        return value_of_information.pays(self._standing_bids(tracks), model)

    def _standing_bids(self, tracks: Mapping[str, TrackRecord]) -> list[Bid]:
        """The bids before plans; where there is a conversation, with the price of reading it anew."""
        return value_of_information.standing_bids(self.bidders, tracks, self.weights, scoring.publish(self.weigh))

    def _outlook(self, task: Task, tracks: Mapping[str, TrackRecord], worst: FanOut) -> Outlook:
        """Estimate the cost of an auction and its expected gain."""
        rules, model = self.rules, self.weights.model
        bids = self._standing_bids(tracks)
        work = work_ahead(bids, self.weights, prior_tokens(task, looping=self.terms.looping))
        incumbent = incumbent_of(self.bidders, rules.incumbent).name
        gain = (
            value_of_information.worth_of_bids(bids, model) / 1e6 if model is not None else PRIOR_GAIN * work[incumbent]
        )
        if len(bids) == 1:
            gain = 0.0
        return Outlook(most=min(worst.dollars, rules.caps.dollars), gain=gain)

    def _standing(self, running: _RunningAuction, reason: StandingReason, dropouts: Sequence[Dropout] = ()) -> Auction:
        """An award without an auction, or after one without a bid.

        To whoever has the conversation already; else to the best by track records, or to the incumbent without a model.
        """
        bids = self._standing_bids(running.tracks)
        by_agent = {bid.agent: bid for bid in bids}
        if (current := by_agent.get(self.terms.current or "")) is not None:
            leader = current
        elif self.weights.model is None:
            leader = by_agent[incumbent_of(self.bidders, self.rules.incumbent).name]
        else:
            leader = scoring.provisional_winner(self._affordable(bids, running.task))
        running.observe(LeaderFound(leader=leader, bids=tuple(bids), refining=(), standing=reason))
        found = _AuctionFindings(leader.agent, dropouts=self._by_pool(dropouts), keeps=current is not None)
        return self._awarded(running, bids, leader, found)

    async def _tracks(self, task: Task, ledger: Ledger) -> Mapping[str, TrackRecord]:
        """Return the bidders' records at similar past tasks. A memory that fails costs this knowledge, no more."""
        if self.experience is None:
            return {}
        try:
            async with asyncio.timeout(max(0.0, ledger.seconds_left)):
                return await self.experience.track_records(task, [bidder.name for bidder in self.bidders])
        except (TimeoutError, SaleError):
            return {}

    async def _first_bids(self, running: _RunningAuction) -> tuple[list[Bid], RoundResult]:
        """Agents look; what is free says who is asked for a plan; plans are written and judged.

        Who is not on the shortlist bids with what it found: its track record and free jurors speak for it, or against.
        """
        sitting = running.sitting("judge", self.rules)
        seen = await self._look(running)
        seats = self._asked_seats()
        early = [seat for seat in seats if seat.early]
        votes = await ask_seats(early, sitting, iterate_strategies(seen.values()))
        called = shortlist(self._weigh(list(seen.values()), votes, running.tracks), self.rules.shortlist)
        if len(called) < len(seen):
            running.observe(ShortlistMade(agents=called))
        asked = [self._first_strategy(one, running, seen[one.name]) for one in self.bidders if one.name in called]
        found = await hold_round(sitting, asked, self._jury(), [seat for seat in seats if not seat.early])
        rest = [strategy for agent, strategy in seen.items() if agent not in called]
        held = found.join(rest, votes)
        return self._weigh(self._in_order(held.strategies), held.votes, running.tracks), held

    def _first_strategy(self, bidder: Bidder, running: _RunningAuction, seen: Strategy) -> Asked:
        if not self.rules.plans:
            return keep_strategy(seen)
        return first_strategy(bidder, running.task, self.rules, running.ledger, seen)

    async def _look(self, running: _RunningAuction) -> dict[str, Strategy]:
        """Return the bid of each agent before it plans: empty, or with the evidence of its looks."""

        async def one(bidder: Bidder) -> Strategy:
            found = await look(bidder, running.task, self.rules, running.ledger)
            if found is not None:
                running.observe(EvidenceFound(agent=bidder.name, evidence=found.evidence, note=found.note))
            return make_unplanned(bidder.name, found)

        async with asyncio.TaskGroup() as group:
            looking = [group.create_task(one(bidder)) for bidder in self.bidders]
        return {done.result().agent: done.result() for done in looking}

    def _jury(self) -> Jury:
        return convene(self.rules.jury, self._asked())

    def _asked_seats(self) -> list[Seat]:
        """The seats whose answers can change anything, as for `_asked`."""
        return [seat for seat in self.seats if self._is_heard(seat.name)]

    def _in_order(self, strategies: Sequence[Strategy]) -> list[Strategy]:
        """In the pool's order, whatever order they came in."""
        order = {bidder.name: position for position, bidder in enumerate(self.bidders)}
        return sorted(strategies, key=lambda strategy: order[strategy.agent])

    def _asked(self) -> Sequence[Juror]:
        """Return the jurors whose scores can change anything."""
        return [juror for juror in self.jurors if self._is_heard(juror.name)]

    def _is_heard(self, juror: str) -> bool:
        """Return whether a juror's scores can change anything; any juror's may where the scoring rule is custom."""
        return not scoring.is_published(self.weigh) or scoring.speaks(juror, self.weights)

    def _weigh(
        self, strategies: Sequence[Strategy], votes: Sequence[Vote], tracks: Mapping[str, TrackRecord]
    ) -> list[Bid]:
        prices = {bidder.name: bidder.price.blended for bidder in self.bidders}
        scores = scoring.with_leads(scoring.impute(votes))
        return [
            self.weigh(
                strategy,
                prices[strategy.agent],
                [score for score in scores if score.bidder == strategy.agent],
                self.weights,
                tracks.get(strategy.agent),
            )
            for strategy in strategies
        ]

    async def _refine(
        self, running: _RunningAuction, bids: Sequence[Bid], votes: Sequence[Vote]
    ) -> tuple[tuple[Refinement, ...], list[Dropout]]:
        """Cheaper agents that have something to learn from bid once more and are judged like first bids.

        What they found has not changed, and is not judged again.
        """
        task, ledger = running.task, running.ledger
        leader = scoring.provisional_winner(bids)
        cheaper = [bid for bid in scoring.may_refine(bids, leader) if bid.planned]
        own = {bid.agent: bid.strategy for bid in cheaper}
        memory = self.memory if self.rules.refine and self.rules.plans and self._hears_plans() else None
        found = await recall_pairs(memory, task, tuple(own), self.rules.examples, ledger) if memory is not None else {}
        able = tuple(agent for agent, (pairs, _) in found.items() if pairs)
        running.observe(LeaderFound(leader=leader, bids=tuple(bids), refining=able))
        asked = [
            refined_strategy(bidder, task, own[bidder.name], found[bidder.name][0], self.rules, ledger)
            for bidder in self.bidders
            if bidder.name in able
        ]
        refined, dropouts = await self._judged_again(running, asked, able, votes)
        by_agent = {bid.agent: bid for bid in refined}
        notes = {agent: note for agent, (_, note) in found.items()}
        notes |= {dropout.agent: dropout.reason for dropout in dropouts}
        notes |= {bid.agent: "no juror scored it, so it cannot win" for bid in refined if not scoring.is_judged(bid)}
        refinements = tuple(
            Refinement(agent=agent, pairs=pairs, bid=by_agent.get(agent), note=notes[agent])
            for agent, (pairs, _) in found.items()
        )
        return refinements, dropouts

    def _hears_plans(self) -> bool:
        """Return whether another plan could win: a juror reads plans, or without a jury entropy alone counts."""
        seats = self._asked_seats()
        return bool(self._asked()) or not seats or any(seat.reads != "evidence" for seat in seats)

    async def _judged_again(
        self, running: _RunningAuction, asked: Sequence[Asked], able: Collection[str], votes: Sequence[Vote]
    ) -> tuple[list[Bid], list[Dropout]]:
        if not asked:
            return [], []
        seats = [seat for seat in self._asked_seats() if seat.reads != "evidence"]
        held = await hold_round(running.sitting("rejudge", self.rules), asked, self._jury(), seats)
        again = {vote.juror for vote in held.votes}
        known = [vote for vote in votes if vote.bidder not in able or vote.juror not in again]
        bids = self._weigh(self._in_order(held.strategies), (*known, *held.votes), running.tracks)
        return bids, self._by_pool(held.dropouts)

    def _by_pool(self, dropouts: Sequence[Dropout]) -> list[Dropout]:
        order = [bidder.name for bidder in self.bidders]
        return sorted(dropouts, key=lambda dropout: order.index(dropout.agent))
