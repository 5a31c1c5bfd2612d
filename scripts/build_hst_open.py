"""Draw HST-open from its sources: `python scripts/build_hst_open.py DATA`, where DATA holds a folder for each source.

Everything is drawn with one seed, so that the same sources give the same files. Tasks whose own reference solution
fails its tests, and questions whose answer stands in no passage of the corpus, are never drawn: they measure nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sale.agents.verify import normalise
from sale.bench.tasks import hst_open
from sale.bench.tasks.files import write_tasks
from sale.bench.tasks.loaders import choice, code, search
from sale.bench.tasks.schema import BenchTask, Split

SEED = 20260202
# How many of each: test, dev.
COUNTS = {
    "mmlu": (24, 8),
    "javascript": (16, 6),
    "mbpp": (50, 20),
    "humaneval": (30, 11),
    "popqa": (40, 16),
    "hotpotqa": (60, 24),
}
DISTRACTORS = 1500
"""Passages beside those that belong to the questions, so that there is something to miss."""
ATTRIBUTION = {
    "mmlu": ("MIT", "MMLU, Hendrycks et al. 2021 (hendrycks/test): computer-science subjects, test split"),
    "javascript": ("MIT", "javascript-questions by Lydia Hallie and contributors"),
    "mbpp": ("CC BY 4.0", "Mostly Basic Python Problems, sanitized; Austin et al. 2021 (google-research)"),
    "humaneval": ("MIT", "HumanEval, Chen et al. 2021 (openai/human-eval)"),
    "popqa": ("MIT", "PopQA, Mallen et al. 2023 (AlexTMallen/adaptive-retrieval); passages from HippoRAG 2's subset"),
    "hotpotqa": ("CC BY-SA 4.0", "HotpotQA, Yang et al. 2018; dev (distractor) and train questions"),
    "corpus": (
        "CC BY-SA 4.0",
        "Passages of English Wikipedia, by its contributors, as distributed with HotpotQA, 2WikiMultiHopQA, MuSiQue "
        "and PopQA; cut to passages, otherwise unchanged",
    ),
}


def main() -> None:
    """Write tasks, corpus and manifest into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    draw = random.Random(SEED)  # noqa: S311  a draw, not a secret
    passages: dict[tuple[str, str], None] = {}
    tasks = [*coding(data, draw), *searching(data, draw, passages)]
    background = [row for row in lines(data / "search_corpus/corpus.jsonl") if key(row) not in passages]
    for row in draw.sample(background, DISTRACTORS):
        passages[key(row)] = None
    write(tasks, sorted(passages))


def coding(data: Path, draw: random.Random) -> list[BenchTask]:
    """Questions about code, and functions to write. MBPP and MMLU keep their own test splits."""
    mmlu = [row for row in lines(data / "mcq/mmlu_cs.jsonl") if row["split"] == "test"]
    sanitized = json.loads((data / "mbpp/sanitized-mbpp.json").read_text(encoding="utf-8"))
    held_out = [row for row in sanitized if 11 <= row["task_id"] <= 510]
    others = [row for row in sanitized if row["task_id"] > 510]
    return [
        *drawn(draw, "mmlu", choice.mmlu, mmlu),
        *drawn(draw, "javascript", choice.javascript, list(lines(data / "mcq/javascript_questions.jsonl"))),
        *drawn(draw, "mbpp", code.mbpp, held_out, others),
        *drawn(draw, "humaneval", code.humaneval, list(lines(data / "humaneval/HumanEval.jsonl"))),
    ]


def searching(data: Path, draw: random.Random, passages: dict[tuple[str, str], None]) -> list[BenchTask]:
    """Questions whose answer stands in the passages that come with them; those passages are added to `passages`."""
    path = data / "popqa/popqa_hipporag2_1000_with_paragraphs.json"
    popqa = [row for row in json.loads(path.read_text(encoding="utf-8")) if stands_in(row, row["paragraphs"])]
    dev = list(lines(data / "hotpotqa/hotpot_dev_distractor_first300.jsonl"))
    train = json.loads((data / "hotpotqa/hotpotqa_train100_distractor.json").read_text(encoding="utf-8"))
    taken: list[BenchTask] = []
    for source, make, rows in (
        ("popqa", search.popqa, (popqa,)),
        ("hotpotqa", search.hotpotqa, ([row for row in dev if stands_in(row, row["context"])], train)),
    ):
        chosen = drawn(draw, source, make, *rows)
        by_prompt = {make(row, split="test").prompt: row for part in rows for row in part}
        for task in chosen:
            for title, text in of(by_prompt[task.prompt]):
                passages[title, text] = None
        taken += chosen
    return taken


def drawn(
    draw: random.Random,
    source: str,
    make: Callable[..., BenchTask],
    rows: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]] | None = None,
) -> list[BenchTask]:
    """Test tasks from `rows` and dev tasks from `others`, or both from `rows` without overlap."""
    tests, devs = COUNTS[source]
    first = draw.sample(list(rows), tests + (devs if others is None else 0))
    second = first[tests:] if others is None else draw.sample(list(others), devs)
    parts: tuple[tuple[Split, Sequence[Mapping[str, Any]]], ...] = (("test", first[:tests]), ("dev", second))
    return [make(row, split=split) for split, part in parts for row in part]


def stands_in(row: Mapping[str, Any], paragraphs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an answer is in the passages, so that a search can find it; yes and no need no passage to say so."""
    if row.get("answer") in {"yes", "no"}:
        return True
    given = row.get("possible_answers") or row["answers"]
    answers = json.loads(given) if isinstance(given, str) else given
    text = f" {normalise(' '.join(passage['text'] for passage in paragraphs))} "
    return any(f" {normalise(answer)} " in text for answer in answers if len(answer) > 2)


def of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The passages that come with a question, in any of its sources' forms."""
    found: list[tuple[str, str]] = []
    for passage in row.get("paragraphs") or row["context"]:
        if isinstance(passage, dict):
            found.append(key(passage))
        else:
            title, sentences = passage
            found.append((title, " ".join("".join(sentences).split())))
    return found


def key(row: Mapping[str, Any]) -> tuple[str, str]:
    """A passage, whatever its white space."""
    return row["title"], " ".join(row["text"].split())


def write(tasks: Sequence[BenchTask], passages: Sequence[tuple[str, str]]) -> None:
    """The files and their manifest."""
    folder = hst_open.folder()
    folder.mkdir(parents=True, exist_ok=True)
    write_tasks(tasks, folder / hst_open.TASKS)
    rows = [{"id": f"p{at:05}", "title": title, "text": text} for at, (title, text) in enumerate(passages)]
    corpus = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / hst_open.CORPUS).write_bytes(lzma.compress(corpus.encode(), preset=9))
    names = (hst_open.TASKS, hst_open.CORPUS)
    counts: dict[str, dict[str, int]] = {}
    for task in tasks:
        part = counts.setdefault(f"{task.domain} {task.split}", {})
        part[task.source] = part.get(task.source, 0) + 1
    manifest = {
        "name": "HST-open",
        "seed": SEED,
        "tasks": counts,
        "passages": len(passages),
        "sources": {name: {"licence": given[0], "attribution": given[1]} for name, given in ATTRIBUTION.items()},
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    (folder / hst_open.MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def lines(path: Path) -> Iterable[dict[str, Any]]:
    """Rows of a JSON lines file."""
    return (json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip())


if __name__ == "__main__":
    main()
