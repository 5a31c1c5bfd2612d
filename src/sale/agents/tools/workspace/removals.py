"""The removals of a patch beyond its task: a model that hands in one function can drop the rest of a file.

The rule is about lines that are not blank. A line that comes back in another place of the patch has moved, and is not
removed. A file counts

- if it is deleted, or is a file no more, and most of its lines do not come back elsewhere;
- if it shrinks by more than half, and by 5 lines at least; or by 100 lines or more;
- if four fifths of its lines are replaced, of 20 at least, and the task does not name it;
- if it is not text, and is deleted or shrinks by more than half.

It is asked for where the task names the file (by its path, name, or directory) and speaks of removing, moving or
writing anew. Words are matched in English; whoever writes in another language, or means more, says `--allow-removals`.
"""

from __future__ import annotations

import re
from collections import Counter

from sale.agents.tools.workspace.tree import FileEntry, Tree, changes
from sale.wording import quantity

MIN_LINES = 5
MIN_REWRITTEN = 20
MANY_LINES = 100
MIN_BYTES = 1024
MIN_WORD = 3
_REMOVING = re.compile(
    r"\b(delet|remov|drop|eras|prun|strip|purg|discard|renam|mov(e|es|ed|ing)\b|split|merg|replac|rewrit|clean|clear"
    r"|empt(y|ies)\b|shorten|trim|reduc|simplif|revert|undo|unused|dead\b|obsolete|deprecat|get rid|throw away"
    r"|from scratch)",
    re.IGNORECASE,
)


def find_removals(task: str, before: Tree, after: Tree) -> tuple[str, ...]:
    """Return what is removed without being asked for, a line for each file; empty where there is nothing to say.

    Args:
        task: What is to be done, in the user's own words: without the list of files that workers are shown.
        before: The files as they are.
        after: The files as they would be.
    """
    different = changes(before, after)
    old = {path: _lines(before.get(path)) for path in different}
    new = {path: _lines(after.get(path)) for path in different}
    spare: Counter[str] = Counter()
    for path in different:
        spare += new[path] - old[path]
    data = {after[path].data for path in different if path in after and path not in before}
    found: list[str] = []
    for path in different:
        if path not in before:
            continue
        moved = (old[path] - new[path]) & spare
        spare -= moved
        gone = (old[path] - new[path] - moved).total()
        named = _names(task, path)
        if named and _REMOVING.search(task):
            continue
        if before[path].text is None:
            said = _said_of_bytes(before[path], after.get(path), data)
        else:
            said = _said(old[path].total(), new[path].total(), gone, is_there=_is_text(after.get(path)), named=named)
        if said:
            found.append(f"{path}: {said}")
    return tuple(found)


def _said(lines: int, left: int, gone: int, *, is_there: bool, named: bool) -> str:
    """Return what is to be said of a text, of so many lines before and after, of which so many are gone."""
    if not is_there:
        return f"the file is removed ({quantity(lines, 'line')})" if 2 * gone > lines else ""
    lost = min(gone, lines - left)
    if lost >= MANY_LINES or (lost >= MIN_LINES and 2 * lost > lines):
        return f"{lost} of {quantity(lines, 'line')} are removed"
    if not named and lines >= MIN_REWRITTEN and 5 * gone >= 4 * lines:
        return f"{gone} of {quantity(lines, 'line')} are replaced"
    return ""


def _said_of_bytes(before: FileEntry, after: FileEntry | None, elsewhere: set[bytes]) -> str:
    """Describe the removal of a file that is not text: a picture, an archive, a symbolic link."""
    size = len(before.data)
    if after is None or after.mode == "120000" != before.mode:
        return "" if before.data in elsewhere else f"the file is removed ({size} bytes)"
    if size >= MIN_BYTES and 2 * len(after.data) < size:
        return f"{size - len(after.data)} of {size} bytes are removed"
    return ""


def _names(task: str, path: str) -> bool:
    """Return whether a task names a file: by its path, its name with or without ending, or a directory it is in."""
    if path in task:
        return True
    *folders, name = path.split("/")
    words = {name, name.partition(".")[0], *folders}
    return any(
        len(word) >= MIN_WORD and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", task, re.IGNORECASE) for word in words
    )


def _is_text(entry: FileEntry | None) -> bool:
    return entry is not None and entry.text is not None


def _lines(entry: FileEntry | None) -> Counter[str]:
    """Return how often each line that is not blank is in a text; indentation does not count."""
    text = entry.text if entry is not None else None
    return Counter(line.strip() for line in (text or "").splitlines() if line.strip())
