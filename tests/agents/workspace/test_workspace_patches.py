"""Patches are what git takes: made from trees, applied by the real program, in a real repository."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sale.agents.tools.workspace.ignoring import ignored_paths
from sale.agents.tools.workspace.patching import (
    apply_in,
    apply_patch,
    patch_between,
    touched_paths,
)
from sale.agents.tools.workspace.tree import FileEntry, Tree, changes
from sale.errors import InputError
from tests.support.entries import put, read_entry

IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")

pieces = st.sampled_from(["a", "b c", "ü", "日本", "-d", "x.py", "'q'", 'd"q', "e[1]*", "#f", "tab\there", "né.txt"])
paths = st.lists(pieces, min_size=1, max_size=3).map("/".join)
lines = st.lists(
    st.sampled_from(
        ["", "one", "two", "  three", "\tfour", "fünf", "diff --git a/x b/x", "--- a", "+++ b", "@@ -1 +1 @@"]
    )
)
endings = st.sampled_from([b"\n", b"\r\n", b"\r"])


def joined(parts: list[str], end: bytes, last: bytes) -> bytes:
    return end.join(part.encode() for part in parts) + last


texts = st.builds(joined, lines, endings, st.sampled_from([b"", b"\n"]))
contents = st.one_of(texts, st.binary(max_size=40), st.just(b""), st.just("Größe".encode("latin-1") + b"\n"))
entries = st.one_of(
    st.builds(FileEntry, contents, st.sampled_from(["100644", "100755"])),
    st.builds(FileEntry, st.sampled_from([b"a", b"x.py", b"b c/a"]), st.just("120000")),
)


def without_clashes(tree: Mapping[str, FileEntry]) -> dict[str, FileEntry]:
    """A tree in which no file is a directory, too."""
    kept: dict[str, FileEntry] = {}
    for path, entry in sorted(tree.items()):
        parts = path.split("/")
        if not any("/".join(parts[:end]) in kept for end in range(1, len(parts))):
            kept[path] = entry
    return kept


trees = st.dictionaries(paths, entries, max_size=6).map(without_clashes)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """A tree and what became of it: some files are gone, some changed, some new."""
    before = draw(trees)
    kept = {path: draw(st.one_of(st.just(entry), entries)) for path, entry in before.items() if draw(st.booleans())}
    after = without_clashes({**kept, **draw(trees)})
    return before, after


def is_circular(place: Path, before: Tree, after: Tree) -> bool:
    """Whether the kernel loses its way to one of the new files, which git looks for before it removes anything."""
    for path in after:
        if path in before:
            continue
        try:
            (place / path).lstat()
        except OSError as error:
            if error.errno == errno.ELOOP:
                return True
    return False


# A link to itself, and a new file below it; and the same by way of another link.
ROUND: tuple[Tree, Tree] = ({"b c": FileEntry(b"b c/a", "120000")}, {"b c/x.py": FileEntry(b"x\n")})
ROUND_ABOUT: tuple[Tree, Tree] = (
    {"a": FileEntry(b"d", "120000"), "d/x.py": FileEntry(b"x.py", "120000")},
    {"a/x.py/ü": FileEntry(b"x\n")},
)


def git(place: Path, *arguments: str, given: bytes = b"") -> bytes:
    ran = subprocess.run(
        ["git", "-C", str(place), *IDENTITY, *arguments], input=given, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def on_disk(place: Path, tree: Tree) -> None:
    for name, entry in tree.items():
        put(place, name, entry)


@example(pair=ROUND)
@example(pair=ROUND_ABOUT)
@given(pair=pairs())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_patch_applied_gives_the_other_tree(
    pair: tuple[Tree, Tree], tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, after = pair
    place = tmp_path_factory.mktemp("tree")
    on_disk(place, before)
    if is_circular(place, before, after):
        with pytest.raises(InputError, match="round in a circle"):
            patch_between(before, after)
        return
    patch = patch_between(before, after)
    assert apply_patch(before, patch) == after
    if patch:
        assert patch.endswith("\n")
        assert sorted(touched_paths(patch)) == list(changes(before, after))


@example(pair=ROUND, prefix="")
@example(pair=ROUND_ABOUT, prefix="sub/")
@given(pair=pairs(), prefix=st.sampled_from(["", "", "sub/", "a dir/ü/"]))
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_git_apply_takes_it_in_a_repository(
    pair: tuple[Tree, Tree], prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, after = pair
    place = tmp_path_factory.mktemp("repository")
    top = place / prefix
    top.mkdir(parents=True, exist_ok=True)
    on_disk(top, before)
    git(place, "init", "-q")
    if is_circular(top, before, after):
        with pytest.raises(InputError, match="round in a circle"):
            patch_between(before, after, prefix=prefix)
        return
    patch = patch_between(before, after, prefix=prefix)
    if not patch:
        assert before == after
        return
    git(place, "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-", given=patch.encode())
    for name in {*before, *after}:
        assert read_entry(top, name) == after.get(name), name


def test_a_mode_alone_and_an_empty_file_are_changes() -> None:
    before: Tree = {"run": FileEntry(b"x\n"), "empty": FileEntry(b"")}
    after: Tree = {"run": FileEntry(b"x\n", "100755"), "new": FileEntry(b"")}
    patch = patch_between(before, after)
    assert "old mode 100644" in patch
    assert apply_patch(before, patch) == after


def test_what_is_no_text_becomes_a_binary_patch() -> None:
    patch = patch_between(
        {}, {"a.bin": FileEntry(b"\0\1\2"), "latin.txt": FileEntry(b"\xe4\n"), "text": FileEntry("ü\n".encode())}
    )
    assert patch.count("GIT binary patch") == 2
    assert "+ü" in patch


def test_attributes_of_the_files_change_nothing() -> None:
    rules = FileEntry(b"* text eol=crlf working-tree-encoding=UTF-16\n*.py filter=evil diff=evil\n")
    before: Tree = {".gitattributes": rules, "a.py": FileEntry(b"x\n")}
    after: Tree = {".gitattributes": rules, "a.py": FileEntry(b"y\r\n")}
    assert apply_patch(before, patch_between(before, after)) == after


@pytest.mark.parametrize(
    "patch",
    [
        "no patch",
        "diff --git a/../evil b/../evil\nnew file mode 100644\n--- /dev/null\n+++ b/../evil\n@@ -0,0 +1 @@\n+x\n",
        "diff --git a/.git/x b/.git/x\nnew file mode 100644\n--- /dev/null\n+++ b/.git/x\n@@ -0,0 +1 @@\n+x\n",
        "diff --git a/gone b/gone\n--- a/gone\n+++ b/gone\n@@ -1 +1 @@\n-x\n+y\n",
    ],
)
def test_what_does_not_apply_is_refused(patch: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(InputError):
        apply_patch({"a": FileEntry(b"x\n")}, patch)
    with pytest.raises(InputError):
        apply_in(place, patch)
    assert list(place.iterdir()) == []


def test_a_patch_through_a_link_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    patch = patch_between({}, {"link/evil": FileEntry(b"x\n")})
    with pytest.raises(InputError, match="symbolic link"):
        apply_in(inside, patch)
    assert list(outside.iterdir()) == []


def test_a_patch_applies_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n")
    (tmp_path / "b").write_bytes(b"changed since\n")
    before: Tree = {"a": FileEntry(b"1\n"), "b": FileEntry(b"1\n")}
    with pytest.raises(InputError, match="does not apply"):
        apply_in(tmp_path, patch_between(before, {"a": FileEntry(b"2\n"), "b": FileEntry(b"2\n")}))
    assert (tmp_path / "a").read_bytes() == b"1\n"


def test_what_the_repository_ignores() -> None:
    tree: Tree = {".gitignore": FileEntry(b"build/\n*.log\n"), "sub/.gitignore": FileEntry(b"!keep.log\n/x\n")}
    asked = ["build/a.o", "a.log", "sub/keep.log", "sub/x", "x", "src/a.py"]
    assert ignored_paths(asked, tree) == {"build/a.o", "a.log", "sub/x"}
    assert ignored_paths(asked, {}) == frozenset()


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o600, 0o664, 0o755, 0o555, 0o700])
def test_a_file_keeps_its_permissions(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1\n")
    file.chmod(mode)
    before: Tree = {"a": FileEntry(b"1\n", "100755" if mode & 0o100 else "100644")}
    apply_in(tmp_path, patch_between(before, {"a": FileEntry(b"2\n", before["a"].mode)}))
    assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (b"2\n", mode)


@pytest.mark.parametrize(("old", "new"), [(0o640, 0o750), (0o444, 0o555), (0o750, 0o640), (0o600, 0o700)])
def test_a_mode_that_the_patch_changes_is_changed_for_those_who_may_read(old: int, new: int, tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1\n")
    file.chmod(old)
    was, becomes = ("100755", "100644") if old & 0o100 else ("100644", "100755")
    apply_in(tmp_path, patch_between({"a": FileEntry(b"1\n", was)}, {"a": FileEntry(b"1\n", becomes)}))
    assert file.stat().st_mode & 0o7777 == new


def test_a_path_too_odd_for_gits_attributes_is_refused_in_a_line() -> None:
    path = "/".join(["*" * 250] * 4)
    with pytest.raises(InputError, match="too many signs"):
        patch_between({path: FileEntry(b"\xe4\n")}, {path: FileEntry(b"\xe5\n")})
