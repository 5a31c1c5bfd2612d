"""Every snippet in README and docs is executed, parsed or compared with what it shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sale import config
from sale.cli.examples import parse_tasks
from sale.cli.main import VERBS

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    page: str
    line: int
    info: str
    body: str

    @property
    def language(self) -> str:
        return self.info.split(" ")[0]


def snippets() -> list[Snippet]:
    found: list[Snippet] = []
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Snippet(str(page.relative_to(ROOT)), line, match["info"].strip(), match["body"]))
    return found


def of(language: str, *, slow: bool = False) -> list[object]:
    return [
        pytest.param(one, id=f"{one.page}:{one.line}")
        for one in snippets()
        if one.language == language and ("slow" in one.info) == slow
    ]


def run_python(snippet: Snippet, folder: Path) -> None:
    script = folder / "snippet.py"
    script.write_text(snippet.body, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("snippet", of("python"))
def test_python(snippet: Snippet, tmp_path: Path) -> None:
    run_python(snippet, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("snippet", of("python", slow=True))
def test_python_on_real_models(snippet: Snippet, tmp_path: Path) -> None:
    run_python(snippet, tmp_path)


@pytest.mark.parametrize("snippet", of("toml"))
def test_toml_is_valid_settings(snippet: Snippet) -> None:
    assert config.parse(snippet.body).agents


@pytest.mark.parametrize("snippet", of("json"))
def test_json_is_a_task(snippet: Snippet) -> None:
    assert parse_tasks(json.dumps(json.loads(snippet.body)), snippet.page)


GROUPS = frozenset({"bench"})
"""Verbs with verbs of their own whose options the pages show."""


@pytest.mark.parametrize("snippet", of("console"))
def test_console_names_real_commands(snippet: Snippet) -> None:
    """The make targets and verbs exist, with the options shown; what they do is tested where they are."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in snippet.body.splitlines():
        command = line.split("#")[0].strip()
        if not command:
            continue
        program, _, rest = command.partition(" ")
        name = rest.split(" ")[0]
        if program == "make":
            assert re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE), command
        else:
            assert program == "sale", command
            assert name in VERBS, command
            verbs = rest.split(" ")[: 2 if name in GROUPS else 1]
            help_text = subprocess.run(
                [sys.executable, "-m", "sale.cli.main", *verbs, "--help"], capture_output=True, text=True, check=True
            ).stdout
            for option in re.findall(r"--[a-z-]+", rest):
                assert option in help_text, command


def test_no_other_kind_of_snippet() -> None:
    """A language this file does not know would go unchecked."""
    assert {one.language for one in snippets()} <= {"python", "toml", "json", "console", "text"}


def test_the_pages_link_to_pages_that_exist() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
