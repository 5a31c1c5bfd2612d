"""Calls of a batch: set aside before they are made, settled with their reply, and never made twice.

Everything above this line of the code is the market's own. Whoever asks for a call that is settled is given its reply:
so a task that is taken up again goes the same way as before, without paying for it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import zlib
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from pydantic import TypeAdapter

from sale.batch.halts import BatchHaltError
from sale.batch.job_api import JobApi
from sale.batch.jobs import AT_HAND, JobCall, Jobs
from sale.errors import CallError, CallTimeoutError, NotReadyError, RateLimitedError, RejectedError, StoreError
from sale.memory.batch_jobs import QueuedCall
from sale.memory.batch_ledger import NANO, CallKey, Claim, PaidCall
from sale.memory.batch_rates import RateLimit
from sale.memory.batches import Batch
from sale.types import Usage

R = TypeVar("R")

BACK_OFF: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds to wait after each refusal of an endpoint that is asked too much; after the last it counts as an error."""
MAX_WAIT: Final = 2.0
"""Seconds after which a call that waits for its turn asks again: calls under way that took less make room sooner."""
FREE: Final = (RejectedError, NotReadyError)
"""Refused before any work, or never sent: there is nothing to pay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Codec(Generic[R]):
    """The form in which a reply is kept."""

    dump: Callable[[R], bytes]
    load: Callable[[bytes], R]


def json_codec(kind: type[R]) -> Codec[R]:
    """A frozen value as JSON. A value JSON does not know is kept as its `str`, as the auction memory does."""
    adapter = TypeAdapter(kind)

    def dump(value: R) -> bytes:
        return json.dumps(adapter.dump_python(value, mode="json", fallback=str)).encode()

    return Codec(dump=dump, load=lambda kept: adapter.validate_python(json.loads(kept)))


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCall(Generic[R]):
    """A call that is about to be made."""

    phase: str
    agent: str
    request: str
    """SHA-256 of what is asked, in hex."""
    most: float
    """Dollars it can cost."""
    tokens: int
    """Tokens it can take."""
    seconds: float
    """The longest it may take; waiting for its turn does not count."""
    ask: Callable[[], Awaitable[R]]
    cost: Callable[[R], tuple[float, Usage]]
    """Dollars and tokens of its reply."""
    codec: Codec[R]
    limit: RateLimit | None = None
    api: JobApi | None = None
    """The batch API that it goes to, where it does: then `ask` sends its request through a `JobTransport`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDesk:
    """The jobs of agents that are asked so, and a bound on calls to all others."""

    jobs: Jobs
    live: asyncio.Semaphore
    """Bounds the calls of other agents: many more tasks are at hand than there may be calls at one time."""


class TaskCalls:
    """The calls of one task, while one process works on it."""

    def __init__(
        self,
        batch: Batch,
        claim: Claim,
        paid: Sequence[PaidCall],
        *,
        cap: int,
        desk: JobDesk | None = None,
        queued: Sequence[QueuedCall] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing is asked yet.

        Args:
            batch: Keeps the calls.
            claim: The task.
            paid: Its calls that are settled.
            cap: Nano-dollars of the whole batch.
            desk: For agents that are asked in jobs.
            queued: Its calls that are in jobs.
            sleep: Waits so many seconds.
        """
        self._batch = batch
        self._claim = claim
        self._cap = cap
        self._sleep = sleep
        self._desk = desk
        self._queued = defaultdict[tuple[str, str, str], deque[QueuedCall]](deque)
        for call in queued:
            self._queued[call.key.phase, call.key.agent, call.key.request].append(call)
        self._paid = defaultdict[tuple[str, str, str], deque[bytes]](deque)
        for call in paid:
            self._paid[call.key.phase, call.key.agent, call.key.request].append(call.reply)

    async def make(self, planned: PlannedCall[R]) -> R:
        """Make a call, or give the reply that is on record for it.

        Raises:
            CallError: It failed; the endpoint goes on refusing it, or takes too long.
            BatchHaltError: The task cannot go on here.
        """
        known = self._paid.get((planned.phase, planned.agent, planned.request))
        if known:
            return planned.codec.load(zlib.decompress(known.popleft()))
        if self._desk is None:
            return await self._live(planned)
        if planned.api is not None:
            return await self._in_job(planned, planned.api, self._desk.jobs)
        async with self._desk.live:
            return await self._live(planned)

    async def _live(self, planned: PlannedCall[R]) -> R:
        for pause in BACK_OFF:
            try:
                return await self._once(planned)
            except RateLimitedError:
                await self._sleep(pause)
        return await self._once(planned)

    async def _once(self, planned: PlannedCall[R]) -> R:
        key, second = await self._reserve(planned)
        try:
            reply = await _timed(planned)
        except (*FREE, RateLimitedError):
            self._batch.free(key)
            raise
        except CallError as error:
            # A connection that was never made has cost nothing; of every other failure that is not known.
            (self._batch.free if error.unsent else self._batch.lose)(key)
            raise
        except BaseException:
            self._batch.lose(key)
            raise
        limit = planned.limit
        return await self._settle(planned, key, reply, None if limit is None else (limit, second))

    async def _in_job(self, planned: PlannedCall[R], api: JobApi, jobs: Jobs) -> R:
        """A call by a batch API. In its job it belongs to no process, so one that is cut off stays as it is."""
        key = self._batch.key(self._claim, planned.phase, planned.agent, planned.request)
        call = JobCall(api=api, agent=planned.agent, key=key, most=math.ceil(planned.most * NANO))
        if queued := self._queued.get((planned.phase, planned.agent, planned.request)):
            found = queued.popleft()
            call.key, call.job = found.key, found.job
        token = AT_HAND.set((jobs, call))
        try:
            reply = await planned.ask()
        except CallError as error:
            if call.job is not None:
                (self._batch.free if isinstance(error, FREE) else self._batch.lose)(call.key)
            raise
        finally:
            AT_HAND.reset(token)
        return await self._settle(planned, call.key, reply, None)

    async def _settle(
        self, planned: PlannedCall[R], key: CallKey, reply: R, counted: tuple[RateLimit, int] | None
    ) -> R:
        """Put a reply on record with what it cost."""
        dollars, usage = planned.cost(reply)
        correction = None if counted is None else (*counted, usage.total - planned.tokens)
        packed = zlib.compress(planned.codec.dump(reply), 1)
        try:
            await self._batch.pay(key, round(dollars * NANO), packed, correction)
        except StoreError as error:
            raise BatchHaltError("memory", error) from error
        return reply

    async def _reserve(self, planned: PlannedCall[R]) -> tuple[CallKey, int]:
        key = self._batch.key(self._claim, planned.phase, planned.agent, planned.request)
        while True:
            try:
                found = await self._batch.reserve(
                    key,
                    most=math.ceil(planned.most * NANO),
                    tokens=planned.tokens,
                    limit=planned.limit,
                    cap=self._cap,
                )
            except StoreError as error:
                raise BatchHaltError("memory", error) from error
            if found.taken_over:
                raise BatchHaltError("taken over")
            if found.capped:
                raise BatchHaltError("cap")
            if found.number is not None:
                return replace(key, number=found.number), found.second
            await self._sleep(min(found.wait, MAX_WAIT))


async def _timed(planned: PlannedCall[R]) -> R:
    clock = asyncio.timeout(planned.seconds)
    try:
        async with clock:
            return await planned.ask()
    except TimeoutError as error:
        if not clock.expired():
            raise
        raise CallTimeoutError(f"no answer within {planned.seconds:g} s", where=planned.agent) from error


PRESENT: Final[ContextVar[TaskCalls]] = ContextVar("the calls of the task at hand")
"""Set for the work on one task. Models are shared by the tasks of a process, and nothing that passes through the market
to a model says which task it is for."""


def digest(*parts: object) -> str:
    """SHA-256 of JSON-ready values, in hex."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
