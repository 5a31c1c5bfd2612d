"""From values to rows. Every function works inside the caller's writing transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sale.errors import InputError
from sale.memory.records import Record
from sale.memory.schema import (
    auctions,
    baselines,
    calls,
    dropouts,
    embeddings,
    executions,
    juror_weights,
    outcomes,
    pairs,
    refinements,
    scores,
    state,
    strategies,
    tasks,
)
from sale.types import Auction, Baseline, Bid, Call, Execution, Outcome, Task

Part = Literal["auction", "execution", "outcome", "stray"]
Rows = list[dict[str, Any]]


def text_digest(text: str) -> str:
    """SHA-256 of a text, in hex. Tasks with the same are one past task to recall."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


async def next_revision(connection: AsyncConnection) -> int:
    """Raise the memory's revision. Its row stays locked until the transaction ends, so commits follow its order."""
    await connection.execute(update(state).values(revision=state.c.revision + 1))
    return (await connection.execute(select(state.c.revision))).scalar_one()


async def put_task(connection: AsyncConnection, task: Task, revision: int) -> int:
    """The task's key; the row is made where there is none yet. `revision` becomes the key of a new row."""
    digest = text_digest(json.dumps([task.id, task.text, task.domain]))
    key = (await connection.execute(select(tasks.c.key).where(tasks.c.digest == digest))).scalar()
    if key is not None:
        return int(key)
    row = {
        "key": revision,
        "digest": digest,
        "text_digest": text_digest(task.text),
        "id": task.id,
        "domain": task.domain,
        "text": task.text,
    }
    await connection.execute(insert(tasks), row)
    return revision


async def put_embedding(connection: AsyncConnection, task: int, embedder: str, vector: bytes) -> None:
    """Store the vector of a task, replacing one by the same embedder."""
    mine = (embeddings.c.task == task) & (embeddings.c.embedder == embedder)
    changed = await connection.execute(update(embeddings).where(mine).values(vector=vector))
    if not changed.rowcount:
        await connection.execute(insert(embeddings), {"task": task, "embedder": embedder, "vector": vector})


async def put_award(connection: AsyncConnection, key: int, auction: Auction, at: datetime | None) -> None:
    """Everything an auction came to.

    Raises:
        InputError: The winner is none of the bids.
    """
    contenders = auction.contenders
    won = next((place for place, bid in enumerate(contenders) if bid == auction.winner), None)
    if won is None:
        raise InputError(
            f"the winner {auction.winner.agent!r} is none of the bids",
            where=f"auction {auction.id!r}",
            hint="`winner` must be one of `bids` or of the refined bids.",
        )
    await connection.execute(
        update(auctions)
        .where(auctions.c.key == key)
        .values(
            status="awarded",
            awarded_at=at,
            abandoned_at=None,
            reason=None,
            jury=auction.jury,
            provisional=auction.provisional,
            weight_cost=auction.weights.cost,
            weight_entropy=auction.weights.entropy,
            weights_source=auction.weights.source,
            seconds=auction.seconds,
        )
    )
    weights = [{"juror": juror, "weight": weight} for juror, weight in auction.weights.jurors.items()]
    await _put(connection, juror_weights, key, weights)
    await _put(connection, refinements, key, [{"agent": r.agent, "note": r.note} for r in auction.refinements])
    owners: list[int | None] = [None] * len(auction.bids)
    owners += [number for number, refinement in enumerate(auction.refinements) if refinement.bid is not None]
    bids = [
        _strategy(bid, refinement, won=place == won)
        for place, (bid, refinement) in enumerate(zip(contenders, owners, strict=True))
    ]
    await _put(connection, strategies, key, bids)
    await _put(connection, scores, key, [row for place, bid in enumerate(contenders) for row in _scores(place, bid)])
    await _put(connection, pairs, key, _pairs(auction))
    left = [{"agent": d.agent, "stage": d.stage, "code": d.code, "reason": d.reason} for d in auction.dropouts]
    await _put(connection, dropouts, key, left)
    await put_calls(connection, key, "auction", auction.settlement.calls)


async def put_end(connection: AsyncConnection, key: int, record: Record) -> None:
    """How far a record of another memory came."""
    await connection.execute(
        update(auctions)
        .where(auctions.c.key == key)
        .values(
            status=record.status,
            settled_at=record.settled_at,
            abandoned_at=record.abandoned_at,
            reason=record.reason,
        )
    )


async def put_work(connection: AsyncConnection, key: int, execution: Execution, baseline: Baseline | None) -> None:
    """The winner's work, and what it is compared with."""
    row = {
        "agent": execution.agent,
        "answer": execution.answer,
        "mode": execution.mode,
        "followed_strategy": execution.followed_strategy,
        "trace": execution.trace,
        "seconds": execution.seconds,
        "error": execution.error,
    }
    await connection.execute(insert(executions), {"auction": key, **row})
    await put_calls(connection, key, "execution", execution.calls)
    if baseline is not None:
        compared = {"agent": baseline.agent, "dollars": baseline.dollars, "basis": baseline.basis}
        await connection.execute(insert(baselines), {"auction": key, **compared})


async def put_outcome(connection: AsyncConnection, key: int, outcome: Outcome, at: datetime) -> None:
    """One more judgement; the earlier ones stay."""
    number = await _next_position(connection, outcomes, key)
    row = {"verdict": outcome.verdict, "judged_by": outcome.judged_by, "detail": outcome.detail, "at": at}
    await connection.execute(insert(outcomes), {"auction": key, "position": number, **row})
    await put_calls(connection, key, "outcome", outcome.calls, outcome=number)


async def put_calls(
    connection: AsyncConnection, key: int, part: Part, made: Sequence[Call], *, outcome: int | None = None
) -> None:
    """Lines of the settlement, after those that are there."""
    if not made:
        return
    rows = [
        {
            "part": part,
            "outcome": outcome,
            "stage": call.stage,
            "agent": call.agent,
            "prompt": call.prompt,
            "input_tokens": call.usage.input_tokens,
            "output_tokens": call.usage.output_tokens,
            "dollars": call.dollars,
            "seconds": call.seconds,
            "error": call.error,
        }
        for call in made
    ]
    await _put(connection, calls, key, rows, first=await _next_position(connection, calls, key))


async def _next_position(connection: AsyncConnection, table: Table, key: int) -> int:
    last = select(func.max(table.c.position)).where(table.c.auction == key)
    found = (await connection.execute(last)).scalar()
    return 0 if found is None else int(found) + 1


async def _put(connection: AsyncConnection, table: Table, key: int, rows: Rows, *, first: int = 0) -> None:
    if rows:
        numbered = [{"auction": key, "position": place, **row} for place, row in enumerate(rows, start=first)]
        await connection.execute(insert(table), numbered)


def _strategy(bid: Bid, refinement: int | None, *, won: bool) -> dict[str, Any]:
    strategy = bid.strategy
    entropy = strategy.entropy
    return {
        "refinement": refinement,
        "agent": strategy.agent,
        "text": strategy.text,
        "tokens": strategy.tokens,
        "entropy_normalised": entropy.normalised if entropy else None,
        "entropy_nats": entropy.nats if entropy else None,
        "entropy_top_k": entropy.top_k if entropy else None,
        "entropy_tokens": entropy.tokens if entropy else None,
        "entropy_note": strategy.entropy_note,
        "refined": strategy.refined,
        "truncated": strategy.truncated,
        "price": bid.price,
        "cost": bid.cost,
        "value": bid.value,
        "notes": bid.notes,
        "won": won,
    }


def _scores(place: int, bid: Bid) -> Rows:
    return [
        {
            "strategy": place,
            "juror": score.juror,
            "bidder": score.bidder,
            "value": score.value,
            "imputed": score.imputed,
            "expected": score.expected,
            "note": score.note,
        }
        for score in bid.scores
    ]


def _pairs(auction: Auction) -> Rows:
    return [
        {
            "refinement": number,
            "past_auction": pair.auction_id,
            "task": pair.task,
            "similarity": pair.similarity,
            "losing": pair.losing,
            "winning": pair.winning,
            "own": pair.own,
        }
        for number, refinement in enumerate(auction.refinements)
        for pair in refinement.pairs
    ]
