"""Calls that go to an endpoint's batch API in jobs: collected over all tasks at hand, sent together, and awaited.

A job is sent when nothing else is under way: each task at hand waits for a reply of a job. So where all agents are
asked in jobs, all bids go first, then all judgements, then all work. A task that waits takes little, so that many are
at hand.

Every step is on the ledger before it is taken. A call in a job belongs to no process: whoever takes up its task waits
for the same job, and is given the reply that was paid for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import httpx2

from sale.batch.halts import BatchHaltError
from sale.batch.job_api import UNLISTED, JobApi, JobEnd, JobReply
from sale.errors import BadReplyError, CallError, RateLimitedError, RejectedError, StoreError
from sale.memory.batch_jobs import JobRecord
from sale.memory.batch_ledger import CallKey, CallPermit
from sale.memory.batches import Batch

T = TypeVar("T")
Sent = asyncio.Future[JobReply | None]
"""Done once a call is in a job, or with the refusal for which it is not."""
LOG: Final = logging.getLogger("sale.batch")
HELD: Final = 5_000
"""Tasks at hand in one process, where agents are asked in jobs."""
MAX_REQUESTS: Final = 10_000
"""Requests of one job; OpenAI takes 50,000."""
MAX_BYTES: Final = 90_000_000
"""Bytes of the requests of one job; OpenAI takes 200 MB, other hosts 100."""
TRIES: Final = 3
"""Jobs in which a request is sent that is not done, or refused because there are too many, before that is an error."""
TOO_MANY: Final = 429
REFUSED: Final = 400
CHUNK: Final = 500
"""Calls set aside in one transaction: others wait for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The seconds that jobs wait."""

    quiet: float = 0.5
    """Without a new request, before a job is sent, where nothing else is under way."""
    patience: float = 60.0
    """Without a new request, before a job is sent, whatever else is under way."""
    look: float = 0.1
    """Between looks at whether it is time."""
    first: float = 1.0
    """Before the second question how a job is; each next one waits twice as long."""
    most: float = 60.0
    """Between questions how a job is, at most, and before what could not be sent is sent again."""


@dataclass(eq=False, kw_only=True)
class JobCall:
    """A call that goes in a job."""

    api: JobApi
    agent: str
    key: CallKey
    """With the number 0 until it is in a job."""
    most: int
    """Nano-dollars it can cost."""
    job: str | None = None
    """The job it is in: what it can cost is set aside."""
    body: bytes = b""

    @property
    def name(self) -> str:
        """Its name in its job, of the fields of its key."""
        said = json.dumps([getattr(self.key, name) for name in CallKey.__slots__])
        return uuid.uuid5(uuid.NAMESPACE_OID, said).hex


class Jobs:
    """The jobs of one process at work on a batch."""

    def __init__(
        self,
        batch: Batch,
        *,
        cap: int,
        pace: Pace | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        most_requests: int = MAX_REQUESTS,
    ) -> None:
        """Nothing is sent yet.

        Args:
            batch: Keeps jobs and calls.
            cap: Nano-dollars of the whole batch.
            pace: How long to wait for what.
            sleep: Waits so many seconds.
            most_requests: Requests of one job.
        """
        self.held = 0
        """Tasks at hand."""
        self._batch = batch
        self._cap = cap
        self._pace = pace or Pace()
        self._sleep = sleep
        self._size = defaultdict[str, int](lambda: most_requests)
        """By agent, the most requests of one job."""
        self._waiting = Counter[str]()
        """By task, its calls that wait for a reply."""
        self._collected = dict[JobCall, Sent]()
        self._sending = set[str]()
        self._joined = 0.0
        """When the last call was collected."""
        self._not_before = 0.0
        """When what could not be sent may be sent again."""
        self._background = set[asyncio.Task[Any]]()
        self._sender: asyncio.Task[None] | None = None
        self._watched = dict[str, asyncio.Task[JobEnd]]()

    async def reply(self, call: JobCall, body: bytes) -> JobReply:
        """Have a request done in a job, and wait for its reply; where it is in a job already, of that one.

        Raises:
            BatchHaltError: The cap allows no further call, another process has the task, or the memory or the endpoint
                does not say what has become of the job.
        """
        task, call.body = call.key.task, body
        self._waiting[task] += 1
        try:
            return await self._done(call)
        except StoreError as error:
            raise BatchHaltError("memory", error) from error
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]

    async def _done(self, call: JobCall) -> JobReply:
        tries = 0
        while True:
            found = None if call.job is not None else await self._collect(call)
            if call.job is not None:
                end = await self._end(call.api, call.agent, call.job)
                found = end.reply(call.name)
                if found is not None and found.status != TOO_MANY:
                    return found
                (self._batch.lose if end.gone else self._batch.free)(call.key)
                call.job = None
                tries -= end.again
            elif found is not None and found.status != TOO_MANY:
                return found
            tries += 1
            if tries == TRIES:
                return found or JobReply.refusal(TOO_MANY, f"it was not done in {TRIES} jobs")

    async def _collect(self, call: JobCall) -> JobReply | None:
        """Wait until a call is in a job; a refusal where that could not be begun."""
        sent: asyncio.Future[JobReply | None] = asyncio.get_running_loop().create_future()
        self._put(call, sent)
        try:
            return await sent
        finally:
            self._collected.pop(call, None)

    def _put(self, call: JobCall, sent: Sent) -> None:
        self._collected[call], self._joined = sent, time.monotonic()
        if self._sender is None or self._sender.done():
            self._sender = self._start(self._send_when_quiet())

    async def _send_when_quiet(self) -> None:
        """Send what is collected, each agent's by itself, until nothing is. Ends in the step in which it finds that."""
        while self._collected:
            await self._sleep(self._pace.look)
            now = time.monotonic()
            still, all_wait = now - self._joined, self.held <= len(self._waiting)
            due = still >= (self._pace.quiet if all_wait else self._pace.patience)
            by_agent = defaultdict[str, list[JobCall]](list)
            for call in self._collected if now >= self._not_before else ():
                by_agent[call.agent].append(call)
            for agent, calls in by_agent.items():
                while calls and (due or len(calls) >= self._size[agent]):
                    part = _part(calls, self._size[agent])
                    calls = calls[len(part) :]
                    job, sent = uuid.uuid4().hex, {one: self._collected.pop(one) for one in part}
                    self._sending.add(job)
                    self._start(self._send(job, sent))

    async def _send(self, job: str, calls: Mapping[JobCall, Sent]) -> None:
        """Put a job on record with what it can cost, and then send it."""
        try:
            first = next(iter(calls))
            await self._batch.open_job(job, first.agent)
            admitted = await self._set_aside(job, calls)
            refusal = await self._begin(first.api, job, admitted)
            for call, sent in admitted.items():
                call.job = job if refusal is None else None
                _tell(sent, refusal)
        except StoreError as error:
            for sent in calls.values():
                if not sent.done():
                    sent.set_exception(error)
        finally:
            self._sending.discard(job)

    async def _set_aside(self, job: str, calls: Mapping[JobCall, Sent]) -> dict[JobCall, Sent]:
        """Set aside what calls can cost, as far as the cap allows; gives back those that may be sent."""
        waiting, admitted = list(calls), dict[JobCall, Sent]()
        while waiting:
            part, waiting = waiting[:CHUNK], waiting[CHUNK:]
            permits = await self._batch.fill_job(job, [(call.key, call.most) for call in part], self._cap)
            for call, permit in zip(part, permits, strict=True):
                if permit.number is not None:
                    call.key = replace(call.key, number=permit.number)
                    admitted[call] = calls[call]
                elif not calls[call].done():
                    self._put_off(call, calls[call], permit)
        return admitted

    def _put_off(self, call: JobCall, sent: Sent, permit: CallPermit) -> None:
        """A call is not admitted: for good, or until a job has ended and cost less than was set aside."""
        if permit.taken_over or permit.capped:
            sent.set_exception(BatchHaltError("taken over" if permit.taken_over else "cap"))
            return
        self._put(call, sent)
        self._not_before = time.monotonic() + self._pace.most

    async def _begin(self, api: JobApi, job: str, calls: Mapping[JobCall, Sent]) -> JobReply | None:
        """Send a job that is on record; a refusal where it could not be begun."""
        try:
            if not calls:
                raise RejectedError("none of its calls is within the cap")
            file = await api.upload(job, {call.name: json.loads(call.body) for call in calls})
            await self._batch.note_job(job, file=file)
            try:
                remote = await api.begin(job, file)
            except CallError as error:
                if not isinstance(error, (RejectedError, RateLimitedError)) and not error.unsent:
                    return None  # it may have been begun: whoever waits for it finds that out
                raise
        except CallError as error:
            await self._batch.drop_job(job)
            if isinstance(error, RejectedError):
                return JobReply.refusal(REFUSED, error.message)
            self._not_before = time.monotonic() + self._pace.most
            return JobReply.refusal(TOO_MANY, error.message)
        await self._batch.note_job(job, remote=remote)
        return None

    async def _end(self, api: JobApi, agent: str, job: str) -> JobEnd:
        """Wait for the end of a job; one task does so for all calls in it."""
        if job not in self._watched:
            self._watched[job] = self._start(self._watch(api, agent, job))
        return await asyncio.shield(self._watched[job])

    async def _watch(self, api: JobApi, agent: str, job: str) -> JobEnd:
        pause = self._pace.first
        while (record := await self._batch.job(job)) is not None and record.remote is None:
            own = record.owner == self._batch.owner and job not in self._sending
            if own or await self._batch.adopt_job(record):
                await self._find(api, record)
            else:
                await self._sleep(pause)
                pause = min(2 * pause, self._pace.most)
        if record is None or (remote := record.remote) is None:
            return JobEnd()  # it was never begun, and dropped
        if remote == UNLISTED:
            return JobEnd(gone=True)
        pause = self._pace.first
        while (end := await self._persist(lambda: api.end(remote))) is None:
            await self._sleep(pause)
            pause = min(2 * pause, self._pace.most)
        self._not_before = 0.0
        if end.too_much and self._size[agent] > 1:
            self._size[agent] //= 2
            self._not_before = time.monotonic() + self._pace.most
            return JobEnd(again=True)
        return end

    async def _find(self, api: JobApi, record: JobRecord) -> None:
        """Find out whether a job was begun whose sending was broken off."""
        file = record.file
        remote = None if file is None else await self._persist(lambda: api.find(record.id, file))
        if remote is None:
            await self._batch.drop_job(record.id)
        else:
            await self._batch.note_job(record.id, remote=remote)

    async def _persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask an endpoint about a job until it answers: what the job did is paid for.

        Raises:
            BatchHaltError: It refuses to, or cannot be understood.
        """
        while True:
            try:
                return await ask()
            except (RejectedError, BadReplyError) as error:
                raise BatchHaltError("endpoint", error) from error
            except CallError as error:
                LOG.warning("an endpoint does not say how a job is, and is asked again: %s", error)
                await self._sleep(self._pace.most)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def aclose(self) -> None:
        """Leave everything as it is on record."""
        running = list(self._background)
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)


class JobTransport(httpx2.AsyncBaseTransport):
    """Carries a request to the jobs of the call at hand, in place of a connection."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Wait for the reply of a job."""
        jobs, call = AT_HAND.get()
        reply = await jobs.reply(call, await request.aread())
        return httpx2.Response(reply.status, content=reply.body, headers={"content-type": "application/json"})


AT_HAND: Final[ContextVar[tuple[Jobs, JobCall]]] = ContextVar("the call of a job at hand")
"""Set for one request. Nothing that passes through a model's client says which call it is for."""


def _part(calls: Sequence[JobCall], most: int) -> Sequence[JobCall]:
    """The first calls, as many as one job takes; at least one."""
    size, count = 0, 0
    for call in calls[:most]:
        size += len(call.body)
        if count and size > MAX_BYTES:
            break
        count += 1
    return calls[:count]


def _tell(sent: Sent, refusal: JobReply | None) -> None:
    if not sent.done():  # its caller may have left
        sent.set_result(refusal)
