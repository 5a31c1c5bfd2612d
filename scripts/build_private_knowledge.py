"""Draw the pool of private knowledge: `python scripts/build_private_knowledge.py DATA`, a folder for each source.

It writes into `benchmarks/pools/private-knowledge/`: the tasks, which librarian has which passage by topic, a manifest,
and, not kept in the repository, the passages of each librarian. With one seed the same sources give the same files.
The topics are made with `--topics` alone, which embeds a thousand names; else they are read, so that the split is the
same on every machine.

No task is drawn that another recorded run has used: none of HST-open, none of the thirty examples.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from build_hst_open import key, lines, stands_in
from sklearn import cluster

from sale.bench.tasks.files import write_tasks
from sale.bench.tasks.hst_open import hst_open
from sale.bench.tasks.loaders import code, search
from sale.bench.tasks.schema import BenchTask, Split
from sale.models.embedding import MiniLMEmbedder

_KMeans: Any = cluster.KMeans
SEED = 20261128
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FOLDER = BENCHMARKS / "pools" / "private-knowledge"
TASKS, TOPICS, MANIFEST, CORPORA = "tasks.jsonl", "topics.json", "manifest.json", "corpora"
LIBRARIANS = 4
COUNTS: dict[str, tuple[int, int]] = {"popqa": (120, 60), "mbpp": (38, 19), "humaneval": (22, 11)}
"""How many of each: test, dev. The tasks stand in the order in which they were drawn, so that a part is a sample."""


def main() -> None:
    """Write tasks, splits, passages and manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--topics", action="store_true", help="Make the split by topic anew.")
    given = parser.parse_args()
    data: Path = given.data
    passages = list(lines(data / "search_corpus/corpus.jsonl"))
    rows: list[dict[str, Any]] = json.loads(
        (data / "popqa/popqa_hipporag2_1000_with_paragraphs.json").read_text(encoding="utf-8")
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    if given.topics:
        write_json(FOLDER / TOPICS, by_topic([row["s_wiki_title"] for row in rows]))
    draw = random.Random(SEED)  # noqa: S311  a draw, not a secret
    tasks = [*searching(rows, passages, draw), *coding(data, draw)]
    write_tasks(tasks, FOLDER / TASKS)
    topics: dict[str, int] = json.loads((FOLDER / TOPICS).read_text(encoding="utf-8"))
    digests = write_corpora(passages, topics)
    write_json(FOLDER / MANIFEST, manifest(tasks, len(passages), digests))


def by_hash(title: str) -> int:
    """Which librarian has the passages of a title, where nothing else says: nothing in it tells."""
    return int.from_bytes(hashlib.sha256(f"private knowledge\0{title}".encode()).digest()[:8]) % LIBRARIANS


def by_topic(titles: Sequence[str]) -> dict[str, int]:
    """Which librarian has the passages of those that questions are about: their names in four clusters of meaning.

    A name stands in the question, so that a router can learn who has what. Titles that no question is about go by the
    hash.
    """
    names = sorted(set(titles))
    vectors = asyncio.run(MiniLMEmbedder().embed(names))
    found: list[int] = _KMeans(LIBRARIANS, n_init=10, random_state=SEED).fit(np.round(vectors, 4)).labels_.tolist()
    return dict(zip(names, found, strict=True))


def searching(
    rows: Sequence[Mapping[str, Any]], passages: Sequence[Mapping[str, Any]], draw: random.Random
) -> list[BenchTask]:
    """Questions of PopQA whose answer stands in the passage of the one asked about, which is in the corpus."""
    known = {key(passage) for passage in passages}
    used = {task.id for task in hst_open()}
    found: dict[str, BenchTask] = {}
    for row in rows:
        own = [one for one in row["paragraphs"] if one["title"] == row["s_wiki_title"] and key(one) in known]
        task = search.popqa(row, split="test")
        if own and stands_in(row, own) and task.id not in used:
            found[task.id] = task.model_copy(update={"evidence": (row["s_wiki_title"],)})
    return drawn("popqa", [found[name] for name in sorted(found)], draw)


def coding(data: Path, draw: random.Random) -> list[BenchTask]:
    """Functions to write."""
    used = {task.id for task in hst_open()} | thirty()
    sanitized = json.loads((data / "mbpp/sanitized-mbpp.json").read_text(encoding="utf-8"))
    rows = (
        ("mbpp", [code.mbpp(row, split="test") for row in sanitized]),
        ("humaneval", [code.humaneval(row, split="test") for row in lines(data / "humaneval/HumanEval.jsonl")]),
    )
    return [task for source, tasks in rows for task in drawn(source, [t for t in tasks if t.id not in used], draw)]


def thirty() -> set[str]:
    """Tasks of the thirty recorded examples."""
    with gzip.open(BENCHMARKS / "records" / "thirty.jsonl.gz", "rt", encoding="utf-8") as held:
        return {json.loads(line)["id"] for line in held if line.strip()}


def drawn(source: str, tasks: Sequence[BenchTask], draw: random.Random) -> list[BenchTask]:
    """Test tasks, then dev tasks, without overlap."""
    tests, devs = COUNTS[source]
    chosen = draw.sample(list(tasks), tests + devs)
    split: tuple[Split, ...] = (*repeat("test", tests), *repeat("dev", devs))
    return [task.model_copy(update={"split": part}) for task, part in zip(chosen, split, strict=True)]


def write_corpora(passages: Iterable[Mapping[str, Any]], topics: Mapping[str, int]) -> dict[str, str]:
    """The passages of each librarian under both splits; returns the digests of the files."""
    held: dict[str, list[str]] = {
        f"{split}-{number}.jsonl": [] for split in ("hash", "topic") for number in range(1, LIBRARIANS + 1)
    }
    for passage in passages:
        title, text = key(passage)
        line = json.dumps({"id": passage["id"], "title": title, "text": text}, ensure_ascii=False) + "\n"
        held[f"hash-{by_hash(title) + 1}.jsonl"].append(line)
        held[f"topic-{topics.get(title, by_hash(title)) + 1}.jsonl"].append(line)
    (FOLDER / CORPORA).mkdir(exist_ok=True)
    digests: dict[str, str] = {}
    for name, part in held.items():
        content = "".join(part).encode()
        (FOLDER / CORPORA / name).write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def manifest(tasks: Sequence[BenchTask], passages: int, digests: Mapping[str, str]) -> dict[str, Any]:
    """What was drawn, from where, under which licences."""
    counts: dict[str, dict[str, int]] = {}
    for task in tasks:
        part = counts.setdefault(f"{task.domain} {task.split}", {})
        part[task.source] = part.get(task.source, 0) + 1
    return {
        "name": "private knowledge",
        "seed": SEED,
        "tasks": counts,
        "passages": passages,
        "sources": {
            "popqa": "MIT; PopQA, Mallen et al. 2023; passages from HippoRAG 2's subset",
            "mbpp": "CC BY 4.0; Mostly Basic Python Problems, sanitized; Austin et al. 2021",
            "humaneval": "MIT; HumanEval, Chen et al. 2021",
            "passages": "CC BY-SA; English Wikipedia, by its contributors, cut to passages, otherwise unchanged",
        },
        "sha256": {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in (TASKS, TOPICS)},
        "corpora sha256": dict(digests),
    }


def write_json(path: Path, content: object) -> None:
    """One file, the same bytes for the same content."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
