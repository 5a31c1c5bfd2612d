"""The lines of a record: one type for each kind, read and written here alone.

| kind | what it holds |
|---|---|
| `run` | pool, passages, machine and versions; one each time the run was taken up |
| `call` | one model call with its prompt and reply, under the digest of model, messages and settings |
| `auction` | one auction, by task and order; `null` with an `error` where no agent bid |
| `execution` | one piece of work, its calls and its outcome |
| `check` | what the examples in the task's own text say of an answer |
| `opinion` | what a judging model says of an answer |

Reading keeps what the bench uses; a line may hold more. Lines of other kinds belong to whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sale.bench.recording.log import parse_entry, read_record
from sale.types import Auction, Bid, Call, Dropout, Execution, Outcome, Verdict

KINDS = frozenset({"run", "call", "auction", "execution", "check", "opinion"})


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class RunLine(_Line):
    """The settings a run was made with."""

    kind: Literal["run"]
    settings: dict[str, Any]
    """As `sale.toml` has them, defaults filled in."""
    corpora: dict[str, Any] = {}
    """Digests of the passages."""
    models: dict[str, str] = {}
    """The identity of each agent's model: a digest of its weights, or endpoint and name."""
    plans: str | None = None
    """Digest of the plans that are followed; `null` where agents follow their own."""


class StoredReply(_Line):
    """A reply as it is kept."""

    text: str
    usage: tuple[int, int]
    """Tokens read and written."""
    seconds: float
    truncated: bool
    logprobs: list[list[Any]] | None
    """A token is its text, log-probability, number of alternatives, then the likely ones in turn with theirs."""


class CallLine(_Line):
    """One model call."""

    kind: Literal["call"]
    key: str
    agent: str
    reply: StoredReply


class StoredRefinement(_Line):
    """The refined bid of a loser; `null` where it made none."""

    bid: Bid | None


class StoredSettlement(_Line):
    """The calls of an auction, with their dollars."""

    calls: tuple[Call, ...]


class StoredAuction(_Line):
    """One auction."""

    bids: tuple[Bid, ...]
    refinements: tuple[StoredRefinement, ...]
    winner: Bid
    provisional: str
    dropouts: tuple[Dropout, ...]
    settlement: StoredSettlement


class AuctionLine(_Line):
    """One auction, or why there was none."""

    kind: Literal["auction"]
    task: str
    order: str
    """`FIRST_BIDS`, `GROUNDED`, or the name of a task order with memory."""
    position: int | None
    """Place of the task in that order, from 0."""
    auction: StoredAuction | None
    error: str = ""


class ExecutionLine(_Line):
    """One piece of work."""

    kind: Literal["execution"]
    task: str
    agent: str
    strategy: str | None
    """The plan it followed; `null` without one."""
    planner: str | None = None
    """The agent that wrote the plan, where it is another one: a crossed cell."""
    sample: int = 0
    """Number of the independent sample of the same work."""
    answer: str
    calls: tuple[Call, ...]
    seconds: float
    error: str | None
    outcome: Outcome


class CheckLine(_Line):
    """The verdict of the examples in a task's text."""

    kind: Literal["check"]
    task: str
    answer: str
    verdict: Verdict


class OpinionLine(_Line):
    """The verdict of a judging model that was shown the reference."""

    kind: Literal["opinion"]
    task: str
    answer: str
    judge: str
    verdict: Verdict


RecordLine = RunLine | CallLine | AuctionLine | ExecutionLine | CheckLine | OpinionLine
_LINES: TypeAdapter[RecordLine] = TypeAdapter(Annotated[RecordLine, Field(discriminator="kind")])


def read_lines(path: Path, *kinds: str) -> Iterator[RecordLine]:
    """Every whole line of a record, oldest first; nothing where there is no file.

    Args:
        path: The record, packed or not.
        kinds: Only lines of these kinds, all of `KINDS` unless given.

    Raises:
        InputError: The file cannot be read, or a line is not what its kind holds; the message names the line.
    """
    wanted = frozenset(kinds) or KINDS
    for number, entry in enumerate(read_record(path), start=1):
        if entry["kind"] in wanted:
            yield parse_entry(_LINES, entry, "line of a record", f"{path}, entry {number}")


def call_line(key: str, about: Mapping[str, Any], reply: StoredReply) -> dict[str, Any]:
    """A line of kind `call`.

    Args:
        key: Digest of the call.
        about: Agent, stage, model, prompt and settings, for readers of the record.
        reply: The reply.
    """
    return {"kind": "call", "key": key, **about, "reply": reply.model_dump()}


def auction_line(
    auction: Auction | None, *, task: str, order: str, position: int | None, error: str = ""
) -> dict[str, Any]:
    """A line of kind `auction`; `None` with the error where no agent bid. The task itself is not repeated."""
    line: dict[str, Any] = {"kind": "auction", "task": task, "order": order, "position": position, "auction": None}
    if auction is None:
        return line | {"error": error}
    held = asdict(auction)
    del held["task"], held["id"]
    return line | {"auction": held}


def execution_line(
    execution: Execution, *, task: str, strategy: str | None, outcome: Outcome, planner: str | None = None
) -> dict[str, Any]:
    """A line of kind `execution`. The messages are on the lines of its calls, and not repeated."""
    about = {"kind": "execution", "task": task, "strategy": strategy, "outcome": asdict(outcome), "trace": None}
    return asdict(execution) | about | ({} if planner is None else {"planner": planner})
