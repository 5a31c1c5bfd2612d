"""Work in a repository without tools: what fails and the files it is about are shown, and changes are handed in.

Each change is made on a fresh copy and tried with the workspace's command. While it fails, the model corrects its
change, shown why, and starts over, in turns; where nothing was changed it starts over at once. The first change that
passes is the answer. For models too small for a loop of tools. Whatever happens, what was spent is returned.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sale.agents.edits import applied, edits_in
from sale.agents.execution import Shift, describe, execution_of, line_of, shortfall_of
from sale.agents.prompts.repository import FileShown, edit_prompt
from sale.agents.tools.python import clipped
from sale.agents.tools.workspace.listing import concerned, ending, is_test
from sale.agents.tools.workspace.workspace import Workspace
from sale.errors import CallError, CallTimeoutError, SaleError
from sale.models.protocol import Model
from sale.types import Call, Execution, Prompt, Reply, Task, Usage

FILES = 4
"""The most files shown, beside tests."""
FILE_CHARACTERS = 6000
"""What is shown of all files together: small models have small contexts."""
TEST_CHARACTERS = 2000
FAULT_CHARACTERS = 1200
WHOLE_CHARACTERS = 1600
"""A file no longer than this is asked for whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """A change, and what came of it."""

    patch: str
    fault: str
    """Empty where it passed, or there is nothing to try it with."""


@dataclass(slots=True)
class _Course:
    """What has been done so far."""

    best: _Attempt | None = None
    error: str | None = None
    calls: list[Call] = field(default_factory=list[Call])
    trace: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])


async def mend(model: Model, workspace: Workspace, shift: Shift, task: Task, strategy: str | None) -> Execution:
    """Change the repository in at most `shift.turns` answers; the answer is the patch of the best of them."""
    began = time.monotonic()
    course = _Course()
    try:
        async with asyncio.timeout(shift.seconds):
            await _rounds(model, workspace, shift, task, strategy, course)
    except TimeoutError:
        course.error = describe(CallTimeoutError(f"not done within {shift.seconds:g} s"))
    patch = course.best.patch if course.best else ""
    error = None if patch else course.error or "execution.unchanged: nothing was changed"
    seconds = time.monotonic() - began
    return execution_of(shift, "edits", patch, tuple(course.trace), tuple(course.calls), seconds, error)


async def _rounds(
    model: Model, workspace: Workspace, shift: Shift, task: Task, strategy: str | None, course: _Course
) -> None:
    files = _files(workspace, task)
    whole = all(len(file.text) <= WHOLE_CHARACTERS for file in files if not file.fixed)
    last: _Attempt | None = None
    for turn in range(shift.turns):
        if last is not None and last.patch and turn % 2:
            handed_in = clipped(_lines_of(last.patch), FILE_CHARACTERS // 2)
            prompt = edit_prompt(
                task, strategy=strategy, files=files, whole=whole, handed_in=handed_in, fault=last.fault
            )
            sample = 0 if turn == 1 else turn
        else:
            prompt, sample = edit_prompt(task, strategy=strategy, files=files, whole=whole), turn
        reply = await _ask(model, prompt, shift, course, sample)
        if reply is None:
            return
        last = await _tried(workspace, reply.text, files)
        course.trace.append({"role": "tool", "content": last.fault or "it passes"})
        if course.best is None or last.patch:
            course.best = last
        course.error = (
            None if last.patch else shortfall_of(reply.text, truncated=reply.truncated, tokens=shift.answer_tokens)
        )
        if not last.fault:
            return


def _lines_of(patch: str) -> str:
    """A patch without what only git needs to know."""
    return "\n".join(line for line in patch.splitlines() if not line.startswith(("diff --git", "index ", "@@")))


async def _ask(model: Model, prompt: Prompt, shift: Shift, course: _Course, sample: int) -> Reply | None:
    began = time.monotonic()
    asked = replace(shift, prompt=prompt)
    if not course.trace:
        course.trace.append({"role": "system", "content": prompt.system})
    course.trace.append({"role": "user", "content": prompt.user})
    try:
        reply = await model.generate(prompt, max_tokens=shift.answer_tokens, sample=sample)
    except CallError as error:
        course.error = describe(error)
        course.calls.append(line_of(asked, Usage(), time.monotonic() - began, course.error))
        return None
    except asyncio.CancelledError:  # most likely the time is up
        course.calls.append(line_of(asked, Usage(), time.monotonic() - began, "call.timeout: stopped"))
        raise
    course.calls.append(line_of(asked, reply.usage, reply.seconds, None))
    course.trace.append({"role": "assistant", "content": reply.text})
    return reply


async def _tried(workspace: Workspace, reply: str, files: tuple[FileShown, ...]) -> _Attempt:
    """Make the changes of an answer on a fresh copy, and see what the command says."""
    copy = workspace.copy()
    fixed = frozenset(file.path for file in files if file.fixed)
    edits = edits_in(reply, workspace.tree, [file.path for file in files if not file.fixed])
    faults = applied(edits, copy, fixed) if edits else ["there is no change in the answer, in the form asked for"]
    try:
        patch = await asyncio.to_thread(workspace.patch, copy.tree)
        if not patch:
            return _Attempt(patch="", fault="; ".join(faults) or "nothing is different from before")
        if workspace.command is None:
            return _Attempt(patch=patch, fault="; ".join(faults))
        report, _ = await workspace.box.run(copy.tree, workspace.command, keep=False)
    except SaleError as error:
        return _Attempt(patch="", fault=describe(error))
    if report.passed:
        return _Attempt(patch=patch, fault="")
    said = f"exit status {report.exit_code}\n{ending(report.output, FAULT_CHARACTERS)}"
    return _Attempt(patch=patch, fault="\n".join([*faults, said]))


def _files(workspace: Workspace, task: Task) -> tuple[FileShown, ...]:
    """What is shown: sources whole as far as there is room, then the tests they fail, which are not to be changed."""
    before = workspace.before
    failing = before is not None and not before.passed
    output = before.output if before is not None and failing else ""
    paths = concerned(task.text, output, workspace.tree)
    found: list[FileShown] = []
    room = {False: FILE_CHARACTERS, True: TEST_CHARACTERS}
    for path in paths:
        fixed = failing and is_test(path)
        text = workspace.tree[path].text or ""
        if sum(file.fixed == fixed for file in found) >= FILES or (len(text) > room[fixed] and not fixed and found):
            continue
        kept = clipped(text, room[fixed]) if fixed else text
        room[fixed] -= len(kept)
        if kept.strip():
            found.append(FileShown(path=path, text=kept.rstrip(), fixed=fixed))
    return tuple(sorted(found, key=lambda file: file.fixed))
