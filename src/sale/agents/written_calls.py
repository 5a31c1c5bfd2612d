"""Calls of tools that a model has written as text, each in the form its own training had.

Endpoints that do not know a model's form pass such a call on as an answer. Here it is found and read; a call counts
only where it stands for itself: in the marks of a form, in a block of code, or on lines of its own. Pure functions.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

MAX_TEXT = 100_000
MAX_OBJECTS = 50
"""JSON objects of a text that are looked at."""
_DECODER = json.JSONDecoder(strict=False)  # programs are written with line breaks in their strings
_NAMES = ("name", "tool", "tool_name", "action", "function", "use")
_GIVEN = ("arguments", "parameters", "args", "input", "inputs", "tool_input", "action_input", "params")
_ONLY_CALLS = ("arguments", "parameters")
_BESIDE = frozenset({"id", "type", "thought", "reasoning", "index", "call_id", "tool_call_id"})
_MARKED = re.compile(
    r"<tool_calls?>|<function_calls?>|<tool_use>|<\|tool_calls?\|>|<\|python_tag\|>|\[TOOL_CALLS?\]|<\|action_start\|>"
    r"|<start_function_call>|<｜tool▁calls?▁begin｜>|<\|tool_calls?_begin\|>"
)
_NAMED = re.compile(
    r"(?<![\w.-])(?:functions?[.:])?(?P<name>[\w.-]+?)(?::\d++)?\s*+"
    r"(?:<｜tool▁sep｜>|<\|tool_call_argument_begin\|>|\[ARGS\]|<\|constrain\|>\w*<\|message\|>|<\|message\|>)"
    r"(?:(?P<second>[\w.-]+)\n)?\s*(?:```\w*\s*)?(?=\{)"
)
_FUNCTION = re.compile(
    r"<(?:function=|function\s+name=|invoke\s+name=)[\"']?(?P<name>[\w.-]+)[\"']?\s*>(?P<body>.*?)(?:</(?:function|invoke)>|\Z)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"<parameter(?:=|\s+name=)[\"']?(?P<name>[\w.-]+)[\"']?[^<>]{0,200}>(?P<value>.*?)</parameter>", re.DOTALL
)
_PARAMETER_END = "</parameter>"
_ACTION = re.compile(
    r"^\**Action:?\**:?[ \t]*`?(?P<name>[\w.-]+)`?[ \t]*\n+"
    r"\**Action Input:?\**:?[ \t]*(?P<given>.*?)(?=\n\**Observation|\Z)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_FENCED = re.compile(r"^```[\w-]*[ \t]*\n(?P<body>.*?)(?:^```|\Z)", re.DOTALL | re.MULTILINE)
_OPENING = re.compile(r"[{\[]")


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call of a tool."""

    name: str
    given: object
    """Its arguments by name, or the text that stands for an only one."""
    start: int
    """Where it begins in the text."""


def written_calls(text: str, names: Collection[str]) -> tuple[WrittenCall, ...]:
    """Return the calls a text makes, in order; none where it is an answer.

    Args:
        text: What a model wrote.
        names: The tools there are. A call of another one counts only in the marks of a form, or where it is the whole
            text: whoever made it is to be told that there is no such tool.
    """
    text = text[:MAX_TEXT]
    for form in (_marked, _acted, _standing):
        if found := tuple(form(text, names)):
            return found
    return tuple(_pythonic(text, names))


def objects_in(text: str) -> Iterator[tuple[int, int, object]]:
    """Yield the JSON objects and lists in a text that are in no other one, each with its beginning and its end."""
    at = tried = 0
    while (opening := _OPENING.search(text, at)) is not None and tried < MAX_OBJECTS:
        tried += 1
        try:
            found, at = cast("tuple[object, int]", _DECODER.raw_decode(text, opening.start()))
        except (ValueError, RecursionError):
            at = opening.end()
            continue
        yield opening.start(), at, found


def call_of(found: object) -> tuple[str, object] | None:
    """Return the name and the arguments of a call written as a JSON object; `None` where it is none."""
    if not isinstance(found, dict):
        return None
    values = cast("dict[str, object]", found)
    if isinstance(inner := values.get("function"), dict):
        return call_of(cast("dict[str, object]", inner))
    name = next((key for key in _NAMES if isinstance(values.get(key), str)), None)
    given = next((key for key in _GIVEN if key in values), None)
    if name is None or given is None or set(values) - {name, given} - _BESIDE:
        return None
    arguments = values[given]
    if isinstance(arguments, str):
        arguments = _object(arguments) or arguments
    return (str(values[name]), cast("object", arguments)) if isinstance(arguments, dict | str) else None


def _marked(text: str, names: Collection[str]) -> Iterator[WrittenCall]:  # noqa: ARG001 - the marks say enough
    """Calls within the marks of a form."""
    for match in _FUNCTION.finditer(text):
        closed = match["body"].rfind(_PARAMETER_END) + len(_PARAMETER_END)  # else each opening looks through the rest
        parameters = {one["name"]: _value(one["value"]) for one in _PARAMETER.finditer(match["body"][:closed])}
        yield WrittenCall(match["name"], parameters or _object(match["body"]) or {}, match.start())
    if _FUNCTION.search(text):
        return
    named = list(_NAMED.finditer(text))
    for match in named:
        given: object = next((one for _, _, one in objects_in(text[match.end() :])), None)
        yield WrittenCall(match["second"] or match["name"], given or "", match.start())
    mark = _MARKED.search(text)
    if mark is None or named:
        return
    for _, _, found in objects_in(_MARKED.sub("\n", text[mark.start() :])):
        for one in _listed(found):
            if (call := call_of(one)) is not None:
                yield WrittenCall(*call, start=mark.start())


def _acted(text: str, names: Collection[str]) -> Iterator[WrittenCall]:
    """Calls as in `Action: name`, `Action Input: …`."""
    for match in _ACTION.finditer(text):
        given = match["given"].strip().strip("`").removeprefix("json").strip()
        if match["name"] in names:
            yield WrittenCall(match["name"], _object(given) or given.strip("\"'"), match.start())


def _standing(text: str, names: Collection[str]) -> Iterator[WrittenCall]:
    """JSON objects that stand on lines of their own, or are the whole text."""
    bare = _unfenced(text)
    for start, end, found in objects_in(text):
        alone = text[:start].rpartition("\n")[2].strip(" \t`*>-").casefold() in {"", "json", "tool_call", "tool call:"}
        for one in _listed(found):
            call = call_of(one) if alone else None
            if call is None:
                continue
            keys = cast("dict[str, object]", one).keys()
            whole = bare == text[start:end].strip() and not keys.isdisjoint(_ONLY_CALLS)
            if call[0] in names or whole:
                yield WrittenCall(*call, start=start)


def _pythonic(text: str, names: Collection[str]) -> Iterator[WrittenCall]:
    """Calls of functions, where they are the whole text: `[search(query="x")]`."""
    try:
        tree: ast.expr = ast.parse(_unfenced(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in tree.elts if isinstance(tree, ast.List) else [tree]:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and node.args:
            node = node.args[0]  # the call is what is printed
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in names:
            return
        try:
            given = {one.arg: ast.literal_eval(one.value) for one in node.keywords if one.arg is not None}
            alone = [ast.literal_eval(one) for one in node.args]
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return
        if len(alone) == 1 and not given and isinstance(alone[0], str):
            yield WrittenCall(node.func.id, alone[0], 0)
        elif not alone:
            yield WrittenCall(node.func.id, given, 0)


def _unfenced(text: str) -> str:
    """Return the content of a text that is nothing but one block."""
    found = _FENCED.fullmatch(text.strip())
    return found["body"].strip() if found else text.strip()


def _listed(found: object) -> list[object]:
    """Several calls, or one."""
    if isinstance(found, dict):
        calls = cast("Mapping[str, object]", found).get("tool_calls")
        return cast("list[object]", calls) if isinstance(calls, list) else [cast("object", found)]
    return cast("list[object]", found) if isinstance(found, list) else []


def _object(text: str) -> dict[str, object] | None:
    found = next((one for start, _, one in objects_in(text) if not text[:start].strip(" \t\n`json")), None)
    return cast("dict[str, object]", found) if isinstance(found, dict) else None


def _value(text: str) -> object:
    """The value of a parameter: a number or another JSON value where it is one, else the text."""
    plain = text.removeprefix("\n").removesuffix("\n")
    try:
        found: object = json.loads(plain)
    except (ValueError, RecursionError):
        return plain
    return plain if isinstance(found, str) else found
