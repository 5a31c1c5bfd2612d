"""Tools of the Responses API as functions of chat completions, and calls of them back.

A namespace's functions are told apart by their names, `namespace__function`. A custom tool, whose input is any text, is
a function with one argument. What a provider would run itself, no agent here can call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from sale.server.gateway.errors import ApiError

Json = dict[str, Any]

PROVIDED: Final = frozenset({"web_search", "web_search_preview", "image_generation"})
"""Tools that coding agents offer beside their own, and that are done without where they are not to be had."""
MAX_NAMESPACE_CHARACTERS: Final = 128
"""Longest name of a namespace: each of its functions is called by it."""
TEXT_INPUT: Final = "input"
"""The argument of the function that stands for a custom tool."""
CUSTOM_PARAMETERS: Final[Json] = {
    "type": "object",
    "properties": {TEXT_INPUT: {"type": "string"}},
    "required": [TEXT_INPUT],
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The tool that a function stands for."""

    name: str
    namespace: str | None = None
    custom: bool = False


@dataclass(kw_only=True, slots=True)
class ResponseTools:
    """The tools of one request."""

    functions: list[Json] = field(default_factory=list[Json])
    lost: set[str] = field(default_factory=set[str])
    """Tools that no agent here can call."""
    _origins: dict[str, Origin] = field(default_factory=dict[str, Origin])

    @classmethod
    def read(cls, given: Sequence[object]) -> ResponseTools:
        """The tools of a request.

        Raises:
            ApiError: One of them cannot be had, or is the only one and runs at a provider.
        """
        tools = cls()
        for tool in given:
            tools._read(cast("Json", tool) if isinstance(tool, dict) else {}, None)
        if tools.lost and not tools.functions:
            raise ApiError("no agent here has tools that a provider runs", name="unsupported", param="tools")
        return tools

    def item(self, name: str, call_id: str) -> Json:
        """The item of a call, without its id and its input."""
        origin = self._origins.get(name) or Origin(name=name)
        kind = "custom_tool_call" if origin.custom else "function_call"
        return {"type": kind, "call_id": call_id, **_named(origin)}

    def name_of(self, item: Mapping[str, Any]) -> str:
        """The function that an item of a call names."""
        namespace: object = item.get("namespace")
        name = str(item.get("name", ""))
        return f"{namespace}__{name}" if isinstance(namespace, str) and namespace else name

    def _read(self, tool: Json, namespace: str | None) -> None:
        kind, name = kind_of(tool), tool.get("name")
        if kind in PROVIDED:
            self.lost.add(f"tools.{kind}")
        elif kind == "namespace" and namespace is None and isinstance(name, str):
            if len(name) > MAX_NAMESPACE_CHARACTERS:
                raise ApiError(
                    f"the name of a namespace has at most {MAX_NAMESPACE_CHARACTERS} characters",
                    name="invalid_value",
                    param="tools",
                )
            inner: object = tool.get("tools")
            for one in cast("list[object]", inner) if isinstance(inner, list) else []:
                self._read(cast("Json", one) if isinstance(one, dict) else {}, name)
        elif kind in {"function", "custom"} and isinstance(name, str):
            full = f"{namespace}__{name}" if namespace else name
            about = {
                key: value for key, value in tool.items() if key not in {"type", "defer_loading"} and value is not None
            }
            if kind == "custom":
                about = {"description": _described(tool), "parameters": CUSTOM_PARAMETERS}
            self._origins[full] = Origin(name=name, namespace=namespace, custom=kind == "custom")
            self.functions.append({"type": "function", "function": about | {"name": full}})
        else:
            raise ApiError(
                "only tools of the types function, custom and namespace are supported",
                name="unsupported",
                param="tools",
            )


def kind_of(value: Mapping[str, Any]) -> str:
    """The `type` of an item, a part or a tool; empty where it is not a text: a client may send anything."""
    kind: object = value.get("type")
    return kind if isinstance(kind, str) else ""


def text_input(arguments: str) -> str:
    """Return the input of a custom tool in the arguments of its function, or the arguments where they hold none."""
    try:
        value: object = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    found: object = cast("Json", value).get(TEXT_INPUT) if isinstance(value, dict) else None
    return found if isinstance(found, str) else arguments


def _named(origin: Origin) -> Json:
    return {"name": origin.name} | ({"namespace": origin.namespace} if origin.namespace else {})


def _described(tool: Json) -> str:
    """A custom tool's description, with the grammar that its input has to keep to."""
    told = str(tool.get("description") or "")
    form: object = tool.get("format")
    grammar: object = cast("Json", form).get("definition") if isinstance(form, dict) else None
    return f"{told}\n\n{grammar}".strip() if isinstance(grammar, str) else told
