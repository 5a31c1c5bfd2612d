"""A user's repository as a place of work: a copy of it, what its check says, and patches that can be put back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

from sale.agents.prompts.repository import workspace_task
from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.sandbox import find_sandbox
from sale.agents.tools.workspace.box import CommandBox, CommandLimits, CommandReport
from sale.agents.tools.workspace.copying import CopiedDirectory, copy_directory
from sale.agents.tools.workspace.environment import find_mounts
from sale.agents.tools.workspace.ignoring import IgnoreRules, ignored_paths
from sale.agents.tools.workspace.listing import clip_to_failure, is_test, list_tree
from sale.agents.tools.workspace.patching import apply_in, apply_patch, patch_between, touched_paths
from sale.agents.tools.workspace.removals import find_removals
from sale.agents.tools.workspace.tree import MEGABYTE, CopyLimits, Tree, WorkingCopy, changes, parents
from sale.config import WorkspaceSettings, virtual_environment
from sale.errors import InputError, SandboxError
from sale.types import NO_JUDGE, PATCH, Outcome, Task

DOMAIN = "repository"
"""The domain of tasks in a workspace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """A directory as it was when it was copied. Agents change copies of the copy; the directory only `apply` changes.

    It is a verifier, too: a patch is right if the command given ends with status 0 on a fresh copy with the patch.
    """

    judged_by: ClassVar = "command"

    directory: Path
    tree: Tree
    """Its files, by path."""
    prefix: str
    """Where it is below the top of its git repository; paths in patches begin with it."""
    left_out: tuple[str, ...]
    """Files that were not copied, with the reasons."""
    command: str | None
    """The command the work is checked by."""
    before: CommandReport | None
    """The command's report on the directory as it is."""
    box: CommandBox
    """Runs commands over copies."""
    room: CopyLimits
    """The size limits of a copy."""
    inner: tuple[str, ...] = ()
    """Directories that are repositories of their own, such as submodules, whose files are copied as well."""
    held: frozenset[str] = frozenset()
    """Paths at which something is that was not copied, and that a patch must therefore leave alone."""
    rules: IgnoreRules = field(default_factory=IgnoreRules)
    """The rules its files were chosen by, beside those in its files."""

    @classmethod
    async def open(
        cls, directory: Path | str, *, verify: str | None = None, settings: WorkspaceSettings | None = None
    ) -> Self:
        """Copy a directory, and see what the command says of it.

        Args:
            directory: A git repository, a directory in one, or any other. Git says which files count; without it all
                do, but for what is made anew.
            verify: A shell command that ends with status 0 if all is well, `pytest -q`; run at the directory's top.
            settings: Limits; the defaults of `[workspace]` unless given.

        Raises:
            InputError: It is not a directory, or too large; or there is no git program.
            SandboxError: Commands cannot be isolated on this machine. There is no way around that.
        """
        bounds = settings or WorkspaceSettings()
        path = await asyncio.to_thread(Path(directory).resolve)
        room = CopyLimits(files=bounds.files, total_bytes=bounds.megabytes * MEGABYTE)
        found = await asyncio.to_thread(copy_directory, path, room)
        if not found.tree:
            raise InputError("there are no files to work on", where=str(path))
        box = await asyncio.to_thread(_box, path, bounds)
        before = (await box.run(found.tree, verify, keep=False))[0] if verify is not None else None
        return cls(
            directory=path,
            tree=found.tree,
            prefix=found.prefix,
            left_out=found.left_out,
            command=verify,
            before=before,
            box=box,
            room=room,
            inner=found.inner,
            held=found.held,
            rules=found.rules,
        )

    def copy(self) -> WorkingCopy:
        """A fresh copy to work on."""
        return WorkingCopy(self.tree, self.room)

    def task(self, task: Task | str) -> Task:
        """The task as bidders and workers see it: with a short list of the files, and what fails at present."""
        text = task if isinstance(task, str) else task.text
        before = self.before
        shown = workspace_task(
            text.strip(),
            files=list_tree(self.tree),
            command=self.command,
            failing=None if before is None or before.passed else clip_to_failure(before),
        )
        return Task(text=shown, domain=DOMAIN) if isinstance(task, str) else replace(task, text=shown, domain=DOMAIN)

    def patch(self, tree: Tree) -> str:
        """The patch from the directory to a tree, without new files that the repository ignores; `git apply` takes it.

        Raises:
            InputError: The tree has a file where the directory has something that was not copied, or below it.
            ExecutionError: Git failed.
        """
        new = [path for path in tree if path not in self.tree]
        if taken := next((path for path in new if not self.held.isdisjoint((path, *parents(path)))), None):
            raise InputError(f"something that was not copied is at {taken!r} or above it", hint="Take another path.")
        unwanted = ignored_paths(new, tree, self.rules, prefix=self.prefix)
        kept = {path: entry for path, entry in tree.items() if path not in unwanted}
        return patch_between(self.tree, kept, prefix=self.prefix)

    async def verify(self, task: Task, answer: str) -> Outcome:  # noqa: ARG002 - the shape is the Verifier's
        """Apply an answer, which is a patch, to a fresh copy, and run the command there."""
        try:
            tree = await asyncio.to_thread(apply_patch, self.tree, answer, prefix=self.prefix)
        except InputError as error:
            return Outcome(verdict="failure", judged_by=PATCH, detail=str(error))
        if self.command is None:
            return Outcome(verdict="unknown", judged_by=NO_JUDGE)
        try:
            report, _ = await self.box.run(tree, self.command, keep=False)
        except SandboxError as error:
            return Outcome(verdict="unknown", judged_by=self.judged_by, detail=f"{error.code}: {error.message}")
        if not report.passed:
            return Outcome(verdict="failure", judged_by=self.judged_by, detail=_ending(report))
        names = await asyncio.to_thread(touched_paths, answer, prefix=self.prefix)
        tests = [path for path in names if is_test(path)]
        detail = f"the patch changes tests: {', '.join(tests)}" if tests else ""
        return Outcome(verdict="success", judged_by=self.judged_by, detail=detail)

    def removals(self, task: str, patch: str) -> tuple[str, ...]:
        """Return what a patch removes beyond what its task asks for, a line for each file; see `find_removals`.

        Args:
            task: What was to be done, in the user's own words.
            patch: An answer to it.

        Raises:
            InputError: The patch does not apply.
        """
        return find_removals(task, self.tree, apply_patch(self.tree, patch, prefix=self.prefix))

    async def apply(self, patch: str) -> tuple[str, ...]:
        """Apply a patch to the directory itself; the paths it changed. What `find_removals` says is not asked for here.

        Raises:
            InputError: The directory is not what it was when it was copied, or the patch does not apply; nothing is
                changed then.
        """
        return await asyncio.to_thread(self._apply, patch)

    def _apply(self, patch: str) -> tuple[str, ...]:
        now: CopiedDirectory = copy_directory(self.directory, self.room)
        if now.tree != self.tree:
            raise InputError(
                "it has changed since it was copied",
                where=str(self.directory),
                hint="Apply the patch with git, or run the task again.",
            )
        # Not the patch itself, which may be anybody's: what comes of it, as a patch of our own.
        after = apply_patch(self.tree, patch, prefix=self.prefix)
        own = patch_between(self.tree, after, prefix=self.prefix)
        if own:
            apply_in(self.directory, own, prefix=self.prefix)
        return changes(self.tree, after)


def _box(directory: Path, settings: WorkspaceSettings) -> CommandBox:
    sandbox = find_sandbox()
    if not isinstance(sandbox, BubblewrapSandbox):
        raise SandboxError("commands over a repository need bubblewrap", hint="`sale doctor` shows what it needs.")
    surroundings = find_mounts(
        directory,
        named=settings.visible,
        environment=virtual_environment(),
        place_bytes=settings.disk_mb * MEGABYTE,
    )
    bounds = CommandLimits(
        seconds=settings.seconds,
        memory_bytes=settings.memory_mb * MEGABYTE,
        processes=settings.processes,
        place_bytes=settings.disk_mb * MEGABYTE,
    )
    return CommandBox(sandbox, surroundings, bounds)


def _ending(report: CommandReport) -> str:
    """The command's last words."""
    if report.late:
        return f"{report.command}: stopped at the end of its time"
    last = next((line for line in reversed(report.output.splitlines()) if line.strip()), "it printed nothing")
    return f"{report.command}: exit status {report.exit_code}: {report.note or last.strip()[:300]}"
