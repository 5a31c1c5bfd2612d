"""What the pages tell users to import is where the pages say it is, and that is the public place."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import sale
from scripts.stage_site import PYTHON

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PLACES = {
    "sale.agents.adapters.langgraph": "langgraph",
    "sale.agents.adapters.openai_agents": "agents",
    "sale.agents.adapters.pydantic_ai": None,
    "sale.agents.adapters.smolagents": "smolagents",
    "sale.agents.tools.web.toolset": None,
    "sale.auction.scoring": None,
    "sale.bench.tasks.hst_open": None,
    "sale.models.scripted": None,
    "sale.server.inspect_ai": "inspect_ai",
    "sale.server.mcp": "mcp",
    "sale.types.search": None,
}
"""Public places beside `sale` itself, and what must be installed for them."""


def imports() -> list[object]:
    found: list[object] = []
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            for node in ast.walk(ast.parse(block["body"])):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "sale":
                    names = [alias.name for alias in node.names]
                    found.append(pytest.param(node.module, names, id=f"{page.name}-{node.module}-{'-'.join(names)}"))
    return found


def test_the_page_of_the_python_api_names_every_public_place() -> None:
    named = set(re.findall(r"`(sale[.a-z_]*)`", PYTHON))
    assert {"sale", "sale.check"} <= named
    for place in PLACES:
        assert place in named or place.rpartition(".")[0] in named - {"sale"}, f"{place} is said to be nobody's"


def test_there_are_imports_to_look_at() -> None:
    assert len(imports()) > 15


@pytest.mark.filterwarnings("default")  # what the frameworks warn of is their own affair
@pytest.mark.parametrize(("module", "names"), imports())
def test_an_import_of_the_pages_is_public(module: str, names: list[str]) -> None:
    if module == "sale":
        assert set(names) <= set(sale.__all__)
        assert all(getattr(sale, name) is not None for name in names)
        return
    assert module in PLACES, f"{module} is no public place: export {', '.join(names)} from sale"
    assert not set(names) & set(sale.__all__), "import it from sale"
    needed = PLACES[module]
    if needed is not None and find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    assert all(hasattr(import_module(module), name) for name in names)
