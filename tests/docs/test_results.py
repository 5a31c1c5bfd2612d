"""The page of results says what the committed records say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_results_are_what_the_records_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate_results.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}Run `make results`."
