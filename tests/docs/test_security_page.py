"""The page on security names tests that exist: a promise without one is no promise."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py")}


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+)(?:\.py)?`", PAGE)) | set(re.findall(r"`(test_\w+)\.py`", PAGE))
    missing = [one for one in named if not any(one in path for path in SOURCES)]
    assert named
    assert not missing


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+|Test\w+)`", PAGE))
    text = "\n".join(SOURCES.values())
    missing = [one for one in named if not re.search(rf"\b(?:def|class) {one}\b", text)]
    assert named
    assert not missing
