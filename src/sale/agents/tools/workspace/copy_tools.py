"""The tools of one piece of work in a copy: look, search, edit, write, run."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Awaitable, Callable, Sequence

from sale.agents.protocol import Tool
from sale.agents.tools.python import clip
from sale.agents.tools.workspace.box import CommandBox, CommandReport
from sale.agents.tools.workspace.texts import FileText, TextEdit, margins, new_text, plain_lines
from sale.agents.tools.workspace.tree import WorkingCopy
from sale.errors import InputError
from sale.types import ToolInfo

LISTED = 200
"""Paths shown at once."""
READ_LINES = 200
READ_CHARACTERS = 8000
COMPARED_LINES = 2000
"""Lines of a file that are compared with one that is not there, and the characters of each: it takes seconds else."""
COMPARED_CHARACTERS = 200
OUTPUT_CHARACTERS = 4000
NUMBERED = re.compile(r"^ *\d+\| ?", re.MULTILINE)

LIST = ToolInfo(
    name="list_files",
    description="lists the files below a directory of the repository, with their sizes; '.' for all",
)
READ = ToolInfo(
    name="read_file",
    description=(
        "shows a file with numbered lines (the number and the bar are not in the file); `start` and `end` choose lines"
    ),
)
SEARCH = ToolInfo(name="search", description="finds lines in the files by a regular expression (Python's)")
EDIT = ToolInfo(
    name="edit_file",
    description=(
        "replaces a piece of a file: `old` must be there exactly once, with its indentation, and `new` takes its place"
    ),
)
WRITE = ToolInfo(name="write_file", description="writes a whole file, new or in place of the old one")
RUN = ToolInfo(
    name="run",
    description=(
        "runs a shell command at the top of the repository, and shows its exit status and what it printed; no network"
    ),
)
KIT: tuple[ToolInfo, ...] = (LIST, READ, SEARCH, EDIT, WRITE, RUN)
"""The tools as they are described to bidders."""


class CopyTool:
    """One of the tools."""

    def __init__(self, info: ToolInfo, run: Callable[..., Awaitable[str]], *, long_input: bool = False) -> None:
        """Named and described by `info`; `run` does it."""
        self.info = info
        self.run = run
        self.long_input = long_input


def make_copy_tools(copy: WorkingCopy, box: CommandBox) -> tuple[Tool, ...]:
    """The tools over one copy."""
    hands = CopyActions(copy, box)
    return (
        CopyTool(LIST, hands.list_files),
        CopyTool(READ, hands.read_file),
        CopyTool(SEARCH, hands.search),
        CopyTool(EDIT, hands.edit_file, long_input=True),
        CopyTool(WRITE, hands.write_file, long_input=True),
        CopyTool(RUN, hands.run),
    )


class CopyActions:
    """The actions of the tools. An action that cannot be done raises an `InputError`, which the agent is shown."""

    def __init__(self, copy: WorkingCopy, box: CommandBox) -> None:
        """Work on this copy; commands run in this box."""
        self._copy = copy
        self._box = box

    async def list_files(self, directory: str = ".") -> str:
        """List files.

        Args:
            directory: Where to look; '.' for everything.
        """
        paths = self._copy.paths(directory)
        tree = self._copy.tree
        sizes = {path: len(tree[path].data) for path in paths[:LISTED]}
        lines = [f"{path} ({size} bytes)" for path, size in sizes.items()]
        if len(paths) > LISTED:
            lines.append(f"… and {len(paths) - LISTED} more; list a directory of them")
        return "\n".join(lines) or "there are no files"

    async def read_file(self, path: str, start: int = 1, end: int | None = None) -> str:
        """Show a file.

        Args:
            path: The file, relative to the top of the repository.
            start: The first line, from 1.
            end: The last line; as many as fit unless given.
        """
        lines = self._text(path).plain.split("\n")
        lines = lines[:-1] if lines[-1] == "" else lines
        if not lines:
            return f"{path} is empty"
        first = max(1, start)
        last = min(len(lines), end if end is not None else first + READ_LINES - 1, first + READ_LINES - 1)
        if first > len(lines) or last < first:
            raise InputError(f"{path} has {len(lines)} lines: there are none from {start} to {end}")
        return number_lines(lines, first, last)

    async def search(self, expression: str) -> str:
        """Find lines.

        Args:
            expression: A regular expression.
        """
        hits, more = await self._box.search(self._copy.tree, expression)
        if not hits:
            return "Nothing was found."
        lines = [f"{hit.path}:{hit.line}: {hit.text}" for hit in hits]
        return "\n".join([*lines, *(["… and more; be more exact"] if more else [])])

    async def edit_file(self, path: str, old: str, new: str) -> str:
        """Replace a piece of a file.

        Args:
            path: The file.
            old: What is there now, exactly once.
            new: What takes its place.
        """
        text = self._text(path)
        piece = _find_piece(text.plain, old, new, path)
        if piece is None:
            raise await asyncio.to_thread(_missing, text.plain, old, path)
        place = self._copy.write(path, text.with_spans([piece]).data(path))
        return f"{place} is changed"

    async def write_file(self, path: str, content: str) -> str:
        """Write a file.

        One that is there keeps its encoding, byte-order mark, line ends and mode. It also keeps the empty lines it
        begins and ends with, unless they are all that is different.

        Args:
            path: Where.
            content: All that is to be in it.
        """
        old = self._copy.text(path)
        if old is None:
            made = new_text(content)
        else:
            own_end = margins(plain_lines(content))[1] != margins(old.plain)[1]
            made = old.with_whole(content, own_end=own_end)
        place = self._copy.write(path, made.data(path))
        return f"{place} is written: {content.count(chr(10)) + (not content.endswith(chr(10)))} lines"

    async def run(self, command: str) -> str:
        """Run a command.

        Args:
            command: A shell command, at the top of the repository.
        """
        report, left = await self._box.run(self._copy.tree, command)
        self._copy.replace_all(left)
        return describe_report(report, OUTPUT_CHARACTERS)

    def _text(self, path: str) -> FileText:
        found = self._copy.text(path)
        if found is None:
            self._copy.read(path)  # says what there is instead
            raise InputError(f"there is no file {path!r}")
        return found


def number_lines(lines: Sequence[str], first: int, last: int) -> str:
    """Lines `first` to `last`, from 1, each after its number; cut where they are too long to be shown."""
    kept: list[str] = []
    size = 0
    for number in range(first, last + 1):
        line = f"{number}| {lines[number - 1]}"
        size += len(line) + 1
        if size > READ_CHARACTERS:
            kept.append(line[:200] if not kept else "")
            last = number if not kept[:-1] else number - 1
            break
        kept.append(line)
    more = f"\n… lines {last + 1} to {len(lines)} are not shown" if last < len(lines) else ""
    return "\n".join(line for line in kept if line) + more


def piece_in(text: str, old: str, new: str, path: str) -> TextEdit:
    """Return where a piece is in a text whose lines end in line feeds, and what takes its place.

    Raises:
        InputError: The piece is not there, or more than once; it says what is nearest.
    """
    piece = _find_piece(text, old, new, path)
    if piece is None:
        raise _missing(text, old, path)
    return piece


def _find_piece(text: str, old: str, new: str, path: str) -> TextEdit | None:
    old, new = plain_lines(old), plain_lines(new)
    if not old:
        raise InputError("`old` is empty", hint="Name what is to be replaced, or use write_file.")
    if old not in text and NUMBERED.match(old):  # copied with the numbers it was shown with
        old, new = NUMBERED.sub("", old), NUMBERED.sub("", new)
    if (
        len(old) > 1 and old not in text and old.endswith("\n") and text.endswith(old[:-1])
    ):  # the last line ends in nothing
        start = len(text) - len(old) + 1
        return TextEdit(start, len(text), new.removesuffix("\n"))
    count = text.count(old)
    if count == 1:
        start = text.index(old)
        return TextEdit(start, start + len(old), new)
    if count > 1:
        raise InputError(f"that is in {path} {count} times", hint="Give more of the lines around it.")
    return None


def _missing(text: str, old: str, path: str) -> InputError:
    old = plain_lines(old)
    old = NUMBERED.sub("", old) if NUMBERED.match(old) else old
    return InputError(f"that is not in {path}, character for character{nearest_lines(text, old)}")


def nearest_lines(text: str, old: str) -> str:
    """Return the lines most like what was looked for, as the end of an error message."""
    wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")
    lines = text.splitlines()
    first = next((at for at, line in enumerate(lines) if wanted and wanted in line), None)
    if first is None:
        plain = [line.strip()[:COMPARED_CHARACTERS] for line in lines[:COMPARED_LINES]]
        close = difflib.get_close_matches(wanted[:COMPARED_CHARACTERS], plain, n=1, cutoff=0.4)
        if not close:
            return ""
        first = plain.index(close[0])
    piece = lines[first : first + min(len(old.splitlines()), 12)]
    return f"; the nearest is, from line {first + 1}:\n" + "\n".join(piece)


def describe_report(report: CommandReport, characters: int) -> str:
    """Describe the end of a command for an agent."""
    ending = "stopped at the end of its time" if report.late else f"exit status {report.exit_code}"
    parts = [ending, *([report.note] if report.note else []), clip(report.output.strip("\n"), characters)]
    return "\n".join(part for part in parts if part)
