"""The OpenHands Index and CodeRouterBench: what is kept, what is left out and named, and rows that are refused."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path

import numpy as np
import pytest

from sale.bench.routers.agent_runs import KIMI_PRICE, coderouterbench, openhands_index
from sale.errors import InputError

# Read while tests are collected: the fixtures hide the user's settings.
DATA = os.environ.get("SALE_BENCH_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="SALE_BENCH_DATA does not name the outcome tables")
HEAD = "scaffold,model,task,resolved,dollars"
SINGLE = "task_id,split,source_split,dimension,model,score,cost_usd,input_tokens,output_tokens"


def openhands(folder: Path, *rows: str, packed: bool = False, head: str = HEAD) -> Path:
    text = "\n".join([head, *rows]) + "\n"
    issues = json.dumps({"task": "a__b-1", "text": "It breaks."}) + "\n"
    (folder / "swe-bench-issues.jsonl").write_text(issues, encoding="utf-8")
    if packed:
        (folder / "swe-bench.csv.xz").write_bytes(lzma.compress(text.encode()))
    else:
        (folder / "swe-bench.csv").write_text(text, encoding="utf-8")
    return folder


def full(scaffold: str, model: str, dollars: str = "1") -> list[str]:
    return [f"{scaffold},{model},a__b-{task},{task % 2},{dollars}" for task in (1, 2)]


@pytest.mark.parametrize("packed", [False, True])
def test_complete_agents_are_kept_and_the_others_named(tmp_path: Path, packed: bool) -> None:
    rows = [
        *full("openhands", "dear", "3.5"),
        *full("acp-claude", "cheap", "0.5"),
        *full("acp-codex", "free", "0"),
        *full("openhands", "claude-fable-5"),
        "openhands,partial,a__b-1,1,1",
        "openhands,partial,a__b-2,,1",
        "openhands,unpaid,a__b-1,1,0.0",
        "openhands,unpaid,a__b-2,1,2",
        "openhands,cheap,a__b-1,1,",
        "openhands,cheap,a__b-2,0,2",
    ]
    found = openhands_index(openhands(tmp_path, *rows, packed=packed))
    assert found.table.agents == ("cheap (acp-claude)", "dear")
    assert found.table.success.tolist() == [[1, 1], [0, 0]]
    assert found.table.prices.tolist() == [0.5, 3.5]
    assert found.table.texts == ("It breaks.", "a__b-2")
    assert found.table.groups == ("a__b", "a__b")
    assert (found.filled, found.tasks_left_out) == ({}, 0)
    assert set(found.left_out) == {"free (acp-codex)", "claude-fable-5", "partial", "unpaid", "cheap"}
    assert found.left_out["partial"] == "its outcome is not known on 1 of 2 tasks"
    assert found.left_out["unpaid"] == "its dollars are not known on 1 of 2 tasks"
    trusted = openhands_index(tmp_path, trusted=("claude-fable-5",), unknown=0.5)
    assert set(trusted.left_out) == {"free (acp-codex)", "partial"}
    assert trusted.filled == {"unpaid": 1, "cheap": 1}
    column = trusted.table.agents.index("unpaid")
    assert trusted.table.dollars[:, column].tolist() == [2.0, 2.0], "its mean stands in"


def test_tasks_that_few_agents_tried_are_left_out(tmp_path: Path) -> None:
    rows = [row for number in range(10) for row in full("openhands", f"agent-{number}")]
    found = openhands_index(openhands(tmp_path, *rows, "openhands,agent-1,a__b-3,1,1"))
    assert found.table.ids == ("a__b-1", "a__b-2")
    assert found.tasks_left_out == 1
    assert len(found.table.agents) == 10


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("openhands,x,a__b-1,maybe,1", r"line 2: outcome must be a number, not negative, got 'maybe'"),
        ("openhands,x,a__b-1,1,-0.1", r"line 2: dollars must be a number, not negative, got '-0.1'"),
        ("openhands,x,a__b-1,1,nan", r"line 2: dollars must be a number"),
        ("openhands,x,a__b-1,1,inf", r"line 2: dollars must be a number"),
        ("openhands,x,a__b-1,2,1", r"line 2: the outcome of 'x' on 'a__b-1' must lie in \[0, 1\], got '2'"),
        ("openhands,,a__b-1,1,1", r"line 2: a row without an agent or a task"),
        ("openhands,x,,1,1", r"line 2: a row without an agent or a task"),
        ("openhands,x,a__b-1,1,1\nopenhands,x,a__b-1,0,1", r"'x' has done 'a__b-1' twice"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        openhands_index(openhands(tmp_path, row))
    assert caught.value.hint


def test_files_that_are_not_the_sources(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        openhands_index(tmp_path)
    with pytest.raises(InputError, match="there is no column dollars") as caught:
        openhands_index(openhands(tmp_path, "a,b,c,1", head="scaffold,model,task,resolved"))
    assert "github.com/OpenHands/openhands-index-results" in caught.value.hint
    with pytest.raises(InputError, match="there is no row"):
        openhands_index(openhands(tmp_path))
    with pytest.raises(InputError, match="no agent is complete") as caught:
        openhands_index(openhands(tmp_path, "openhands,x,a__b-1,,1"))
    assert "x, its outcome is not known on 1 of 1 task" in caught.value.hint
    (tmp_path / "swe-bench.csv").unlink()
    (tmp_path / "swe-bench.csv.xz").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"not an \.xz file"):
        openhands_index(tmp_path)


def test_coderouterbench_counts_kimis_dollars_again(tmp_path: Path) -> None:
    rows = [
        "dim1_lcb_1,id,test,code_generation,gpt,0.8,0.5,10,20",
        "dim1_lcb_1,id,test,code_generation,kimi-k2.5,0.0,9.9,1000000,2000000",
    ]
    (tmp_path / "id_test_results_long.csv").write_text("\n".join([SINGLE, *rows]) + "\n", encoding="utf-8")
    found = coderouterbench(tmp_path).table
    assert found.agents == ("gpt", "kimi-k2.5")
    assert found.dollars[0].tolist() == pytest.approx([0.5, KIMI_PRICE[0] + 2 * KIMI_PRICE[1]])
    assert found.success.tolist() == [[0.8, 0.0]]
    assert (found.texts, found.groups) == (("lcb code generation",), ("lcb",))


def test_the_agentic_part_knows_repositories(tmp_path: Path) -> None:
    ids = (
        "old112::astropy__astropy-13033",
        "new64::featurebench::Lightning-AI__pytorch-lightning.126fa6f1.test_connector.825ef3b1.lv1",
        "new64::longcli::61810_cow",
        "new64::swe_ci::anthropics__claude-agent-sdk-python__91315e__22fa9f",
    )
    head = "task_id,dimension,model,resolved,in_tok,out_tok,cost_usd"
    rows = [f"{name},bug_fixing,gpt,1,1,1,0.1" for name in ids]
    (tmp_path / "ood176_results_long.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    prompts = [{"task_id": name, "prompt": f"Do {number}."} for number, name in enumerate(ids)]
    lines = "".join(json.dumps(one) + "\n" for one in prompts)
    (tmp_path / "ood176_tasks.jsonl").write_text(lines, encoding="utf-8")
    found = coderouterbench(tmp_path, "agentic").table
    by_task = dict(zip(found.ids, found.groups or (), strict=True))
    assert [by_task[name] for name in ids] == [
        "astropy/astropy",
        "Lightning-AI/pytorch-lightning",
        "longcli",
        "anthropics/claude-agent-sdk-python",
    ]
    assert found.texts[found.ids.index(ids[0])] == "Do 0."


@needs_data
def test_the_real_tables() -> None:
    folder = Path(str(DATA)) / "routers"
    found = openhands_index(folder / "openhands_index")
    assert found.table.success.shape == (500, 33)
    assert len(found.left_out) == 10
    assert len(set(found.table.groups or ())) == 12
    best = int(found.table.success.mean(axis=0).argmax())
    assert (found.table.agents[best], found.table.success[:, best].mean()) == ("claude-opus-4-8", 0.838)
    assert sum(found.filled.values()) == 15
    assert all(text.strip() and text != name for text, name in zip(found.table.texts, found.table.ids, strict=True))
    for benchmark, shape in (("gaia", (165, 11)), ("swe-bench-multimodal", (68, 16)), ("commit0", (16, 7))):
        assert openhands_index(folder / "openhands_index", benchmark).table.success.shape == shape  # pyright: ignore[reportArgumentType]
    other = coderouterbench(folder / "coderouterbench")
    assert other.table.success.shape == (2919, 8)
    assert other.filled == {"Qwen3-Max": 42}
    assert np.all(other.table.dollars > 0.0)
    assert len(coderouterbench(folder / "coderouterbench", "agentic").left_out) == 7
    known = json.loads((folder / "openhands_index" / "models.json").read_text(encoding="utf-8"))["Kimi-K2.5"]
    assert (known["input_price"], known["output_price"]) == KIMI_PRICE
