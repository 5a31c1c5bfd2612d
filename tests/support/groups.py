"""Which tests run in one worker, one after another.

Real models: each of several engines at once would have the others wait. What a module, or a folder, makes once for all
of its tests: a gateway, a browser, a recorded run. All other tests run anywhere.

The group is told from a test's name and the text of its file, because the process that hands tests out has no more than
names. (The marks of pytest-xdist 3.8 have no effect under pytest 9.2.)
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]
MODELS = "models"
FOLDERS = ("tests/server/faults", "tests/server/clients")
"""Folders whose tests share a gateway."""
_SLOW = re.compile(r"\bmark\.slow\b")
_SHARED = re.compile(r"scope=\"(?:module|class)\"|from tests\.support\.endpoint import [^\n]*\bendpoint\b")


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups; a test without one is handed out by itself."""

    def _split_scope(self, nodeid: str) -> str:
        """The scope that pytest-xdist keeps together; the name is its own."""
        return group_of(nodeid) or nodeid


def group_of(nodeid: str) -> str | None:
    """The group of a test by its name; `None` for a test that can run anywhere."""
    file = nodeid.partition("::")[0]
    for folder in FOLDERS:
        if file.startswith(f"{folder}/"):
            return folder
    return _group_of_file(file)


def rank(nodeid: str) -> int:
    """Its place among all: what takes longest begins first, so that no worker is left alone with it."""
    group = group_of(nodeid)
    return 2 if group is None else 0 if group == MODELS else 1


@cache
def _group_of_file(file: str) -> str | None:
    text = (ROOT / file).read_text(encoding="utf-8")
    if _SLOW.search(text):
        return MODELS
    return file if _SHARED.search(text) else None
