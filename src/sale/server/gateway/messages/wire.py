"""The Messages API as it is on the wire: what a request may hold, typed. Unknown fields are kept, and named later.

A content given as a text is read as one text block, so that there is one form of it. What no chat completion can say
and what changes the answer is refused here; what is only lost is for `to_chat` to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sale.server.gateway.errors import ApiError

Json = dict[str, Any]
MAX_FAULTS: Final = 5
"""Greatest number of faults of one request that its error names."""
REFUSED: Final[Mapping[str, str]] = {
    "container": "code that runs at Anthropic is not to be had here",
    "inference_geo": "no agent here promises where it runs",
    "mcp_servers": "MCP servers are not connected to here; connect your client to them",
    "safeguards": "no such check runs here",
}
"""Fields without which the answer would not be what was asked for, and why they are refused."""


def _as_blocks(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else [] if value is None else value


class Wire(BaseModel):
    """Any object of a request."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    @property
    def unknown(self) -> Sequence[str]:
        """Fields that have no meaning here, where they are given."""
        return [name for name, value in (self.model_extra or {}).items() if value is not None]


class Marked(Wire):
    """A block or tool that may end a cached prefix."""

    cache_control: Json | None = None


class TextBlock(Marked):
    """Words."""

    type: Literal["text"] = "text"
    text: str


class Base64Source(Wire):
    """Bytes, as base64."""

    type: Literal["base64"]
    media_type: str
    data: str


class UrlSource(Wire):
    """An address that the endpoint fetches."""

    type: Literal["url"]
    url: str


class TextSource(Wire):
    """A document that is plain text."""

    type: Literal["text"]
    data: str


class ContentSource(Wire):
    """A document that is made of blocks."""

    type: Literal["content"]
    content: Annotated[
        list[Annotated[TextBlock | ImageBlock, Field(discriminator="type")]], BeforeValidator(_as_blocks)
    ]


class ImageBlock(Marked):
    """An image."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Field(discriminator="type")]


class DocumentBlock(Marked):
    """A document: a PDF, a text, or blocks."""

    type: Literal["document"]
    source: Annotated[Base64Source | TextSource | ContentSource, Field(discriminator="type")]
    title: str | None = None
    context: str | None = None


class SearchResultBlock(Marked):
    """A passage that the client found."""

    type: Literal["search_result"]
    source: str
    title: str
    content: list[TextBlock]


class ThinkingBlock(Wire):
    """Reasoning as it was shown to the client."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Wire):
    """Reasoning that the client cannot read."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(Marked):
    """A call of a tool."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: Json


class ToolReferenceBlock(Marked):
    """A tool that a search for tools found."""

    type: Literal["tool_reference"]
    tool_name: str


class ToolResultBlock(Marked):
    """The result of a tool call."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[
        list[
            Annotated[
                TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock,
                Field(discriminator="type"),
            ]
        ],
        BeforeValidator(_as_blocks),
    ] = []
    is_error: bool | None = None


Block = Annotated[
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock,
    Field(discriminator="type"),
]


class Message(Wire):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Block], BeforeValidator(_as_blocks)]


class MessagesTool(Marked):
    """A tool of the client."""

    type: str | None = None
    name: str
    description: str | None = None
    input_schema: Json | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    """It is to be shown to the model only once a search for tools has found it."""
    eager_input_streaming: bool | None = None
    """Has no effect: the input is passed on as it comes."""


class ToolChoice(Wire):
    """The choice of tools: free, any, a named one, or none."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Wire):
    """Settings of the model's thinking: its mode, its budget in tokens, and the display of its thoughts."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: str | None = None


class OutputFormat(Wire):
    """The form of the answer."""

    type: Literal["json_schema"]
    schema_: Annotated[Json, Field(alias="schema")]


class OutputConfig(Wire):
    """Effort and form of the answer."""

    effort: str | None = None
    format: OutputFormat | None = None


class Conversation(Wire):
    """Everything that the model reads, whose tokens are counted."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Message], Field(min_length=1)]
    system: Annotated[list[TextBlock], BeforeValidator(_as_blocks)] = []
    tools: list[MessagesTool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(Conversation):
    """A request for an answer."""

    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    metadata: Json | None = None
    service_tier: str | None = None


R_ = TypeVar("R_", bound=Conversation)


def read_messages_request(body: Json) -> MessagesRequest:
    """A body as a request for an answer.

    Raises:
        ApiError: It is none, or asks for what cannot be had here.
    """
    request = _read(MessagesRequest, body)
    if request.messages[-1].role == "assistant":
        raise ApiError("the last message is the assistant's: beginnings of answers are not taken", param="messages")
    return request


def read_conversation(body: Json) -> Conversation:
    """A body as a conversation to be counted.

    Raises:
        ApiError: It is none.
    """
    return _read(Conversation, body)


def _read(kind: type[R_], body: Json) -> R_:
    for name, why in REFUSED.items():
        if body.get(name):
            raise ApiError(f"{name}: not supported: {why}", name="unsupported", param=name)
    try:
        request = kind.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        told = [f"{_where(fault['loc'])}: {fault['msg']}" for fault in faults[:MAX_FAULTS]]
        raise ApiError("; ".join(told), name="invalid_value", param=_where(faults[0]["loc"])) from None
    for place, tool in enumerate(request.tools or ()):
        _check_tool(tool, f"tools.{place}")
    return request


def _check_tool(tool: MessagesTool, where: str) -> None:
    if tool.type not in {None, "custom"}:
        raise ApiError(
            f"{where}: tools of the type {tool.type!r} run at Anthropic; only those with an input_schema are supported",
            name="unsupported",
            param=where,
        )
    if tool.input_schema is None:
        raise ApiError(f"{where}.input_schema: Field required", name="invalid_value", param=f"{where}.input_schema")


def _where(loc: Sequence[int | str]) -> str:
    """A place as the Messages API names it: `messages.0.content.1.source`, without the kinds of blocks on the way."""
    names = [
        str(part) for place, part in enumerate(loc) if not (place and isinstance(loc[place - 1], int) and _kind(part))
    ]
    return ".".join(names)


def _kind(part: object) -> bool:
    return isinstance(part, str) and part in KINDS


KINDS: Final = frozenset(
    get_args(kind.model_fields["type"].annotation)[0]
    for kind in (
        *(TextBlock, ImageBlock, DocumentBlock, SearchResultBlock, ThinkingBlock, RedactedThinkingBlock),
        *(ToolUseBlock, ToolResultBlock, ToolReferenceBlock),
    )
)
