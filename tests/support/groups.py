"""Which tests run in one worker, one after another.

Real models: each of several engines at once would have the others wait. What a module, or a folder, makes once for all
of its tests: a gateway, a browser, a recorded run.
"""

from __future__ import annotations

import pytest

MODELS = "models"
FOLDERS = ("tests/server/faults", "tests/server/clients")
"""Folders whose tests share a gateway."""


def group_of(item: pytest.Item) -> str | None:
    """The group's name; `None` for a test that can run anywhere."""
    if item.get_closest_marker("slow") is not None:
        return MODELS
    file = item.nodeid.partition("::")[0]
    for folder in FOLDERS:
        if file.startswith(f"{folder}/"):
            return folder
    return file if _shares(item) else None


def rank(item: pytest.Item) -> int:
    """Its place among all: what takes longest begins first, so that no worker is left alone with it."""
    marker = item.get_closest_marker("xdist_group")
    if marker is None:
        return 2
    return 0 if marker.args[0] == MODELS else 1


def _shares(item: pytest.Item) -> bool:
    """Whether a fixture made once for its module has a part in it."""
    if not isinstance(item, pytest.Function):
        return False
    used = item._fixtureinfo.name2fixturedefs  # pyright: ignore[reportPrivateUsage]
    return any(made[-1].scope in {"module", "class"} for made in used.values())
