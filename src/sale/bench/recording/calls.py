"""A model whose calls are recorded, and answered from the record where the same call was made before.

The same call is the same model, messages and settings; the labels drawn for a ballot aside. Everything above this line
of the code is the product's own: the real auctioneer, contractors and memory run over recorded calls as over live ones,
so a replay is the market itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sale.bench.recording.ballots import question_of
from sale.bench.recording.lines import CallLine, StoredReply, call_line, read_lines
from sale.bench.recording.log import RecordWriter
from sale.errors import BadReplyError, CallError, retrieve_error
from sale.models.protocol import GenerationRequest, Model, ModelWrapper, ToolModel
from sale.types import Reply, TokenLogprobs, Usage

MIN_LOGPROB = math.log(0.005)
"""Alternatives below half a percent are not kept one by one: their probability goes into the tail, as that of tokens
the endpoint does not name."""
DECIMALS = 3


Ask = Callable[[], Awaitable[Reply]]
"""Makes the call."""


class RunEndedError(BaseException):
    """The run cannot go on. No `Exception`: the market contains those, and would put it down to the agent."""


class NotRecordedError(RunEndedError):
    """A replay needs a call that is not on record."""


class RunStoppedError(RunEndedError):
    """A model cannot be reached."""


@dataclass(slots=True)
class ModelQueue:
    """One model at a time, `width` calls of it at once: engines that share cores must not think against each other."""

    width: int
    _condition: asyncio.Condition = field(default_factory=asyncio.Condition)
    _current: str = ""
    _running: int = 0
    _waiting: Counter[str] = field(default_factory=Counter[str])

    @asynccontextmanager
    async def of(self, model: str) -> AsyncGenerator[None]:
        """Wait for the model's turn, and hold it."""
        async with self._condition:
            self._waiting[model] += 1
            try:
                await self._condition.wait_for(lambda: self._may(model))
            finally:
                self._waiting[model] -= 1
            self._current = model
            self._running += 1
        try:
            yield
        finally:
            async with self._condition:
                self._running -= 1
                self._condition.notify_all()

    def _may(self, model: str) -> bool:
        if self._running == 0:
            return self._current == model or self._waiting[self._current] == 0
        return self._current == model and self._running < self.width


class CallLog:
    """All calls of a record, by key. Without a writer nothing new can be asked: that is a replay."""

    def __init__(
        self, path: Path, writer: RecordWriter | None, turns: ModelQueue | None = None, borrow: Sequence[Path] = ()
    ) -> None:
        """Read what is there.

        Args:
            path: The record.
            writer: Takes new calls.
            turns: Whose turn it is.
            borrow: Records whose calls are copied where the same call is asked for.
        """
        self._writer = writer
        self._replies: dict[str, StoredReply] = {}
        self.usage: dict[str, Usage] = {}
        """Tokens every agent has read and written in all calls on record."""
        for line in _calls_on(path):
            self._keep(line.key, line.agent, line.reply)
        self._lent = {line.key: line.reply for other in borrow for line in _calls_on(other)}
        self._pending: dict[str, asyncio.Task[Reply]] = {}
        self.turns = turns or ModelQueue(width=1)
        self.made = 0
        """Calls made and not found."""

    def __len__(self) -> int:
        return len(self._replies)

    def _keep(self, key: str, agent: str, stored: StoredReply) -> None:
        self._replies[key] = stored
        read, written = stored.usage
        self.usage[agent] = self.usage.get(agent, Usage()) + Usage(input_tokens=read, output_tokens=written)

    def find_reply(self, key: str) -> Reply | None:
        """The reply to a call that was made before."""
        stored = self._replies.get(key)
        return None if stored is None else reply_of(stored)

    async def ask(self, key: str, line: Mapping[str, Any], model: str, call: Ask) -> Reply:
        """The recorded reply, or a new one, recorded before it is used. Two who ask the same at once share one call.

        Raises:
            NotRecordedError: It is not on record, and this is a replay.
            RunStoppedError: The model cannot be reached.
        """
        if (known := self.find_reply(key)) is not None:
            return known
        if self._writer is None:
            raise NotRecordedError(f"the {line['stage']} call of {line['agent']} is not on record")
        if key in self._lent:
            stored = self._lent[key]
            self._write(call_line(key, line, stored))
            self._keep(key, line["agent"], stored)
            return reply_of(stored)
        if key not in self._pending:
            self._pending[key] = made = asyncio.create_task(self._make(key, line, model, call))
            # Whoever asked may have been cancelled, with the run: then nobody awaits its error, which is no news.
            made.add_done_callback(retrieve_error)
        return await asyncio.shield(self._pending[key])

    async def _make(self, key: str, line: Mapping[str, Any], model: str, call: Ask) -> Reply:
        try:
            async with self.turns.of(model):
                reply = await call()
            stored = stored_reply(reply)
            self._write(call_line(key, line, stored))
            self._keep(key, line["agent"], stored)
            self.made += 1
            return reply_of(stored)
        finally:
            del self._pending[key]

    async def aclose(self) -> None:
        """Give up the calls still under way: whoever asked for them is gone, and their models are about to be."""
        pending = list(self._pending.values())
        for call in pending:
            call.cancel()
        if pending:
            await asyncio.wait(pending)

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.append(line)


class RecordedModel(ModelWrapper):
    """A model between an agent and the record."""

    def __init__(self, model: Model, log: CallLog, *, agent: str, identity: str, temperature: float) -> None:
        """Wrap a model.

        Args:
            model: The real one; never asked for what is on record.
            log: The record's calls.
            agent: Whose it is, for readers of the record.
            identity: What makes it the same model another time: weights, or endpoint and name.
            temperature: Its sampling temperature, part of every key.
        """
        super().__init__(model)
        self._log = log
        self._agent = agent
        self._identity = identity
        self._temperature = temperature

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """The reply on record, or the model's; see `question_of` for ballots."""
        prompt, sample = request.prompt, {"sample": request.sample} if request.sample else {}
        question = question_of(prompt, request.schema)
        settings = {
            "model": self._identity,
            "system": prompt.system,
            "user": question.prompt.user,
            "max_tokens": request.max_tokens,
            "schema": question.schema,
            "measure": request.measure,
            "temperature": self._temperature,
        } | sample
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]
        line = {
            "agent": self._agent,
            "stage": prompt.template.partition("@")[0],
            "template": prompt.template,
            "model": self._identity,
            "prompt": {"system": prompt.system, "user": question.prompt.user},
            "max_tokens": request.max_tokens,
            "schema": request.schema is not None,
            "temperature": self._temperature,
        } | sample

        async def call() -> Reply:
            try:
                reply = await self._model.generate(request)
                return question.exchange_labels(reply)
            except BadReplyError:
                raise  # the agent's own doing
            except CallError as error:
                raise RunStoppedError(f"{self._agent}: {error.code}: {error.message}") from error

        return question.exchange_labels(await self._log.ask(key, line, self._identity, call))

    async def for_tools(self) -> ToolModel:
        """Not recorded: agents of recorded runs work directly or in steps.

        Raises:
            CallError: Always.
        """
        raise CallError("calls of the tool loop are not recorded", where=self._agent, hint='Use execution = "steps".')


def _calls_on(path: Path) -> Iterator[CallLine]:
    return (line for line in read_lines(path, "call") if isinstance(line, CallLine))


def stored_reply(reply: Reply) -> StoredReply:
    """A reply as the record keeps it: a token is its text, log-probability, width, and its likely alternatives."""
    return StoredReply(
        text=reply.text,
        usage=(reply.usage.input_tokens, reply.usage.output_tokens),
        seconds=round(reply.seconds, 3),
        truncated=reply.truncated,
        logprobs=None if reply.logprobs is None else [_stored_token(token) for token in reply.logprobs],
    )


def _stored_token(token: TokenLogprobs) -> list[Any]:
    kept = [[text, round(value, DECIMALS)] for text, value in token.top if value >= MIN_LOGPROB]
    flat = [part for pair in kept for part in pair]
    return [token.token, round(token.logprob, DECIMALS), len(token.top), *flat]


def reply_of(stored: StoredReply) -> Reply:
    """A stored reply as it came, but for alternatives of hardly any probability."""
    read, written = stored.usage
    given = stored.logprobs
    return Reply(
        text=stored.text,
        usage=Usage(input_tokens=read, output_tokens=written),
        seconds=stored.seconds,
        truncated=stored.truncated,
        logprobs=None if given is None else tuple(_token_of(token) for token in given),
    )


def _token_of(stored: list[Any]) -> TokenLogprobs:
    token, logprob, width, *flat = stored
    kept = list(zip(flat[::2], flat[1::2], strict=True))
    # The width counts in the normalisation of entropy: what was not kept stands there with no probability.
    return TokenLogprobs(token=token, logprob=logprob, top=(*kept, *((("", -math.inf),) * (width - len(kept)))))
