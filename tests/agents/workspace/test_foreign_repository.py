"""A repository cloned from a stranger starts nothing on this machine, and shows nothing of it.

Every way of making git start a program is tried with the real git: first everything that a workspace does, and then git
itself, which must fall for it; else the test would prove nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sale.agents.tools.workspace import git as git_module
from sale.agents.tools.workspace.copying import copy_directory
from sale.agents.tools.workspace.environment import find_mounts
from sale.agents.tools.workspace.git import empty_repository, run_git
from sale.agents.tools.workspace.ignoring import ignored_paths
from sale.agents.tools.workspace.patching import apply_in, apply_patch, patch_between
from sale.agents.tools.workspace.tree import CopyLimits, FileEntry, Tree
from sale.agents.tools.workspace.workspace import Workspace
from sale.errors import InputError

ROOM = CopyLimits()
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
Trap = Callable[[Path, str], Sequence[str]]
"""Prepares a repository to run a command; returns the arguments with which git itself falls for it."""


def git(place: Path, *arguments: str) -> str:
    ran = subprocess.run(["git", "-C", str(place), *IDENTITY, *arguments], capture_output=True, check=True)
    return ran.stdout.decode()


def fall_for(place: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=place, capture_output=True, check=False)


def names_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def configure(place: Path, *pairs: tuple[str, str]) -> None:
    for name, value in pairs:
        git(place, "config", name, value)


def program(place: Path, command: str) -> str:
    """A script outside the index that runs a command, and then says nothing."""
    script = place / ".git" / "trap.sh"
    script.write_text(f"#!/bin/sh\n{command}\ncat >/dev/null 2>&1 </dev/null\nexit 1\n")
    script.chmod(0o755)
    return str(script)


def monitor(place: Path, command: str) -> Sequence[str]:
    configure(place, ("core.fsmonitor", program(place, command)))
    return ("status",)


def included(place: Path, command: str) -> Sequence[str]:
    (place / "more").write_text(f"[core]\n\tfsmonitor = {program(place, command)}\n")
    configure(place, ("include.path", "../more"))
    return ("status",)


def clean(place: Path, command: str) -> Sequence[str]:
    (place / ".gitattributes").write_text("* filter=trap\n")
    configure(place, ("filter.trap.clean", f"{command}; cat"), ("filter.trap.smudge", f"{command}; cat"))
    return ("add", "-A")


def process(place: Path, command: str) -> Sequence[str]:
    (place / ".gitattributes").write_text("* filter=trap\n")
    configure(place, ("filter.trap.process", program(place, command)))
    return ("add", "-A")


def textconv(place: Path, command: str) -> Sequence[str]:
    (place / ".gitattributes").write_text("* diff=trap\n")
    (place / "a.py").write_text("a = 3\n")
    configure(place, ("diff.trap.textconv", f"{command}; cat"))
    return ("diff",)


def external_diff(place: Path, command: str) -> Sequence[str]:
    (place / "a.py").write_text("a = 3\n")
    configure(place, ("diff.external", program(place, command)))
    return ("diff",)


def hook(place: Path, command: str) -> Sequence[str]:
    hooks = place / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "post-index-change", "post-checkout", "pre-applypatch", "reference-transaction"):
        shutil.copy(program(place, command), hooks / name)
    configure(place, ("core.hooksPath", "hooks"))
    return ("commit", "--allow-empty", "-m", "x")


def promisor(place: Path, url: str, *more: tuple[str, str]) -> Sequence[str]:
    """An index of directories whose files are not there: to list them, git asks a remote for the objects."""
    (place / "far").mkdir()
    (place / "far" / "b.py").write_text("b = 1\n")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "y")
    git(place, "sparse-checkout", "init", "--cone", "--sparse-index")
    tree = git(place, "rev-parse", "HEAD:far").strip()
    (place / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    settings = (("remote.origin.url", url), ("remote.origin.promisor", "true"), ("remote.origin.fetch", "+x:x"))
    configure(place, ("core.repositoryformatversion", "1"), ("extensions.partialClone", "origin"), *settings, *more)
    return ("ls-files",)


def remote_command(place: Path, command: str) -> Sequence[str]:
    return promisor(place, f"ext::{program(place, command)}", ("protocol.ext.allow", "always"))


def ssh_command(place: Path, command: str) -> Sequence[str]:
    return promisor(place, "ssh://host.invalid/x", ("core.sshCommand", program(place, command)))


def alias(place: Path, command: str) -> Sequence[str]:
    configure(place, ("alias.sneak", f"!{command}"))
    return ("sneak",)


def bare_below(place: Path, command: str) -> Sequence[str]:
    """A repository without `.git`, tracked as ordinary files; git takes its directory for a repository."""
    below = place / "below"
    git(place, "init", "-q", "--bare", str(below))
    configure(below, ("core.fsmonitor", program(place, command)), ("alias.sneak", f"!{command}"))
    return ("-C", "below", "sneak")


def submodule(place: Path, command: str) -> Sequence[str]:
    inner = place / "inner"
    git(place, "init", "-q", str(inner))
    (inner / "c.py").write_text("c = 1\n")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "x")
    git(place, "add", "inner")
    configure(inner, ("core.fsmonitor", program(place, command)))
    return ("-C", "inner", "status")


TRAPS: list[Trap] = [
    monitor, included, clean, process, textconv, external_diff, hook, remote_command, ssh_command, alias, bare_below,
    submodule,
]  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "theirs"
    place.mkdir()
    git(place, "init", "-q")
    (place / "a.py").write_text("a = 1\n")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "x")
    return place


@pytest.mark.usefixtures("sandbox")  # without one, a workspace is refused
@pytest.mark.parametrize("boxed", [True, False], ids=["bubblewrap", "bare"])
@pytest.mark.parametrize("trap", TRAPS)
async def test_git_starts_nothing_that_a_repository_names(
    trap: Trap, boxed: bool, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not boxed:
        monkeypatch.setattr(git_module, "find_bwrap", lambda: None)
    marker = tmp_path / "started"
    control = trap(repository, f"touch {marker}")
    if marker.exists():  # setting the trap went off
        marker.unlink()
    for place in (repository, repository / "below"):
        if place.is_dir():
            copy_directory(place, ROOM)
    workspace = await Workspace.open(repository, verify="true")
    patch = workspace.patch({**workspace.tree, "a.py": FileEntry(b"a = 2\n"), "d.py": FileEntry(b"")})
    assert (await workspace.verify(workspace.task("x"), patch)).verdict == "success"
    await workspace.apply(patch)
    assert (repository / "a.py").read_text() == "a = 2\n"
    assert not marker.exists()
    fall_for(repository, *control)
    assert marker.exists(), "git itself did not fall for it"


@pytest.mark.usefixtures("sandbox")
async def test_git_variables_of_the_environment_do_not_count(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "started"
    script = program(repository, f"touch {marker}")
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    for name, value in {
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": script,
        "GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_EXTERNAL_DIFF": script, "GIT_PAGER": script, "GIT_SSH_COMMAND": script,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    workspace = await Workspace.open(repository)
    assert sorted(workspace.tree) == ["a.py"]
    await workspace.apply(workspace.patch({"a.py": FileEntry(b"a = 2\n")}))
    assert not marker.exists()
    fall_for(repository, "status")
    assert marker.exists(), "git itself did not fall for it"


@pytest.mark.usefixtures("sandbox")
def test_git_sees_no_file_and_no_network_of_this_machine(tmp_path: Path) -> None:
    """An alias is how a command is run where git itself is."""
    (tmp_path / "secret").write_text("the secret")
    work_tree = tmp_path / "theirs"
    work_tree.mkdir()
    command = f"!cat {tmp_path}/secret; touch {work_tree}/written; cat /proc/net/dev /etc/passwd; ls {tmp_path}"
    with empty_repository() as repository:
        ran = run_git(["-c", f"alias.look={command}", "look"], repository=repository, work_tree=work_tree)
    said = ran.stdout.decode()
    assert "the secret" not in said
    assert "root:" not in said
    assert {line.split(":")[0].strip() for line in said.splitlines() if ":" in line} <= {"lo"}
    assert "theirs" in said
    assert list(work_tree.iterdir()) == []


def test_the_work_tree_named_by_a_repository_is_not_believed(repository: Path, tmp_path: Path) -> None:
    secret = tmp_path / "home"
    secret.mkdir()
    (secret / "key").write_text("the secret")
    configure(repository, ("core.worktree", str(secret)))
    assert "key" in git(repository, "ls-files", "--others")
    assert sorted(copy_directory(repository, ROOM).tree) == ["a.py"]


def test_an_index_entry_below_a_linked_directory_reads_no_file(repository: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    (home / "key").write_text("the secret")
    (home / "deep" / "key").write_text("the secret")
    digest = git(repository, "hash-object", "-w", "a.py").strip()
    for name in ("link/key", "link/deep/key", "link/gone"):
        git(repository, "update-index", "--add", "--cacheinfo", f"100644,{digest},{name}")
    (repository / "link").symlink_to(home)
    found = copy_directory(repository, ROOM)
    assert sorted(found.tree) == ["a.py"]
    assert sum("below a symbolic link" in line for line in found.left_out) == 3
    (repository / "link").unlink()
    (repository / "link").symlink_to(".")
    assert sorted(copy_directory(repository, ROOM).tree) == ["a.py", "link"]


def test_a_submodule_below_a_linked_directory_is_not_entered(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    (other / "key").write_text("the secret")
    digest = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{digest},link")
    (repository / "link").symlink_to(other)
    found = copy_directory(repository, ROOM)
    assert sorted(found.tree) == ["a.py"]
    assert any(line.startswith("link: a symbolic link that leads out") for line in found.left_out)


@pytest.mark.parametrize("name", ["index", "info/exclude", "config"])
def test_what_is_read_of_git_is_neither_a_link_nor_a_pipe(repository: Path, name: str) -> None:
    """A pipe would be waited for, and a link to a device would be read without end."""
    place = repository / ".git" / name
    for kind in ("pipe", "link"):
        place.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(place)
        else:
            place.symlink_to("/dev/zero")
        if name == "index":
            with pytest.raises(InputError, match="index cannot be read"):
                copy_directory(repository, ROOM)
        else:
            assert sorted(copy_directory(repository, ROOM).tree) == ["a.py"]


@pytest.mark.parametrize("name", [".gitignore", "sub/.gitignore"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_in_the_place_of_rules_is_not_waited_for(name: str, linked: bool, repository: Path) -> None:
    place = repository / name
    place.parent.mkdir(exist_ok=True)
    pipe = repository / ".git" / "pipe" if linked else place
    os.mkfifo(pipe)
    if linked:
        place.symlink_to(pipe)
    with pytest.raises(InputError, match="it is a pipe") as caught:
        copy_directory(repository, ROOM)
    assert caught.value.where == str(place)
    with pytest.raises(InputError, match="it is a pipe"):
        copy_directory(place.parent, ROOM)


def test_a_pipe_in_the_place_of_attributes_is_not_waited_for(repository: Path) -> None:
    os.mkfifo(repository / ".gitattributes")
    before: Tree = {"a.py": FileEntry((repository / "a.py").read_bytes())}
    patch = patch_between(before, {"a.py": FileEntry(b"b = 2\n")})
    with pytest.raises(InputError, match="it is a pipe"):
        apply_in(repository, patch)
    assert (repository / "a.py").read_bytes() == before["a.py"].data


def test_a_link_that_leads_out_through_another_is_not_copied(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the secret\n")
    (repository / "sub").mkdir()
    (repository / "sub" / "top").symlink_to("..")
    (repository / "key").symlink_to("sub/top/../key")
    assert (repository / "key").read_text() == "the secret\n"
    found = copy_directory(repository, ROOM)
    assert sorted(found.tree) == ["a.py", "sub/top"]
    assert found.left_out == ("key: a symbolic link that leads out",)


LINK = (
    "diff --git a/{0} b/{0}\nnew file mode 120000\n--- /dev/null\n+++ b/{0}\n"
    "@@ -0,0 +1 @@\n+{1}\n\\ No newline at end of file\n"
)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "links", [[("key", "/etc/passwd")], [("key", "../key")], [("sub/top", ".."), ("key", "sub/top/../key")]]
)
async def test_a_patch_brings_no_link_that_leads_out(links: list[tuple[str, str]], repository: Path) -> None:
    """Command agents hand in patches of their own."""
    patch = "".join(LINK.format(*link) for link in links)
    workspace = await Workspace.open(repository)
    with pytest.raises(InputError, match="lead out of the directory: 'key'"):
        apply_patch(workspace.tree, patch)
    with pytest.raises(InputError, match="lead out"):
        await workspace.apply(patch)
    assert (await workspace.verify(workspace.task("x"), patch)).verdict == "failure"
    assert names_in(repository) == [".git", "a.py"]
    inside = apply_patch(workspace.tree, LINK.format("sub/link", "../a.py"))
    assert inside["sub/link"] == FileEntry(b"../a.py", "120000")


COPY = "diff --git a/{0} b/got\nsimilarity index 100%\n{1} from {0}\n{1} to got\n"


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("word", ["copy", "rename"])
@pytest.mark.parametrize("quoted", [False, True])
async def test_a_patch_copies_no_file_from_outside(word: str, quoted: bool, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the secret\n")
    workspace = await Workspace.open(repository)
    for name in ("../key", str(tmp_path / "key"), "../../" * 20 + str(tmp_path / "key").lstrip("/")):
        patch = COPY.format(f'"{name}"' if quoted else name, word)
        with pytest.raises(InputError):
            apply_patch(workspace.tree, patch)
        with pytest.raises(InputError):
            await workspace.apply(patch)
        with pytest.raises(InputError):
            apply_in(repository, patch)
        assert (await workspace.verify(workspace.task("x"), patch)).verdict == "failure"
    assert names_in(repository) == [".git", "a.py"]
    assert (tmp_path / "key").exists()


@pytest.mark.usefixtures("sandbox")
async def test_a_patch_copies_and_renames_files_of_the_tree(repository: Path) -> None:
    workspace = await Workspace.open(repository)
    kept = workspace.tree["a.py"]
    assert apply_patch(workspace.tree, COPY.format("a.py", "copy")) == {"a.py": kept, "got": kept}
    assert apply_patch(workspace.tree, COPY.format("a.py", "rename")) == {"got": kept}
    assert await workspace.apply(COPY.format("a.py", "rename")) == ("a.py", "got")
    assert names_in(repository) == [".git", "got"]


def test_a_patch_puts_no_file_below_another_and_no_submodule(repository: Path) -> None:
    tree: Tree = {"a.py": FileEntry(b"a = 1\n"), "link": FileEntry(b"..", "120000")}
    for path in ("a.py/x", "link/x"):
        new = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
        with pytest.raises(InputError, match="nothing can be in it"):
            apply_patch(tree, new)
    commit = git(repository, "rev-parse", "HEAD").strip()
    head = "diff --git a/m b/m\nnew file mode 160000\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n"
    module = f"{head}+Subproject commit {commit}\n"
    with pytest.raises(InputError, match="submodule"):
        apply_patch(tree, module)


@pytest.mark.usefixtures("sandbox")
async def test_a_patch_leaves_alone_what_was_not_copied(repository: Path, tmp_path: Path) -> None:
    (repository / "out").symlink_to(tmp_path)
    workspace = await Workspace.open(repository)
    for path in ("out", "out/x"):
        with pytest.raises(InputError, match="was not copied"):
            workspace.patch({**workspace.tree, path: FileEntry(b"x")})
    assert workspace.patch({**workspace.tree, "outer": FileEntry(b"x")})


def test_inner_repositories_are_copied_and_said(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(tmp_path, "init", "-q", str(other))
    (other / "lib.py").write_text("lib = 1\n")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "x")
    allowed = ("-c", "protocol.file.allow=always")
    git(repository, *allowed, "submodule", "--quiet", "add", str(other), "vendor/checked out")
    git(repository, *allowed, "submodule", "--quiet", "add", str(other), "vendor/away")
    git(repository, "submodule", "--quiet", "deinit", "--force", "vendor/away")
    (repository / "vendor" / "checked out" / "own.py").write_text("own = 1\n")
    (repository / "vendor" / "checked out" / ".gitignore").write_text("*.log\n")
    (repository / "vendor" / "checked out" / "x.log").write_text("x")
    inner = repository / "mine"
    git(repository, "init", "-q", str(inner))
    (inner / "m.py").write_text("m = 1\n")
    found = copy_directory(repository, ROOM)
    checked = ["vendor/checked out/.gitignore", "vendor/checked out/lib.py", "vendor/checked out/own.py"]
    assert sorted(found.tree) == [".gitmodules", "a.py", "mine/m.py", *checked]
    assert sorted(found.inner) == ["mine", "vendor/checked out"]
    assert found.left_out == ("vendor/away: a submodule that is not checked out",)


@pytest.mark.usefixtures("sandbox")
async def test_a_change_in_an_inner_repository_is_applied(repository: Path) -> None:
    inner = repository / "mine"
    git(repository, "init", "-q", str(inner))
    (inner / "m.py").write_text("m = 1\n")
    workspace = await Workspace.open(repository)
    patch = workspace.patch({**workspace.tree, "mine/m.py": FileEntry(b"m = 2\n")})
    await workspace.apply(patch)
    assert (inner / "m.py").read_text() == "m = 2\n"
    git(repository, "diff", "--quiet")


def test_what_counts_is_what_git_says(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules of all three places, files that are tracked though ignored, a split index, and a linked work tree."""
    home = tmp_path / "git home"
    (home / ".config" / "git").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    (home / ".config" / "git" / "ignore").write_text("*.swp\n")
    (repository / ".git" / "info" / "exclude").write_text("/private\n")
    (repository / ".gitignore").write_text("*.log\n")
    for name in ("kept.log", "x.log", "y.swp", "private", "new"):
        (repository / name).write_text(name)
    git(repository, "add", "-f", "kept.log")
    expected = [".gitignore", "a.py", "kept.log", "new"]

    def check(place: Path) -> None:
        by_git = git(place, "ls-files", "--cached", "--others", "--exclude-standard").split()
        assert sorted(by_git) == expected
        assert sorted(copy_directory(place, ROOM).tree) == expected

    check(repository)
    (home / ".gitconfig").write_text(f"[core]\n\texcludesFile = {tmp_path}/rules\n")
    (tmp_path / "rules").write_text("y.*\n")
    check(repository)
    git(repository, "update-index", "--split-index")
    assert list((repository / ".git").glob("sharedindex.*"))
    check(repository)
    git(repository, "commit", "-qm", "more")
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    for name in (".gitignore", "private", "new", "x.log", "y.swp"):
        (tmp_path / "linked" / name).write_text((repository / name).read_text())
    check(tmp_path / "linked")


def test_what_a_command_leaves_behind_is_ignored_by_the_same_rules(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the top of a repository, with rules above it, of the user, of its own folder, and of an ignored file."""
    home = tmp_path / "git home"
    (home / ".config" / "git").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    (home / ".config" / "git" / "ignore").write_text("*.swp\n*.keep\n")
    (repository / ".git" / "info" / "exclude").write_text("/sub/private\n")
    (repository / ".gitignore").write_text("*.log\n/sub/build/\n!*.keep\n")
    place = repository / "sub"
    (place / "out").mkdir(parents=True)
    (place / "out" / ".gitignore").write_text("*\n")
    (place / ".gitignore").write_text("*.tmp\n!kept.log\n")
    (place / "b.py").write_text("b = 1\n")
    inner = place / "mine"
    git(repository, "init", "-q", str(inner))
    (inner / "m.py").write_text("m = 1\n")
    (inner / ".git" / "info" / "exclude").write_text("/secret\n")
    found = copy_directory(place, ROOM)
    assert sorted(found.tree) == [".gitignore", "b.py", "mine/m.py"]
    new = [
        "new.py", "x.log", "kept.log", "x.swp", "x.keep", "private", "deep/private", "build/x", "out/x", "x.tmp",
        "mine/secret", "secret",
    ]  # fmt: skip
    tree = {**found.tree, **{name: FileEntry(b"x") for name in new}}
    ignored = ignored_paths(new, tree, found.rules, prefix=found.prefix)
    assert sorted(set(new) - ignored) == ["deep/private", "kept.log", "new.py", "secret", "x.keep"]


@pytest.mark.usefixtures("sandbox")
async def test_the_patch_of_a_directory_below_is_without_what_is_ignored(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "sub").mkdir()
    (repository / "sub" / "b.py").write_text("b = 1\n")
    workspace = await Workspace.open(repository / "sub")
    assert workspace.patch({**workspace.tree, "x.log": FileEntry(b"x")}) == ""
    assert "sub/new" in workspace.patch({**workspace.tree, "new": FileEntry(b"x"), "x.log": FileEntry(b"x")})


def test_a_repository_with_longer_hashes_is_read(tmp_path: Path) -> None:
    place = tmp_path / "long"
    git(tmp_path, "init", "-q", "--object-format=sha256", str(place))
    (place / ".gitignore").write_text("*.log\n")
    (place / "a.log").write_text("a")
    git(place, "add", "-f", "a.log")
    assert sorted(copy_directory(place, ROOM).tree) == [".gitignore", "a.log"]


def test_a_sparse_index_is_read_without_its_objects(repository: Path) -> None:
    promisor(repository, "ext::false")
    found = copy_directory(repository, ROOM)
    assert sorted(found.tree) == ["a.py"]


@pytest.mark.parametrize("shape", ["directory", "socket", "file", "library"])
def test_a_virtual_environment_of_a_repository_shows_nothing_of_this_machine(tmp_path: Path, shape: str) -> None:
    """Its Python is a link to whatever a stranger wants to see: the home directory, a socket, a key, a library."""
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    (home / "lib" / "key").write_text("the secret")
    (home / "bin" / "python3.11").write_text("the secret")
    (home / "bin" / "python3.11").chmod(0o755)
    place = tmp_path / "theirs"
    (place / ".venv" / "bin").mkdir(parents=True)
    (place / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home / "bin" / "python3"))
        target = {
            "directory": home,
            "socket": home / "bin" / "python3",
            "file": home / "lib" / "key",
            "library": home / "bin" / "python3.11",
        }[shape]
        (place / ".venv" / "bin" / "python").symlink_to(target)
        shown = find_mounts(place, place_bytes=1).visible
    assert not any(path.resolve().is_relative_to(home) for path in shown)


def test_an_environment_that_is_itself_a_link_out_is_not_shown(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (other / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (other / "bin" / "python").symlink_to("/usr/bin/python3")
    for name in (".venv", "venv/bin"):
        place = tmp_path / name.replace("/", "-")
        (place / name).parent.mkdir(parents=True)
        (place / name).symlink_to(other / "bin" if name.endswith("bin") else other)
        (place / "venv" / "pyvenv.cfg").write_text("") if name.endswith("bin") else None
        shown = find_mounts(place, place_bytes=1).visible
        assert not any(path.resolve().is_relative_to(other) for path in shown)


@pytest.mark.usefixtures("sandbox")
async def test_an_environment_of_its_own_works(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "a.txt").write_text("a")
    venv.create(place / ".venv", symlinks=True)
    packages = next((place / ".venv" / "lib").glob("python3*")) / "site-packages"
    (packages / "ours.py").write_text("said = 'found'\n")
    workspace = await Workspace.open(place, verify="python -c 'import ours; print(ours.said)'")
    assert workspace.before is not None
    assert workspace.before.output == "found\n"
