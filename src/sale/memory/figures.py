"""The memory in figures, for whoever shows or sums it up: auctions, work and agents, each with what it cost.

One row an auction, one an execution, one an agent; days, shares and intervals are made of them by whoever asks. Texts
stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, select

from sale.memory.database import MemoryDatabase
from sale.memory.plausible import MAX_DOLLARS, MAX_SECONDS, amount, sum_of_dollars
from sale.memory.queries import latest_verdict, latest_verdict_on_work, paid_for_execution
from sale.memory.records import Status
from sale.memory.schema import auctions, baselines, calls, dropouts, executions, outcomes, state, strategies, tasks
from sale.types import AUCTION_STAGES, BROKE_OFF, OWN_WORK, Stage, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureScope:
    """Which auctions count."""

    since: datetime | None = None
    """Begun then or later; `None`: from the first."""
    held_here: bool = False
    """Leave out what was imported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionFigures:
    """One auction in figures."""

    id: str
    at: datetime
    status: Status
    imported: bool
    domain: str | None
    winner: str | None
    """The agent that was awarded the task; `None` before the award."""
    refined: bool
    """True where a refined bid won."""
    verdict: Verdict | None
    """The latest on the work; `None` where nothing was judged."""
    answered: bool
    """False where the work gave no answer: it failed, or it was cut off."""
    auction_dollars: float
    work_dollars: float
    """Execution and verification."""
    largest: str | None
    """The agent of the always-largest baseline; `None` where nothing was compared."""
    largest_dollars: float | None
    estimated: bool
    """True where `largest_dollars` is an estimate: the largest agent did not do this task itself."""

    @property
    def dollars(self) -> float:
        """All that was paid for it."""
        return self.auction_dollars + self.work_dollars

    @property
    def saved(self) -> float | None:
        """Dollars less than always-largest, the auction counted; `None` where nothing was compared."""
        return None if self.largest_dollars is None else self.largest_dollars - self.dollars


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkFigures:
    """One execution in figures."""

    auction_id: str
    at: datetime
    """When its auction began."""
    agent: str
    verdict: Verdict | None
    """The latest on this execution."""
    dollars: float
    """Its own calls, without auction and judging."""
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentFigures:
    """One agent's part in auctions."""

    agent: str
    auctions: int
    """It bid in."""
    wins: int
    """Awards; of refined bids `refined_wins`."""
    refined_wins: int
    price: float | None
    """π of its latest bid, dollars per million tokens."""
    mean_tokens: float | None
    """Of its plans; `None` where it never wrote one."""
    dropped: tuple[tuple[Stage, int], ...]
    """Number of auctions it left, by stage."""
    auction_dollars: float
    """Cost of its bids and judgements."""

    @property
    def dropouts(self) -> int:
        """Number of auctions it left."""
        return sum(count for _, count in self.dropped)


class FigureQueries:
    """The part of `AuctionMemory` that counts and sums."""

    _database: MemoryDatabase

    async def auction_figures(self, span: FigureScope = FigureScope()) -> tuple[AuctionFigures, ...]:
        """Every auction in figures, the oldest first.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(lambda connection: _auctions(connection, span))

    async def work_figures(self, span: FigureScope = FigureScope()) -> tuple[WorkFigures, ...]:
        """Every execution in figures, the oldest auction's first.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(lambda connection: _works(connection, span))

    async def agent_figures(self, span: FigureScope = FigureScope()) -> tuple[AgentFigures, ...]:
        """Every agent on record, by name.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(lambda connection: _agents(connection, span))

    async def agent_names(self) -> tuple[str, ...]:
        """Everybody who ever bid or worked, by name.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(_names)

    async def domains(self) -> tuple[str, ...]:
        """Every domain of a task on record, by name.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(_domains)

    async def tenants(self) -> tuple[str, ...]:
        """Every tenant of an auction on record, by name.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(_tenants)

    async def revision(self) -> int:
        """A number that every change to the memory raises, whichever process made it.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(_revision)


def _narrow(query: Select[*tuple[Any, ...]], span: FigureScope) -> Select[*tuple[Any, ...]]:
    if span.since is not None:
        query = query.where(auctions.c.started_at >= span.since)
    if span.held_here:
        query = query.where(auctions.c.source == "")
    return query


def _paid(overhead: bool) -> ColumnElement[Any]:
    """Dollars of an auction's calls: the market's overhead, or the rest."""
    is_overhead = calls.c.stage.in_(AUCTION_STAGES)
    mine = is_overhead if overhead else ~is_overhead
    return func.coalesce(sum_of_dollars(calls.c.dollars, mine), 0.0)


def _auctions(connection: Connection, span: FigureScope) -> tuple[AuctionFigures, ...]:
    spent = select(calls.c.auction, _paid(True).label("overhead"), _paid(False).label("work"))
    if span != FigureScope():  # or all calls on record are added up, for however few auctions
        spent = spent.where(calls.c.auction.in_(_narrow(select(auctions.c.key), span)))
    paid = spent.group_by(calls.c.auction).subquery()
    won = select(strategies.c.auction, strategies.c.agent, strategies.c.refined).where(strategies.c.won).subquery()
    query = (
        select(
            auctions.c.id,
            auctions.c.started_at,
            auctions.c.status,
            auctions.c.source,
            tasks.c.domain,
            won.c.agent,
            won.c.refined,
            latest_verdict().label("verdict"),
            _broke_off().label("broke_off"),
            func.coalesce(paid.c.overhead, 0.0).label("overhead"),
            func.coalesce(paid.c.work, 0.0).label("work"),
            baselines.c.agent.label("largest"),
            baselines.c.dollars.label("largest_dollars"),
            baselines.c.basis,
        )
        .join(tasks, tasks.c.key == auctions.c.task)
        .outerjoin(won, won.c.auction == auctions.c.key)
        .outerjoin(paid, paid.c.auction == auctions.c.key)
        .outerjoin(baselines, baselines.c.auction == auctions.c.key)
        .order_by(auctions.c.started_at, auctions.c.key)
    )
    return tuple(
        AuctionFigures(
            id=row.id,
            at=row.started_at,
            status=row.status,
            imported=bool(row.source),
            domain=row.domain,
            winner=row.agent,
            refined=bool(row.refined),
            verdict=row.verdict,
            answered=row.status != "abandoned" and not row.broke_off,
            auction_dollars=row.overhead,
            work_dollars=row.work,
            largest=row.largest,
            largest_dollars=_known(row.largest_dollars),
            estimated=row.largest is not None and row.basis != OWN_WORK,
        )
        for row in connection.execute(_narrow(query, span))
    )


def _broke_off() -> ColumnElement[Any]:
    """True where the latest work on an auction gave no answer, whatever users said of it since."""
    latest = select(func.max(executions.c.position)).where(executions.c.auction == outcomes.c.auction)
    mine = and_(
        outcomes.c.auction == auctions.c.key,
        outcomes.c.judged_by == BROKE_OFF,
        outcomes.c.execution == latest.scalar_subquery(),
    )
    return exists().where(mine)


def _works(connection: Connection, span: FigureScope) -> tuple[WorkFigures, ...]:
    query = (
        select(
            auctions.c.id,
            auctions.c.started_at,
            executions.c.agent,
            executions.c.seconds,
            latest_verdict_on_work().label("verdict"),
            func.coalesce(paid_for_execution(), 0.0).label("dollars"),
        )
        .join(auctions, auctions.c.key == executions.c.auction)
        .order_by(auctions.c.started_at, auctions.c.key, executions.c.position)
    )
    return tuple(
        WorkFigures(
            auction_id=row.id,
            at=row.started_at,
            agent=row.agent,
            verdict=row.verdict,
            dollars=row.dollars,
            seconds=amount(row.seconds, MAX_SECONDS),
        )
        for row in connection.execute(_narrow(query, span))
    )


def _agents(connection: Connection, span: FigureScope) -> tuple[AgentFigures, ...]:
    of_auctions = auctions.c.key == strategies.c.auction
    parts = select(
        strategies.c.agent,
        func.count(func.distinct(strategies.c.auction)).label("auctions"),
        func.sum(case((strategies.c.won, 1), else_=0)).label("wins"),
        func.sum(case((strategies.c.won & strategies.c.refined, 1), else_=0)).label("refined_wins"),
        func.avg(case((strategies.c.tokens > 0, strategies.c.tokens))).label("tokens"),
        func.max(strategies.c.auction).label("latest"),
    ).join(auctions, of_auctions)
    rows = {row.agent: row for row in connection.execute(_narrow(parts.group_by(strategies.c.agent), span))}
    left = select(dropouts.c.agent, dropouts.c.stage, func.count().label("count")).join(
        auctions, auctions.c.key == dropouts.c.auction
    )
    dropped: dict[str, list[tuple[Stage, int]]] = {}
    for row in connection.execute(_narrow(left.group_by(dropouts.c.agent, dropouts.c.stage), span)):
        dropped.setdefault(row.agent, []).append((row.stage, row[2]))
    asked = select(calls.c.agent, _paid(True).label("dollars")).join(auctions, auctions.c.key == calls.c.auction)
    paid = {row.agent: row.dollars for row in connection.execute(_narrow(asked.group_by(calls.c.agent), span))}
    return tuple(
        AgentFigures(
            agent=agent,
            auctions=rows[agent].auctions if agent in rows else 0,
            wins=int(rows[agent].wins or 0) if agent in rows else 0,
            refined_wins=int(rows[agent].refined_wins or 0) if agent in rows else 0,
            price=_price(connection, rows[agent].latest, agent) if agent in rows else None,
            mean_tokens=float(rows[agent].tokens) if agent in rows and rows[agent].tokens is not None else None,
            dropped=tuple(sorted(dropped.get(agent, []))),
            auction_dollars=paid.get(agent, 0.0),
        )
        for agent in sorted({*rows, *dropped})
    )


def _price(connection: Connection, auction: int, agent: str) -> float | None:
    mine = (strategies.c.auction == auction) & (strategies.c.agent == agent)
    return _known(connection.execute(select(strategies.c.price).where(mine).limit(1)).scalar())


def _known(value: float | None) -> float | None:
    """A stored sum of money; `None` where there was none, or what is there can be none."""
    return None if value is None or not 0.0 <= value <= MAX_DOLLARS else value


def _names(connection: Connection) -> tuple[str, ...]:
    everybody = select(strategies.c.agent).union(select(executions.c.agent), select(dropouts.c.agent))
    return tuple(sorted(connection.execute(everybody).scalars()))


def _domains(connection: Connection) -> tuple[str, ...]:
    found = select(tasks.c.domain).where(tasks.c.domain.is_not(None)).distinct()
    return tuple(sorted(name for name in connection.execute(found).scalars() if name))


def _tenants(connection: Connection) -> tuple[str, ...]:
    return tuple(sorted(connection.execute(select(auctions.c.tenant).distinct()).scalars()))


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(state.c.revision)).scalar() or 0)
