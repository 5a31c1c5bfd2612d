"""Other people's outcome tables as ours, so that routers can be checked against published figures.

Each function is given the folder its source's files are in, and says what the source lacks and what stands in for it.
A price that the source does not give is never looked up elsewhere: where only dollars are known, an agent's "price" is
its mean dollars for a task, which orders agents and weighs them, but is not dollars per million tokens. Where only
prices are known, tokens are estimated from characters, four to a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from sale.bench.routers.protocol import Floats, OutcomeTable
from sale.bench.routers.table_files import AgentColumn, make_table, read_csv, read_json, read_json_lines

LETTERS = 4
"""Characters to a token, where a source gives text but no counts."""
MILLION = 1e6
ROUTELLM_PRICES = {"mistralai/Mixtral-8x7B-Instruct-v0.1": 0.24, "gpt-4-1106-preview": 24.7}
"""Dollars per million tokens as Ong et al. 2024 (arXiv 2406.18665) count them."""
ANSWER_TOKENS = 256
"""Tokens taken for an answer where neither it nor its length is known: the same for every agent."""
ROUTERARENA_WHOLE = ("gemini-2.0-flash-001", "claude-3-haiku-20240307")
"""The two caches that were graded on all 809 questions; of the older two only a handful of rows have a grade."""


def swebench(folder: Path, *, texts: Literal["id", "notes"] = "id") -> OutcomeTable:
    """SWE-bench bash-only: 24 models on 500 SWE-bench Verified issues, one scaffold.

    Models whose per-issue flags contradict their headline are left out (one is). Solved and dollars are the source's;
    it has no token price, so an agent's price is its mean dollars for an issue. The issues' statements are not in the
    data: `id` gives repository and number, from which a router learns the repository at most; `notes` the remarks of
    the people who checked the issues, who had seen the solution's tests, so that nothing routed by them can be done in
    practice. `groups` are the estimates of human time.
    """
    rows = [row for row in read_json_lines(folder / "per_instance.jsonl") if row["headline_consistent"]]
    cells = {(row["model"], row["instance_id"]): row for row in rows}
    ids = sorted({row["instance_id"] for row in rows})
    times = {row["instance_id"]: row["human_time_estimate"] for row in rows}
    agents: list[AgentColumn] = []
    for name in sorted({row["model"] for row in rows}):
        dollars = np.array([cells[name, task]["cost_usd"] for task in ids])
        solved = np.array([float(cells[name, task]["resolved"]) for task in ids])
        agents.append(AgentColumn(name=name, price=float(dollars.mean()), success=solved, dollars=dollars))
    said = {task: _issue(task) for task in ids}
    if texts == "notes":
        notes = {row["instance_id"]: row for row in read_csv(folder / "ensembled_annotations_public.csv")}
        columns = ("underspecified_notes", "false_negative_notes", "other_notes")
        said |= {task: " ".join(notes[task][column] for column in columns) for task in ids if task in notes}
    return make_table(agents, ids, [said[task] for task in ids], groups=[str(times[task]) for task in ids])


def routellm(folder: Path, benchmark: Literal["mmlu", "gsm8k"]) -> OutcomeTable:
    """RouteLLM's responses of Mixtral-8x7B and GPT-4 to MMLU or GSM8K, without the prompts they call contaminated.

    Prices are the paper's. The source has no tokens: a prompt's and a response's are estimated from their length, and
    an answer to MMLU counts as one token.
    """
    files = sorted((folder / "mmlu" / "responses").glob("*.csv")) if benchmark == "mmlu" else []
    files = files or [folder / benchmark / f"{benchmark}_responses.csv"]
    dropped = {row["eval_prompt"] for row in read_json_lines(folder / benchmark / "contaminated_prompts.jsonl")}
    rows = [(file.stem, row) for file in files for row in read_csv(file) if row["prompt"] not in dropped]
    prompts = [row["prompt"] for _, row in rows]
    agents: list[AgentColumn] = []
    for name, price in ROUTELLM_PRICES.items():
        answers = [row[f"{name}_response"] for _, row in rows] if benchmark == "gsm8k" else None
        said = _lengths(answers) if answers else np.ones(len(rows))
        right = np.array([float(row[name] == "True") for _, row in rows])
        dollars = (_lengths(prompts) + said) * price / MILLION
        agents.append(AgentColumn(name=name, price=price, success=right, dollars=dollars, answers=answers))
    ids = [f"{benchmark}-{number}" for number in range(len(rows))]
    return make_table(agents, ids, prompts, groups=[stem.removeprefix("mmlu_") for stem, _ in rows])


def routellm_chat(folder: Path) -> OutcomeTable:
    """RouteLLM's judgements of MT-Bench, without the questions they call contaminated.

    Success is the mean of the two turns' marks, divided by 10; a task's text is the first turn, as they route by it.
    Prices and estimated tokens are those of `routellm`, an answer counting 256 tokens a turn.
    """
    bench = folder / "mt_bench"
    dropped = {row["eval_prompt"] for row in read_json_lines(bench / "contaminated_prompts.jsonl")}
    questions = [row for row in read_json_lines(bench / "question.jsonl") if not dropped & set(row["turns"])]
    marks = {
        (row["model"], row["question_id"], row["turn"]): row["score"]
        for row in read_json_lines(bench / "judgements.jsonl")
    }
    both = [" ".join(row["turns"]) for row in questions]
    agents: list[AgentColumn] = []
    for name, price in ROUTELLM_PRICES.items():
        means = [(marks[name, row["question_id"], 1] + marks[name, row["question_id"], 2]) / 20 for row in questions]
        dollars = (_lengths(both) + 2 * ANSWER_TOKENS) * price / MILLION
        agents.append(AgentColumn(name=name, price=price, success=np.array(means), dollars=dollars))
    ids = [f"mt-bench-{row['question_id']}" for row in questions]
    return make_table(
        agents, ids, [row["turns"][0] for row in questions], groups=[row["category"] for row in questions]
    )


def routerarena(folder: Path, files: Sequence[str] = ROUTERARENA_WHOLE) -> OutcomeTable:
    """RouterArena's cached answers on its open 809 questions: graded scores, dollars and tokens of the source.

    Prices are the mean of the source's input and output price. Only questions that every one of `files` (names without
    `.jsonl`) has a grade for are kept.
    """
    prices = read_json(folder / "cost.json")
    caches = [{row["global_index"]: row for row in read_json_lines(folder / f"{name}.jsonl")} for name in files]
    graded = [{index for index, row in cache.items() if row["evaluation_result"]} for cache in caches]
    ids = sorted(set[str].intersection(*graded))
    agents: list[AgentColumn] = []
    for cache in caches:
        rows = [cache[index] for index in ids]
        name = next(iter(cache.values()))["llm_selected"]
        price = prices[name]
        agents.append(
            AgentColumn(
                name=name,
                price=(price["input_token_price_per_million"] + price["output_token_price_per_million"]) / 2,
                success=np.array([row["evaluation_result"]["score"] for row in rows], dtype=np.float64),
                dollars=np.array([row["evaluation_result"]["inference_cost"] for row in rows], dtype=np.float64),
                tokens=np.array([row["token_usage"]["total_tokens"] for row in rows], dtype=np.float64),
                answers=[row["generated_answer"] for row in rows],
            )
        )
    texts = [caches[0][index]["question"] for index in ids]
    return make_table(agents, ids, texts, groups=[index.rpartition("_")[0] for index in ids])


def routerbench_mini(folder: Path, strategies: Sequence[str] = ("always_cheap", "always_strong")) -> OutcomeTable:
    """RouterBench-Mini's predictions: some of its ten strategies as agents, on 800 tasks.

    With the default, the two models it routes between. COSTS ARE IN YUAN, not dollars, and an agent's price is its mean
    cost for a task. The questions are not in the file: a task's text is its family, type and subtype.
    """
    rows = read_csv(folder / "test_predictions.csv")
    cells = {(row["strategy"], row["canonical_id"]): row for row in rows}
    first = [row for row in rows if row["strategy"] == strategies[0]]
    ids = [row["canonical_id"] for row in first]
    agents: list[AgentColumn] = []
    for name in strategies:
        mine = [cells[name, task] for task in ids]
        cost = np.array([float(row["cost"]) for row in mine])
        agents.append(
            AgentColumn(
                name=name,
                price=float(cost.mean()),
                success=np.array([float(row["correct"]) for row in mine]),
                dollars=cost,
                tokens=np.array([float(row["prompt_tokens"]) + float(row["completion_tokens"]) for row in mine]),
                answers=[row["answer"] for row in mine],
            )
        )
    texts = [" ".join((row["task_family"], row["task_type"], row["task_subtype"])) for row in first]
    return make_table(agents, ids, texts, groups=[row["dataset"] for row in first])


def _lengths(texts: Sequence[str]) -> Floats:
    return np.array([len(text) / LETTERS for text in texts])


def _issue(instance: str) -> str:
    repository, _, number = instance.rpartition("-")
    return f"{repository.replace('__', '/')} issue {number}"
