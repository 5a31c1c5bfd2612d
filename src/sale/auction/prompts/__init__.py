"""The auction's prompts: one Jinja file each, rendered strictly, identified by digest on every record.

All of them have the same system text and open with the same task, so that an endpoint with a prompt cache reads the
task once for bidding, judging and refining.

Text that comes from an agent or from its tools (a strategy, a past strategy, evidence) is data to every other agent. It
is put between marks that carry a digest of that very text, which its author cannot know beforehand, and lines that
imitate a mark are broken. Where it is shown to be scored, invisible characters are taken out, and numbers in it that
look like scores are hidden; where a question is asked about it, so is a yes or no that looks like the answer. Evidence
has marks of its own: a plan cannot pass for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from sale.auction.prompts.templates import load_folder, neutralise
from sale.auction.text import clip, without_answers, without_invisible, without_scores
from sale.types import Evidence, Pair, Prompt, Strategy, Task, ToolInfo

PLAN_BYTES_PER_TOKEN = 8
"""The longest plan shown to others, per token it may have: prose has four to five bytes, some scripts up to eight."""
EXAMPLE_TASK_BYTES = 240
"""Bytes of a past task that are shown."""


def longest_plan(max_tokens: int) -> int:
    """The longest plan of so many tokens, in bytes."""
    return max_tokens * PLAN_BYTES_PER_TOKEN


def _render(name: str, values: Mapping[str, object]) -> Prompt:
    return load_folder("sale.auction.prompts").render(name, values)


def _nonce(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def quote_evidence(evidence: Sequence[Evidence]) -> str:
    """Evidence as others are shown it: one line for each quotation, after its source, without invisible characters."""
    lines = (without_invisible(f"{one.source}: {one.quote}") for one in evidence)
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


def render_bid(strategy: Strategy) -> str:
    """All that jurors are shown of a bid, in one text; empty where there is neither plan nor evidence."""
    return "\n\n".join(part for part in (strategy.text, quote_evidence(strategy.evidence)) if part)


def render_candidate(task: Task, strategy: Strategy) -> str:
    """The task and a bid as jurors read them, each between its marks, without a question.

    Args:
        task: What the bid is for.
        strategy: As much of the bid as the juror reads.
    """
    return load_folder("sale.auction.prompts").text("_candidate", _candidate(task, strategy))


def harmless_parts(strategy: Strategy) -> dict[str, str]:
    """The parts of a bid under their names, `plan` and `found`, where it has them: for jurors that take no prompt."""
    plan, found = without_invisible(strategy.text), quote_evidence(strategy.evidence)
    return {
        name: without_answers(without_scores(neutralise(text)))
        for name, text in (("plan", plan), ("found", found))
        if text
    }


def _candidate(task: Task, strategy: Strategy) -> dict[str, object]:
    plan, found = without_invisible(strategy.text), quote_evidence(strategy.evidence)
    return {"task": task.text, "plan": plan, "found": found, "nonce": _nonce([plan, found])}


def bid_prompt(task: Task, tools: Sequence[ToolInfo], max_tokens: int, evidence: Sequence[Evidence] = ()) -> Prompt:
    """Ask for a first strategy; the agent is shown what its own looks found."""
    shown = quote_evidence(evidence)
    values = {"task": task.text, "tools": tools, "words": _words(max_tokens)}
    return _render("bid", {**values, "evidence": shown, "nonce": _nonce([shown])})


def refine_prompt(
    task: Task, tools: Sequence[ToolInfo], max_tokens: int, *, own: Strategy, pairs: Sequence[Pair]
) -> Prompt:
    """Show an agent its first bid and what won and lost on similar tasks, and ask for a better bid.

    Past plans may have been written under other rules: they are cut to the length of today's.
    """
    size = longest_plan(max_tokens)
    shown = [
        {
            "task": clip(" ".join(pair.task.split()), EXAMPLE_TASK_BYTES),
            "losing": clip(pair.losing, size),
            "winning": clip(pair.winning, size),
        }
        for pair in pairs
    ]
    found = quote_evidence(own.evidence)
    nonce = _nonce([own.text, *([found] if found else []), *(text for pair in shown for text in pair.values())])
    values = {"task": task.text, "tools": tools, "words": _words(max_tokens), "own": own.text, "pairs": shown}
    return _render("refine", {**values, "evidence": found, "nonce": nonce})


def judge_prompt(task: Task, strategy: str, *, label: str, evidence: Sequence[Evidence] = ()) -> Prompt:
    """Ask a juror for one score, under a label that the author of the strategy cannot know."""
    plan, found = without_invisible(strategy), quote_evidence(evidence)
    nonce = _nonce([plan, *([found] if found else [])])
    values = {"task": task.text, "plan": plan, "found": found, "label": label, "nonce": nonce}
    return _render("judge", values)


def question_prompt(task: Task, strategy: Strategy, question: str) -> Prompt:
    """Ask a juror one yes-or-no question about one bid.

    Args:
        task: What the bid is for.
        strategy: As much of the bid as the juror reads.
        question: Answered with yes or no.
    """
    return _render("question", {**_candidate(task, strategy), "question": question})


def panel_prompt(
    task: Task, plans: Mapping[str, str], evidence: Mapping[str, Sequence[Evidence]] | None = None
) -> Prompt:
    """Ask a juror for a score of every plan.

    Args:
        task: What the plans are for.
        plans: By the label that the juror sees, in the order in which it sees them.
        evidence: What the authors found before they planned, by the same labels.
    """
    shown = {label: without_invisible(plan) for label, plan in plans.items()}
    found = {label: text for label, held in (evidence or {}).items() if (text := quote_evidence(held))}
    values = {"task": task.text, "plans": shown, "found": found}
    return _render("judge_panel", {**values, "nonce": _nonce([*shown.values(), *found.values()])})


def _words(max_tokens: int) -> int:
    """A round number of words that fits the token cap with room to spare: models overshoot."""
    words = max_tokens // 2
    return words // 10 * 10 or max(1, words)
