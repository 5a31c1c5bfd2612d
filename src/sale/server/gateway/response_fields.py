"""Fields of a Responses request: those that are honoured, refused with a sentence, or named as lost.

No field is passed over in silence. A field that would change what happens, and cannot be had here, is refused. A field
that some endpoint might have used, and that chat completions cannot say, is named in the answer's `x-sale-lost`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from sale.server.gateway.chat_request import A_COUNT
from sale.server.gateway.errors import ApiError

Json = dict[str, Any]

SAME: Final = (
    "model",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "user",
    "metadata",
    "service_tier",
    "top_logprobs",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
)
"""Fields that have the same name in both interfaces."""
TRANSLATED: Final = frozenset(
    {
        *("input", "instructions", "previous_response_id", "store", "stream", "tools", "tool_choice", "include"),
        *("max_output_tokens", "reasoning", "text", "background", "conversation", "truncation", "prompt"),
    }
)
VACUOUS: Final = frozenset({"max_tool_calls", "stream_options"})
KNOWN: Final = TRANSLATED | VACUOUS | frozenset(SAME)
"""Limits of what does not happen here: calls of tools that a provider runs, and padding of a stream's events."""
LOGPROBS: Final = "message.output_text.logprobs"
INCLUDED: Final = frozenset({"reasoning.encrypted_content", LOGPROBS, "message.input_image.image_url"})
"""Values of `include` that are honoured. The first is in every answer that has it, the last in every list of items."""
OF_PROVIDED_TOOLS: Final = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)
"""Values of `include` about tools that run at a provider: there are no such calls here, so this is lost."""
REFUSED: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "background": (
        lambda given: given is not False,
        "is not supported: an answer is given while its client waits. Leave it out, and take a stream for long work",
    ),
    "conversation": (
        lambda _: True,
        "is not supported: no conversation objects are kept here. Go on with previous_response_id, or name the "
        "conversation in the header x-sale-session",
    ),
    "prompt": (
        lambda _: True,
        "is not supported: templates of prompts are kept at their provider. Send the text in instructions and input",
    ),
    "truncation": (
        lambda given: given != "disabled",
        "can only be disabled: nothing is left out of a conversation here. Shorten the input",
    ),
}


def check_fields(body: Json) -> set[str]:
    """See that a request asks for nothing that cannot be had. Return the names of what is lost.

    Raises:
        ApiError: It does, or a field is wrong.
    """
    for name, (is_meant, sentence) in REFUSED.items():
        if body.get(name) is not None and is_meant(body[name]):
            raise ApiError(f"{name} {sentence}", name="unsupported", param=name)
    most: object = body.get("max_output_tokens")
    if most is not None and not (isinstance(most, int) and not isinstance(most, bool) and most > 0):
        raise ApiError(f"max_output_tokens {A_COUNT}", name="invalid_value", param="max_output_tokens")
    if body.get("store") is not None and not isinstance(body["store"], bool):
        raise ApiError("store must be true or false", name="invalid_value", param="store")
    lost = {name for name, value in body.items() if name not in KNOWN and value is not None}
    lost |= {f"include.{one}" for one in read_include(body.get("include")) & OF_PROVIDED_TOOLS}
    lost |= {f"reasoning.{name}" for name in _further(body.get("reasoning"), "reasoning", {"effort"})}
    lost |= {f"text.{name}" for name in _further(body.get("text"), "text", {"format", "verbosity"})}
    return lost


def read_include(given: object) -> frozenset[str]:
    """The values of `include`.

    Raises:
        ApiError: One of them is not known.
    """
    if given is None:
        return frozenset()
    values = cast("list[object]", given) if isinstance(given, list) else [None]
    for value in values:
        if not isinstance(value, str) or value not in INCLUDED | OF_PROVIDED_TOOLS:
            there_are = ", ".join(sorted(INCLUDED | OF_PROVIDED_TOOLS))
            raise ApiError(f"include must be a list of these: {there_are}", name="invalid_value", param="include")
    return frozenset(cast("list[str]", values))


def _further(given: object, name: str, known: set[str]) -> set[str]:
    """The names of an object's fields that are set and not known.

    Raises:
        ApiError: It is not an object.
    """
    if given is None:
        return set()
    if not isinstance(given, dict):
        raise ApiError(f"{name} must be an object", name="invalid_value", param=name)
    return {one for one, value in cast("Json", given).items() if value is not None and one not in known}
