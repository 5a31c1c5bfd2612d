"""Everybody in the comparison of docs/private-knowledge.md, over one record of plans and of what agents found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.private_knowledge.pasts import Decide
from sale.agents.respondents import MATCH_MIDDLE
from sale.agents.samples import keys_of, most_agreed
from sale.auction import scoring
from sale.bench.online import Embed, OnlinePolicy
from sale.bench.online import run as run_market
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import AuctionRow, RecordedTasks
from sale.bench.report.by_hand import HandWrittenRule
from sale.bench.report.fitted import TrainedWeights
from sale.bench.routers.fixed import Oracle, SingleAgent
from sale.bench.routers.protocol import OutcomeTable, Router, Routing
from sale.bench.tasks.schema import Kind
from sale.errors import InputError
from sale.learning.spending import BEYOND, MatchBestAgent
from sale.learning.utility import Utility
from sale.types import Bid, Price, Score, Task, Weights

CODER, GENERALIST = "coder", "generalist"
MATCH_JUROR, SMALL_READER, READER = "match", "reader-0.5b", "reader-1.5b"
SHORTLIST = 2
"""How many bids are read by a juror that costs something."""
MIDDLES = {MATCH_JUROR: scoring.MAX_SCORE * MATCH_MIDDLE}
"""Where a juror's yes begins: half of the scale unless it says another."""
PRIMARY = "SALE grounded, match"
"""The row that success is claimed for."""
MULTIPLES = (1.0, 2.0, 3.0, 4.0, 8.0)
"""What a solved task more may cost, to choose among on the dev tasks."""
BEYOND_MATCH: Mapping[str, int | None] = {PRIMARY: 1, f"{PRIMARY}, next best bid": None}
"""Rows that are made with such a goal, too, and how many agents may try; `None`: all."""


def beyond_name(name: str, beyond: float) -> str:
    """The name of a row with a goal beyond a match."""
    return f"{name}, beyond {beyond:g}"


View = Callable[[RecordedTasks], RecordedTasks]
"""A record as one kind of auction would have made it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One row of the comparison."""

    name: str
    decide: Decide
    learns: bool = False
    """Whether it changes with the past."""
    rival: bool = True
    """Whether the primary row is compared with it."""
    agent: bool = False


def plain(recorded: RecordedTasks) -> RecordedTasks:
    """Auctions of plans, judged by the rubric."""
    return recorded


def grounded(*jurors: str, shortlist: int | None = None) -> View:
    """Auctions of what agents found, read by these jurors only.

    Args:
        jurors: Their names.
        shortlist: Jurors that cost something read so many bids only, those that match best.
    """

    def view(recorded: RecordedTasks) -> RecordedTasks:
        held = recorded.with_evidence()
        rows = {at: _narrowed(row, jurors, shortlist) for at, row in held.auctions.items()}
        return replace(held, auctions=rows)

    return view


def _narrowed(row: AuctionRow, jurors: Sequence[str], shortlist: int | None) -> AuctionRow:
    """One auction with some jurors only, and what that would have cost: a juror's bids cost it alike."""
    read = _shortlisted(row.bids, shortlist)
    bids: list[Bid] = []
    asked: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for bid in row.bids:
        kept: list[Score] = []
        for score in bid.scores:
            if score.juror not in jurors:
                continue
            spoken = not score.imputed
            if score.juror == MATCH_JUROR and score.abstained:  # recorded before the juror said its middle
                score = replace(score, value=MIDDLES[MATCH_JUROR])
            told[score.juror] += spoken
            if score.juror == MATCH_JUROR or bid.agent in read or not spoken:
                asked[score.juror] += spoken
                kept.append(score)
        bids.append(replace(bid, scores=tuple(kept)))
    relead = {
        (score.bidder, score.juror): score
        for score in scoring.with_leads([score for bid in bids for score in bid.scores])
    }
    bids = [replace(bid, scores=tuple(relead[score.bidder, score.juror] for score in bid.scores)) for bid in bids]
    paid = {
        (stage, agent): dollars * (asked[agent] / told[agent] if stage == "judge" and told[agent] else 1.0)
        for (stage, agent), dollars in row.paid.items()
        if stage != "judge" or agent in jurors
    }
    dollars = sum(paid.values())
    share = dollars / row.first_dollars if row.first_dollars > 0 else 0.0
    return replace(
        row,
        bids=tuple(bids),
        paid=paid,
        dollars=dollars,
        first_dollars=dollars,
        first_tokens=round(share * row.first_tokens),
    )


def _shortlisted(bids: Sequence[Bid], size: int | None) -> frozenset[str]:
    """Who is read by jurors that cost something."""
    if size is None:
        return frozenset(bid.agent for bid in bids)
    able = [(score.value, bid.agent) for bid in bids for score in bid.scores if _speaks(score, MATCH_JUROR)]
    return frozenset(agent for _, agent in sorted(able, key=lambda one: (-one[0], one[1]))[:size])


def _speaks(score: Score, juror: str) -> bool:
    return score.juror == juror and not score.imputed


def prior(recorded: RecordedTasks) -> Weights:
    """The market's stated prior for the jurors on a record."""
    prices = {
        name: Price(input=price, output=price, blended=price)
        for name, price in zip(recorded.agents, recorded.prices, strict=True)
    }
    bids = [bid for (order, _), row in recorded.auctions.items() if order == FIRST_BIDS for bid in row.bids]
    jurors = sorted({score.juror for bid in bids for score in bid.scores})
    return scoring.default_weights(prices, jurors, evidence={MATCH_JUROR, SMALL_READER, READER})


def market(name: str, view: View, embed: Embed, *, hold: bool = False, attempts: int = 1, beyond: float = 0.0) -> Way:
    """The product's market: fitted weights where there is enough to fit them, its prior where there is not.

    Args:
        name: Of the row.
        view: Which auctions are held.
        embed: Of task texts.
        hold: Hold every auction, whether it is expected to pay or not.
        attempts: How many agents may try where examples in the task show that work is wrong.
        beyond: What a solved task more may cost (`MatchBestAgent.beyond`).
    """
    lessons = TrainedWeights(embed=embed)  # one for each view: what is fitted hangs on who is asked

    def decide(past: RecordedTasks, test: RecordedTasks) -> Routing:
        known, asked = view(past), view(test)
        try:
            goal = MatchBestAgent(attempts, "always" if hold else "worthwhile", beyond)
            weights = lessons.weights(Utility(), goal, known)
        except InputError:
            weights = prior(asked)
        policy = OnlinePolicy(name=name, weights=weights, hold=hold, attempts=attempts, learn=False)
        return run_market(asked, known if known.tasks else None, policy, embed, 0).routing

    return Way(name=name, decide=decide, learns=True)


def by_evidence(
    name: str, juror: str, *, otherwise: Mapping[Kind, str] | None = None, shortlist: int | None = None
) -> Way:
    """Nothing is learnt: the bid whose evidence a juror likes best, if it says yes rather than no.

    Args:
        name: Of the row.
        juror: Who reads.
        otherwise: By the kind of task, who does it without an auction; nobody unless given.
        shortlist: How many bids are read.
    """
    view = grounded(MATCH_JUROR, juror, shortlist=shortlist)

    def decide(past: RecordedTasks, test: RecordedTasks) -> Routing:  # noqa: ARG001  nothing is learnt
        asked = view(test)
        agents = {agent: place for place, agent in enumerate(asked.agents)}
        chosen: list[int] = []
        extra: list[float] = []
        for task in test.tasks:
            if otherwise is not None and task.kind in otherwise:
                chosen.append(agents[otherwise[task.kind]])
                extra.append(0.0)
                continue
            row = asked.auctions[FIRST_BIDS, task.id]
            read = [(score.value, bid.agent) for bid in row.bids for score in bid.scores if _speaks(score, juror)]
            value, agent = max(read, default=(0.0, ""), key=lambda one: (one[0], one[1]))
            chosen.append(agents[agent if value >= MIDDLES.get(juror, scoring.MAX_SCORE / 2) else GENERALIST])
            extra.append(row.first_dollars)
        routing = Routing.of(np.array(chosen, np.intp), len(agents))
        return replace(routing, extra_dollars=np.array(extra))

    return Way(name=name, decide=decide)


def routed(router: Router) -> Way:
    """A router of the report; it has read the past, and the task's text."""

    def decide(past: RecordedTasks, test: RecordedTasks) -> Routing:
        router.fit(past.table(planned=False))
        return router.route(test.table(planned=False))

    return Way(name=router.name, decide=decide, learns=True)


def by_hand(name: str, agents: Mapping[Kind, str], in_turn: tuple[str, ...] = ()) -> Way:
    """A line of configuration."""
    rule = HandWrittenRule(name=name, agents=agents, in_turn=in_turn)
    return Way(name=name, decide=lambda _, test: rule.route(test, test.table(planned=False)))


def anybody(name: str, agents: Sequence[str], kinds: Mapping[Kind, str]) -> Way:
    """Questions to one of several agents, drawn by the task's place; other kinds as said."""

    def decide(past: RecordedTasks, test: RecordedTasks) -> Routing:  # noqa: ARG001  nothing is learnt
        rng = np.random.default_rng([len(task.id) for task in test.tasks] + [7])
        drawn = [kinds.get(task.kind) or agents[int(rng.integers(len(agents)))] for task in test.tasks]
        return Routing.of(np.array([test.agents.index(agent) for agent in drawn], np.intp), len(test.agents))

    return Way(name=name, decide=decide)


def alone(agent: str) -> Way:
    """One agent does everything."""
    router = SingleAgent(agent)
    return Way(name=agent, decide=lambda _, test: router.route(test.table(planned=False)), agent=True)


def oracle() -> Way:
    """In hindsight."""
    router = Oracle()
    return Way(name="oracle", decide=lambda _, test: router.route(test.table(planned=False)), rival=False)


def broadcast(name: str = "broadcast", ties: Sequence[str] = ()) -> Way:
    """Everybody works, and all are paid: the first program whose examples hold; the answer most agents give.

    Args:
        name: Of the row.
        ties: Whose answer to a question is taken first where several are given equally often; the others, and with
            none named all, follow by price and name.
    """

    def decide(past: RecordedTasks, test: RecordedTasks) -> Routing:  # noqa: ARG001  nothing is learnt
        table = test.table(planned=False)
        places = [table.agents.index(agent) for agent in ties]
        order = [*places, *(place for place in range(len(table.agents)) if place not in places)]
        chosen = [
            _first_good(table, row, order if task.kind == "short" else sorted(order))
            for row, task in enumerate(test.tasks)
        ]
        return replace(
            Routing.of(np.array(chosen, np.intp), len(table.agents)), called=np.ones(table.success.shape, bool)
        )

    return Way(name=name, decide=decide)


def broadcast_perfect() -> Way:
    """The same with a check that is never wrong: nobody has it."""

    def decide(past: RecordedTasks, test: RecordedTasks) -> Routing:  # noqa: ARG001  nothing is learnt
        table = test.table(planned=False)
        routing = Routing.of(table.success.argmax(axis=1), len(table.agents))
        return replace(routing, called=np.ones(table.success.shape, bool))

    return Way(name="broadcast, perfect check", decide=decide, rival=False)


def _first_good(table: OutcomeTable, row: int, order: Sequence[int]) -> int:
    checks = np.zeros(len(table.agents)) if table.checks is None else table.checks[row]
    if (checks > 0).any():
        return int(np.argmax(checks > 0))
    answers = () if table.answers is None else table.answers[row]
    able = [place for place in order if answers and answers[place].strip() and checks[place] >= 0]
    if not able:
        return 0
    return able[most_agreed(keys_of(Task(text=table.texts[row]), [answers[place] for place in able]))]


def ways(
    recorded: RecordedTasks, embed: Embed, routers: Sequence[Router], multiples: Sequence[float] = (BEYOND,)
) -> Iterator[Way]:
    """Every row, in the order of the tables.

    Args:
        recorded: The tasks that are decided.
        embed: Of task texts.
        routers: Other routers.
        multiples: What a solved task more may cost beyond a match: the one that was chosen, or those to choose among.
    """
    librarians = [agent for agent in recorded.agents if agent.startswith("librarian")]
    for agent in recorded.agents:
        yield alone(agent)
    to_coder: dict[Kind, str] = {"tests": CODER, "choice": CODER}
    yield by_hand("by hand: code to coder, questions to generalist", {**to_coder, "short": GENERALIST})
    yield by_hand("by hand: code to coder, questions to librarian-1", {**to_coder, "short": librarians[0]})
    yield by_hand(
        "by hand: the same, programs generalist, coder by the examples",
        {**to_coder, "short": librarians[0]},
        (GENERALIST, CODER),
    )
    yield anybody("by hand: code to coder, questions to a librarian at random", librarians, to_coder)
    for router in routers:
        yield routed(router)
    yield broadcast()
    yield replace(broadcast("broadcast, ties to a librarian", librarians), rival=False)
    yield broadcast_perfect()
    yield market("SALE plain", plain, embed, hold=True)
    yield market("SALE plain, held where it pays", plain, embed)
    yield market(PRIMARY, grounded(MATCH_JUROR), embed)
    yield market(f"{PRIMARY}, next best bid", grounded(MATCH_JUROR), embed, attempts=len(recorded.agents))
    for beyond in multiples:
        for name, attempts in BEYOND_MATCH.items():
            most = len(recorded.agents) if attempts is None else attempts
            way = market(beyond_name(name, beyond), grounded(MATCH_JUROR), embed, attempts=most, beyond=beyond)
            yield replace(way, rival=False)
    yield market("SALE grounded, reader 0.5B", grounded(SMALL_READER), embed)
    yield market("SALE grounded, reader 1.5B", grounded(READER), embed)
    yield market("SALE grounded, 1.5B reads two", grounded(MATCH_JUROR, READER, shortlist=SHORTLIST), embed)
    yield market("SALE grounded, 0.5B reads two", grounded(MATCH_JUROR, SMALL_READER, shortlist=SHORTLIST), embed)
    yield by_evidence("by evidence, match", MATCH_JUROR)
    yield by_evidence("by evidence, reader 0.5B", SMALL_READER)
    yield by_evidence("by evidence, reader 1.5B", READER)
    yield by_evidence("by evidence, reader 1.5B on a shortlist", READER, shortlist=SHORTLIST)
    yield by_evidence(
        "code to coder, questions by evidence, shortlist", READER, otherwise=to_coder, shortlist=SHORTLIST
    )
    yield oracle()
