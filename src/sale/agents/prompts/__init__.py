"""The prompts of execution and verification, one Jinja file each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sale.auction.prompts.templates import load_folder
from sale.auction.text import without_invisible
from sale.types import Prompt, Task, ToolInfo


def work_prompt(task: Task, *, strategy: str | None, tools: Sequence[ToolInfo] = ()) -> Prompt:
    """Ask the winner to do the task; `strategy` is its own plan, or `None` to work without one."""
    values = {"task": task.text, "strategy": strategy, "tools": tools, "code": task.domain == "coding"}
    return load_folder("sale.agents.prompts").render("work", values)


def verify_prompt(task: Task, answer: str, reference: str | None, *, label: str) -> Prompt:
    """Ask a model whether an answer is right, against a reference where there is one.

    Args:
        task: What was to be done.
        answer: What was handed in.
        reference: The right answer, where it is known.
        label: Stands before the verdict; the author of the answer cannot know it.
    """
    answer = without_invisible(answer)
    nonce = hashlib.sha256(f"{answer}\0{reference}".encode()).hexdigest()[:8]
    values = {"task": task.text, "answer": answer, "reference": reference, "label": label, "nonce": nonce}
    return load_folder("sale.agents.prompts").render("verify", values)


def repair_prompt(task: Task, *, strategy: str | None, code: str, fault: str) -> Prompt:
    """Ask for a corrected answer: what was handed in, and what is wrong with it."""
    nonce = hashlib.sha256(f"{code}\0{fault}".encode(errors="replace")).hexdigest()[:8]
    values = {"task": task.text, "strategy": strategy, "code": code, "fault": fault, "nonce": nonce}
    return load_folder("sale.agents.prompts").render("repair", values)


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of work and what came of it, as the next prompt shows them."""

    action: str
    result: str


def closing_words() -> str:
    """Return the text that asks a model for its answer when its budget is nearly used up."""
    return load_folder("sale.agents.prompts").render("closing", {}).user


class ToolView(Protocol):
    """A tool as the prompt for a step shows it."""

    @property
    def name(self) -> str:
        """The name of the tool."""
        ...

    @property
    def description(self) -> str:
        """The purpose of the tool."""
        ...

    @property
    def shown(self) -> str:
        """The placeholder of its inputs."""
        ...

    @property
    def named(self) -> str:
        """The same with the name of each, also of an only one."""
        ...


def step_prompt(
    task: Task, *, strategy: str | None, tools: Sequence[ToolView], steps: Sequence[StepView], last: bool, sourced: bool
) -> Prompt:
    """Ask for the next step of work; what came before is in the prompt, so that its beginning can be cached.

    With `sourced` an answer names the numbers of what it rests on in a field of its own.
    """
    values = {**_so_far(task, strategy, steps), "tools": tools, "last": last, "sourced": sourced}
    return load_folder("sale.agents.prompts").render("step", values)


def choose_prompt(task: Task, *, strategy: str | None, tools: Sequence[ToolView], steps: Sequence[StepView]) -> Prompt:
    """Ask which tool the next step needs, or for the answer."""
    return load_folder("sale.agents.prompts").render("choose", {**_so_far(task, strategy, steps), "tools": tools})


def fill_prompt(task: Task, *, strategy: str | None, tool: ToolView, steps: Sequence[StepView]) -> Prompt:
    """Ask what a tool that was chosen is given."""
    return load_folder("sale.agents.prompts").render("fill", {**_so_far(task, strategy, steps), "tool": tool})


def _so_far(task: Task, strategy: str | None, steps: Sequence[StepView]) -> dict[str, object]:
    nonce = hashlib.sha256(task.text.encode()).hexdigest()[:8]
    return {"task": task.text, "strategy": strategy, "steps": steps, "nonce": nonce}
