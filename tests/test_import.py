"""Importing costs little and does nothing: seen from a clean interpreter."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import sale
from tests.support.hang import HANG

HEAVY = (
    *("pydantic_ai", "openai", "httpx", "httpx2", "sqlalchemy", "alembic", "numpy", "onnxruntime", "tokenizers"),
    *("xllamacpp", "genai_prices", "pydantic", "jinja2", "click", "rich", "starlette", "uvicorn", "aiohttp"),
    *("scipy", "sklearn", "matplotlib", "pandas", "datasets", "trafilatura", "mcp"),
)
# Loaded by the interpreter's own start-up or by tools that watch it (coverage), not by us.
WATCH = """
import json, sys
opened, connected = [], []
def hook(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        opened.append(str(args[0]))
    elif event.startswith("socket.") or event in ("os.mkdir", "os.rename", "os.remove", "subprocess.Popen"):
        connected.append(event)
before = set(sys.modules)
sys.dont_write_bytecode = True
sys.addaudithook(hook)
{code}
new = sorted(set(sys.modules) - before)
print(json.dumps({{"modules": new, "opened": opened, "events": connected}}))
"""


def seen(code: str) -> dict[str, list[str]]:
    """What some code loads, opens for writing, and does to the world, in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", WATCH.format(code=code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout.splitlines()[-1])


def loaded(found: dict[str, list[str]], names: tuple[str, ...]) -> set[str]:
    return {module.partition(".")[0] for module in found["modules"]} & set(names)


def test_import_sale_loads_nothing_heavy_and_does_nothing() -> None:
    found = seen("import sale")
    assert loaded(found, HEAVY) == set()
    assert [module for module in found["modules"] if module.startswith("sale")] == ["sale"]
    assert found["opened"] == found["events"] == []


def test_the_scoring_needs_only_the_nouns() -> None:
    found = seen("import sale.auction.scoring, sale.auction.entropy, sale.auction.ballots")
    assert loaded(found, (*HEAVY, "asyncio")) == set()
    ours = {module for module in found["modules"] if module.startswith("sale")}
    assert ours - {"sale", "sale.auction"} == {
        "sale.auction.ballots",
        "sale.auction.success_model",
        "sale.auction.entropy",
        "sale.auction.scoring",
        *(module for module in ours if module.startswith("sale.types")),
    }


def test_the_whole_mechanism_needs_no_provider_and_no_database() -> None:
    found = seen("import sale.auction.auctioneer")
    # NumPy for plans of attempts, which are means over how hard a task may be.
    assert loaded(found, HEAVY) == {"jinja2", "numpy"}


@pytest.mark.parametrize("name", ["Task", "Price", "AuctionRules", "SaleError", "Auction"])
def test_a_light_name_stays_light(name: str) -> None:
    found = seen(f"from sale import {name}")
    assert loaded(found, HEAVY) == set()


@pytest.mark.parametrize("name", ["Settings", "Market", "FunctionAgent", "Contractor", "ExactMatch"])
def test_a_heavier_name_still_does_nothing(name: str) -> None:
    found = seen(f"from sale import {name}")
    assert loaded(found, ("xllamacpp", "onnxruntime", "tokenizers", "starlette", "uvicorn")) == set()
    # Not click and rich themselves: where httpx is installed the model library loads it, and httpx loads those.
    assert [module for module in found["modules"] if module.startswith("sale.cli")] == []
    assert found["opened"] == []
    assert found["events"] == []


HELP = """
import contextlib, io
from sale.cli.main import app
with contextlib.redirect_stdout(io.StringIO()) as said:
    app({given!r}, standalone_mode=False)
assert "Usage:" in said.getvalue()
"""
SETTINGS = {"click", "pydantic"}
TABLES = {*SETTINGS, "rich"}
DATABASE = {*TABLES, "sqlalchemy"}


@pytest.mark.parametrize(
    ("verb", "needed"),
    [
        ((), {"click"}),
        *(((verb,), SETTINGS) for verb in ("run", "bid")),
        *(((verb,), TABLES) for verb in ("doctor", "init", "models")),
        *(((verb,), DATABASE) for verb in ("keys", "spend")),
        # How alike two tasks are is reckoned with NumPy.
        *(((verb,), {*DATABASE, "numpy"}) for verb in ("memory", "feedback", "weights")),
        (("bench",), {"click"}),
    ],
)
def test_the_help_of_a_verb_loads_no_client_of_models(verb: tuple[str, ...], needed: set[str]) -> None:
    """These take seconds to load, and whoever asks for help, or for a key, asks no model."""
    found = seen(HELP.format(given=[*verb, "--help"]))
    assert loaded(found, HEAVY) <= needed
    assert found["opened"] == found["events"] == []


def test_the_agents_protocol_needs_no_client_of_models() -> None:
    found = seen("import sale.agents.protocol")
    assert loaded(found, HEAVY) <= {"pydantic", "jinja2", "numpy"}


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    code = """
import sale
assert list(sale.__all__) == sorted(sale.__all__)
missing = [name for name in sale.__all__ if getattr(sale, name, None) is None]
assert missing == [], missing
assert dir(sale) == sorted(sale.__all__)
try:
    sale.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise SystemExit("it has everything")
"""
    seen(code)


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    """The imports for type checkers, the table for the interpreter and `__all__` name the same things."""
    path = Path(sale.__file__)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = {
        alias.name: node.module
        for guard in tree.body
        if isinstance(guard, ast.If)
        for node in ast.walk(guard)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: home for home, names in sale._HOMES.items() for name in names}
    assert checked == homes
    assert set(sale.__all__) == set(homes)
