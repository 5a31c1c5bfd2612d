"""The chat model of Pydantic AI, made fit for endpoints that only imitate OpenAI's.

An answer is mended before it is validated, where that loses nothing: log-probabilities that are none go, thinking is
told from the text whichever way it is marked, an impossible usage is dropped. What cannot be mended is a
`BadReplyError`, also where reading it makes a library fail in a way of its own.
"""

from __future__ import annotations

from typing import Any, TypeGuard, cast

from openai import AsyncOpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice, ChoiceLogprobs
from pydantic import BaseModel
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings

from sale.models.errors import map_errors
from sale.models.logprobs import MAX_LOGPROB, MIN_LOGPROB, usable_entries
from sale.models.usage import tokens_beside
from sale.types.thoughts import split_thoughts

# A count beyond it is not a count; it would not fit the records either.
MAX_TOKENS = 10**9
REASONING_FIELDS = ("reasoning", "reasoning_content")


class ChatModel(OpenAIChatModel):
    """A chat model whose failures are ours, and that mends what imitators get wrong."""

    def __init__(
        self,
        model: str,
        *,
        provider: Provider[AsyncOpenAI],
        profile: OpenAIModelProfile | None,
        agent: str,
        hide: tuple[str, ...],
    ) -> None:
        """Nothing is sent.

        Args:
            model: Its name at the endpoint.
            provider: The client.
            profile: What the endpoint is known to understand, where that is not OpenAI's own.
            agent: For error messages.
            hide: Keys that must not appear in them.
        """
        super().__init__(model, provider=provider, profile=profile)
        self._agent = agent
        self.hide = hide
        """Keys that must not appear in messages."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask once.

        Raises:
            CallError: No usable answer, or one that does not say what it took: without usage nothing can be settled,
                and unknown is not zero.
        """
        with map_errors(self._agent, self.hide, reading=True, url=str(self.client.base_url).rstrip("/")):
            response = await super().request(messages, model_settings, model_request_parameters)
            if response.usage.unmeasured_requests or (response.parts and response.usage.output_tokens == 0):
                raise UnexpectedModelBehavior("the endpoint reports no token usage: it must send `usage`")
        return response

    def _validate_completion(self, response: ChatCompletion) -> Any:  # noqa: ANN401  the class it returns is private
        """The hook between decoding and validation, which Pydantic AI offers for this."""
        if not response.choices:
            said = (response.model_extra or {}).get("error")
            raise UnexpectedModelBehavior(f"the answer is an error: {said}" if said else "the answer has no choices")
        for position, choice in enumerate(response.choices):
            mend(choice, position)
        response.id, response.object = str(response.id or ""), "chat.completion"
        response.model = str(response.model or self.model_name)
        response.usage = credible_usage(response.usage)
        return super()._validate_completion(response)


def mend(choice: Choice, position: int) -> None:
    """Bring a decoded but not yet validated choice to the shape the protocol promises, where that loses nothing."""
    if not sound(choice.logprobs):
        logprobs: object = choice.logprobs
        kept = (
            usable_entries(logprobs.model_dump(warnings=False).get("content"))
            if isinstance(logprobs, BaseModel)
            else []
        )
        choice.logprobs = ChoiceLogprobs.model_validate({"content": kept}) if kept else None
    choice.index = position
    message = choice.message
    message.role = "assistant"
    if any(call.type != "function" for call in message.tool_calls or ()):
        raise UnexpectedModelBehavior("the answer calls a tool of a kind nobody offered")
    for name in REASONING_FIELDS:
        if not isinstance(getattr(message, name, None), str | None):
            setattr(message, name, None)
    if isinstance(message.content, str):
        thoughts, message.content = split_thoughts(message.content)
        if thoughts:
            setattr(message, REASONING_FIELDS[-1], thoughts)


def sound(logprobs: ChoiceLogprobs | None) -> bool:
    """Return whether every log-probability is valid. Cheap: an answer has thousands, and nearly always they are."""
    try:
        entries = logprobs.content or () if logprobs is not None else ()
        return all(
            type(one.logprob) in (float, int) and MIN_LOGPROB <= one.logprob <= MAX_LOGPROB
            for entry in entries
            for one in (entry, *entry.top_logprobs)
        )
    except (AttributeError, TypeError):
        return False


def credible_usage(usage: object) -> CompletionUsage | None:
    """The usage if its counts can be counts, without details that cannot; else `None`."""
    found: dict[str, object] = usage.model_dump(warnings=False) if isinstance(usage, BaseModel) else {}
    read, written = found.get("prompt_tokens"), found.get("completion_tokens")
    if not (_is_count(read) and _is_count(written)):
        return None
    details = {name: value for name, value in found.items() if name.endswith("_details") and _holds_counts(value)}
    total = found.get("total_tokens")
    more_read, more_written = tokens_beside(
        {**found, "total_tokens": total if _is_count(total) else None}, int(read), int(written)
    )
    read, written = int(read) + more_read, int(written) + more_written
    return CompletionUsage.model_validate(
        {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written, **details}
    )


def _holds_counts(details: object) -> bool:
    if not isinstance(details, dict):
        return False
    return all(value is None or _is_count(value) for value in cast("dict[str, object]", details).values())


def _is_count(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= MAX_TOKENS and value == int(value)
