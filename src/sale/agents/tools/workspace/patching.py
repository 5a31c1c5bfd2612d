"""Patches between two trees, made and applied by git in a repository of their own that lives for the moment.

Both trees go into it as they are, without filters or attributes, so line ends and modes are the files' own. What is not
text in UTF-8 is written as a binary patch: a patch is always text, and its names are always ASCII.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import stat
import tempfile
from pathlib import Path

from sale.agents.tools.workspace.disk import refuse_pipes
from sale.agents.tools.workspace.git import empty_repository, expect_output, run_git
from sale.agents.tools.workspace.tree import (
    FileEntry,
    Mode,
    Tree,
    changes,
    check_path,
    goes_round,
    new_links_out,
    parents,
)
from sale.errors import InputError

_MODES: dict[bytes, Mode] = {b"100644": "100644", b"100755": "100755", b"120000": "120000"}
_SOURCE = re.compile(r"^(?:copy from|rename from|rename old) (.+)$", re.MULTILINE)
_PLAIN_DIFF = (
    "-c", "core.quotePath=true", "diff-tree", "-r", "--patch", "--binary", "--full-index", "--no-renames", "--no-color",
    "--no-ext-diff", "--no-textconv", "--diff-algorithm=histogram",
)  # fmt: skip


def patch_between(before: Tree, after: Tree, *, prefix: str = "") -> str:
    """The patch that makes one tree the other; empty where they are the same.

    Args:
        before: What the patch applies to.
        after: What comes of it.
        prefix: Put before every path, ending in `/`: the place of the trees' top below a repository's.

    Raises:
        InputError: A file is to be below a symbolic link that leads round in a circle. Git refuses such a patch: before
            it removes the link it looks for the file, and the operating system follows the link for ever.
    """
    different = changes(before, after)
    if not different:
        return ""
    for path in different:
        if path in after and path not in before and goes_round(posixpath.dirname(path), before):
            raise InputError(
                f"symbolic links on the way to {path!r} lead round in a circle, so git cannot put a file there",
                hint="Remove the link first, or take another path.",
            )
    old = {prefix + path: before[path] for path in different if path in before}
    new = {prefix + path: after[path] for path in different if path in after}
    with empty_repository() as repository:
        (repository / "info" / "attributes").write_bytes(_binaries(old, new))
        _import(repository, old=old, new=new)
        compare = [*_PLAIN_DIFF, "refs/heads/old", "refs/heads/new"]
        made = expect_output(run_git(compare, repository=repository, confined=False))
    try:
        return made.decode("utf-8")
    except UnicodeDecodeError:  # git passes over a line of attributes that is very long
        raise InputError("a file that is no text has a path of too many signs such as `*` for a patch") from None


def touched_paths(patch: str, *, prefix: str = "") -> tuple[str, ...]:
    """The paths a patch changes, without the prefix.

    Raises:
        InputError: It is not a patch, or reaches outside the prefix.
    """
    with empty_repository() as repository, tempfile.TemporaryDirectory(prefix="sale-patch-") as place:
        given = ["apply", "--numstat", "-z", "-"]
        ran = run_git(given, repository=repository, work_tree=Path(place), given=patch.encode())
    if ran.returncode != 0:
        raise InputError(f"git does not read the patch: {_said(ran.stderr)}")
    names = [os.fsdecode(line.split(b"\t", 2)[2]) for line in ran.stdout.split(b"\0") if line.count(b"\t") >= 2]
    if not all(name.startswith(prefix) for name in names):
        raise InputError("the patch reaches outside the directory")
    # A file that becomes a link is there twice, as gone and as new.
    return tuple(dict.fromkeys(check_path(name[len(prefix) :]) for name in names))


def apply_patch(tree: Tree, patch: str, *, prefix: str = "") -> Tree:
    """Return the tree with a patch applied. Git does so in an index: a patch that names other files finds none there.

    Raises:
        InputError: The patch does not apply, changes something other than files and links, or has a link lead out.
    """
    if not patch:
        return dict(tree)
    names = touched_paths(patch, prefix=prefix)
    given = {name: tree[name] for name in (*names, *_sources(patch, prefix)) if name in tree}
    with empty_repository() as repository:
        _import(repository, old=given)
        expect_output(run_git(["read-tree", "refs/heads/old"], repository=repository, confined=False))
        apply = ["apply", "--cached", _strip(prefix), "--whitespace=nowarn", "-"]
        ran = run_git(apply, repository=repository, given=patch.encode())
        if ran.returncode != 0:
            raise InputError(f"the patch does not apply: {_said(ran.stderr)}")
        left = _indexed(repository)
    found = {path: entry for path, entry in tree.items() if path not in given}
    for path in left:
        if inside := next((top for top in parents(path) if top in found), None):
            raise InputError(f"the patch does not apply: {inside!r} is a file or a link, so nothing can be in it")
    after = {**found, **left}
    if out := sorted(new_links_out(tree, after)):
        raise InputError(f"the patch has a symbolic link lead out of the directory: {out[0]!r}")
    return after


def _indexed(repository: Path) -> dict[str, FileEntry]:
    """Return what is in the index of a repository of our own."""
    listed = expect_output(run_git(["ls-files", "--stage", "-z"], repository=repository, confined=False))
    rows = [line.partition(b"\t") for line in listed.split(b"\0") if line]
    about = [(head.split(b" "), check_path(os.fsdecode(name))) for head, _, name in rows]
    if any(mode not in _MODES for (mode, _, _), _ in about):
        raise InputError("the patch changes a submodule, which is another repository's")
    wanted = b"".join(key + b"\n" for (_, key, _), _ in about)
    rest = expect_output(run_git(["cat-file", "--batch"], repository=repository, given=wanted, confined=False))
    found: dict[str, FileEntry] = {}
    for (mode, _, _), name in about:
        head, _, rest = rest.partition(b"\n")
        size = int(head.rpartition(b" ")[2])
        found[name], rest = FileEntry(rest[:size], _MODES[mode]), rest[size + 1 :]
    return found


def _sources(patch: str, prefix: str) -> list[str]:
    """Return the paths a patch says it copies or renames from, as far as they are written plainly."""
    named = _SOURCE.findall(patch)
    return [name.removeprefix(prefix) for name in named if name.startswith(prefix)]


def _strip(prefix: str) -> str:
    return f"-p{1 + prefix.count('/')}"


def apply_in(directory: Path, patch: str, *, prefix: str = "") -> None:
    """Apply a patch of `patch_between` to files on disk: all of it, or nothing. Files keep permissions and owner.

    A patch from elsewhere goes through `apply_patch` first: git reads the file that a copy is made from wherever it is.

    Raises:
        InputError: The patch does not apply, or git cannot read the attributes of a file.
    """
    names = touched_paths(patch, prefix=prefix)
    refuse_pipes({directory / top for name in names for top in ("", *parents(name))}, ".gitattributes")
    before = {path: about for name in names if (about := _regular(path := directory / name))}
    _apply(directory, patch, prefix)
    for path, about in before.items():
        _restore(path, about)


def _apply(directory: Path, patch: str, prefix: str) -> None:
    with empty_repository() as repository:
        for only in (["--check"], []):
            command = ["apply", *only, _strip(prefix), "--whitespace=nowarn", "-"]
            ran = run_git(command, repository=repository, work_tree=directory, given=patch.encode(), writes=not only)
            if ran.returncode != 0:
                raise InputError(f"the patch does not apply: {_said(ran.stderr)}", where=str(directory))


def _regular(path: Path) -> os.stat_result | None:
    try:
        about = path.lstat()
    except OSError:
        return None
    return about if stat.S_ISREG(about.st_mode) else None


def _restore(path: Path, before: os.stat_result) -> None:
    """Give a file back what git made anew: who owns it, and who may do what, but for what the patch says of that."""
    now = _regular(path)
    if now is None:
        return
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(OSError):  # a user who may not give files away keeps them
            os.chown(path, before.st_uid, before.st_gid)
    mode = stat.S_IMODE(before.st_mode)
    if now.st_mode & stat.S_IXUSR != mode & stat.S_IXUSR:
        mode = mode | (mode & 0o444) >> 2 if now.st_mode & stat.S_IXUSR else mode & ~0o111
    with contextlib.suppress(OSError):
        path.chmod(mode)


def _import(repository: Path, **branches: Tree) -> None:
    """Make a commit of each tree in a repository of our own."""
    expect_output(run_git(["fast-import", "--quiet"], repository=repository, given=_stream(**branches), confined=False))


def _stream(**branches: Tree) -> bytes:
    """Return a commit for each branch, as `expect_output fast-import` reads it."""
    parts: list[bytes] = []
    for branch, tree in branches.items():
        who = b"committer sale <sale@localhost> 0 +0000\ndata 0\n"
        parts.append(f"commit refs/heads/{branch}\n".encode() + who)
        for path, entry in tree.items():
            parts.append(f"M {entry.mode} inline {_quoted(path)}\ndata {len(entry.data)}\n".encode())
            parts.append(entry.data + b"\n")
    return b"".join([*parts, b"done\n"])


def _binaries(*trees: Tree) -> bytes:
    """Attributes that have git treat as binary files that are not text in UTF-8, and as text those that are."""
    said: dict[str, bool] = {}
    for tree in trees:
        for path, entry in tree.items():
            said[path] = said.get(path, True) and (entry.mode == "120000" or entry.is_utf8)
    lines = [f"{_quoted(_literally(path))} {'diff' if text else '-diff'}\n" for path, text in said.items()]
    return "".join(lines).encode()


def _literally(path: str) -> str:
    """A path as a pattern that matches it alone."""
    return "/" + "".join(f"\\{character}" if character in "\\*?[" else character for character in path)


def _quoted(path: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in path)
    return f'"{escaped}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _said(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return "; ".join(line.removeprefix("error: ") for line in lines[:3]) or "no word why"
