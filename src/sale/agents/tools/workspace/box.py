"""Commands and searches over a copy, each in a sandbox of its own: no network, nothing of this machine's to write."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, ValidationError

from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.runs import RunLimits, RunReport
from sale.agents.tools.surroundings import SandboxMounts
from sale.agents.tools.workspace.tree import MEGABYTE, FileEntry, Mode, Tree, check_path, new_links_out, stays_inside
from sale.errors import InputError

_PROGRAM = resources.files("sale.agents.tools.workspace").joinpath("inside.py").read_text(encoding="utf-8")
OUTPUT_BYTES = 64_000
"""Bytes of a command's output that are kept: its beginning, and more of its end."""
SEARCH_SECONDS = 10.0
SEARCH_HITS = 50
LINE_CHARACTERS = 200
PATIENCE = 15.0
"""Seconds beyond a command's own for laying out the copy and bringing back what changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLimits:
    """The limits of one command."""

    seconds: float = 120.0
    memory_bytes: int = 2048 * MEGABYTE
    processes: int = 256
    keep_bytes: int = 64 * MEGABYTE
    """The most that a command may change for it to be kept."""
    place_bytes: int = 512 * MEGABYTE
    """Bytes the copy may grow to while a command runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandReport:
    """The end of a command and its output."""

    command: str
    exit_code: int
    output: str
    """Standard output and error in the order they came; its middle is left out where it is long."""
    late: bool = False
    """It was stopped at the end of its time. What it did to the copy is lost."""
    note: str = ""
    """Anything else there is to say."""

    @property
    def passed(self) -> bool:
        """It ended by itself, and well."""
        return self.exit_code == 0 and not self.late


@dataclass(frozen=True, kw_only=True, slots=True)
class LineMatch:
    """A line that was found."""

    path: str
    line: int
    text: str


class _InsideReport(BaseModel):
    """The report of the program inside. It shares its sandbox with the command, so it is checked as untrusted."""

    model_config = ConfigDict(strict=True)
    exit: int
    late: bool
    output: str
    files: dict[str, list[str]] = {}
    gone: list[str] = []
    too_much: list[int] | None = None


class CommandBox:
    """Runs commands over trees. It holds nothing between two of them, and can be shared."""

    def __init__(self, sandbox: BubblewrapSandbox, surroundings: SandboxMounts, bounds: CommandLimits) -> None:
        """Run in this sandbox, in these surroundings. Nothing less than bubblewrap will do."""
        self._sandbox = sandbox.within(surroundings)
        self._around = surroundings
        self._bounds = bounds

    async def run(self, tree: Tree, command: str, *, keep: bool = True) -> tuple[CommandReport, Tree]:
        """Run a command over a tree; the tree it leaves, the same where nothing is kept.

        Raises:
            SandboxError: The sandbox could not be set up.
            InputError: There is no command.
        """
        if not command.strip() or "\0" in command:
            raise InputError("there is no command to run")
        bounds = self._bounds
        header: dict[str, object] = {
            "place": self._place,
            "command": command,
            "seconds": bounds.seconds,
            "output": OUTPUT_BYTES,
            "keep": bounds.keep_bytes if keep else 0,
            "keep_files": 20_000,
            "skip": self._skipped(),
            "environment": dict(self._around.environment),
        }
        limits = RunLimits(
            cpu_seconds=int(bounds.seconds * 2) + 1,
            wall_seconds=bounds.seconds + PATIENCE,
            memory_bytes=bounds.memory_bytes,
            address_bytes=2**40,
            output_bytes=bounds.keep_bytes * 2 + MEGABYTE,
            processes=bounds.processes,
            file_bytes=bounds.place_bytes,
            open_files=1024,
        )
        ran = await self._sandbox.run(_PROGRAM, stdin=_fed(header, tree), limits=limits)
        told = _told(ran)
        if told is None:
            return CommandReport(command=command, exit_code=ran.exit_code or 1, output="", note=_why(ran)), tree
        note, left = "", tree
        if told.too_much is not None:
            note = f"it changed {told.too_much[1] // MEGABYTE} MB, more than is kept: the copy is as it was before"
        elif keep and not told.late:
            left, note = _after(tree, told)
        return CommandReport(command=command, exit_code=told.exit, output=told.output, late=told.late, note=note), left

    async def search(self, tree: Tree, expression: str) -> tuple[tuple[LineMatch, ...], bool]:
        """Lines with a regular expression (Python's), and whether there are more.

        Raises:
            InputError: It is not a regular expression, or takes too long.
            SandboxError: The sandbox could not be set up.
        """
        texts = {path: FileEntry(text.encode()) for path, one in sorted(tree.items()) if (text := one.text) is not None}
        header: dict[str, object] = {"search": expression, "hits": SEARCH_HITS, "line": LINE_CHARACTERS}
        limits = RunLimits(cpu_seconds=int(SEARCH_SECONDS), wall_seconds=SEARCH_SECONDS, memory_bytes=512 * MEGABYTE)
        ran = await self._sandbox.run(_PROGRAM, stdin=_fed(header, texts), limits=limits)
        if ran.killed_reason is not None or ran.exit_code != 0:
            raise InputError("the search took too long", hint="Use a simpler expression.")
        found = cast("dict[str, object]", json.loads(ran.stdout))
        if "error" in found:
            raise InputError(f"that is no regular expression: {found['error']}")
        hits = cast("list[tuple[str, int, str]]", found["hits"])
        return tuple(LineMatch(path=path, line=line, text=text) for path, line, text in hits), bool(found["more"])

    @property
    def _place(self) -> str:
        return str(self._around.place)

    def _skipped(self) -> list[str]:
        """Return the files that are shown in the copy's place but do not belong to it."""
        place = Path(self._around.place)
        return [str(path.relative_to(place)) for path in self._around.visible if path.is_relative_to(place)]


def _fed(header: Mapping[str, object], tree: Tree) -> bytes:
    entries = [(path, entry.mode, len(entry.data)) for path, entry in tree.items()]
    line = json.dumps({**header, "entries": entries}).encode()
    return b"".join([line, b"\n", *(entry.data for entry in tree.values())])


def _told(ran: RunReport) -> _InsideReport | None:
    if ran.killed_reason is not None:
        return None
    try:
        return _InsideReport.model_validate_json(ran.stdout)
    except ValidationError:
        return None


def _why(ran: RunReport) -> str:
    match ran.killed_reason:
        case "time":
            said = "it was stopped at the end of its time"
        case "memory":
            said = "it was stopped for the memory it used"
        case "output":
            said = "it was stopped for what it wrote"
        case None:
            last = ran.stderr.strip().splitlines()[-1:] or ["no word why"]
            said = f"it ended what was watching it, or there was no room: {last[0][:200]}"
    return f"{said}; the copy is as it was before"


def _after(tree: Tree, told: _InsideReport) -> tuple[Tree, str]:
    """The tree with what a command changed; untouched, with a reason, where that makes no sense."""
    gone = set(told.gone)
    left = {path: entry for path, entry in tree.items() if path not in gone}
    astray: list[str] = []
    try:
        for path, (mode, data) in told.files.items():
            if mode not in {"100644", "100755", "120000"}:
                raise ValueError(mode)
            entry = FileEntry(base64.b64decode(data, validate=True), cast("Mode", mode))
            if mode == "120000" and not stays_inside(path, entry.data.decode()):
                astray.append(path)
                continue
            left[check_path(path)] = entry
    except (ValueError, binascii.Error, InputError) as error:
        return tree, f"what it changed cannot be kept ({error}): the copy is as it was before"
    while out := new_links_out(tree, left):
        changed = [path for path in sorted(out) if left[path] != tree.get(path)]
        if not changed:
            said = f"the symbolic link {min(out)!r} would lead out"
            return tree, f"what it changed cannot be kept ({said}): the copy is as it was before"
        astray += changed
        for path in changed:  # what is left of the others is looked at anew: they may lead through it
            del left[path]
            left |= {path: tree[path]} if path in tree else {}
    return left, f"symbolic links that lead out are not kept: {', '.join(astray[:5])}" if astray else ""
