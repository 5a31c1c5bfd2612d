"""The page about a juror of one's own, followed to the letter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import run_sale
from tests.support.hang import HANG

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = FENCE.findall((ROOT / "docs" / "own-juror.md").read_text(encoding="utf-8"))


def block(info: str, number: int = 0) -> str:
    return [body for found, body in PAGE if found == info][number]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("my_jurors", "sale_brief"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "my_jurors.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "sale_brief.py").write_text(block("python", 1), encoding="utf-8")
    (tmp_path / "sale.toml").write_text(block("toml"), encoding="utf-8")
    return tmp_path


def test_the_function_judges_and_its_health_is_shown(place: Path) -> None:
    assert "Juror checks: kind function, reads plan; ready" in run_sale(place, "doctor", "--quiet").out
    done = run_sale(place, "run", "--quiet", "What is 6 x 7?", "--expect", "42", env={"COLUMNS": "100"})
    assert done.code == 0, done.err
    rows = {line.split()[-1] for line in done.out.splitlines() if " careless " in line or " careful " in line}
    assert {"1", "4.5"} <= rows
    assert "careful is ahead of careless by" in done.out
    assert ": jury +" in done.out
    health = json.loads(run_sale(place, "weights", "jury", "--json").out)["jurors"]
    assert [one["juror"] for one in health] == ["checks"]


def test_without_reads_doctor_and_board_say_why_nothing_is_read(place: Path) -> None:
    settings = (place / "sale.toml").read_text(encoding="utf-8").replace('reads = "plan"\n', "")
    (place / "sale.toml").write_text(settings, encoding="utf-8")
    found = run_sale(place, "doctor", "--quiet")
    assert found.code == 0
    assert "No agent looks before it bids, so it has nothing to read." in " ".join(found.out.split())
    told = " ".join(run_sale(place, "bid", "--quiet", "What is 6 x 7?").out.split())
    assert "checks had nothing to read in any bid" in told


def test_a_juror_that_cannot_be_made_is_found_by_doctor(place: Path) -> None:
    settings = (place / "sale.toml").read_text(encoding="utf-8").replace("my_jurors:checks", "my_jurors:check")
    (place / "sale.toml").write_text(settings, encoding="utf-8")
    found = run_sale(place, "doctor", "--quiet")
    assert found.code == 1
    assert "there is no 'check' in 'my_jurors'. Did you mean 'checks'?" in " ".join(found.out.split())
    (juror,) = json.loads(run_sale(place, "doctor", "--quiet", "--json").out)["jurors"]
    assert juror["fault"].startswith("there is no 'check'")


def test_the_class_takes_its_setting_and_passes_its_test(place: Path) -> None:
    settings = block("toml").split("[[jurors]]")[0] + block("text", 1).replace(
        '"brief"\nreads', '"sale_brief:Brief"\nreads'
    )
    (place / "sale.toml").write_text(f'{settings}\n[memory]\npath = "memory.sqlite3"\n', encoding="utf-8")
    done = run_sale(place, "bid", "--quiet", "--json", "What is 6 x 7?")
    assert done.code == 0, done.err
    bids = json.loads(done.out)["auction"]["bids"]
    assert [bid["scores"][0]["value"] for bid in bids] == pytest.approx([4.0, 2.0], abs=0.01)
    assert 'brief = "sale_brief:Brief"' in block("text")
    (place / "test_brief.py").write_text(block("text", 2), encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_brief.py"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_function_named_as_a_kind_is_told_how_to_be_named(place: Path) -> None:
    settings = (place / "sale.toml").read_text(encoding="utf-8")
    settings = settings.replace('kind = "function"\nfunction = "my_jurors:checks"', 'kind = "my_jurors:checks"')
    (place / "sale.toml").write_text(settings, encoding="utf-8")
    told = run_sale(place, "run", "--quiet", "What is 6 x 7?")
    assert told.code == 2
    assert 'write kind = "function" and function = "my_jurors:checks"' in told.err
