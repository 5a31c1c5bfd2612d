"""From rows to values. What was stored comes back equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, select

from sale.memory.records import Judgement, Record, Status
from sale.memory.schema import (
    auctions,
    baselines,
    calls,
    dropouts,
    executions,
    juror_weights,
    outcomes,
    pairs,
    refinements,
    scores,
    strategies,
    tasks,
)
from sale.memory.text_dedup import QuotedTexts, find_quoted
from sale.memory.weight_versions import read_models
from sale.types import (
    Auction,
    Baseline,
    Bid,
    Call,
    Dropout,
    Entropy,
    Evidence,
    Execution,
    Exploration,
    Outcome,
    Pair,
    Refinement,
    Score,
    Settlement,
    Strategy,
    SuccessModel,
    Task,
    TrackRecord,
    Usage,
    Weights,
)

Row = RowMapping


def read_records(connection: Connection, keys: Sequence[int]) -> list[Record]:
    """The records of these auctions, in this order; keys that are gone are left out."""
    columns = (*auctions.c, tasks.c.id.label("task_id"), tasks.c.text, tasks.c.domain)
    heads = select(*columns).join(tasks, tasks.c.key == auctions.c.task).where(auctions.c.key.in_(keys))
    by_key = {row["key"]: row for row in connection.execute(heads).mappings()}
    models = read_models(connection, {row["model"] for row in by_key.values() if row["model"] is not None})
    parts = [_RecordRows(by_key[key], models.get(by_key[key]["model"])) for key in keys if key in by_key]
    quoted = QuotedTexts()
    for table in _PARTS:
        grouped: dict[int, list[Row]] = {}
        for row in connection.execute(_of(table, keys)).mappings():
            grouped.setdefault(row["auction"], []).append(row)
        if table is pairs:
            quoted = find_quoted(connection, [row for rows in grouped.values() for row in rows])
        for part in parts:
            part.rows[table.name] = grouped.get(part.head["key"], [])
    return [part.record(quoted) for part in parts]


_PARTS = (
    juror_weights,
    refinements,
    strategies,
    scores,
    pairs,
    dropouts,
    executions,
    outcomes,
    baselines,
    calls,
)


def _of(table: Table, keys: Sequence[int]) -> Select[*tuple[Any, ...]]:
    order = (table.c.auction, table.c.position) if "position" in table.c else (table.c.auction,)
    return select(table).where(table.c.auction.in_(keys)).order_by(*order)


class _RecordRows:
    """The rows of one auction."""

    def __init__(self, head: Row, model: SuccessModel | None) -> None:
        self.head = head
        self.model = model
        self.rows: dict[str, list[Row]] = {}

    def record(self, quoted: QuotedTexts) -> Record:
        head = self.head
        done = self._executions()
        status: Status = head["status"]
        return Record(
            id=head["id"],
            task=self._task(),
            status=status,
            source=head["source"],
            tenant=head["tenant"],
            withheld=bool(head["withheld"]),
            started_at=head["started_at"],
            awarded_at=head["awarded_at"],
            settled_at=head["settled_at"],
            abandoned_at=head["abandoned_at"],
            reason=head["reason"],
            auction=self._auction(quoted) if head["jury"] is not None else None,
            execution=done[-1] if done else None,
            earlier=done[:-1],
            outcomes=self._outcomes(),
            baseline=self._baseline(),
            stray_calls=self._calls("stray"),
        )

    def _task(self) -> Task:
        return Task(id=self.head["task_id"], text=self.head["text"], domain=self.head["domain"])

    def _auction(self, quoted: QuotedTexts) -> Auction:
        head = self.head
        rows = self.rows["strategies"]
        scores: dict[int, list[Score]] = {}
        for row in self.rows["scores"]:
            scores.setdefault(row["strategy"], []).append(_score(row))
        bids = [read_bid(row, scores.get(row["position"], ())) for row in rows]
        refined = {row["refinement"]: bid for row, bid in zip(rows, bids, strict=True)}
        return Auction(
            id=head["id"],
            task=self._task(),
            bids=tuple(bid for row, bid in zip(rows, bids, strict=True) if row["refinement"] is None),
            provisional=head["provisional"],
            refinements=tuple(
                Refinement(
                    agent=row["agent"],
                    pairs=self._pairs(row["position"], quoted),
                    bid=refined.get(row["position"]),
                    note=row["note"],
                )
                for row in self.rows["refinements"]
            ),
            winner=next(bid for row, bid in zip(rows, bids, strict=True) if row["won"]),
            dropouts=tuple(
                Dropout(agent=row["agent"], stage=row["stage"], code=row["code"], reason=row["reason"])
                for row in self.rows["dropouts"]
            ),
            weights=Weights(
                cost=head["weight_cost"],
                entropy=head["weight_entropy"],
                track=head["weight_track"] or 0.0,
                jurors={row["juror"]: row["weight"] for row in self.rows["juror_weights"]},
                source=head["weights_source"],
                model=self.model,
            ),
            jury=head["jury"],
            settlement=Settlement(calls=self._calls("auction")),
            seconds=head["seconds"],
            exploration=Exploration(**head["exploration"]) if head["exploration"] else None,
        )

    def _pairs(self, refinement: int, quoted: QuotedTexts) -> tuple[Pair, ...]:
        return tuple(_pair(row, quoted) for row in self.rows["pairs"] if row["refinement"] == refinement)

    def _executions(self) -> tuple[Execution, ...]:
        return tuple(
            Execution(
                agent=row["agent"],
                answer=row["answer"],
                mode=row["mode"],
                followed_strategy=row["followed_strategy"],
                trace=tuple(row["trace"]),
                calls=self._calls("execution", execution=row["position"]),
                seconds=row["seconds"],
                error=row["error"],
            )
            for row in self.rows["executions"]
        )

    def _outcomes(self) -> tuple[Judgement, ...]:
        return tuple(
            Judgement(
                outcome=Outcome(
                    verdict=row["verdict"],
                    judged_by=row["judged_by"],
                    detail=row["detail"],
                    calls=self._calls("outcome", outcome=row["position"]),
                ),
                at=row["at"],
                execution=row["execution"],
            )
            for row in self.rows["outcomes"]
        )

    def _baseline(self) -> Baseline | None:
        for row in self.rows["baselines"]:
            return Baseline(agent=row["agent"], dollars=row["dollars"], basis=row["basis"])
        return None

    def _calls(self, part: str, *, outcome: int | None = None, execution: int | None = None) -> tuple[Call, ...]:
        return tuple(
            Call(
                stage=row["stage"],
                agent=row["agent"],
                usage=Usage(input_tokens=row["input_tokens"], output_tokens=row["output_tokens"]),
                dollars=row["dollars"],
                seconds=row["seconds"],
                prompt=row["prompt"],
                error=row["error"],
                tool=row["tool"] or "",
                key=row["billed_to"] or "",
            )
            for row in self.rows["calls"]
            if (row["part"], row["outcome"], row["execution"]) == (part, outcome, execution)
        )


def read_bid(row: Row, scores: Sequence[Score]) -> Bid:
    """A bid from a row of `strategies`."""
    measured = row["entropy_tokens"] is not None
    strategy = Strategy(
        agent=row["agent"],
        text=row["text"],
        tokens=row["tokens"],
        entropy=Entropy(
            normalised=row["entropy_normalised"],
            nats=row["entropy_nats"],
            top_k=row["entropy_top_k"],
            tokens=row["entropy_tokens"],
        )
        if measured
        else None,
        entropy_note=row["entropy_note"],
        refined=row["refined"],
        truncated=row["truncated"],
        evidence=tuple(Evidence(**one) for one in row["evidence"] or ()),
        evidence_note=row["evidence_note"],
    )
    return Bid(
        strategy=strategy,
        price=row["price"],
        cost=row["cost"],
        value=row["value"],
        scores=tuple(scores),
        notes=tuple(row["notes"]),
        track=None
        if row["track_agent"] is None
        else TrackRecord(
            agent=row["track_agent"],
            successes=row["track_successes"],
            failures=row["track_failures"],
            spent=row["track_spent"] or 0.0,
            costed=row["track_costed"] or 0.0,
        ),
        chance=row["chance"],
    )


def _score(row: Row) -> Score:
    return Score(
        juror=row["juror"],
        bidder=row["bidder"],
        value=row["value"],
        imputed=row["imputed"],
        expected=row["expected"],
        note=row["note"],
        lead=row["lead"],
    )


def _pair(row: Row, quoted: QuotedTexts) -> Pair:
    past = row["past"]
    known = past is not None
    return Pair(
        auction_id=row["past_auction"],
        task=quoted.tasks[past] if known else row["task"],
        similarity=row["similarity"],
        losing=quoted.strategies[past, row["losing_of"]] if known else row["losing"],
        winning=quoted.strategies[past, row["winning_of"]] if known else row["winning"],
        own=row["own"],
    )
