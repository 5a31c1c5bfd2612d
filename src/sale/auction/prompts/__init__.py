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
from sale.types import Pair, Prompt, Strategy, Task, ToolInfo

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


def bid_prompt(task: Task, tools: Sequence[ToolInfo], max_tokens: int) -> Prompt:
    """Ask for a first strategy."""
    return _render("bid", {"task": task.text, "tools": tools, "words": _words(max_tokens)})


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
    nonce = _nonce([own.text, *(text for pair in shown for text in pair.values())])
    values = {"task": task.text, "tools": tools, "words": _words(max_tokens), "own": own.text, "pairs": shown}
    return _render("refine", {**values, "nonce": nonce})


def judge_prompt(task: Task, strategy: str, *, label: str) -> Prompt:
    """Ask a juror for one score, under a label that the author of the strategy cannot know."""
    plan = without_invisible(strategy)
    return _render("judge", {"task": task.text, "plan": plan, "label": label, "nonce": _nonce([plan])})


def panel_prompt(task: Task, plans: Mapping[str, str]) -> Prompt:
    """Ask a juror for a score of every plan; the keys are the labels it sees, in the order it sees them."""
    shown = {label: without_invisible(plan) for label, plan in plans.items()}
    return _render("judge_panel", {"task": task.text, "plans": shown, "nonce": _nonce(list(shown.values()))})


def _words(max_tokens: int) -> int:
    """A round number of words that fits the token cap with room to spare: models overshoot."""
    words = max_tokens // 2
    return words // 10 * 10 or max(1, words)
