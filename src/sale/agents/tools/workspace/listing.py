"""The description of a workspace in a task: its files, and what fails at present. Short, for every bidder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sale.agents.tools.workspace.box import CommandReport
from sale.agents.tools.workspace.tree import Tree

LISTED = 40
LISTING_CHARACTERS = 1600
OUTPUT_CHARACTERS = 1500
_NAMED = re.compile(r"(?<![\w./+-])[\w./+-]+\.\w+")
_IMPORT = re.compile(r"^[^\S\n]*+(?:from[^\S\n]++([\w.]+)[^\S\n]++import\b|import[^\S\n]++([\w., ]+))", re.MULTILINE)
_TEST = re.compile(r"(^|/)(tests?/|conftest\.py$|test_[^/]*$|[^/]*[._](test|spec)\.\w+$|[^/]*_test\.\w+$)")


def list_tree(tree: Tree) -> str:
    """The files of a tree, a line each; what does not fit is counted by directory."""
    paths = sorted(tree)
    if len(paths) <= LISTED and sum(map(len, paths)) <= LISTING_CHARACTERS:
        return "\n".join(paths)
    counts: dict[str, int] = {}
    for path in paths:
        folder = "/".join(path.split("/")[:-1][:2])
        counts[folder] = counts.get(folder, 0) + 1
    lines = [f"{folder or '.'}/ ({count} files)" for folder, count in sorted(counts.items())]
    kept: list[str] = []
    for line in lines:
        if len(kept) >= LISTED or sum(map(len, kept)) + len(line) > LISTING_CHARACTERS:
            kept.append(f"… and {len(lines) - len(kept)} more directories")
            break
        kept.append(line)
    return "\n".join(kept)


def clip_to_failure(report: CommandReport) -> str:
    """The end of what a command printed, where it says what is wrong."""
    return clip_to_end(report.output, OUTPUT_CHARACTERS)


def clip_to_end(text: str, characters: int) -> str:
    """The last whole lines of a text that fit."""
    text = text.strip("\n")
    if len(text) <= characters:
        return text
    tail = text[-characters:]
    whole = tail.partition("\n")[2] or tail
    return f"[… {len(text) - len(whole)} characters left out …]\n{whole}"


def is_test(path: str) -> bool:
    """Return whether a file looks like a test: tests define what is right, and are not repaired."""
    return _TEST.search(path) is not None


def named_in(text: str, tree: Tree) -> tuple[str, ...]:
    """Files of the tree that a text names, the last named first: a trace ends where it went wrong.

    A name with spaces or other signs is found where it is written out; the longest name at a place is the one meant.
    """
    found: list[tuple[int, str]] = []
    by_end: dict[str, list[str]] = {}
    for path in tree:
        by_end.setdefault(path.rpartition("/")[2], []).append(path)
    odd = {end: paths for end, paths in by_end.items() if any(not _NAMED.fullmatch(path) for path in paths)}
    for path in sorted((path for paths in odd.values() for path in paths), key=len, reverse=True):
        if not _NAMED.fullmatch(path):
            text = _taken_out(text, path, path, found)
    for end in sorted((end for end in odd if not _NAMED.fullmatch(end)), key=len, reverse=True):
        text = _taken_out(text, end, odd[end][0], found) if len(odd[end]) == 1 else text
    for match in _NAMED.finditer(text):
        plain = match[0].lstrip("./")
        same = by_end.get(plain.rpartition("/")[2], ())
        near = [path for path in same if path.endswith(f"/{plain}") or plain.endswith(f"/{path}")]
        found += [(match.start(), path) for path in reversed([plain] if plain in tree else near)]
    return tuple(dict.fromkeys(path for _, path in sorted(found, key=_position, reverse=True)))


def _position(one: tuple[int, str]) -> int:
    return one[0]


def _taken_out(text: str, name: str, path: str, found: list[tuple[int, str]]) -> str:
    """Note where a name stands in a text, and blank it there."""
    if name not in text:
        return text
    named = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")
    found += [(match.start(), path) for match in named.finditer(text)]
    return named.sub(lambda match: " " * len(match[0]), text)


def imported_by(path: str, tree: Tree) -> tuple[str, ...]:
    """Files of the tree that a Python file imports, in that order."""
    entry = tree.get(path)
    text = entry.text if entry is not None and path.endswith(".py") else None
    found: dict[str, None] = {}
    for one, several in _IMPORT.findall(text or ""):
        for module in (one, *several.split(",")):
            for candidate in _files_of(module.split(" as ")[0].strip().strip("."), tree):
                found.setdefault(candidate)
    return tuple(found)


def find_concerned_files(task: str, output: str, tree: Tree) -> tuple[str, ...]:
    """Files a failure is about, likeliest first: named by task or output, or imported by the tests they name."""
    named = [*named_in(task, tree), *named_in(output, tree)]
    sources = [path for path in named if not is_test(path)]
    tests = [path for path in named if is_test(path)]
    near = [path for test in tests for path in _reached(test, tree)]
    rest = [path for path in sorted(tree) if path.endswith(".py")] if not (sources or near) else []
    return _texts([*sources, *near, *tests, *rest], tree)


def _reached(test: str, tree: Tree) -> Sequence[str]:
    """Return the files that a test imports, and those that these import."""
    first = imported_by(test, tree)
    return [path for path in (*first, *(two for one in first for two in imported_by(one, tree))) if not is_test(path)]


def _files_of(module: str, tree: Tree) -> list[str]:
    if not module:
        return []
    stem = module.replace(".", "/")
    endings = (f"{stem}.py", f"{stem}/__init__.py")
    return sorted(path for path in tree if path in endings or path.endswith(tuple(f"/{end}" for end in endings)))


def _texts(paths: Iterable[str], tree: Tree) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for path in paths if path in tree and tree[path].text is not None))
