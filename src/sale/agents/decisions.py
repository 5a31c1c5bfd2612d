"""Decision models: endpoints that answer a typed question about a state with a probability, and write no text.

Two protocols are spoken: System One (`POST /v1/systemone`, a map of questions of type `noul`), which many servers of
open models offer, and the Decisions API (`POST /v1/decisions`, a list of questions of type `predicate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httpx2
from pydantic import SecretStr

from sale.auction.prompts import harmless_parts, render_candidate
from sale.auction.protocols import Answer, Question
from sale.config.jurors import DecisionProtocol
from sale.errors import (
    BadReplyError,
    CallTimeoutError,
    RateLimitedError,
    RejectedError,
    ServerError,
    UnreachableError,
)
from sale.types import Price, Usage

_NAME = "suited"
MAX_TOKENS = 10**9


@dataclass(frozen=True, kw_only=True)
class DecisionRespondent:
    """A decision model behind an endpoint, as a juror."""

    name: str
    endpoint: str
    """The base URL, usually ending in `/v1`."""
    model: str
    price: Price
    """Dollars per million tokens."""
    api_key: SecretStr | None = None
    protocol: DecisionProtocol = "systemone"
    seconds: float = 60.0
    """The longest one answer may take."""

    async def answer(self, question: Question, /) -> Answer:
        """Ask once. The state is the task and as much of the bid as the juror reads, `plan` and `found`.

        Raises:
            CallError: It cannot be reached, refuses, takes too long, or its answer holds no probability.
        """
        headers = {"Authorization": f"Bearer {self.api_key.get_secret_value()}"} if self.api_key else {}
        address = f"{self.endpoint.rstrip('/')}/{self.protocol}"
        try:
            async with httpx2.AsyncClient(timeout=self.seconds, headers=headers) as client:
                response = await client.post(address, json=self._body(question))
        except httpx2.TimeoutException as error:
            raise CallTimeoutError(f"no answer within {self.seconds:g} s", where=self.name) from error
        except httpx2.HTTPError as error:
            raise UnreachableError(f"{type(error).__name__}: {error}", where=self.name) from error
        return self._read(response)

    def _body(self, question: Question) -> dict[str, object]:
        if self.protocol == "systemone":
            state = {"task": question.task.text, **harmless_parts(question.strategy)}
            asked: object = {_NAME: {"type": "noul", "instructions": question.text}}
            return {"model": self.model, "state": state, "questions": asked}
        predicate = {"type": "predicate", "name": _NAME, "instructions": question.text}
        shown = render_candidate(question.task, question.strategy)
        return {"model": self.model, "input": shown, "questions": [predicate]}

    def _read(self, response: httpx2.Response) -> Answer:
        if response.is_error:
            limited = response.status_code == HTTPStatus.TOO_MANY_REQUESTS
            kind = RateLimitedError if limited else RejectedError if response.is_client_error else ServerError
            raise kind(f"status {response.status_code}: {response.text[:200]!r}", where=self.name)
        try:
            document: Any = response.json()
            answers = document["answers"]
            probability = (
                answers[_NAME]["noul"] if self.protocol == "systemone" else _predicate(cast("list[Any]", answers))
            )
            return Answer(probability=_number(probability), usage=_usage(document.get("usage")))
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise BadReplyError(f"the answer holds no probability: {response.text[:120]!r}", where=self.name) from error


def _predicate(answers: list[Any]) -> object:
    for one in answers:
        if one["name"] == _NAME and one["type"] == "predicate":
            return one["probability"]
    raise ValueError("no answer to the question")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _usage(found: object) -> Usage:
    """Return the usage that the endpoint reports; zero where it reports none."""
    said = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    read, written = (_count(said.get(name)) for name in ("input_tokens", "output_tokens"))
    return Usage(input_tokens=read, output_tokens=written)


def _count(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        raise ValueError("no count of tokens")
    return value
