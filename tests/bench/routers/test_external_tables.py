"""Other people's tables: each adapter on a few rows in its source's own form, and on the real files where they are."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from sale.bench.routers import external
from sale.errors import InputError

# Read while tests are collected: the fixtures hide the user's settings.
DATA = os.environ.get("SALE_BENCH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="SALE_BENCH_DATA does not name the outcome tables")
WEAK, STRONG = external.ROUTELLM_PRICES


def jsonl(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def table(path: Path, *rows: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_swebench(tmp_path: Path) -> None:
    def row(model: str, task: str, resolved: bool, cost: float, consistent: bool = True) -> Mapping[str, object]:
        known = {"instance_id": task, "model": model, "resolved": resolved, "cost_usd": cost}
        return known | {"human_time_estimate": "<15 min fix", "headline_consistent": consistent}

    jsonl(
        tmp_path / "per_instance.jsonl",
        row("dear", "a__b-1", True, 3.0),
        row("dear", "a__b-2", True, 1.0),
        row("cheap", "a__b-2", True, 0.5),
        row("cheap", "a__b-1", False, 0.1),
        row("doubtful", "a__b-1", True, 0.01, consistent=False),
    )
    columns = ("underspecified_notes", "false_negative_notes", "other_notes")
    table(tmp_path / "ensembled_annotations_public.csv", {"instance_id": "a__b-1"} | dict.fromkeys(columns, "clear"))
    found = external.swebench(tmp_path)
    assert found.agents == ("cheap", "dear")
    assert found.success.tolist() == [[0, 1], [1, 1]]
    assert found.dollars.tolist() == [[0.1, 3.0], [0.5, 1.0]]
    assert found.prices == pytest.approx([0.3, 2.0])
    assert found.texts == ("a/b issue 1", "a/b issue 2")
    assert found.groups == ("<15 min fix",) * 2
    assert (found.tokens, found.answers) == (None, None)
    assert external.swebench(tmp_path, texts="notes").texts == ("clear clear clear", "a/b issue 2")


def test_routellm(tmp_path: Path) -> None:
    def row(prompt: str, weak: bool, strong: bool) -> Mapping[str, object]:
        return {"prompt": prompt, WEAK: weak, STRONG: strong, f"{WEAK}_response": "12345678", f"{STRONG}_response": "1"}

    told = 'Line one,\nline "two"\u2028and three'
    table(tmp_path / "gsm8k" / "gsm8k_responses.csv", row(told, False, True), row("seen", True, True))
    jsonl(tmp_path / "gsm8k" / "contaminated_prompts.jsonl", {"eval_prompt": "seen"})
    found = external.routellm(tmp_path, "gsm8k")
    assert found.agents == (WEAK, STRONG)
    assert found.texts == (told,)
    assert found.success.tolist() == [[0, 1]]
    assert found.answers == (("12345678", "1"),)
    assert found.dollars[0, 0] == pytest.approx((len(told) + 8) / 4 * 0.24 / 1e6)

    table(tmp_path / "mmlu" / "responses" / "mmlu_anatomy.csv", row("Where?", True, False))
    jsonl(tmp_path / "mmlu" / "contaminated_prompts.jsonl")
    found = external.routellm(tmp_path, "mmlu")
    assert (found.groups, found.answers) == (("anatomy",), None)


def test_routellm_chat(tmp_path: Path) -> None:
    folder = tmp_path / "mt_bench"
    asked = {"question_id": 1, "category": "math", "turns": ["First?", "Second?"]}
    jsonl(folder / "question.jsonl", asked, {"question_id": 2, "category": "math", "turns": ["Seen?", "Again?"]})
    jsonl(folder / "contaminated_prompts.jsonl", {"eval_prompt": "Seen?"})
    marks = ((WEAK, 1, 4), (WEAK, 2, 6), (STRONG, 1, 10), (STRONG, 2, 9))
    jsonl(
        folder / "judgements.jsonl",
        *({"question_id": 1, "model": model, "turn": turn, "score": score} for model, turn, score in marks),
    )
    found = external.routellm_chat(tmp_path)
    assert found.success.tolist() == [[0.5, 0.95]]
    assert found.texts == ("First?",)


def test_routerarena(tmp_path: Path) -> None:
    def row(model: str, index: str, score: float | None) -> Mapping[str, object]:
        grade = None if score is None else {"score": score, "inference_cost": 0.5}
        said = {"question": f"Q {index}", "generated_answer": "A", "token_usage": {"total_tokens": 7}}
        return {"global_index": index, "llm_selected": model, "evaluation_result": grade} | said

    price = {"input_token_price_per_million": 1.0, "output_token_price_per_million": 3.0}
    dear = {name: 10 * value for name, value in price.items()}
    (tmp_path / "cost.json").write_text(json.dumps({"x": dear, "y": price}), encoding="utf-8")
    jsonl(tmp_path / "one.jsonl", row("x", "Math_1", 1.0), row("x", "Math_2", 0.5), row("x", "Math_3", 1.0))
    jsonl(tmp_path / "two.jsonl", row("y", "Math_2", 0.25), row("y", "Math_1", None))
    found = external.routerarena(tmp_path, ("one", "two"))
    assert found.ids == ("Math_2",)
    assert found.agents == ("y", "x")
    assert found.prices.tolist() == [2.0, 20.0]
    assert found.success.tolist() == [[0.25, 0.5]]
    assert found.tokens is not None
    assert found.tokens.tolist() == [[7, 7]]
    assert (found.groups, found.answers) == (("Math",), (("A", "A"),))


def test_routerbench_mini(tmp_path: Path) -> None:
    def row(strategy: str, task: str, correct: int, cost: float) -> Mapping[str, object]:
        kind = {"dataset": "gsm8k", "task_family": "text", "task_type": "math", "task_subtype": "reasoning"}
        used = {"prompt_tokens": 5, "completion_tokens": 6, "answer": "7"}
        return {"canonical_id": task, "strategy": strategy, "correct": correct, "cost": cost} | kind | used

    table(
        tmp_path / "test_predictions.csv",
        *(row("always_strong", "t1", 1, 3.0), row("always_strong", "t2", 0, 5.0)),
        *(row("always_cheap", "t2", 1, 1.0), row("always_cheap", "t1", 0, 1.0), row("reflection", "t1", 1, 9.0)),
    )
    found = external.routerbench_mini(tmp_path)
    assert found.agents == ("always_cheap", "always_strong")
    assert found.success.tolist() == ([[1, 0], [0, 1]] if found.ids[0] == "t2" else [[0, 1], [1, 0]])
    assert found.prices.tolist() == [1.0, 4.0]
    assert set(found.texts) == {"text math reasoning"}


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the outcome table: cannot be read"):
        external.swebench(tmp_path)
    (tmp_path / "per_instance.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not JSON"):
        external.swebench(tmp_path)
    (tmp_path / "per_instance.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is empty"):
        external.swebench(tmp_path)
    (tmp_path / "cost.json").write_bytes(b"\xff")
    with pytest.raises(InputError, match="line 1 is not UTF-8"):
        external.routerarena(tmp_path)


@needs_data
def test_the_real_tables() -> None:
    data = Path(DATA or "")
    routers = data / "routers"
    sizes = {
        "swebench": external.swebench(routers / "swebench_bash_only").success.shape,
        "mmlu": external.routellm(routers / "routellm", "mmlu").success.shape,
        "gsm8k": external.routellm(routers / "routellm", "gsm8k").success.shape,
        "mt-bench": external.routellm_chat(routers / "routellm").success.shape,
        "arena": external.routerarena(routers / "routerarena").success.shape,
        "mini": external.routerbench_mini(routers / "routerbench_mini").success.shape,
    }
    assert sizes == {
        "swebench": (500, 24),
        "mmlu": (14037, 2),
        "gsm8k": (1307, 2),
        "mt-bench": (72, 2),
        "arena": (809, 2),
        "mini": (800, 2),
    }
