"""The prompts of work in a copy of a repository."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sale.auction.prompts.templates import load_folder
from sale.types import Prompt, Task

MARKS = ("<" * 7 + " SEARCH", "=" * 7, ">" * 7 + " REPLACE")
"""The marks before, between and after the lines of a replacement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileView:
    """A file as a worker is shown it."""

    path: str
    text: str
    fixed: bool
    """It is shown to be read, not to be changed."""

    @property
    def fence(self) -> str:
        """The fence around the file: more backticks than any line of it begins with."""
        runs = [len(run) for run in re.findall(r"^ *(`{3,})", self.text, re.MULTILINE)]
        return "`" * max([3, *(length + 1 for length in runs)])


def workspace_task(text: str, *, files: str, command: str | None, failing: str | None) -> str:
    """A task with what there is to know of the repository it is about."""
    values = {"task": text, "files": files, "command": command, "failing": failing}
    return load_folder("sale.agents.prompts").render("workspace", values).user


def edit_prompt(
    task: Task,
    *,
    strategy: str | None,
    files: Sequence[FileView],
    whole: bool,
    handed_in: str = "",
    fault: str = "",
) -> Prompt:
    """Ask for a change of the files shown: whole files, or pieces of them."""
    nonce = hashlib.sha256(f"{handed_in}\0{fault}".encode(errors="replace")).hexdigest()[:8]
    values = {
        "task": task.text,
        "strategy": strategy,
        "files": files,
        "whole": whole,
        "marks": MARKS,
        "handed_in": handed_in,
        "fault": fault,
        "nonce": nonce,
    }
    return load_folder("sale.agents.prompts").render("edit", values)
