"""A request of the Messages API as a chat completion, and the names of what is lost on the way.

What only the sender's own protocol knows is either said in chat's terms, or in words (a failed tool, a document that is
text), or put on the list of what is lost, which the answer's headers name. Reasoning that came from here goes back to
the endpoint in the fields it came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from sale.server.gateway.dialect import CACHE_MARKS, SIGNS
from sale.server.gateway.errors import ApiError
from sale.server.gateway.messages.wire import (
    Base64Source,
    Block,
    ContentSource,
    Conversation,
    DocumentBlock,
    ImageBlock,
    Marked,
    Message,
    MessagesRequest,
    MessagesTool,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
    Wire,
)
from sale.server.gateway.prompts import document_text, tool_failed_text, tool_found_text, tool_returned_text
from sale.server.gateway.reasoning import Reasoning

Json = dict[str, Any]

PDF: Final = "application/pdf"
EFFORTS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""Efforts as chat completions know them."""
BUDGETS: Final = ((2048, "low"), (8192, "medium"))
"""The budget in tokens below which an effort is asked for; above the last one it is `high`."""
CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}


@dataclass(kw_only=True, slots=True)
class Translation:
    """A request in chat's terms."""

    body: Json
    lost: set[str] = field(default_factory=set[str])
    """Fields of the request that nothing in `body` says."""

    @property
    def optional(self) -> frozenset[str]:
        """Fields of `body` that may be left out where an endpoint refuses them."""
        marked = {CACHE_MARKS} if _is_marked(self.body) else set[str]()
        return frozenset((SIGNS.keys() & self.body.keys()) | marked)


def to_chat(request: Conversation) -> Translation:
    """The request as a chat completion.

    Raises:
        ApiError: It holds what no chat completion can say, and would not be answered without.
    """
    writer = _Writer()
    body: Json = {"model": request.model, "messages": writer.messages(request)}
    if request.tools:
        found = {one.tool_name for one in _references(request.messages)}
        shown = [tool for tool in request.tools if not tool.defer_loading or tool.name in found]
        if shown:
            body["tools"] = [writer.tool(tool) for tool in shown]
            writer.choice(request, body)
    writer.effort(request, body)
    if request.output_config and (wanted := request.output_config.format):
        schema = {"name": "answer", "schema": wanted.schema_, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if isinstance(request, MessagesRequest):
        body |= _sampling(request)
    writer.name_unknown(request)
    return Translation(body=body, lost=writer.lost)


def _sampling(request: MessagesRequest) -> Json:
    given = {
        "max_tokens": request.max_tokens,
        "stream": request.stream,
        "stop": request.stop_sequences or None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
    }
    return {name: value for name, value in given.items() if value is not None}


class _Writer:
    """Writes the parts of one request, and notes what is lost."""

    def __init__(self) -> None:
        self.lost: set[str] = set()

    def messages(self, request: Conversation) -> list[Json]:
        """All messages, the system's first."""
        written: list[Json] = []
        if request.system:
            self._note(request.system, "system")
            written.append({"role": "system", "content": _content([_text(block) for block in request.system])})
        for place, message in enumerate(request.messages):
            where = f"messages.{place}.content"
            self._note((message, *message.content), "messages")
            if message.role == "assistant":
                written.append(self._assistant(message, where))
            elif message.role == "system":
                written.append({"role": "system", "content": _content(self._parts(message.content, where))})
            else:
                written += self._user(message, where)
        return written

    def _user(self, message: Message, where: str) -> Iterable[Json]:
        """A user's message: results of tools first, as chat completions want it, then their images and the rest."""
        results = [block for block in message.content if isinstance(block, ToolResultBlock)]
        rest = [block for block in message.content if not isinstance(block, ToolResultBlock)]
        parts: list[Json] = []
        for block in results:
            self._note(block.content, "messages")
            given = self._parts(block.content, where)
            texts = [part for part in given if part["type"] == "text"]
            others = [part for part in given if part["type"] != "text"]
            yield self._result(block, texts)
            if others:
                parts += [{"type": "text", "text": tool_returned_text(block.tool_use_id)}, *others]
        parts += self._parts(rest, where)
        if parts or not results:
            yield {"role": "user", "content": _content(parts)}

    @staticmethod
    def _result(block: ToolResultBlock, texts: Sequence[Json]) -> Json:
        text = "\n\n".join(part["text"] for part in texts)
        told: Json = {"type": "text", "text": tool_failed_text(text) if block.is_error else text}
        marks = [part[CACHE_MARKS] for part in (*texts, _mark(block)) if part.get(CACHE_MARKS)]
        content: object = [told | {CACHE_MARKS: marks[-1]}] if marks else told["text"]
        return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}

    def _assistant(self, message: Message, where: str) -> Json:
        reasoning = Reasoning()
        texts: list[Json] = []
        calls: list[Json] = []
        for block in message.content:
            match block:
                case TextBlock():
                    texts.append(_text(block))
                case ToolUseBlock():
                    function = {"name": block.name, "arguments": orjson.dumps(block.input).decode()}
                    calls.append({"id": block.id, "type": "function", "function": function})
                    self._lose_mark(block)
                case ThinkingBlock():
                    if not reasoning.restore(block.signature, block.thinking):
                        self.lost.add("thinking")
                case RedactedThinkingBlock():
                    if not reasoning.restore(block.data):
                        self.lost.add("redacted_thinking")
                case _:
                    raise ApiError(f"{where}: a block of the type {block.type!r} is not the assistant's", param=where)
        said: Json = {"role": "assistant", "content": _joined(texts) if texts else None if calls else ""}
        if calls:
            said["tool_calls"] = calls
        reasoning.put_back(said)
        return said

    def _parts(self, blocks: Sequence[Block | ToolReferenceBlock], where: str) -> list[Json]:
        return [part for block in blocks for part in self._part(block, where)]

    def _part(self, block: Block | ToolReferenceBlock, where: str) -> Sequence[Json]:
        match block:
            case TextBlock():
                return [_text(block)]
            case ImageBlock():
                return [_image(block)]
            case DocumentBlock():
                return self._document(block, where)
            case SearchResultBlock():
                text = "\n\n".join(one.text for one in block.content)
                told = document_text(text, title=block.title, source=block.source)
                return [{"type": "text", "text": told} | _mark(block)]
            case ToolReferenceBlock():
                return [{"type": "text", "text": tool_found_text(block.tool_name)} | _mark(block)]
            case _:
                raise ApiError(f"{where}: a block of the type {block.type!r} cannot be here", param=where)

    def _document(self, block: DocumentBlock, where: str) -> Sequence[Json]:
        source = block.source
        if isinstance(source, TextSource):
            told = document_text(source.data, title=block.title, source=block.context)
            return [{"type": "text", "text": told} | _mark(block)]
        if isinstance(source, ContentSource):
            parts = self._parts(source.content, where)
            if block.title or block.context:
                told = document_text("", title=block.title, source=block.context)
                parts = [{"type": "text", "text": told}, *parts]
            return [*parts[:-1], *(part | _mark(block) for part in parts[-1:])]
        if source.media_type != PDF:
            raise ApiError(
                f"{where}: documents of the type {source.media_type!r} are not supported, only {PDF}",
                name="unsupported",
                param=where,
            )
        data = f"data:{source.media_type};base64,{source.data}"
        parts = [
            {"type": "file", "file": {"filename": block.title or "document.pdf", "file_data": data}} | _mark(block)
        ]
        return [{"type": "text", "text": block.context}, *parts] if block.context else parts

    def tool(self, tool: MessagesTool) -> Json:
        """A tool's declaration."""
        self.lost.update(f"tools.{name}" for name in tool.unknown)
        function: Json = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
        function["strict"] = tool.strict
        return {"type": "function", "function": {k: v for k, v in function.items() if v is not None}} | _mark(tool)

    def choice(self, request: Conversation, body: Json) -> None:
        """Which tools are to be called."""
        choice = request.tool_choice
        if choice is None:
            return
        if choice.type == "tool":
            body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
        else:
            body["tool_choice"] = CHOICES[choice.type]
        if choice.disable_parallel_tool_use:
            body["parallel_tool_calls"] = False

    def effort(self, request: Conversation, body: Json) -> None:
        """Set `reasoning_effort` in the body by the effort or the thinking budget asked for."""
        thinking, config = request.thinking, request.output_config
        if config is not None and config.effort is not None:
            effort = EFFORTS.get(config.effort)
            if effort != config.effort:
                self.lost.add("output_config.effort")
        elif thinking is not None and thinking.type == "enabled":
            budget = thinking.budget_tokens or 0
            effort = next((name for limit, name in BUDGETS if budget < limit), "high")
        else:
            effort = None
        if thinking is not None and thinking.budget_tokens:
            self.lost.add("thinking.budget_tokens")
        if effort is not None:
            body["reasoning_effort"] = effort

    def name_unknown(self, request: Conversation) -> None:
        """Note the fields of the request itself that say nothing here."""
        for name in request.unknown:
            if not _asks_for_nothing(name, (request.model_extra or {})[name]):
                self.lost.add(name)
        for name, nested in (("thinking", request.thinking), ("output_config", request.output_config)):
            self.lost.update(f"{name}.{one}" for one in (nested.unknown if nested else ()))
        tier = request.service_tier if isinstance(request, MessagesRequest) else None
        if tier not in {None, "auto"}:
            self.lost.add("service_tier")

    def _note(self, blocks: Iterable[Wire], where: str) -> None:
        """Note fields of blocks that have no meaning here."""
        for block in blocks:
            self.lost.update(f"{where}.{name}" for name in block.unknown if name not in {"caller", "toolset_name"})

    def _lose_mark(self, block: Marked) -> None:
        if block.cache_control:
            self.lost.add(CACHE_MARKS)


def _references(messages: Sequence[Message]) -> Iterable[ToolReferenceBlock]:
    for message in messages:
        for block in message.content:
            if isinstance(block, ToolResultBlock):
                yield from (one for one in block.content if isinstance(one, ToolReferenceBlock))


def _content(parts: Sequence[Json]) -> object:
    """Parts as content; one text without a mark is that text, as every endpoint takes it."""
    if not parts:
        return ""
    first = parts[0]
    return first["text"] if len(parts) == 1 and first["type"] == "text" and CACHE_MARKS not in first else list(parts)


def _joined(texts: Sequence[Json]) -> object:
    """The assistant's words as one text, or as parts where one of them is marked."""
    if any(CACHE_MARKS in part for part in texts):
        return list(texts)
    return "".join(part["text"] for part in texts)


def _text(block: TextBlock) -> Json:
    return {"type": "text", "text": block.text} | _mark(block)


def _image(block: ImageBlock) -> Json:
    source = block.source
    url = f"data:{source.media_type};base64,{source.data}" if isinstance(source, Base64Source) else source.url
    return {"type": "image_url", "image_url": {"url": url}} | _mark(block)


def _mark(block: Marked) -> Json:
    return {CACHE_MARKS: block.cache_control} if block.cache_control else {}


def _asks_for_nothing(name: str, value: object) -> bool:
    """Return True where a field that has no meaning here has a value that asks for nothing."""
    match name, value:
        case "speed", "standard":
            return True
        case "context_management", {"edits": [{"type": str(kind), "keep": "all"}]}:
            return kind.startswith("clear_thinking")
        case _:
            return False


def _is_marked(body: Json) -> bool:
    parts = [
        part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    return any(CACHE_MARKS in part for part in (*parts, *body.get("tools", ())))
