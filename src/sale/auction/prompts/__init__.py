"""The auction's prompts: one Jinja file each, rendered strictly, identified by digest on every record.

All of them have the same system text and open with the same task, so that an endpoint with a prompt cache reads the
task once for bidding, judging and refining.

Text that comes from an agent (a strategy, a past strategy) is data to every other agent. It is put between marks that
carry a digest of that very text, which its author cannot know beforehand, and lines that imitate a mark are broken.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.meta import find_referenced_templates

from sale.types import Pair, Prompt, Strategy, Task, ToolInfo

_MARK = re.compile(r"<(/?)\s*(task|plan)\b", re.IGNORECASE)


def _harmless(text: str) -> str:
    """Break anything in untrusted text that looks like one of our marks."""
    return _MARK.sub(r"‹\1\2", text.strip())


def _nonce(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sale.auction", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  plain text for a model, not HTML
    )
    environment.filters["harmless"] = _harmless
    return environment


def _sources(name: str) -> list[str]:
    """The source of a template and of all it includes, depth first."""
    environment = _environment()
    source = files("sale.auction.prompts").joinpath(name).read_text(encoding="utf-8")
    included = sorted(part for part in find_referenced_templates(environment.parse(source)) if part)
    return [source, *(text for part in included for text in _sources(part))]


@cache
def _label(name: str) -> str:
    """`name@digest`, over the template, what it includes, and the system text."""
    text = "\0".join([*_sources(f"{name}.md.j2"), *_sources("system.md.j2")])
    return f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _render(name: str, values: Mapping[str, object]) -> Prompt:
    environment = _environment()
    return Prompt(
        system=environment.get_template("system.md.j2").render().strip(),
        user=environment.get_template(f"{name}.md.j2").render(values).strip(),
        template=_label(name),
    )


def bid_prompt(task: Task, tools: Sequence[ToolInfo], max_tokens: int) -> Prompt:
    """Ask for a first strategy."""
    return _render("bid", {"task": task.text, "tools": tools, "words": _words(max_tokens)})


def refine_prompt(
    task: Task, tools: Sequence[ToolInfo], max_tokens: int, *, own: Strategy, pairs: Sequence[Pair]
) -> Prompt:
    """Show an agent its first bid and what won and lost on similar tasks, and ask for a better bid."""
    nonce = _nonce([own.text, *(text for pair in pairs for text in (pair.losing, pair.winning))])
    values = {"task": task.text, "tools": tools, "words": _words(max_tokens), "own": own.text, "pairs": pairs}
    return _render("refine", {**values, "nonce": nonce})


def judge_prompt(task: Task, strategy: str) -> Prompt:
    """Ask a juror for one score."""
    return _render("judge", {"task": task.text, "plan": strategy, "nonce": _nonce([strategy])})


def panel_prompt(task: Task, plans: Mapping[str, str]) -> Prompt:
    """Ask a juror for a score of every plan; the keys are the labels it sees, in the order it sees them."""
    return _render("judge_panel", {"task": task.text, "plans": plans, "nonce": _nonce(list(plans.values()))})


def _words(max_tokens: int) -> int:
    """A round number of words that fits the token cap with room to spare: models overshoot."""
    return max(20, int(max_tokens * 0.5) // 10 * 10)
