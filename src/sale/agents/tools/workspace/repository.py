"""Which files of a user's git repository count, asked without believing anything the repository says about git.

Of the repository three files are read: its index, its own list of what is ignored, and, for the kind of its hashes, its
settings. Copies of the first two go into a repository of our own, and git lists the files by that: it never opens the
user's. So nothing that the settings name is started, and no object is looked up, which could be fetched by a command.
"""

from __future__ import annotations

import os
import re
import stat
from codecs import BOM_UTF8
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sale.agents.tools.workspace.disk import UntrustedFolder, read_regular, refuse_pipes
from sale.agents.tools.workspace.git import empty_repository, run_git, user_excludes
from sale.agents.tools.workspace.ignoring import RULES, IgnoreRules
from sale.agents.tools.workspace.tree import MEGABYTE
from sale.config import git_settings_path
from sale.errors import InputError

INDEX_BYTES = 256 * MEGABYTE
RULES_BYTES = MEGABYTE
POINTER_BYTES = 4096
MAX_RULES = 1000
"""Files of rules that are kept though they are not among the files that count."""
MAX_DEPTH = 8
"""Levels of repositories within repositories that are followed."""
JUNK = frozenset({
    ".git", ".hg", ".svn", "__pycache__", "node_modules", ".tox", ".nox", ".pytest_cache", ".mypy_cache", ".ruff_cache",
})  # fmt: skip
"""Directories that are never copied where there is no git to say what counts."""
_SHA256 = re.compile(rb"^\s*objectformat\s*=\s*\"?sha256\b", re.IGNORECASE | re.MULTILINE)
_SPARSE = b"sdir\0\0\0\0"
"""The mark in an index that holds directories in place of their files; these are not on disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files that count in a directory."""

    names: tuple[str, ...]
    """The paths of files, below the directory; sorted. Some may not be there."""
    prefix: str = ""
    """Where the directory is below the top of its repository, ending in `/`; empty at the top or without git."""
    inner: tuple[str, ...] = ()
    """Directories that are repositories of their own, whose files are listed as well."""
    absent: tuple[str, ...] = ()
    """Submodules that are not checked out."""
    rules: IgnoreRules = field(default_factory=IgnoreRules)
    """The rules they were chosen by, beside those of the files listed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Repository:
    top: Path
    own: Path
    """Where its index is."""
    shared: Path
    """Where the rest is: the same, but in a linked work tree."""


def list_files(directory: Path, *, depth: int = 0) -> Listing:
    """List what git tracks or would track; without git, all but what is made anew.

    Raises:
        InputError: There is no git program, or git cannot read the repository's index.
    """
    found = _repository_of(directory) if depth == 0 else _repository_at(directory)
    if found is None:
        return Listing(names=tuple(sorted(_walked(directory))))
    ruled = [*(place for place in directory.parents if place.is_relative_to(found.top)), *_with_rules(directory)]
    refuse_pipes(ruled, RULES)
    everywhere = _ignored_everywhere()
    asked = _asked(found, directory, everywhere)
    names = [name for name in asked if not any(is_environment(directory / top) for top in _tops(name))]
    if not names and any(path.name != ".git" for path in directory.iterdir()):
        return Listing(
            names=tuple(sorted(_walked(directory)))
        )  # all of it is ignored: a repository's scratch directory
    listing = _with_inner(directory, names, depth)
    above = directory.relative_to(found.top).as_posix()
    prefix = "" if above == "." else f"{above}/"
    own = _unlisted_rules(found, ruled, {f"{prefix}{name}" for name in listing.names})
    own |= {f"{prefix}{folder}": data for folder, data in listing.rules.folders.items()}
    return Listing(
        names=listing.names,
        prefix=prefix,
        inner=listing.inner,
        absent=listing.absent,
        rules=IgnoreRules(everywhere=everywhere, folders=own),
    )


def is_environment(folder: Path) -> bool:
    """Return whether a directory is a virtual environment of Python."""
    return (folder / "pyvenv.cfg").is_file()


def _with_inner(directory: Path, names: list[str], depth: int) -> Listing:
    """Put the files of submodules and of other repositories below in the place of their directories."""
    folder = UntrustedFolder(directory)
    files: set[str] = set()
    inner: list[str] = []
    absent: list[str] = []
    rules: dict[str, bytes] = {}
    for name in names:
        plain = name.rstrip("/")
        if not folder.is_directory(plain):
            files.add(plain)
            continue
        below = _below(directory / plain, depth + 1)
        if not below.names:
            absent.append(plain)
            continue
        inner += [plain, *(f"{plain}/{one}" for one in below.inner)]
        absent += [f"{plain}/{one}" for one in below.absent]
        files.update(f"{plain}/{one}" for one in below.names)
        rules |= {f"{plain}/{folder}".rstrip("/"): data for folder, data in below.rules.folders.items()}
    return Listing(
        names=tuple(sorted(files)), inner=tuple(inner), absent=tuple(absent), rules=IgnoreRules(folders=rules)
    )


def _below(directory: Path, depth: int) -> Listing:
    """List an inner repository: as git says, or, where it cannot be read, whatever is there."""
    if depth > MAX_DEPTH:
        return Listing(names=())
    try:
        return list_files(directory, depth=depth)
    except InputError:
        return Listing(names=tuple(sorted(_walked(directory))))


def _asked(found: _Repository, directory: Path, everywhere: bytes) -> list[str]:
    settings = _content(found.shared / "config")
    with empty_repository(sha256=_SHA256.search(settings) is not None) as repository:
        index = _copied_index(found.own, repository)
        (repository / "info" / "exclude").write_bytes(everywhere + _content(found.shared / "info" / "exclude"))
        asked = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        asked += ["--sparse"] if _SPARSE in index else []
        ran = run_git(asked, repository=repository, work_tree=found.top, directory=directory)
    if ran.returncode != 0:
        said = ran.stderr.decode(errors="replace").strip()
        raise InputError(
            f"git does not read it: {said.splitlines()[0] if said else 'no word why'}", where=str(directory)
        )
    return sorted({os.fsdecode(name) for name in ran.stdout.split(b"\0") if name})


def _with_rules(directory: Path) -> Iterator[Path]:
    """Yield the directories below, and the one itself, that have rules of their own for what is ignored."""
    for place, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if name != ".git"]
        if RULES in files:
            yield Path(place)


def _unlisted_rules(found: _Repository, folders: Iterable[Path], listed: Container[str]) -> dict[str, bytes]:
    """Return the rules that are in no file listed, by directory below the top, as far as there is room for them."""
    rules = {"": _content(found.shared / "info" / "exclude")}
    room = RULES_BYTES
    for folder in folders:
        place = folder.relative_to(found.top)
        if (place / RULES).as_posix() in listed or not JUNK.isdisjoint(place.parts):
            continue
        data = _content(folder / RULES)
        room -= len(data)
        if room < 0 or len(rules) > MAX_RULES:
            break
        name = "" if place == Path() else place.as_posix()
        rules[name] = rules[name] + b"\n" + data.removeprefix(BOM_UTF8) if name in rules else data
    return {name: data for name, data in rules.items() if data.strip()}


def _copied_index(own: Path, repository: Path) -> bytes:
    """Copy the index into a repository of our own, with the files it may be spread over; return its bytes."""
    if not os.path.lexists(own / "index"):
        return b""
    try:
        for part in own.glob("sharedindex.*"):
            (repository / part.name).write_bytes(read_regular(part, INDEX_BYTES))
        index = read_regular(own / "index", INDEX_BYTES)
    except (OSError, InputError) as error:
        said = error.message if isinstance(error, InputError) else error.strerror
        raise InputError(f"git's index cannot be read: {said}", where=str(own)) from error
    (repository / "index").write_bytes(index)
    return index


def _ignored_everywhere() -> bytes:
    """Return the user's own rules for what is ignored in every repository."""
    try:
        # Their file may be a link: it came with no repository.
        with (user_excludes() or git_settings_path() / "ignore").open("rb") as file:
            return file.read(RULES_BYTES) + b"\n"
    except OSError:
        return b"\n"


def _repository_of(directory: Path) -> _Repository | None:
    """Return the repository that a directory is in."""
    return next((found for top in (directory, *directory.parents) if (found := _repository_at(top))), None)


def _repository_at(top: Path) -> _Repository | None:
    """Return the repository whose work tree begins at a directory.

    Raises:
        InputError: A file in the place of `.git` names a place that is not a repository.
    """
    pointer = top / ".git"
    try:
        kind = pointer.stat().st_mode
    except OSError:
        return None
    own = pointer
    if stat.S_ISREG(kind):
        said = _content(pointer, POINTER_BYTES)
        if not said.startswith(b"gitdir: "):
            return None
        own = top / os.fsdecode(said.removeprefix(b"gitdir: ").rstrip(b"\r\n"))
        if not (own / "HEAD").is_file():
            raise InputError("git does not read it: .git names a place where no repository is", where=str(top))
    if not own.is_dir() or not (own / "HEAD").is_file():
        return None
    shared = _content(own / "commondir", POINTER_BYTES).rstrip(b"\r\n")
    return _Repository(top=top, own=own, shared=own / os.fsdecode(shared) if shared else own)


def _content(path: Path, most: int = RULES_BYTES) -> bytes:
    """Return what is in a file of the repository's; nothing where there is none, or it is none to be read."""
    try:
        return read_regular(path, most)
    except (OSError, ValueError, InputError):
        return b""


def _walked(directory: Path) -> Iterator[str]:
    for place, folders, files in os.walk(directory):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = [name for name in folders if name not in {*JUNK, *links} and not is_environment(Path(place, name))]
        for name in (*files, *links):
            yield str(Path(place, name).relative_to(directory))


def _tops(name: str) -> list[str]:
    """Return the first two directories on the way to a file: where virtual environments are kept."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, min(len(parts), 2) + 1)]
