"""Was the work good? Verifiers settle an outcome: by a reference answer, a function, or a judging model.

Tests are run by `code_tests.RunTests`. A verifier that cannot tell says `unknown` and why: it never guesses.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from sale.agents.account import CANCELLED, keep_call
from sale.agents.prompts import verify_prompt
from sale.agents.tools.web.citations import without_sources
from sale.auction.labels import draw_labels
from sale.auction.protocols import JudgeRequest, Juror
from sale.errors import CallTimeoutError, SaleError
from sale.types import Call, Outcome, Task, Usage, Verdict

_ARTICLES = frozenset({"a", "an", "the"})
_LABEL = re.compile(r"^\W*(the\s+)?(final\s+)?answer(\s+is)?\s*:?[\s*_`'\"]*", re.IGNORECASE)
_MINUS = re.compile(r"[\u2212\ufe63]")
_BARE_POINT = re.compile(r"(?<![^\W_])(?<!\.)\.(?=\d)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# What carries meaning: the sign and the decimal point of a number, and the marks of names such as C++ and C#.
_MEANT = re.compile(r"(?<![^\W_])(?<!\))-(?=\d)|(?<=\d)\.(?=\d)|(?<=[^\W_])[+#]+")
VERDICT_TOKENS = 24


def normalise(text: str) -> str:
    """A short answer without case, punctuation, articles and white space, as question answering does.

    Signs and decimal points of numbers stay: -5 is not 5, and 1.5 is not 15. An answer of nothing but marks, such as
    an operator, stays as it is.
    """
    plain = _MINUS.sub("-", unicodedata.normalize("NFKC", text)).casefold().strip()
    plain = _BARE_POINT.sub("0.", _THOUSANDS.sub("", plain))
    meant = {at for found in _MEANT.finditer(plain) for at in range(*found.span())}
    words = "".join(
        " " if unicodedata.category(character)[0] in "PSCZ" and at not in meant else character
        for at, character in enumerate(plain)
    ).split()
    # "A" can be a choice or a grade: articles are dropped only from what is more than an article.
    return " ".join([word for word in words if word not in _ARTICLES] or words) or plain


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """The whole answer, or its last line, equals the reference or an alias once both are normalised."""

    judged_by: ClassVar = "exact match"
    reference: str
    aliases: Sequence[str] = ()

    async def verify(self, task: Task, answer: str) -> Outcome:  # noqa: ARG002  the shape is the Verifier's
        """Compare; a leading `Answer:`, or sources cited, are not held against anybody."""
        answer = without_sources(answer)
        accepted = {normalise(text) for text in (self.reference, *self.aliases)}
        lines = [line for line in answer.splitlines() if line.strip()] or [""]
        given = {normalise(_LABEL.sub("", text)) for text in (answer, lines[-1])} | {normalise(answer)}
        good = bool(given & accepted)
        detail = "" if good else f"expected {self.reference!r}, got {lines[-1][:120]!r}"
        return Outcome(verdict="success" if good else "failure", judged_by=self.judged_by, detail=detail)


@dataclass(frozen=True, slots=True)
class Check:
    """A function of yours, async or plain: true, false, or `None` where it cannot tell."""

    judged_by: ClassVar = "callable"
    function: Callable[[Task, str], Awaitable[bool | None] | bool | None]

    async def verify(self, task: Task, answer: str) -> Outcome:
        """Call it; if it raises, the outcome is unknown and says so."""
        try:
            found = self.function(task, answer)
            good = await found if isinstance(found, Awaitable) else found
        except Exception as error:  # noqa: BLE001  somebody else's function
            return Outcome(verdict="unknown", judged_by=self.judged_by, detail=f"{type(error).__name__}: {error}")
        verdict: Verdict = "unknown" if good is None else "success" if good else "failure"
        return Outcome(verdict=verdict, judged_by=self.judged_by)


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """A judging model, with the reference answer where there is one. Its call is on the settlement."""

    juror: Juror
    reference: str | None = None
    seconds: float = 60.0
    """The longest it may take."""
    draw: Callable[[], str] = secrets.token_hex
    """Draws the label before each verdict: an answer that contains the label could forge a verdict."""

    @property
    def judged_by(self) -> str:
        """The name of this judge in outcomes: `model:` and the juror's name."""
        return f"model:{self.juror.name}"

    async def verify(self, task: Task, answer: str) -> Outcome:
        """Ask; an answer without a verdict makes the outcome unknown."""
        label = f"correct_{draw_labels(1, [self.draw()], [answer])[0]}"
        prompt = verify_prompt(task, answer, self.reference, label=label)
        judged_by = self.judged_by
        request = JudgeRequest(prompt=prompt, max_tokens=VERDICT_TOKENS, schema=verdict_schema(label))
        began = time.monotonic()
        usage, failure, text = Usage(), None, ""
        try:
            async with asyncio.timeout(self.seconds):
                reply = await self.juror.judge(request)
            usage, text = reply.usage, reply.text
        except TimeoutError:
            failure = f"{CallTimeoutError.code}: no answer within {self.seconds:g} s"
        except SaleError as error:
            failure = f"{error.code}: {error.message}"
        except asyncio.CancelledError:
            failure = CANCELLED
            raise
        finally:
            call = Call(
                stage="verify",
                agent=self.juror.name,
                usage=usage,
                dollars=self.juror.price.dollars(usage),
                seconds=time.monotonic() - began,
                prompt=prompt.template,
                error=failure,
            )
            keep_call(call)
        if failure is not None:
            return Outcome(verdict="unknown", judged_by=judged_by, detail=failure, calls=(call,))
        verdict = _verdict(text, label)
        detail = "" if verdict != "unknown" else f"no verdict in {text[:80]!r}"
        return Outcome(verdict=verdict, judged_by=judged_by, detail=detail, calls=(call,))


def verdict_schema(label: str) -> dict[str, object]:
    """JSON schema of an answer with one verdict under a label."""
    return {
        "type": "object",
        "properties": {label: {"type": "boolean"}},
        "required": [label],
        "additionalProperties": False,
    }


def _verdict(text: str, label: str) -> Verdict:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return "unknown"
    verdicts: dict[object, Verdict] = {True: "success", False: "failure"}
    given = cast("dict[str, object]", found).get(label) if isinstance(found, dict) else None
    return verdicts[given] if isinstance(given, bool) else "unknown"
