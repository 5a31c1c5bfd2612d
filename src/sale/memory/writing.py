"""From values to rows, and from rows into the tables. Rows are collected first and inserted a table at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, cast

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update

from sale.errors import InputError
from sale.memory import vector_table
from sale.memory.insertion import INSERT, insert_rows
from sale.memory.records import Judgement
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
    success_models,
    tasks,
)
from sale.memory.text_dedup import shorten
from sale.storage.columns import text_digest
from sale.types import Auction, Baseline, Bid, Call, Execution, SuccessModel, Task

Part = Literal["auction", "execution", "outcome", "stray"]
Fields = dict[str, Any]

# Statements are made once: to build one anew takes several times as long as to run it.
_RAISE: Final = update(state).values(revision=state.c.revision + bindparam("by"))
_REVISION: Final = select(state.c.revision)
_KNOWN_MODELS: Final = select(success_models.c.digest).where(
    success_models.c.digest.in_(bindparam("digests", expanding=True))
)
_LAST: Final = {
    table: select(func.max(table.c.position)).where(table.c.auction == bindparam("auction"))
    for table in (calls, executions, outcomes)
}


class Rows:
    """Rows to be inserted together, each table's after those it refers to."""

    def __init__(self) -> None:
        self._rows: dict[Table, list[Fields]] = {}

    def add(self, table: Table, *rows: Fields) -> None:
        """Collect."""
        self._rows.setdefault(table, []).extend(rows)

    def number(self, table: Table, auction: int, rows: Sequence[Fields], *, first: int = 0) -> None:
        """Collect rows of an auction, numbered from `first`."""
        self.add(
            table, *({"auction": auction, "position": place, **row} for place, row in enumerate(rows, start=first))
        )

    def insert(self, connection: Connection) -> None:
        """Insert all."""
        for table in INSERT:
            if rows := self._rows.get(table):
                if table is pairs:
                    rows = shorten(connection, rows)
                if table is success_models:
                    rows = _new_models(connection, rows)
                if rows:
                    insert_rows(connection, table, rows)
                    if table is embeddings:
                        vector_table.follow(connection, rows)


def _new_models(connection: Connection, rows: Sequence[Fields]) -> list[Fields]:
    """Those that are not there yet, each once."""
    wanted = {row["digest"]: row for row in rows}
    known = set(connection.execute(_KNOWN_MODELS, {"digests": list(wanted)}).scalars())
    return [row for digest, row in wanted.items() if digest not in known]


def next_revision(connection: Connection, by: int = 1) -> int:
    """Raise the memory's revision. Its row stays locked until the transaction ends, so commits follow its order.

    Args:
        connection: Writing.
        by: How many revisions to take.

    Returns:
        The first of those taken.
    """
    connection.execute(_RAISE, {"by": by})
    return connection.execute(_REVISION).scalar_one() - by + 1


def task_digest(task: Task) -> str:
    """SHA-256 of everything about a task, in hex. Tasks with the same share a row."""
    return text_digest(json.dumps([task.id, task.text, task.domain]))


def task_keys(connection: Connection, digests: Sequence[str]) -> dict[str, int]:
    """The keys of the tasks that are there, by digest."""
    found = select(tasks.c.digest, tasks.c.key).where(tasks.c.digest.in_(digests))
    return {row.digest: row.key for row in connection.execute(found).all()}


def add_task(rows: Rows, key: int, task: Task, embedder: str, vector: bytes) -> None:
    """A task that is not there yet."""
    row = {"key": key, "digest": task_digest(task), "text_digest": text_digest(task.text)}
    rows.add(tasks, {**row, "id": task.id, "domain": task.domain, "text": task.text})
    rows.add(embeddings, {"task": key, "embedder": embedder, "vector": vector})


def add_model(rows: Rows, model: SuccessModel | None) -> str | None:
    """A success model, kept if it is not there yet; gives back the digest it is referred to by."""
    if model is None:
        return None
    fields: dict[str, Any] = asdict(model)
    body = {name: numbers(value) if hasattr(value, "items") else float(value) for name, value in fields.items()}
    digest = text_digest(json.dumps(body, sort_keys=True))
    rows.add(success_models, {"digest": digest, "body": body})
    return digest


def numbers(values: object) -> Fields:
    """Numbers by name, as Python's own: what is fitted comes from libraries that have others."""
    return {name: float(value) for name, value in cast("Mapping[str, float]", values).items()}


def put_embedding(connection: Connection, task: int, embedder: str, vector: bytes) -> None:
    """Store the vector of a task that is there, replacing one by the same embedder."""
    mine = (embeddings.c.task == task) & (embeddings.c.embedder == embedder)
    changed = connection.execute(update(embeddings).where(mine).values(vector=vector))
    if not changed.rowcount:
        connection.execute(insert(embeddings), {"task": task, "embedder": embedder, "vector": vector})
    vector_table.follow(connection, [{"task": task, "embedder": embedder, "vector": vector}])


def next_position(connection: Connection, table: Table, auction: int) -> int:
    """The number of the next call, execution or outcome of an auction."""
    found = connection.execute(_LAST[table], {"auction": auction}).scalar()
    return 0 if found is None else int(found) + 1


def award_fields(rows: Rows, auction: Auction) -> Fields:
    """Return the fields of an auction's head from the award on; a model it refers to is added to the rows."""
    return {
        "jury": auction.jury,
        "provisional": auction.provisional,
        "weight_cost": auction.weights.cost,
        "weight_entropy": auction.weights.entropy,
        "weight_track": auction.weights.track,
        "weights_source": auction.weights.source,
        "exploration": asdict(auction.exploration) if auction.exploration else None,
        "model": add_model(rows, auction.weights.model),
        "seconds": auction.seconds,
    }


def add_award(rows: Rows, key: int, auction: Auction) -> None:
    """Everything an auction came to, but its calls.

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
    owners: list[int | None] = [None] * len(auction.bids)
    owners += [number for number, refinement in enumerate(auction.refinements) if refinement.bid is not None]
    bids = [
        _strategy(bid, refinement, won=place == won)
        for place, (bid, refinement) in enumerate(zip(contenders, owners, strict=True))
    ]
    rows.number(juror_weights, key, _weights(auction.weights.jurors))
    rows.number(refinements, key, [{"agent": one.agent, "note": one.note} for one in auction.refinements])
    rows.number(strategies, key, bids)
    rows.number(scores, key, [row for place, bid in enumerate(contenders) for row in _scores(place, bid)])
    rows.number(pairs, key, _pairs(auction))
    left = [
        {"agent": one.agent, "stage": one.stage, "code": one.code, "reason": one.reason} for one in auction.dropouts
    ]
    rows.number(dropouts, key, left)


def add_work(rows: Rows, key: int, done: Sequence[Execution], baseline: Baseline | None) -> None:
    """The work, attempt by attempt, and what it is compared with, but the calls."""
    work = [
        {
            "agent": execution.agent,
            "answer": execution.answer,
            "mode": execution.mode,
            "followed_strategy": execution.followed_strategy,
            "trace": execution.trace,
            "seconds": execution.seconds,
            "error": execution.error,
        }
        for execution in done
    ]
    rows.number(executions, key, work)
    if baseline is not None:
        compared = {"agent": baseline.agent, "dollars": baseline.dollars, "basis": baseline.basis}
        rows.add(baselines, {"auction": key, **compared})


def add_outcome(rows: Rows, key: int, judged: Judgement, number: int) -> None:
    """One more judgement, but its calls. Those before `number` stay."""
    outcome = judged.outcome
    row = {"verdict": outcome.verdict, "judged_by": outcome.judged_by, "detail": outcome.detail}
    rows.number(outcomes, key, [{**row, "at": judged.at, "execution": judged.execution}], first=number)


def call_rows(
    part: Part, made: Sequence[Call], *, outcome: int | None = None, execution: int | None = None
) -> list[Fields]:
    """Lines of the settlement.

    Args:
        part: What they belong to.
        made: The calls.
        outcome: The number of the judgement they were made for, where that is the part.
        execution: The number of the execution they were made in, where that is the part.
    """
    return [
        {
            "part": part,
            "outcome": outcome,
            "execution": execution,
            "stage": call.stage,
            "agent": call.agent,
            "prompt": call.prompt,
            "tool": call.tool or None,
            "billed_to": call.key or None,
            "input_tokens": call.usage.input_tokens,
            "output_tokens": call.usage.output_tokens,
            "dollars": call.dollars,
            "seconds": call.seconds,
            "error": call.error,
        }
        for call in made
    ]


def add_calls(connection: Connection, rows: Rows, key: int, lines: Sequence[Fields]) -> None:
    """Lines of the settlement, after those that are there."""
    if lines:
        rows.number(calls, key, lines, first=next_position(connection, calls, key))


def add_record(rows: Rows, key: int, head: Fields, auction: Auction | None) -> None:
    """A whole head at once, for records of another memory."""
    award = award_fields(rows, auction) if auction else _NO_AWARD
    rows.add(auctions, {**head, "key": key, "revision": key, **award})


_NO_AWARD: Fields = dict.fromkeys(
    (
        "jury",
        "provisional",
        "weight_cost",
        "weight_entropy",
        "weight_track",
        "weights_source",
        "model",
        "seconds",
        "exploration",
    )
)


def _weights(jurors: Mapping[str, float]) -> list[Fields]:
    return [{"juror": juror, "weight": weight} for juror, weight in jurors.items()]


def _strategy(bid: Bid, refinement: int | None, *, won: bool) -> Fields:
    strategy = bid.strategy
    entropy = strategy.entropy
    track = bid.track
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
        "track_agent": track.agent if track else None,
        "track_successes": track.successes if track else None,
        "track_failures": track.failures if track else None,
        "track_spent": track.spent if track else None,
        "track_costed": track.costed if track else None,
        "chance": bid.chance,
        "evidence": [asdict(one) for one in strategy.evidence],
        "evidence_note": strategy.evidence_note,
    }


def _scores(place: int, bid: Bid) -> list[Fields]:
    return [
        {
            "strategy": place,
            "juror": score.juror,
            "bidder": score.bidder,
            "value": score.value,
            "imputed": score.imputed,
            "expected": score.expected,
            "note": score.note,
            "lead": score.lead,
        }
        for score in bid.scores
    ]


def _pairs(auction: Auction) -> list[Fields]:
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
