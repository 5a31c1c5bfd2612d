"""OpenAI's batch API, as many hosts have it: a file of requests in, a job to wait for, a file of replies out.

    POST /files -> POST /batches -> GET /batches/{id} … -> GET /files/{id}/content

A job is known by a name of ours in its metadata, so that it can be found again where the endpoint's id of it was lost.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from sale.errors import BadReplyError
from sale.models.address import Address, RequestShape
from sale.models.asking import TRANSPORT_RETRIES
from sale.models.errors import map_errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openai import AsyncOpenAI
    from openai.types import Batch as RemoteJob

URL: Final = "/v1/chat/completions"
WINDOW: Final = "24h"
"""The only one there is."""
NAME: Final = "sale_job"
"""The field of a job's metadata that holds our name of it."""
UNLISTED: Final = ""
"""In place of the id of a job that cannot be looked for."""
NO_SUCH_PATH: Final = frozenset({404, 405, 501})
FINAL: Final = frozenset({"completed", "failed", "expired", "cancelled"})
TOO_MUCH: Final = "token_limit_exceeded"
"""The code of a job that was refused because others are queued: it may be given again later, or in parts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobReply:
    """The reply to one request of a job, as it would have come by HTTP."""

    status: int
    body: bytes

    @classmethod
    def refusal(cls, status: int, message: str) -> JobReply:
        """A refusal, in the form in which an endpoint makes one."""
        return cls(status=status, body=json.dumps({"error": {"message": message}}).encode())


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnd:
    """A job that has ended. A request without a reply was not done, and costs nothing."""

    replies: dict[str, JobReply] = field(default_factory=dict[str, JobReply])
    """By the name of the request."""
    refused: str | None = None
    """Why the endpoint has refused the job as a whole."""
    too_much: bool = False
    """True where that was because too much is queued already."""
    gone: bool = False
    """True where the endpoint does not know the job, or has not kept its replies: what it cost is not known."""
    again: bool = False
    """True where its requests are to be given once more, whatever has become of them before."""

    def reply(self, name: str) -> JobReply | None:
        """Take out the reply to a request; `None` where it was not done."""
        if self.refused is not None:
            return JobReply.refusal(400, self.refused)
        return self.replies.pop(name, None)


class JobApi(Protocol):
    """A batch API, for one agent's model. Failures are raised as `CallError`."""

    async def upload(self, job: str, requests: Mapping[str, Mapping[str, Any]]) -> str:
        """Send a job's requests, bodies by name; gives back the endpoint's id of them. That begins nothing."""
        ...

    async def begin(self, job: str, file: str) -> str:
        """Begin a job; gives back the endpoint's id of it."""
        ...

    async def find(self, job: str, file: str) -> str | None:
        """Return the id of a job that may have been begun; if `None`, it was not, and cannot be any more.

        It is `UNLISTED` where the endpoint has no list of jobs, so that it cannot be known.
        """
        ...

    async def end(self, remote: str) -> JobEnd | None:
        """Return how a job ended; `None` while it has not."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class OpenAIJobs:
    """The batch API at the address of an agent's model."""

    def __init__(self, agent: str, address: Callable[[], Awaitable[Address]]) -> None:
        """Nothing is opened yet."""
        self._agent = agent
        self._address = address
        self._client: AsyncOpenAI | None = None
        self._hide: tuple[str, ...] = ()

    async def upload(self, job: str, requests: Mapping[str, Mapping[str, Any]]) -> str:
        """Send requests; see `JobApi.upload`."""
        lines = [
            json.dumps({"custom_id": name, "method": "POST", "url": URL, "body": body})
            for name, body in requests.items()
        ]
        client = await self._opened()
        with map_errors(self._agent, self._hide):
            sent = await client.files.create(file=(f"{job}.jsonl", "\n".join(lines).encode()), purpose="batch")
        return sent.id

    async def begin(self, job: str, file: str) -> str:
        """Begin a job; see `JobApi.begin`. It is asked for once: where that fails, `find` tells what came of it."""
        client = await self._opened()
        with map_errors(self._agent, self._hide):
            begun = await client.with_options(max_retries=0).batches.create(
                input_file_id=file, endpoint=URL, completion_window=WINDOW, metadata={NAME: job}
            )
        return begun.id

    async def find(self, job: str, file: str) -> str | None:
        """Look for a job; see `JobApi.find`. Without its file it can no longer be begun, by a request that is late."""
        found = await self._look_for(job)
        if found is not None:
            return found
        from openai import NotFoundError  # noqa: PLC0415  slow to load

        client = await self._opened()
        with map_errors(self._agent, self._hide), contextlib.suppress(NotFoundError):
            await client.files.delete(file)
        return await self._look_for(job)

    async def _look_for(self, job: str) -> str | None:
        from openai import APIStatusError  # noqa: PLC0415  slow to load

        client = await self._opened()
        with map_errors(self._agent, self._hide):
            try:
                async for one in client.batches.list(limit=100):
                    if (one.metadata or {}).get(NAME) == job:
                        return one.id
            except APIStatusError as error:
                if error.status_code in NO_SUCH_PATH:
                    return UNLISTED
                raise
        return None

    async def end(self, remote: str) -> JobEnd | None:
        """Ask how a job is, and fetch its replies where it has ended; see `JobApi.end`."""
        from openai import NotFoundError  # noqa: PLC0415  slow to load

        client = await self._opened()
        with map_errors(self._agent, self._hide, reading=True):
            try:
                job = await client.batches.retrieve(remote)
                if job.status not in FINAL:
                    return None
                files = [one for one in (job.output_file_id, job.error_file_id) if one]
                texts = [(await client.files.content(one)).content for one in files]
            except NotFoundError:
                return JobEnd(gone=True)
        if job.status == "failed":
            return _refusal(job)
        return JobEnd(replies=_replies(texts, self._agent))

    async def _opened(self) -> AsyncOpenAI:
        if self._client is None:
            from sale.models.connection import connect  # noqa: PLC0415  slow to load

            address = await self._address()
            # What is asked of the API itself is not what the model is asked: it keeps the headers alone.
            shape = address.shape
            plain = RequestShape(headers=shape.headers, secret_headers=shape.secret_headers, query=shape.query)
            bare = replace(address, shape=plain)
            model = connect(bare, agent=self._agent, retries=TRANSPORT_RETRIES)
            self._client, self._hide = model.client, model.hide
        return self._client

    async def aclose(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _refusal(job: RemoteJob) -> JobEnd:
    faults = (job.errors.data if job.errors is not None else None) or []
    said = "; ".join(fault.message or fault.code or "" for fault in faults) or "the endpoint does not say why"
    return JobEnd(refused=said, too_much=any(fault.code == TOO_MUCH for fault in faults))


def _replies(texts: Sequence[bytes], agent: str) -> dict[str, JobReply]:
    """The replies in a job's files of output and of errors.

    Raises:
        BadReplyError: A line cannot be read as a reply.
    """
    found: dict[str, JobReply] = {}
    for line in b"\n".join(texts).splitlines():
        if not line.strip():
            continue
        try:
            said = cast("dict[str, Any]", json.loads(line))
            name, response = str(said["custom_id"]), cast("dict[str, Any] | None", said.get("response"))
            # Without a response it was not done: the job expired or was cancelled before.
            if response is not None:
                found[name] = JobReply(status=int(response["status_code"]), body=json.dumps(response["body"]).encode())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise BadReplyError(f"a line of a job's replies cannot be read: {error}", where=agent) from error
    return found
