"""What is copied from a directory, and what a copy lets an agent do with it."""

from __future__ import annotations

import difflib
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from sale.agents.tools.workspace.box import CommandBox
from sale.agents.tools.workspace.copy_tools import CopyActions, piece_in
from sale.agents.tools.workspace.copying import copy_directory
from sale.agents.tools.workspace.texts import FileText
from sale.agents.tools.workspace.tree import CopyLimits, FileEntry, WorkingCopy
from sale.errors import InputError

ROOM = CopyLimits()


def repository(place: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(place)], check=True)
    return place


def test_git_says_which_files_count(tmp_path: Path) -> None:
    repository(tmp_path)
    (tmp_path / ".gitignore").write_text("*.log\n/data/\n")
    (tmp_path / "a.py").write_text("a")
    (tmp_path / "new file.txt").write_text("b")
    (tmp_path / "x.log").write_text("c")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large").write_text("d")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    subprocess.run(["git", "-C", str(tmp_path), "add", "a.py"], check=True)
    found = copy_directory(tmp_path, ROOM)
    assert sorted(found.tree) == [".gitignore", "a.py", "new file.txt", "run.sh"]
    assert found.tree["run.sh"].mode == "100755"
    assert found.prefix == ""


def test_a_file_that_is_tracked_and_gone_is_not_there(tmp_path: Path) -> None:
    repository(tmp_path)
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    (tmp_path / "a").unlink()
    assert sorted(copy_directory(tmp_path, ROOM).tree) == ["b"]


def test_a_directory_in_a_repository_knows_where_it_is(tmp_path: Path) -> None:
    repository(tmp_path)
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "deep" / "a").write_text("a")
    (tmp_path / "other").write_text("o")
    found = copy_directory(tmp_path / "sub", ROOM)
    assert (found.prefix, sorted(found.tree)) == ("sub/", ["deep/a"])


def test_without_git_all_counts_but_what_is_made_anew(tmp_path: Path) -> None:
    for name in ("a.py", "src/b.py", "__pycache__/a.pyc", "node_modules/x/y.js", "venv/bin/python", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    assert sorted(copy_directory(tmp_path, ROOM).tree) == [".hidden", "a.py", "src/b.py"]


def test_links_are_links_and_those_that_lead_out_are_left_out(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "d").mkdir(parents=True)
    (tmp_path / "secret").write_text("the secret")
    (top / "a").write_text("a")
    for name, target in (("in", "a"), ("d/up", "../a"), ("out", "../secret"), ("far", "/etc/passwd"), ("dir", "..")):
        (top / name).symlink_to(target)
    found = copy_directory(top, ROOM)
    assert {name: entry.mode for name, entry in found.tree.items()} == {
        "a": "100644",
        "in": "120000",
        "d/up": "120000",
    }
    assert sorted(line.split(":")[0] for line in found.left_out) == ["dir", "far", "out"]
    assert b"the secret" not in b"".join(entry.data for entry in found.tree.values())


def test_links_that_lead_round_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("a")
    links = {"self": "self", "below": "below/a", "one": "two", "two": "d/../one", "fine": "d", "more": "fine/a"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    found = copy_directory(tmp_path, ROOM)
    assert sorted(found.tree) == ["d/a", "fine", "more"]
    assert sorted(line.split(":")[0] for line in found.left_out) == ["below", "one", "self", "two"]
    assert found.held == {"below", "one", "self", "two"}


def test_too_much_is_said_clearly(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"f{number}").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match="more than 3 files") as many:
        copy_directory(tmp_path, CopyLimits(files=3))
    assert "workspace.files" in many.value.hint
    with pytest.raises(InputError, match="larger than 0 MB"):
        copy_directory(tmp_path, CopyLimits(total_bytes=3000))
    with pytest.raises(InputError, match="no such directory"):
        copy_directory(tmp_path / "nowhere", ROOM)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "", ".", "~/x", ".git/config", "a/.GIT/hooks/x", "a\0b", "a\\..\\..\\b",
     "x" * 2000, "out", "out/x", "circle", "d/../../x", "\udcff"],
)  # fmt: skip
def test_no_path_leads_out_of_a_copy(path: str) -> None:
    links = {"out": FileEntry(b"../../etc", "120000"), "circle": FileEntry(b"circle", "120000"), "d/a": FileEntry(b"a")}
    copy = WorkingCopy(links)
    before = copy.tree
    with pytest.raises(InputError):
        copy.write(path, b"x")
    with pytest.raises(InputError):
        copy.read(path)
    assert copy.tree == before


def test_links_within_a_copy_are_followed() -> None:
    copy = WorkingCopy(
        {"real/a.py": FileEntry(b"a"), "link": FileEntry(b"real", "120000"), "real/same": FileEntry(b"a.py", "120000")}
    )
    assert copy.read("link/same").data == b"a"
    assert copy.write("link/same", b"b") == "real/a.py"
    assert copy.read("real/a.py").data == b"b"
    assert copy.tree["link"].mode == "120000"


def test_a_copy_has_an_end() -> None:
    copy = WorkingCopy({"a": FileEntry(b"x" * 10)}, CopyLimits(files=2, total_bytes=20, file_bytes=15))
    with pytest.raises(InputError, match="no room"):
        copy.write("a", b"x" * 16)
    copy.write("b", b"x" * 10)
    with pytest.raises(InputError, match="no room"):
        copy.write("b", b"x" * 11)
    with pytest.raises(InputError, match="holds 2 files"):
        copy.write("c", b"")
    with pytest.raises(InputError, match="is a file"):
        copy.write("a/b", b"")
    with pytest.raises(InputError, match="more than the copy holds"):
        copy.replace_all({"a": FileEntry(b"x" * 30)})
    assert sorted(copy.tree) == ["a", "b"]


def replace_piece(text: str, old: str, new: str, path: str) -> str:
    found = FileText(text)
    return found.with_spans([piece_in(found.plain, old, new, path)]).raw


def test_a_piece_is_replaced_where_it_is_there_once() -> None:
    assert replace_piece("a = 1\nb = 1\n", "b = 1", "b = 2", "x.py") == "a = 1\nb = 2\n"
    assert replace_piece("a\r\nb\r\n", "a\nb", "a\nc", "x") == "a\r\nc\r\n"
    assert replace_piece("one\ntwo\n", "2| two", "2| three", "x") == "one\nthree\n"
    with pytest.raises(InputError, match="2 times"):
        replace_piece("x\nx\n", "x", "y", "x.py")
    with pytest.raises(InputError, match="the nearest is, from line 2:\n    return total"):
        replace_piece("def f():\n    return total\n", "  return totals", "x", "x.py")
    with pytest.raises(InputError, match="empty"):
        replace_piece("x", "", "y", "x.py")


async def test_an_edit_that_does_not_fit_a_large_file_does_not_hold_up_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[Sequence[str]] = []
    whole = difflib.get_close_matches

    def get_close_matches(wanted: str, lines: Sequence[str], n: int, cutoff: float) -> list[str]:
        assert threading.current_thread() is not threading.main_thread()
        compared.append(lines)
        return whole(wanted, lines, n=n, cutoff=cutoff)

    monkeypatch.setattr(difflib, "get_close_matches", get_close_matches)
    text = "def f():\n    return total\n" + f"{'x' * 1000}\n" * 10_000
    actions = CopyActions(WorkingCopy({"a.py": FileEntry(text.encode())}, ROOM), cast("CommandBox", None))
    with pytest.raises(InputError, match="the nearest is, from line 2:"):
        await actions.edit_file("a.py", "  return totals", "x")
    (lines,) = compared
    assert len(lines) == 2000
    assert max(map(len, lines)) == 200
