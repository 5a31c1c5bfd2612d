"""A model that says what it is told to: for tests and documentation, public and strict.

It is asked exactly as a real one is. Each reply is chosen by a function of the prompt, so a script can look at what it
is shown; `persona` makes the common one, an agent with a plan, opinions and an answer. Nothing is estimated: usage is
counted in words, and log-probabilities are given only where the script has them.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from sale.errors import CallError
from sale.models.protocol import GenerationRequest
from sale.types import Prompt, Reply, TokenLogprobs, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One scripted reply."""

    text: str
    tokens: int | None = None
    """Output tokens to report; the number of words unless given."""
    logprobs: tuple[TokenLogprobs, ...] | None = None
    seconds: float = 0.0
    """Seconds to wait before answering."""


Script = Callable[[Prompt, Mapping[str, object] | None], "Line | str | CallError"]


def persona(
    *,
    plan: str,
    opinion: Callable[[str], int] | int = 3,
    answer: str = "",
    refined: str | None = None,
    certainty: float | None = None,
) -> Script:
    """An agent with a plan, an opinion of plans, and an answer.

    Args:
        plan: Its strategy.
        opinion: The score it gives a plan, or a function of the plan's text.
        answer: What it answers when it works.
        refined: Its strategy after a look at the memory; the same plan unless given.
        certainty: Probability it gives each word of its plans, which decides their entropy; no log-probabilities
            unless given.
    """

    def script(prompt: Prompt, schema: Mapping[str, object] | None) -> Line | str:
        stage = prompt.template.partition("@")[0]
        if stage in {"judge", "judge_panel"} and schema is not None:
            plans = plans_in(prompt.user)
            return json.dumps(
                {label: opinion if isinstance(opinion, int) else opinion(text) for label, text in plans.items()}
            )
        if stage in {"bid", "refine"}:
            text = refined if stage == "refine" and refined is not None else plan
            return Line(text=text, logprobs=_certain(text, certainty) if certainty else None)
        return answer

    return script


def plans_in(prompt: str) -> dict[str, str]:
    """The plans a juror is shown, by label."""
    found: dict[str, str] = {}
    for chunk in prompt.split("<plan ")[1:]:
        head, _, rest = chunk.partition(">\n")
        found[head.split()[0]] = rest.partition("\n</plan")[0]
    return found


def _certain(text: str, probability: float) -> tuple[TokenLogprobs, ...]:
    from_one = math.log(probability)
    return tuple(TokenLogprobs(token=word, logprob=from_one, top=((word, from_one),)) for word in text.split())


@dataclass(slots=True)
class ScriptedModel:
    """A `Model` that follows a script and remembers what it was asked."""

    script: Script
    asked: list[Prompt] = field(default_factory=list[Prompt])
    samples: list[int] = field(default_factory=list[int])
    """Which sample was asked for, each time."""

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """The script's line; see `Model.generate`."""
        prompt, max_tokens = request.prompt, request.max_tokens
        self.asked.append(prompt)
        self.samples.append(request.sample)
        line = self.script(prompt, request.schema)
        if isinstance(line, CallError):
            raise line
        line = Line(text=line) if isinstance(line, str) else line
        await asyncio.sleep(line.seconds)
        words = len(line.text.split())
        return Reply(
            text=line.text,
            usage=Usage(
                input_tokens=len(prompt.system.split()) + len(prompt.user.split()),
                output_tokens=min(max_tokens, words if line.tokens is None else line.tokens),
            ),
            seconds=line.seconds,
            logprobs=line.logprobs if request.measure else None,
            truncated=(words if line.tokens is None else line.tokens) > max_tokens,
        )

    async def for_tools(self) -> FunctionModel:
        """A tool-loop model that answers, without a tool, with the script's line for a `work` prompt."""

        async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            shown = "\n".join(str(getattr(part, "content", "")) for message in messages for part in message.parts)
            prompt = Prompt(system=info.instructions or "", user=shown, template="work")
            settings = info.model_settings
            limit = settings["max_tokens"] if settings and "max_tokens" in settings else sys.maxsize
            reply = await self.generate(GenerationRequest(prompt, max_tokens=limit))
            return ModelResponse(
                parts=[TextPart(reply.text)],
                usage=RequestUsage(input_tokens=reply.usage.input_tokens, output_tokens=reply.usage.output_tokens),
                finish_reason="length" if reply.truncated else "stop",
            )

        return FunctionModel(respond, model_name="scripted")

    async def aclose(self) -> None:
        """Nothing to let go of."""
