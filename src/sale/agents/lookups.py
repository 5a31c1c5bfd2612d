"""Read-only calls of an agent's own tools, made by the harness before the agent bids (`sale.auction.looking`).

The query is the task's own text: a look costs no call of a model. What it returns is evidence, quoted word for word.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from sale.agents.tools.web.fences import without_marks
from sale.agents.tools.web.providers import QUERY_CHARACTERS, Provider, search_provider
from sale.agents.tools.workspace.box import LineMatch
from sale.agents.tools.workspace.copy_tools import LIST, SEARCH
from sale.agents.tools.workspace.listing import named_in
from sale.agents.tools.workspace.workspace import Workspace
from sale.auction.looking import MAX_EVIDENCE, excerpt
from sale.auction.protocols import Look
from sale.errors import SaleError
from sale.types import Call, Evidence, Task, Usage
from sale.types.tools import FREE, Fee

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
MAX_NAMES = 12
"""Words of a task that are looked for in a repository: first those that look like names of a program, the longest."""


class Lookup(Protocol):
    """One read-only tool, as it is looked into for a task."""

    @property
    def tool(self) -> str:
        """The tool's name, for the record."""
        ...

    @property
    def fee(self) -> Fee:
        """The price of a call."""
        ...

    async def find(self, task: Task, limit: int) -> Sequence[Evidence]:
        """The best it has for a task, best first, at most `limit`.

        Raises:
            SaleError: It does not answer.
        """
        ...


class SearchLookup:
    """A search of the agent's own passages, or of the web, with the task's text as the query."""

    tool = "search"

    def __init__(self, provider: Provider, fee: Fee = FREE) -> None:
        """Search with this provider."""
        self._provider = provider
        self.fee = fee

    async def find(self, task: Task, limit: int) -> Sequence[Evidence]:
        """The best hits, each with the stretch of it that holds most of the task's words."""
        query = " ".join(task.text.split())[:QUERY_CHARACTERS]
        hits = await search_provider(self._provider, query, limit)
        return [
            Evidence(
                tool=self.tool,
                source=without_marks(hit.title or hit.address),
                quote=excerpt(without_marks(hit.snippet), task.text),
                score=hit.score,
            )
            for hit in hits
        ]


class WorkspaceLookup:
    """The files of a repository that a task names, and those that hold most of the names in it.

    Each with the line that holds most of the names. So a plan can name files that exist.
    """

    tool = SEARCH.name
    fee = FREE

    def __init__(self, workspace: Workspace) -> None:
        """Look into the workspace's own copy; nothing is run."""
        self._workspace = workspace

    async def find(self, task: Task, limit: int) -> Sequence[Evidence]:
        """Files that are named, then files by how many of the task's names they hold."""
        tree = self._workspace.tree
        # The list of files in a workspace's task would name every file.
        asked = "\n".join(line for line in task.text.splitlines() if line.strip() not in tree)
        named = named_in(asked, tree)
        names = sorted(set(_NAME.findall(asked)), key=_plainness)[:MAX_NAMES]
        held: dict[str, set[str]] = {}
        lines: dict[str, Counter[str]] = {}
        for hit in await self._hits(names):
            found = {name for name in names if re.search(rf"\b{re.escape(name)}\b", hit.text)}
            held.setdefault(hit.path, set()).update(found)
            lines.setdefault(hit.path, Counter())[f"line {hit.line}: {hit.text.strip()}"] += len(found)
        rest = sorted(held.keys() - set(named), key=lambda path: (-len(held[path]), path))
        return [
            Evidence(
                tool=self.tool,
                source=without_marks(path),
                quote=without_marks(lines[path].most_common(1)[0][0]),
                score=len(held[path]) / len(names),
            )
            if path in held
            else Evidence(tool=LIST.name, source=without_marks(path), quote=f"{len(tree[path].data)} bytes")
            for path in (*named, *rest)[:limit]
        ]

    async def _hits(self, names: Sequence[str]) -> Sequence[LineMatch]:
        if not names:
            return ()
        expression = r"\b(?:" + "|".join(map(re.escape, names)) + r")\b"
        hits, _ = await self._workspace.box.search(self._workspace.tree, expression)
        return hits


def _plainness(name: str) -> tuple[bool, int, str]:
    """Names of a program before words of a language, longer ones first."""
    return "_" not in name.strip("_") and name[1:].islower(), -len(name), name


async def look_with(lookups: Sequence[Lookup], agent: str, task: Task, looks: int) -> Look:
    """Make up to `looks` calls, in the order of the tools, and settle each.

    Args:
        lookups: The agent's tools that can be looked into.
        agent: Its name, for the record.
        task: What it looks for.
        looks: How many calls; each tool is called once, and gives up to as many quotations.
    """
    evidence: list[Evidence] = []
    calls: list[Call] = []
    faults: list[str] = []
    for lookup in lookups[:looks]:
        began = time.monotonic()
        error: str | None = None
        try:
            evidence += await lookup.find(task, min(looks, MAX_EVIDENCE))
        except SaleError as failure:
            error = f"{failure.code}: {failure.message}"
            faults.append(f"{lookup.tool}: {error}")
        seconds = time.monotonic() - began
        calls.append(
            Call(
                stage="look",
                agent=agent,
                usage=Usage(),
                dollars=lookup.fee.dollars(seconds, answered=error is None),
                seconds=seconds,
                error=error,
                tool=lookup.tool,
                key=lookup.fee.key,
            )
        )
    return Look(evidence=tuple(evidence[:MAX_EVIDENCE]), calls=tuple(calls), note="; ".join(faults) or None)
