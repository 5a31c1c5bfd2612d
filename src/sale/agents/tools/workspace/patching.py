"""Patches between two trees, made and applied by git in a repository of their own that lives for the moment.

Both trees go into it as they are, without filters or attributes, so line ends and modes are the files' own. What is no
text in UTF-8 is written as a binary patch: a patch is always text, and its names are always ASCII.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from sale.agents.tools.workspace.git import git, git_alone
from sale.agents.tools.workspace.tree import Entry, Mode, Tree, changes, checked
from sale.errors import InputError

_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_UNTOUCHED = "* -text -eol -ident -filter -working-tree-encoding\n"
"""Attributes above those of the files themselves: bytes stay what they are."""
_PLAIN_DIFF = (
    "-c", "core.quotePath=true", "diff-tree", "-r", "--patch", "--binary", "--full-index", "--no-renames", "--no-color",
    "--no-ext-diff", "--no-textconv", "--diff-algorithm=histogram",
)  # fmt: skip


def patch_between(before: Tree, after: Tree, *, prefix: str = "") -> str:
    """The patch that makes one tree the other; empty where they are the same.

    One thing git cannot apply: a directory in the place of a symbolic link that leads round in a circle.

    Args:
        before: What the patch applies to.
        after: What comes of it.
        prefix: Put before every path, ending in `/`: the place of the trees' top below a repository's.
    """
    different = changes(before, after)
    if not different:
        return ""
    old = {prefix + path: before[path] for path in different if path in before}
    new = {prefix + path: after[path] for path in different if path in after}
    with _repository() as repository:
        (repository / "info" / "attributes").write_bytes(_binaries(old, new))
        git(git_alone(["fast-import", "--quiet"], repository=repository, given=_stream(old, new)))
        made = git(git_alone([*_PLAIN_DIFF, "refs/heads/old", "refs/heads/new"], repository=repository))
    return made.decode("utf-8")


def touched(patch: str, *, prefix: str = "") -> tuple[str, ...]:
    """The paths a patch changes, without the prefix.

    Raises:
        InputError: It is no patch, or reaches outside the prefix.
    """
    with _repository() as repository, tempfile.TemporaryDirectory(prefix="sale-patch-") as place:
        given = ["apply", "--numstat", "-z", "-"]
        ran = git_alone(given, repository=repository, work_tree=Path(place), given=patch.encode())
    if ran.returncode != 0:
        raise InputError(f"git does not read the patch: {_said(ran.stderr)}")
    names = [os.fsdecode(line.split(b"\t", 2)[2]) for line in ran.stdout.split(b"\0") if line.count(b"\t") >= 2]
    if not all(name.startswith(prefix) for name in names):
        raise InputError("the patch reaches outside the directory")
    # A file that becomes a link is there twice, as gone and as new.
    return tuple(dict.fromkeys(checked(name[len(prefix) :]) for name in names))


def patched(tree: Tree, patch: str, *, prefix: str = "") -> Tree:
    """The tree with a patch applied.

    Raises:
        InputError: The patch does not apply.
    """
    if not patch:
        return dict(tree)
    names = touched(patch, prefix=prefix)
    with tempfile.TemporaryDirectory(prefix="sale-patch-") as place:
        root = Path(place)
        for name in names:
            if name in tree:
                put(root, name, tree[name])
        _apply(root, patch, prefix)
        found = dict(tree)
        for name in names:
            entry = taken(root, name)
            if entry is None:
                found.pop(name, None)
            else:
                found[name] = entry
    return found


def apply_in(directory: Path, patch: str, *, prefix: str = "") -> None:
    """Apply a patch to files on disk: all of it, or nothing. Files keep their permissions and their owner.

    Raises:
        InputError: The patch does not apply.
    """
    before = {path: about for name in touched(patch, prefix=prefix) if (about := _regular(path := directory / name))}
    _apply(directory, patch, prefix)
    for path, about in before.items():
        _restore(path, about)


def _apply(directory: Path, patch: str, prefix: str) -> None:
    strip = f"-p{1 + prefix.count('/')}"
    with _repository() as repository:
        for only in (["--check"], []):
            command = ["apply", *only, strip, "--whitespace=nowarn", "-"]
            ran = git_alone(command, repository=repository, work_tree=directory, given=patch.encode())
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


def ignored(paths: Iterable[str], tree: Tree) -> frozenset[str]:
    """Which of these paths the tree's own `.gitignore` files name."""
    wanted = [path for path in paths if "\n" not in path]
    rules = {path: entry for path, entry in tree.items() if path.rpartition("/")[2] == ".gitignore"}
    if not wanted or not rules:
        return frozenset()
    with _repository() as repository, tempfile.TemporaryDirectory(prefix="sale-patch-") as place:
        for name, entry in rules.items():
            put(Path(place), name, entry)
        given = b"\0".join(os.fsencode(path) for path in wanted)
        asked = ["check-ignore", "--no-index", "-z", "--stdin"]
        ran = git_alone(asked, repository=repository, work_tree=Path(place), given=given)
    return frozenset(os.fsdecode(name) for name in ran.stdout.split(b"\0") if name)


def put(root: Path, name: str, entry: Entry) -> None:
    """Write an entry to disk, below a directory that is ours alone."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.mode == "120000":
        path.symlink_to(entry.data.decode(errors="surrogateescape"))
        return
    path.write_bytes(entry.data)
    path.chmod(0o755 if entry.mode == "100755" else 0o644)


def taken(root: Path, name: str) -> Entry | None:
    """Read an entry back; `None` where there is none."""
    path = root / name
    if path.is_symlink():
        return Entry(str(path.readlink()).encode(errors="surrogateescape"), "120000")
    if not path.is_file():
        return None
    mode: Mode = "100755" if path.stat().st_mode & 0o100 else "100644"
    return Entry(path.read_bytes(), mode)


@contextmanager
def _repository() -> Generator[Path]:
    """An empty bare repository. Made by hand: it is quicker, and no template of the machine's gets into it."""
    with tempfile.TemporaryDirectory(prefix="sale-git-") as place:
        repository = Path(place)
        for folder in ("objects", "refs/heads", "info"):
            (repository / folder).mkdir(parents=True)
        (repository / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        (repository / "config").write_text(_CONFIG, encoding="ascii")
        (repository / "info" / "attributes").write_text(_UNTOUCHED, encoding="ascii")
        yield repository


def _stream(old: Tree, new: Tree) -> bytes:
    """Two commits for `git fast-import`."""
    parts: list[bytes] = []
    for branch, tree in (("old", old), ("new", new)):
        who = b"committer sale <sale@localhost> 0 +0000\ndata 0\n"
        parts.append(f"commit refs/heads/{branch}\n".encode() + who)
        for path, entry in tree.items():
            parts.append(f"M {entry.mode} inline {_quoted(path)}\ndata {len(entry.data)}\n".encode())
            parts.append(entry.data + b"\n")
    return b"".join([*parts, b"done\n"])


def _binaries(*trees: Tree) -> bytes:
    """Attributes that have git treat as binary what is no text in UTF-8, and as text what is."""
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
