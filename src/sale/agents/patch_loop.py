"""Work in a repository without tools: what fails and the files it is about are shown, and changes are handed in.

Each change is made on a fresh copy and tried with the workspace's command. While it fails, the model corrects its
change, shown why, and starts over, in turns; where nothing was changed it starts over at once. The first change that
passes is the answer. For models too small for a loop of tools. Whatever happens, what was spent is returned.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sale.agents.edits import apply_edits, edits_in
from sale.agents.prompts.repository import FileView, edit_prompt
from sale.agents.tools.python import clip
from sale.agents.tools.workspace.listing import clip_to_end, find_concerned_files, is_test
from sale.agents.tools.workspace.workspace import Workspace
from sale.agents.worklog import WorkItem, Worklog, describe, shortfall_of
from sale.errors import SaleError
from sale.models.protocol import Model
from sale.types import Execution, Reply, Task

FILES = 4
"""The most files shown, beside tests."""
FILE_CHARACTERS = 6000
"""Characters shown of all files together: small models have small contexts."""
TEST_CHARACTERS = 2000
FAULT_CHARACTERS = 1200
WHOLE_CHARACTERS = 1600
"""A file no longer than this is asked for whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _PatchAttempt:
    """A change, and what came of it."""

    patch: str
    fault: str
    """Empty where it passed, or there is nothing to try it with."""
    cut: bool = False
    """A part of it is not there, as the answer was cut."""


@dataclass(slots=True)
class _PatchState(Worklog):
    """The state of the work so far."""

    best: _PatchAttempt | None = None


async def work_by_patches(
    model: Model, workspace: Workspace, item: WorkItem, task: Task, strategy: str | None
) -> Execution:
    """Change the repository in at most `item.turns` answers; the answer is the patch of the best of them."""
    state = _PatchState(item)
    failure = await state.finish(_rounds(model, workspace, task, strategy, state))
    best = state.best
    if best is None or not best.patch:
        return state.complete("edits", "", failure or "execution.unchanged: nothing was changed")
    cut = shortfall_of(best.patch, truncated=best.cut and best.fault != "", tokens=item.answer_tokens)
    return state.complete("edits", best.patch, cut)


async def _rounds(
    model: Model, workspace: Workspace, task: Task, strategy: str | None, state: _PatchState
) -> str | None:
    """Change, and correct while it fails; return why the last answer has no whole change in it."""
    item = state.item
    shortfall: str | None = None
    state.note("system", item.prompt.system)
    files = _files(workspace, task)
    whole = all(len(file.text) <= WHOLE_CHARACTERS for file in files if not file.fixed)
    last: _PatchAttempt | None = None
    for turn in range(item.turns):
        if last is not None and last.patch and turn % 2:
            handed_in = clip(_lines_of(last.patch), FILE_CHARACTERS // 2)
            prompt = edit_prompt(
                task, strategy=strategy, files=files, whole=whole, handed_in=handed_in, fault=last.fault
            )
            sample = 0 if turn == 1 else turn
        else:
            prompt, sample = edit_prompt(task, strategy=strategy, files=files, whole=whole), turn
        state.note("user", prompt.user)
        reply = await state.ask(model, prompt, sample=sample)
        last = await _tried(workspace, reply, files)
        state.note("tool", last.fault or "it passes")
        if state.best is None or last.patch:
            state.best = last
        shortfall = (
            None if last.patch else shortfall_of(reply.text, truncated=reply.truncated, tokens=item.answer_tokens)
        )
        if not last.fault:
            break
    return shortfall


def _lines_of(patch: str) -> str:
    """A patch without what only git needs to know."""
    return "\n".join(line for line in patch.splitlines() if not line.startswith(("diff --git", "index ", "@@")))


async def _tried(workspace: Workspace, reply: Reply, files: tuple[FileView, ...]) -> _PatchAttempt:
    """Make the changes of an answer on a fresh copy, and see what the command says."""
    copy = workspace.copy()
    fixed = frozenset(file.path for file in files if file.fixed)
    likely = [file.path for file in files if not file.fixed]
    edits = edits_in(reply.text, workspace.tree, likely, cut=reply.truncated)
    faults = ["there is no change in the answer, in the form asked for"]
    if edits:
        faults = await asyncio.to_thread(apply_edits, edits, copy, fixed)
    cut = reply.truncated and bool(faults)
    try:
        patch = await asyncio.to_thread(workspace.patch, copy.tree)
        if not patch:
            return _PatchAttempt(patch="", fault="; ".join(faults) or "nothing is different from before")
        if workspace.command is None:
            return _PatchAttempt(patch=patch, fault="; ".join(faults), cut=cut)
        report, _ = await workspace.box.run(copy.tree, workspace.command, keep=False)
    except SaleError as error:
        return _PatchAttempt(patch="", fault=describe(error))
    if report.passed:
        return _PatchAttempt(patch=patch, fault="")
    said = f"exit status {report.exit_code}\n{clip_to_end(report.output, FAULT_CHARACTERS)}"
    return _PatchAttempt(patch=patch, fault="\n".join([*faults, said]), cut=cut)


def _files(workspace: Workspace, task: Task) -> tuple[FileView, ...]:
    """Return the files to show: sources as far as there is room, then the failing tests, which are not to change."""
    before = workspace.before
    failing = before is not None and not before.passed
    output = before.output if before is not None and failing else ""
    paths = find_concerned_files(task.text, output, workspace.tree)
    found: list[FileView] = []
    room = {False: FILE_CHARACTERS, True: TEST_CHARACTERS}
    for path in paths:
        fixed = failing and is_test(path)
        text = workspace.tree[path].text or ""
        if sum(file.fixed == fixed for file in found) >= FILES or (len(text) > room[fixed] and not fixed and found):
            continue
        kept = clip(text, room[fixed]) if fixed else text
        room[fixed] -= len(kept)
        if kept.strip():
            found.append(FileView(path=path, text=kept.rstrip(), fixed=fixed))
    return tuple(sorted(found, key=lambda file: file.fixed))
