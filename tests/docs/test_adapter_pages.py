"""The pages of the adapters can be followed to the letter: what they show is run, parsed, or looked up."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from sale import config
from tests.support.hang import HANG

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "adapters").glob("*.md"))
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
# Where the libraries themselves warn of what they will change.
STRICT = {"langgraph.md": "default", "inspect.md": "default"}


def snippets(language: str) -> list[object]:
    return [
        pytest.param(page, match["body"], id=f"{page.name}:{number}")
        for page in PAGES
        for number, match in enumerate(FENCE.finditer(page.read_text(encoding="utf-8")))
        if match["language"] == language
    ]


@pytest.mark.parametrize(("page", "body"), snippets("python"))
def test_python(page: Path, body: str, tmp_path: Path) -> None:
    if "inspect_ai" in body and find_spec("inspect_ai") is None:
        pytest.skip("needs inspect-ai: pip install 'sale[inspect-ai]'")
    if "CommandAgent" in body and shutil.which("tr") is None:
        pytest.skip("the page's program is not on this machine")
    script = tmp_path / "snippet.py"
    script.write_text(body, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", STRICT.get(page.name, "error"), str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


@pytest.mark.parametrize(("page", "body"), snippets("toml"))
def test_toml(page: Path, body: str) -> None:
    assert config.parse(body).agents


@pytest.mark.parametrize(("page", "body"), snippets("json"))
def test_json(page: Path, body: str) -> None:
    (server,) = json.loads(body)["mcpServers"].values()
    assert server == {"command": "sale", "args": ["mcp"]}


@pytest.mark.parametrize(("page", "body"), snippets("console"))
def test_console(page: Path, body: str) -> None:
    for line in body.splitlines():
        if line.startswith("pip install"):
            found = re.fullmatch(r"pip install 'sale\[([\w,-]+)\]'", line)
            assert found, line
            assert set(found[1].split(",")) <= set(EXTRAS), line
        else:
            program, verb, *rest = line.split()
            assert (program, verb) == ("sale", "mcp"), line
            done = subprocess.run(
                [sys.executable, "-m", "sale.cli.main", verb, "--help"], capture_output=True, text=True, check=True
            )
            assert all(option in done.stdout for option in rest if option.startswith("--"))


def test_every_page_is_listed_and_every_link_leads_somewhere() -> None:
    index = (ROOT / "docs" / "adapters" / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name == "index.md" or f"({page.name})" in index
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_other_kind_of_snippet() -> None:
    found = {match["language"] for page in PAGES for match in FENCE.finditer(page.read_text(encoding="utf-8"))}
    assert found <= {"python", "toml", "json", "console", "text"}
