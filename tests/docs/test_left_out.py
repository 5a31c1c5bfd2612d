"""What `make test` leaves out is listed in CONTRIBUTING.md, all of it, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = re.compile(r"^\| `(tests/\S+::\w+)` \|", re.MULTILINE)
WHOLE_FILE = re.compile(r"^pytestmark\b[^\n]*mark\.release", re.MULTILINE)
PINNED = re.compile(r"^[a-z0-9-]+==\S+( ; [^\\]+)? \\$")


def marked(path: Path) -> set[str]:
    """Functions of a file that have the mark."""
    return {
        f"{path.relative_to(ROOT).as_posix()}::{node.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("mark.release" in ast.unparse(one) for one in node.decorator_list)
    }


def test_the_list_is_what_is_marked() -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    found = {name for path in files for name in marked(path)}
    assert found == set(LISTED.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    elsewhere = [path.name for path in files if WHOLE_FILE.search(path.read_text(encoding="utf-8"))]
    assert elsewhere == [], "mark each test by itself, so that the list can name it"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-docs.lock"])
def test_every_file_that_is_installed_is_pinned_and_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for block in re.split(r"\n(?=\S)", text.strip()):
        first, *digests = block.splitlines()
        assert PINNED.match(first), first
        assert digests, first
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in digests), first
    assert "://" not in text
    for build in ("hatchling", "editables") if name == "requirements.lock" else ():
        assert f"\n{build}==" in text, "the project is built without isolation"
