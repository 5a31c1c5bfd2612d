"""HST-open: the set that comes with the package. Coding and search, dev and test, open licences, a fixed seed.

`scripts/build_hst_open.py` draws it from the sources; the manifest holds the seed, the counts, the licence and
attribution of every source, and the digests of the files, which are checked on reading.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from sale.bench.tasks.files import parse_tasks
from sale.bench.tasks.schema import BenchTask, Domain, Split
from sale.errors import ModelFileError

NAME = "hst-open"
TASKS, CORPUS, MANIFEST = "tasks.jsonl", "corpus.jsonl.xz", "manifest.json"


def folder() -> Path:
    """Where the set is."""
    return Path(str(files("sale.bench").joinpath("data", NAME)))


def manifest() -> dict[str, Any]:
    """Seed, counts, sources with licence and attribution, digests."""
    return cast("dict[str, Any]", json.loads((folder() / MANIFEST).read_text(encoding="utf-8")))


def corpus_path() -> Path:
    """The passages of its search tasks, verified.

    Raises:
        ModelFileError: The file is not the one the manifest names.
    """
    return _verified(CORPUS)


def hst_open(*, domain: Domain | None = None, split: Split | None = None) -> list[BenchTask]:
    """The tasks, in a fixed order.

    Raises:
        ModelFileError: The file is not the one the manifest names.
    """
    path = _verified(TASKS)
    tasks = parse_tasks(path.read_text(encoding="utf-8"), str(path))
    return [task for task in tasks if domain in {None, task.domain} and split in {None, task.split}]


def _verified(name: str) -> Path:
    path = folder() / name
    if hashlib.sha256(path.read_bytes()).hexdigest() != manifest()["sha256"][name]:
        raise ModelFileError("the file is not the one the manifest names", where=str(path), hint="Install sale anew.")
    return path
