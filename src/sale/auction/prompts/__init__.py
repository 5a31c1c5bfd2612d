"""The auction's prompts: one Jinja file each, rendered strictly, identified by digest on every record.

All of them have the same system text and open with the same task, so that an endpoint with a prompt cache reads the
task once for bidding, judging and refining.

Text that comes from an agent (a strategy, a past strategy) is data to every other agent. It is put between marks that
carry a digest of that very text, which its author cannot know beforehand, and lines that imitate a mark are broken.
Where it is shown to be scored, invisible characters are taken out, and numbers in it that look like scores are hidden.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from sale.auction.prompts.templates import folder
from sale.auction.text import clipped, without_invisible
from sale.types import Evidence, Pair, Prompt, Strategy, Task, ToolInfo

PLAN_BYTES_PER_TOKEN = 8
"""The longest plan shown to others, per token it may have: prose has four to five bytes, some scripts up to eight."""
EXAMPLE_TASK_BYTES = 240
"""How much of a past task is shown."""


def longest_plan(max_tokens: int) -> int:
    """The longest plan of so many tokens, in bytes."""
    return max_tokens * PLAN_BYTES_PER_TOKEN


def _render(name: str, values: Mapping[str, object]) -> Prompt:
    return folder("sale.auction.prompts").render(name, values)


def _nonce(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def quoted(evidence: Sequence[Evidence]) -> str:
    """Evidence as others are shown it: one line for each quotation, after its source."""
    return "\n".join(f"- {one.source}: {one.quote}" for one in evidence)


def shown_bid(strategy: Strategy, *, plan: bool = True, evidence: bool = True) -> str:
    """As much of a bid as a juror reads; empty where there is nothing of it."""
    parts = [strategy.text] if plan and strategy.text else []
    if evidence and strategy.evidence:
        parts.append(f"Found before planning:\n{quoted(strategy.evidence)}")
    return "\n\n".join(parts)


def bid_prompt(task: Task, tools: Sequence[ToolInfo], max_tokens: int, evidence: Sequence[Evidence] = ()) -> Prompt:
    """Ask for a first strategy; the agent is shown what its own looks found."""
    shown = quoted(evidence)
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
            "task": clipped(" ".join(pair.task.split()), EXAMPLE_TASK_BYTES),
            "losing": clipped(pair.losing, size),
            "winning": clipped(pair.winning, size),
        }
        for pair in pairs
    ]
    found = quoted(own.evidence)
    nonce = _nonce([own.text, *([found] if found else []), *(text for pair in shown for text in pair.values())])
    values = {"task": task.text, "tools": tools, "words": _words(max_tokens), "own": own.text, "pairs": shown}
    return _render("refine", {**values, "evidence": found, "nonce": nonce})


def judge_prompt(task: Task, strategy: str, *, label: str) -> Prompt:
    """Ask a juror for one score, under a label that the author of the strategy cannot know."""
    plan = without_invisible(strategy)
    return _render("judge", {"task": task.text, "plan": plan, "label": label, "nonce": _nonce([plan])})


def question_prompt(task: Task, shown: str, question: str) -> Prompt:
    """Ask a juror one yes-or-no question about one bid.

    Args:
        task: What the bid is for.
        shown: As much of the bid as the juror reads (`shown_bid`).
        question: Answered with yes or no.
    """
    return _render("question", {"task": task.text, "shown": shown, "question": question, "nonce": _nonce([shown])})


def panel_prompt(task: Task, plans: Mapping[str, str]) -> Prompt:
    """Ask a juror for a score of every plan; the keys are the labels it sees, in the order it sees them."""
    shown = {label: without_invisible(plan) for label, plan in plans.items()}
    return _render("judge_panel", {"task": task.text, "plans": shown, "nonce": _nonce(list(shown.values()))})


def _words(max_tokens: int) -> int:
    """A round number of words that fits the token cap with room to spare: models overshoot."""
    words = max_tokens // 2
    return words // 10 * 10 or max(1, words)
