"""The generated pages say what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("script", "target"), [("generate_docs.py", "docs"), ("generate_results.py", "results")])
def test_generated_pages_are_current(script: str, target: str) -> None:
    """Options and settings are those of the code; tables and figures are what the committed records say."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}Run `make {target}`."
