"""Scores the record of `benchmarks.tool_calls`, and makes its table."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from benchmarks.tool_calls_set import TOOLS, requests
from sale.agents.inputs import ToolInputs, inputs_of
from sale.agents.steps import ANSWER, read_step
from sale.agents.tools.sandbox import Sandbox, find_sandbox
from sale.bench.stats import wilson
from sale.errors import InputError
from sale.models.local.catalogue import list_entries

BEGIN, END = "<!-- tool calls: begin -->\n", "<!-- tool calls: end -->\n"
WAYS = {
    "tools": "native tool calls (`tools`)",
    "steps": "one JSON object held to a schema (`steps`)",
    "choose": "first the tool, then its inputs, each held to a schema (`choose`)",
    "words": "the words of `steps`, nothing enforced",
}
EXECUTIONS = ("tools", "steps", "choose")
"""The ways that are ways to work, too."""
MIN_VALID_SHARE = 0.5
"""A model whose replies are valid calls less often than this, or never the right one, is better left without tools."""
ENOUGH = 5
"""Replies without which nothing is said of a way."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One reply."""

    model: str
    way: str
    valid: bool
    """It is a call of a tool there is, with inputs it takes."""
    tool: bool
    """And of the right tool."""
    arguments: bool
    """And with the right inputs."""
    tokens: int


async def scored(record: Sequence[dict[str, Any]]) -> list[Scored]:
    """Every reply on record, looked at anew."""
    wanted = {request["id"]: request for request in requests()}
    tools = {tool.info.name: inputs_of(tool) for tool in TOOLS}
    sandbox = find_sandbox()
    return [await _score(line, wanted[line["id"]], tools, sandbox) for line in record if line["id"] in wanted]


async def _score(
    line: dict[str, Any], wanted: dict[str, Any], tools: dict[str, ToolInputs], sandbox: Sandbox
) -> Scored:
    name, given = _call_in(line, tools)
    arguments = await _taken(tools[name], given) if name in tools else None
    valid = arguments is not None
    right = valid and name == wanted["tool"]
    holds = right and all(
        [await _holds(check, arguments or {}, key, sandbox) for key, check in wanted["arguments"].items()]
    )
    return Scored(model=line["model"], way=line["way"], valid=valid, tool=right, arguments=holds, tokens=line["tokens"])


def _call_in(line: dict[str, Any], tools: dict[str, ToolInputs]) -> tuple[str, object]:
    """The first call of a reply: the tool and its inputs, by name."""
    if calls := line.get("calls"):
        name, text = calls[0]
        try:
            return name, json.loads(text)
        except ValueError:
            return name, None
    text = line.get("text", "")
    start = text.find("{")
    try:
        _, length = json.JSONDecoder().raw_decode(text[start:]) if start >= 0 else (None, 0)
    except ValueError:
        return ANSWER, text
    name, given = read_step(text[start : start + length], tools)
    only = tools[name].text if name in tools else None
    return name, {only: given} if only is not None else given


async def _taken(tool: ToolInputs, given: object) -> dict[str, Any] | None:
    """The inputs, if the tool takes them; the tool itself does nothing."""
    if not isinstance(given, dict):
        return None
    found = cast("dict[str, object]", given)
    if tool.text is not None and not (set(found) == {tool.text} and isinstance(found[tool.text], str)):
        return None
    try:
        await tool.use(found if tool.text is None else found[tool.text])
    except InputError:
        return None
    return found


async def _holds(check: dict[str, Any], arguments: dict[str, Any], key: str, sandbox: Sandbox) -> bool:
    value = arguments.get(key)
    if "prints" in check:
        report = await sandbox.run(str(value))
        return all(text in report.stdout for text in check["prints"])
    if "has" in check:
        return all(text in str(value).lower() for text in check["has"])
    if isinstance(value, str) and not isinstance(check["equals"][0], str):
        return False
    plain = value.strip().lower() if isinstance(value, str) else value
    return plain in check["equals"]


def table(results: Sequence[Scored]) -> str:
    """Shares with 95 % Wilson intervals, by model and way."""
    groups: dict[tuple[str, str], list[Scored]] = defaultdict(list)
    for one in results:
        groups[one.model, one.way].append(one)
    count = len(requests())
    rows = [
        f"**Calls of tools**, {count} requests, seven tools, temperature 0; share of replies, with 95 % intervals",
        "",
        "| model | way | a valid call | of the right tool | with the right inputs | tokens |",
        "|---|---|---|---|---|---|",
    ]
    for entry in list_entries():
        best = best_way(results, entry.id)
        for way, title in WAYS.items():
            if found := groups.get((entry.id, way)):
                mark = " ★" if way == best else ""
                shares = [_share([getattr(one, key) for one in found]) for key in ("valid", "tool", "arguments")]
                tokens = sum(one.tokens for one in found) / len(found)
                rows.append(f"| {entry.id} | {title}{mark} | {' | '.join(shares)} | {tokens:.0f} |")
    if unmeasured := [entry.id for entry in list_entries() if best_way(results, entry.id) is None]:
        rows += ["", f"Not measured yet, or too little: {', '.join(unmeasured)}."]
    rows += ["", '★ how `execution = "auto"` lets the model work; a model without one works without tools.']
    return "\n".join(rows)


def best_way(results: Sequence[Scored], model: str) -> str | None:
    """The way to work with the most right calls; `direct` where none is any good, `None` where too little is known."""
    found = {way: [one for one in results if (one.model, one.way) == (model, way)] for way in EXECUTIONS}
    if any(len(some) < ENOUGH for some in found.values()):
        return None
    usable = {
        way: sum(one.arguments for one in some) / len(some)
        for way, some in found.items()
        if sum(one.valid for one in some) >= MIN_VALID_SHARE * len(some) and any(one.arguments for one in some)
    }
    return max(usable, key=lambda way: usable[way], default="direct")


def wrong_entries(results: Sequence[Scored]) -> list[str]:
    """What the catalogue says otherwise than the record."""
    best = {entry.id: best_way(results, entry.id) for entry in list_entries()}
    return [
        f"catalogue.toml: {entry.id} should have with_tools = {best[entry.id]!r}"
        for entry in list_entries()
        if best[entry.id] not in {None, entry.with_tools}
    ]


def page_of(page: str, results: Sequence[Scored]) -> str:
    """The page with the table in its place."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(results)}\n\n{END}{tail}"


def _share(held: Sequence[bool]) -> str:
    found = wilson(sum(held), len(held))
    low, high = 100 * (found.low or 0.0), 100 * (found.high or 0.0)
    return f"{sum(held)}/{len(held)} ({low:.0f} to {high:.0f} %)"
