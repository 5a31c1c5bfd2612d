"""`sale import` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import run_sale

INSPECT = Path(__file__).parent.parent / "memory" / "data" / "past_work"
SETTINGS = """
[[agents]]
name = "small"
price = 0.1
endpoint = "http://127.0.0.1:9/v1"
model = "mockllm/small"

[[agents]]
name = "large"
price = 1.0
endpoint = "http://127.0.0.1:9/v1"
model = "large"

[memory]
path = "memory.sqlite3"
"""
BAD = "task,agent,success\nq1,small,1\nq2,small,perhaps\nq3,,1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sale.toml").write_text(SETTINGS)
    (tmp_path / "bad.csv").write_text(BAD)
    return tmp_path


def test_logs_of_inspect_become_track_records_of_the_agents_with_these_models(folder: Path) -> None:
    files = [str(path) for path in sorted(INSPECT.glob("inspect_*"))]
    told = run_sale(folder, "import", *files, "--json")
    assert told.code == 0, told.err
    report = json.loads(told.out)["import"]
    assert (report["added"], report["present"], report["bad"]) == (6, 0, [])
    found = {one["agent"]: (one["in_pool"], one["works"], one["successes"]) for one in report["agents"]}
    assert found == {"large": (True, 3, 3), "small": (True, 3, 1)}
    assert report["agents"][0]["dollars"] == pytest.approx((63 + 12) * 1.0 / 1e6)
    again = run_sale(folder, "import", *files)
    assert again.code == 0
    assert "0 works added; here already: 6; malformed: 0" in again.out
    listed = run_sale(folder, "memory", "list", "--json")
    assert len(json.loads(listed.out)["summaries"]) == 6


def test_nothing_is_imported_of_a_file_with_malformed_rows_unless_they_are_to_be_left_out(folder: Path) -> None:
    refused = run_sale(folder, "import", "bad.csv")
    assert refused.code == 2
    assert "bad.csv: line 3: score: 'perhaps' is neither a number nor a verdict" in refused.err
    assert "bad.csv: line 4: agent: the file does not say whose work it is; name it with --agent" in refused.err
    assert "--skip-bad" in refused.err
    assert json.loads(run_sale(folder, "memory", "stats", "--json").out)["stats"]["tasks"] == 0
    taken = run_sale(folder, "import", "bad.csv", "--skip-bad", "--agent", "small")
    assert taken.code == 0
    assert "2 works added; here already: 0; malformed: 1" in taken.out
    assert "line 3" in taken.out


def test_a_dry_run_says_what_is_there_and_keeps_nothing(folder: Path) -> None:
    told = run_sale(folder, "import", "bad.csv", "--skip-bad", "--dry-run")
    assert "Nothing was imported" in told.out
    assert not (folder / "memory.sqlite3").exists()


def test_an_agent_is_named_as_the_pool_names_it(folder: Path) -> None:
    (folder / "w.csv").write_text("task,agent,success\nq1,gpt-9,1\nq2,openai/large,1\n")
    stranger = run_sale(folder, "import", "w.csv", "--dry-run")
    assert "Not in sale.toml, so no track record of its agents: gpt-9." in " ".join(stranger.out.split())
    told = run_sale(folder, "import", "w.csv", "--as", "gpt-9=small", "--json")
    assert {one["agent"]: one["in_pool"] for one in json.loads(told.out)["import"]["agents"]} == {
        "large": True,
        "small": True,
    }
    assert run_sale(folder, "import", "w.csv", "--as", "gpt-9").code == 2


def test_texts_are_left_out_when_they_are_to_be(folder: Path) -> None:
    (folder / "w.csv").write_text("task,agent,success,text\nq1,small,1,The salary of Eve.\n")
    assert run_sale(folder, "import", "w.csv", "--no-texts").code == 0
    assert b"salary" not in (folder / "memory.sqlite3").read_bytes()
    assert json.loads(run_sale(folder, "memory", "list", "--json").out)["summaries"][0]["task"] == "(text left out) q1"


@pytest.mark.parametrize(("content", "said"), [("", "it is empty"), ('{"a": 1}', "its format is not known")])
def test_a_file_of_no_known_kind_is_refused_in_a_line(folder: Path, content: str, said: str) -> None:
    (folder / "odd").write_text(content)
    told = run_sale(folder, "import", "odd")
    assert told.code == 2
    assert said in told.err
    assert run_sale(folder, "import", "nowhere.csv").code == 2


def test_standard_input_is_read(folder: Path) -> None:
    told = run_sale(folder, "import", "-", "--dry-run", stdin="task,agent,success\nq1,small,1\n")
    assert told.code == 0
    assert "standard input: csv" in told.out
