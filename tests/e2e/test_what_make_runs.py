"""What `make run` shows: an auction among agents that know different things, on the real models."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.hang import HANG
from tests.support.preloaded import sale_command

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def test_who_has_the_answer_in_its_documents_does_the_work(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    example = re.search(r"^EXAMPLE := (.+)$", makefile, re.MULTILINE)
    pool = re.search(r"^POOL := (.+)$", makefile, re.MULTILINE)
    assert example
    assert pool
    done = subprocess.run(
        [*sale_command(), "run", "--json", "--config", str(ROOT / pool[1]), *shlex.split(example[1])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["result"]
    bids = {bid["strategy"]["agent"]: bid for bid in result["auction"]["bids"]}
    assert set(bids) == {"operations", "people", "coder", "generalist"}
    assert "7431" in bids["operations"]["strategy"]["evidence"][0]["quote"]
    match = {
        agent: next(score["value"] for score in bids[agent]["scores"] if score["juror"] == "match")
        for agent in ("operations", "people")
    }
    assert match["operations"] > match["people"] + 1.0
    assert bids["operations"]["strategy"]["text"], "it is on the shortlist"
    assert not bids["people"]["strategy"]["text"]
    assert result["execution"]["agent"] == "operations"
    assert result["outcome"]["verdict"] == "success"
    assert "7431" in result["execution"]["answer"]
    assert result["always_largest"]["agent"] == "coder"
