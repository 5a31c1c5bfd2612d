"""Every snippet in README and docs is executed, parsed or compared with what it shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sale import config
from sale.cli.examples import parse_tasks
from sale.cli.main import VERBS, app
from sale.server.alarm_sender import AlarmNotice
from sale.server.shadow_report import ArmReport, ShadowReport
from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import Served, gateway
from tests.support.hang import HANG

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


def of(language: str, kind: str = "") -> list[object]:
    """Snippets of a language; what follows its name says of what kind they are."""
    return [
        pytest.param(one, id=f"{one.page}:{one.line}")
        for one in snippets()
        if one.language == language and one.info.removeprefix(language).strip() == kind
    ]


def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["project"]["optional-dependencies"])


def run_python(snippet: Snippet, folder: Path) -> str:
    """Run it; gives back what it printed."""
    script = folder / "snippet.py"
    script.write_text(snippet.body, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("snippet", of("python"))
def test_python(snippet: Snippet, tmp_path: Path) -> None:
    run_python(snippet, tmp_path)


@pytest.mark.parametrize("snippet", of("python", "first"))
def test_python_that_prints_what_the_page_says(snippet: Snippet, tmp_path: Path) -> None:
    """The output is the text that follows, where one does before the next snippet."""
    printed = run_python(snippet, tmp_path)
    assert printed.strip()
    rest = (ROOT / snippet.page).read_text(encoding="utf-8").split(snippet.body, 1)[1]
    followed = FENCE.search(rest.split("```", 1)[1])
    if followed and followed["info"].strip() == "text first":
        assert printed == followed["body"]


@pytest.mark.slow
@pytest.mark.parametrize("snippet", of("python", "slow"))
def test_python_on_real_models(snippet: Snippet, tmp_path: Path) -> None:
    run_python(snippet, tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with FaultWall() as wall:
        agents = [{"name": "only", "model": "good", "price": 0.1, "endpoint": wall.base_url, "logprobs": 0}]
        with gateway(tmp_path_factory.mktemp("gateway"), agents) as found:
            yield found


@pytest.mark.parametrize("snippet", of("python", "gateway"))
def test_python_as_a_client_of_the_gateway(snippet: Snippet, served: Served, tmp_path: Path) -> None:
    """To the letter, but for the port, which may be taken here."""
    usual = f"http://127.0.0.1:{config.ServerSettings().port}"
    assert usual in snippet.body
    run_python(replace(snippet, body=snippet.body.replace(usual, served.origin)), tmp_path)


@pytest.mark.parametrize("snippet", of("toml"))
def test_toml_is_valid_settings(snippet: Snippet) -> None:
    assert config.parse(snippet.body).agents


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.name)
def test_examples_are_valid_settings(path: Path) -> None:
    found = config.load(path)
    assert found.agents
    if found.tools.search and found.tools.search.corpus:
        assert found.tools.search.corpus.is_file()


@pytest.mark.parametrize("snippet", of("toml", "part"))
def test_a_part_of_settings_is_valid_beside_agents(snippet: Snippet) -> None:
    assert config.parse(f"{AGENT}{snippet.body}").agents


@pytest.mark.parametrize("snippet", of("json"))
def test_json_is_a_task(snippet: Snippet) -> None:
    assert parse_tasks(json.dumps(json.loads(snippet.body)), snippet.page)


@pytest.mark.parametrize("snippet", of("json", "alarm"))
def test_json_is_an_alarm(snippet: Snippet) -> None:
    shown = json.loads(snippet.body)
    since = datetime.fromisoformat(shown["since"])
    notice = AlarmNotice(kind=shown["alarm"], days=shown["days"], since=since, until=None, report=None)
    figures = shown.pop("figures")
    assert {**json.loads(notice.encode()), **shown} == json.loads(notice.encode())
    arms = {field.name for field in fields(ShadowReport)}
    assert figures.keys() <= arms
    assert all(one.keys() <= {field.name for field in fields(ArmReport)} for one in figures.values())


AGENT = '[[agents]]\nname = "a"\nlocal = "qwen2.5-coder-0.5b"\nprice = 0.03\n'
OTHERS = frozenset({"createdb", "curl", "docker", "export", "git"})
"""Programs that are not ours."""
GROUPS = frozenset({"bench", "keys", "ledger", "memory", "shadow"})
"""Verbs with verbs of their own whose options the pages show."""


@cache
def help_of(*verbs: str) -> str:
    """What a verb says of itself."""
    done = CliRunner().invoke(app, [*verbs, "--help"])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("snippet", of("console"))
def test_console_names_real_commands(snippet: Snippet) -> None:
    """The make targets and verbs exist, with the options shown; what they do is tested where they are."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in snippet.body.splitlines():
        command = re.sub(r"^([A-Z_]+=\S+ )+", "", line.split("#")[0].strip())
        if not command or command.split(" ")[0] in OTHERS:
            continue
        if named := re.fullmatch(r"pip install 'sale\[([\w,-]+)\]'", command):
            assert set(named[1].split(",")) <= extras(), command
            continue
        program, _, rest = command.partition(" ")
        name = rest.split(" ")[0]
        if program == "make":
            assert re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE), command
        else:
            assert program == "sale", command
            assert name in VERBS, command
            verbs = rest.split(" ")[: 2 if name in GROUPS else 1]
            help_text = help_of(*verbs)
            for option in re.findall(r"--[a-z-]+", rest):
                assert option in help_text, command


@pytest.mark.parametrize("snippet", of("yaml"))
def test_yaml_is_a_mapping(snippet: Snippet) -> None:
    assert isinstance(yaml.safe_load(snippet.body), dict)


def test_no_other_kind_of_snippet() -> None:
    """A language this file does not know would go unchecked."""
    kinds = {
        "python",
        "python slow",
        "python first",
        "python gateway",
        "toml",
        "toml part",
        "json",
        "json alarm",
        "yaml",
        "console",
        "text",
        "text first",
    }
    assert {one.info for one in snippets()} <= kinds


def test_the_pages_link_to_pages_that_exist() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
