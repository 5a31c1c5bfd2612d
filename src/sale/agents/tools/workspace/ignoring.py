"""Files that come later and are ignored, by the rules that the files of a repository were chosen by.

Some of these rules are not among the files: those of the user, of the repository's own folder, of the directories above
the one that is copied, and of files that are ignored themselves.
"""

from __future__ import annotations

import os
import tempfile
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sale.agents.tools.workspace.git import empty_repository, run_git
from sale.agents.tools.workspace.tree import Tree

RULES = ".gitignore"


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnoreRules:
    """Rules that are in no file of a tree. Those of its `.gitignore` files come after them, and count for more."""

    everywhere: bytes = b""
    """Of the user."""
    folders: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """By directory, from the repository's top, which is the empty path."""


def ignored_paths(
    paths: Iterable[str], tree: Tree, rules: IgnoreRules | None = None, *, prefix: str = ""
) -> frozenset[str]:
    """Return which of these paths are ignored.

    Args:
        paths: Paths below the tree's top.
        tree: Its `.gitignore` files count.
        rules: What counts besides.
        prefix: The place of the tree's top below the repository's, ending in `/`.
    """
    outer = rules or IgnoreRules()
    wanted = [path for path in paths if "\n" not in path]
    found = dict(outer.folders)
    for path, entry in tree.items():
        folder, _, name = f"{prefix}{path}".rpartition("/")
        if name == RULES and entry.mode != "120000":  # git follows no link to rules
            before = found.get(folder)
            found[folder] = entry.data if before is None else before + b"\n" + entry.data.removeprefix(BOM_UTF8)
    if not wanted or not (found or outer.everywhere.strip()):
        return frozenset()
    with empty_repository() as repository, tempfile.TemporaryDirectory(prefix="sale-patch-") as place:
        (repository / "info" / "exclude").write_bytes(outer.everywhere)
        for folder, data in found.items():
            (Path(place) / folder).mkdir(parents=True, exist_ok=True)
            (Path(place) / folder / RULES).write_bytes(data)
        given = b"\0".join(os.fsencode(f"{prefix}{path}") for path in wanted)
        asked = ["check-ignore", "--no-index", "-z", "--stdin"]
        ran = run_git(asked, repository=repository, work_tree=Path(place), given=given)
    names = (os.fsdecode(name) for name in ran.stdout.split(b"\0") if name)
    return frozenset(name.removeprefix(prefix) for name in names)
