"""Fail unless fast tests reach every branch of `sale.auction`, `sale.learning`, `sale.types` and `sale.errors`.

    python scripts/check_coverage.py            # what is missing, line by line
    python scripts/check_coverage.py -n 2       # arguments go on to pytest

What counts is in `scripts/coverage.ini`. Only these tests run, all in this process or the workers of pytest-xdist.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/auction",
    "--ignore=tests/auction/test_auction_timing.py",  # its measures need an idle machine, and its code is in the others
    "tests/learning",
    "tests/test_errors.py",
    "tests/test_labels.py",
    "tests/test_numbers.py",
    "tests/test_types.py",
    "tests/test_types_checked.py",
)


def main(arguments: list[str]) -> int:
    """Run the tests; the status is pytest's, which fails below 100 %."""
    measured = ["--cov", f"--cov-config={ROOT / 'scripts' / 'coverage.ini'}", "--cov-report=term-missing"]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *TESTS, *measured, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603  fixed, and this checkout's own


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
