"""Stage the pages of the documentation site in build/docs: those of docs/, and what they link to beside them.

README becomes the first page; changelog and contributing guide join in; files of the repository that a page links to
are copied, so that the built site needs no other place. The page of the Python API names every public name of `sale`.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import sale

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
STAGED = ROOT / "build" / "docs"
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages of the repository's root, and their names on the site."""
FILES = "files"
"""The folder of the site for files that are not pages."""
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
KIND = re.compile(r"^```(\w+) [^\n]*")
"""A fence says how its test runs it; the site needs its language alone."""
DATA = "results-data.md"
TABLED = ("results", "break-even", "private-knowledge", "outside-tables")
"""Folders of `docs` whose tables the page of data lists."""
TABLES = """# Tables as data

The tables of [the results](results.md), of [when an auction pays](break-even.md), of [private
knowledge](private-knowledge.md) and of [strong models' records](outside-tables.md), as comma-separated values.

{files}
"""
PYTHON = """# Python

Stable are the names of `sale` itself, below; those of `sale.check`; and the names that the pages import from
`sale.agents.adapters`, `sale.agents.tools.web.providers`, `sale.agents.tools.web.toolset`, `sale.auction.scoring`,
`sale.bench.tasks.hst_open`, `sale.models.scripted`, `sale.server.inspect_ai`, `sale.server.mcp` and
`sale.types.search`. What else the modules hold is theirs, and may change.

{names}
"""


def stage() -> None:
    """Write all pages anew."""
    shutil.rmtree(STAGED, ignore_errors=True)
    shutil.copytree(DOCS, STAGED)
    for page in DOCS.rglob("*.md"):
        write(page, STAGED / page.relative_to(DOCS))
    for name, staged in PAGES.items():
        write(ROOT / name, STAGED / staged)
    files = sorted(file for folder in TABLED for file in (DOCS / folder).glob("*.csv"))
    listed = "\n".join(f"- [{file.name}]({file.relative_to(DOCS).as_posix()})" for file in files)
    (STAGED / DATA).write_text(TABLES.format(files=listed), encoding="utf-8")
    names = "\n".join(f"::: sale.{name}" for name in sorted(sale.__all__, key=str.lower))
    (STAGED / "python.md").write_text(PYTHON.format(names=names), encoding="utf-8")


def write(page: Path, target: Path) -> None:
    """Write one page, its links as they are on the site."""
    text = page.read_text(encoding="utf-8")

    def moved(found: re.Match[str]) -> str:
        if ":" in found["path"]:
            return found[0]
        place = staged_place((page.parent / found["path"]).resolve())
        return f"{Path(os.path.relpath(place, target.parent)).as_posix()}{found['anchor'] or ''}"

    parts: list[str] = []
    done = 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(moved, text[done : fence.start()]), KIND.sub(r"```\1", fence[0], count=1)]
        done = fence.end()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join([*parts, LINK.sub(moved, text[done:])]), encoding="utf-8")


def staged_place(path: Path) -> Path:
    """Return where a file of the repository is on the site; it is copied there unless it is a page."""
    if path == DOCS / "results":
        return STAGED / DATA
    if path.is_relative_to(DOCS):
        return STAGED / path.relative_to(DOCS)
    inside = path.relative_to(ROOT)
    if inside.as_posix() in PAGES:
        return STAGED / PAGES[inside.as_posix()]
    place = STAGED / FILES / inside
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)
    return place


if __name__ == "__main__":
    stage()
