"""Every link inside the documentation leads somewhere: to a file that is there, and to a heading that is in it."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
FENCE = re.compile(r"^(```|~~~).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
STAGED = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
MADE = frozenset({"python.md", "results-data.md"})


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The headings as they are linked to: lower case, without punctuation, spaces as dashes, a number if repeated."""
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for title in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        found.add(slug if not seen[slug] else f"{slug}-{seen[slug]}")
        seen[slug] += 1
    return frozenset(found)


def links(page: Path) -> list[str]:
    found = LINK.findall(CODE.sub("", prose(page)))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"links to {link}, which is not there"
        assert target.is_relative_to(ROOT)
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"links to {link}; {target.name} has {sorted(anchors(target))}"


def test_links_are_found_at_all() -> None:
    assert sum(len(links(page)) for page in PAGES) > 150
    assert any("#" in link for page in PAGES for link in links(page))


def test_every_page_is_on_the_site_once() -> None:
    class Loader(yaml.SafeLoader):
        pass

    def skipped(loader: object, suffix: object, node: object) -> None:
        """The tag names a function, which is not for this test."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", skipped)
    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=Loader)

    def pages(part: Any) -> list[str]:
        if isinstance(part, str):
            return [part]
        return [name for one in (part.values() if isinstance(part, dict) else part) for name in pages(one)]

    listed = pages(site["nav"])
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(written | set(STAGED) | MADE)
