"""The generated pages say what the code says."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sale import CheckErrors
from scripts.results_inputs import RECORDED, digest

ROOT = Path(__file__).parents[2]


def check(script: str, target: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}Run `make {target}`."


def test_the_pages_of_options_and_settings_are_those_of_the_code() -> None:
    check("generate_docs.py", "docs")


def test_tables_and_figures_are_what_the_committed_records_say() -> None:
    """To make them takes minutes: not done where nothing has changed, the results included, since they were made."""
    if RECORDED.read_text(encoding="ascii").strip() != digest():
        check("generate_results.py", "results")


@pytest.mark.parametrize(
    ("section", "key", "shape"),
    [
        ("[[agents]]", "labels", "table of texts or lists of texts"),
        ("[[agents]]", "modes", "table of tables"),
        ("[[agents]]", "headers", "table"),
        ("[[agents]]", "price", "table or number"),
        ("[[agents]]", "tools", "table"),
        ("[[agents]]", "drop", "list of texts"),
        ("[[agents]]", "efforts", "list of `none` or `minimal` or `low` or `medium` or `high` or `xhigh` or `max`"),
        ("[weights]", "jurors", "table of numbers"),
        ("[tools]", "own", "list of tables"),
        ("[server]", "embeddings", "table"),
    ],
)
def test_the_value_of_a_setting_is_of_the_shape_that_is_read(section: str, key: str, shape: str) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    part = page.split(f"## `{section}`\n", 1)[1].split("\n## ", 1)[0]
    row = next(line for line in part.splitlines() if line.startswith(f"| `{key}` |"))
    assert row.split(" | ")[1] == shape


def test_the_default_of_a_table_is_written_as_the_file_has_it() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `check` |"))
    said = tomllib.loads(f"check = {row.split(' | ')[2].strip('`')}")["check"]
    assert CheckErrors(**said) == CheckErrors()


@pytest.mark.release
def test_tables_and_figures_are_made_again() -> None:
    check("generate_results.py", "results")


@pytest.mark.release
def test_the_tables_of_private_knowledge_are_made_again(tmp_path: Path) -> None:
    """From the packed records and the embeddings beside them, the same on every machine but for rows of networks."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.private_knowledge", "report", "--out", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    kept = sorted((ROOT / "docs" / "private-knowledge").glob("*.csv"))
    assert len(kept) > 5
    assert {one.name: _without_networks(tmp_path / one.name) for one in kept} == {
        one.name: _without_networks(one) for one in kept
    }


def _without_networks(path: Path) -> list[str]:
    """The rows of a table that no neural network had a part in: its last digits hang on the processor."""
    return [line for line in path.read_text("utf-8").splitlines() if not line.startswith(("WTP MLP", "TO-Router MLP"))]


def test_the_default_of_judge_says_what_dismisses_the_agents_jury() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `judge` |"))
    assert row.split(" | ")[2] == "`true`; `false` where there is `[[jurors]]`"
