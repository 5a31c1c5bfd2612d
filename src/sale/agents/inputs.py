"""Inputs of tools: their schema, how prompts show them, and how text becomes a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError
from pydantic_ai import Tool as LoopTool

from sale.agents.protocol import SchemaTool, Tool
from sale.errors import InputError

MAX_TEXT_CHARACTERS = 400
"""The longest text of a step: a query or a short answer. Without an end a small model writes until it is cut."""
MAX_INPUT_CHARACTERS = 4000
"""The longest of a tool that says so by `long_input`: programs and files need more room."""


@dataclass(frozen=True, slots=True)
class ToolInputs:
    """The inputs of one tool, for models that are told of them in a prompt."""

    tool: Tool
    schema: Mapping[str, object]
    """JSON schema of an object that holds them."""
    text: str | None
    """The name of the only input, where there is one and it is text: it is then given without a name."""

    @property
    def name(self) -> str:
        """The tool's."""
        return self.tool.info.name

    @property
    def description(self) -> str:
        """The tool's."""
        return self.tool.info.description

    @property
    def shown(self) -> str:
        """Their placeholder in a prompt: `"…"`, or an object with the name of each."""
        return '"…"' if self.text is not None else self.named

    @property
    def named(self) -> str:
        """An object with the name of each in a prompt."""
        if self.text is not None:
            return f'{{"{self.text}": "…"}}'
        properties = cast("Mapping[str, Mapping[str, object]]", self.schema.get("properties", {}))
        required = cast("list[str]", self.schema.get("required", []))
        parts = [
            f'"{name}": {_sample(kind)}' + ("" if name in required else " (may be left out)")
            for name, kind in properties.items()
        ]
        return "{" + ", ".join(parts) + "}"

    @property
    def step(self) -> dict[str, object]:
        """Schema of what a step may give it. Every text in it ends somewhere."""
        return {"type": "string", "maxLength": self._longest} if self.text is not None else self.whole

    @property
    def whole(self) -> dict[str, object]:
        """Schema of an object with the name of each, also of an only one."""
        return cast("dict[str, object]", bound_lengths(self.schema, self._longest))

    @property
    def _longest(self) -> int:
        return MAX_INPUT_CHARACTERS if getattr(self.tool, "long_input", False) else MAX_TEXT_CHARACTERS

    async def use(self, given: object) -> str:
        """Call the tool with what a step gave it.

        Raises:
            InputError: These are not its inputs.
            Exception: Whatever the tool raises.
        """
        arguments = {self.text: given} if self.text is not None else given
        if not isinstance(arguments, dict):
            raise InputError(f"{self.name} takes {self.shown}", hint="Give it an object with these names.")
        found = cast("dict[str, object]", arguments)
        return await self.tool.run(**(found if isinstance(self.tool, SchemaTool) else _valid(self.tool, found)))


def inputs_of(tool: Tool) -> ToolInputs:
    """Return the inputs of a tool, from its own schema or its signature and docstring."""
    schema = dict(tool.schema) if isinstance(tool, SchemaTool) else dict(_described(tool).function_schema.json_schema)
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties", {}))
    only = next(iter(properties)) if len(properties) == 1 else None
    text = only if only is not None and properties[only].get("type") == "string" else None
    return ToolInputs(tool, schema, text)


def bound_lengths(schema: object, longest: int) -> object:
    """A JSON schema in which every text has a longest length, and nothing is there that only describes."""
    if isinstance(schema, list):
        return [bound_lengths(one, longest) for one in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, object]", schema)
    kept = {
        key: {name: bound_lengths(one, longest) for name, one in cast("dict[str, object]", value).items()}
        if key == "properties" and isinstance(value, dict)
        else bound_lengths(value, longest)
        for key, value in found.items()
        if key not in {"description", "title", "default"}
    }
    if kept.get("type") == "string" and not {"enum", "maxLength"} & set(kept):
        kept["maxLength"] = longest
    return kept


def _described(tool: Tool) -> LoopTool[object]:
    return LoopTool[object](tool.run, takes_ctx=False, name=tool.info.name, description=tool.info.description)


def _valid(tool: Tool, arguments: dict[str, object]) -> dict[str, object]:
    try:
        return _described(tool).function_schema.validator.validate_python(arguments)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5])
        raise InputError(f"the inputs of {tool.info.name} are not what it takes: {faults}") from error


def _sample(kind: Mapping[str, object]) -> str:
    options = cast("list[object]", kind.get("anyOf", []))
    types = {cast("Mapping[str, object]", one).get("type") for one in options} if options else {kind.get("type")}
    if types & {"integer", "number"}:
        return "0"
    if "boolean" in types:
        return "true"
    return "[…]" if "array" in types else '"…"'
