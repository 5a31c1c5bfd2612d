"""A digest of all that docs/results.md rests on, and of the results: what has not changed need not be made again.

`make results` writes it after the results. Where it still holds, `make test` does not make them anew; `make test-all`
always does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "docs" / "results" / "inputs.sha256"
CODE = ("auction", "bench", "config", "learning", "memory", "models", "shipped", "storage", "types")
"""Packages of sale that the results are made with; too many rather than too few."""
LEFT_OUT = frozenset({"__pycache__", "private-knowledge", "crossed", "samples-as-bids", "compute-as-agent"})
"""Folders that no result rests on."""
BEING_MADE = ("benchmarks/records/*/*.jsonl", "benchmarks/records/*/*.lock")
"""Records that are not packed yet."""
OTHERS = ("benchmarks/records", "docs/results", "docs/results.md", "requirements.lock", "scripts/generate_results.py")


def digest() -> str:
    """The digest, of names and contents."""
    found = hashlib.sha256()
    for path in _files():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(ROOT).as_posix()} {content}\n".encode())
    return found.hexdigest()


def _files() -> Iterator[Path]:
    for place in sorted((*(f"src/sale/{name}" for name in CODE), *OTHERS)):
        path = ROOT / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            unfinished = any(file.match(pattern) for pattern in BEING_MADE)
            if file.is_file() and file != RECORDED and not unfinished and LEFT_OUT.isdisjoint(file.parts):
                yield file


if __name__ == "__main__":
    RECORDED.write_text(f"{digest()}\n", encoding="ascii")
