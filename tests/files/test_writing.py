"""What a command writes gets to where the user says, and takes nothing away that was there."""

from __future__ import annotations

import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sale.errors import InputError, OutputError
from sale.files.reading import read_text
from sale.files.writing import write_bytes, write_text, writing


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with nothing else in it."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def fail_halfway(path: Path) -> None:
    with writing(path) as stream:
        stream.write(b"half")
        raise ZeroDivisionError


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_that_is_asked_for(place: Path) -> None:
    old = os.umask(0o022)
    try:
        write_text(place / "open", "x")
        write_text(place / "private", "x", private=True)
    finally:
        os.umask(old)
    assert mode_of(place / "open") == 0o644
    assert mode_of(place / "private") == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755])
@pytest.mark.parametrize("private", [False, True])
def test_a_file_that_is_there_keeps_its_permissions(place: Path, mode: int, private: bool) -> None:
    path = place / "kept"
    path.write_text("before")
    path.chmod(mode)
    write_text(path, "after", private=private)
    assert path.read_text() == "after"
    assert mode_of(path) == mode
    assert list(place.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_of_another_user_stays_theirs(place: Path) -> None:
    path = place / "theirs"
    path.write_text("before")
    os.chown(path, 12345, 12345)
    write_text(path, "after")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345)


def test_a_link_stays_and_its_file_is_written(place: Path) -> None:
    (place / "away").mkdir()
    (place / "link").symlink_to("away/file")  # leads to nothing yet
    for text in ("first", "second"):
        write_text(place / "link", text)
        assert (place / "link").is_symlink()
        assert (place / "away" / "file").read_text() == text


def test_what_fails_midway_leaves_what_was_there(place: Path) -> None:
    path = place / "kept"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        fail_halfway(path)
    assert path.read_text() == "before"
    assert list(place.iterdir()) == [path]


def test_a_pipe_is_written_into_and_stays_a_pipe(place: Path) -> None:
    pipe = place / "pipe"
    os.mkfifo(pipe)
    (place / "link").symlink_to(pipe)
    for name in ("pipe", "link"):
        with ThreadPoolExecutor(1) as threads:
            read = threads.submit(pipe.read_bytes)
            write_bytes(place / name, b"x" * 200_000)
            assert read.result() == b"x" * 200_000
        assert pipe.is_fifo()
    assert sorted(path.name for path in place.iterdir()) == ["link", "pipe"]


def test_nothing_reaches_a_pipe_where_the_work_fails(place: Path) -> None:
    pipe = place / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ZeroDivisionError):
            fail_halfway(pipe)
        assert os.read(reader, 10) == b""
    finally:
        os.close(reader)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_device_is_never_replaced(place: Path) -> None:
    before = Path("/dev/full").stat()
    with pytest.raises(OutputError, match="/dev/full: cannot be written: No space left on device"):
        write_text(Path("/dev/full"), "x")
    write_text(Path("/dev/null"), "x")
    assert Path("/dev/full").stat().st_rdev == before.st_rdev
    (place / "full").symlink_to("/dev/full")
    with pytest.raises(OutputError):
        write_text(place / "full", "x")
    assert (place / "full").is_symlink()
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="of Linux")
def test_an_open_file_of_this_process_is_written_where_it_stands(place: Path) -> None:
    """`sale … /dev/stdout >> all.txt`: neither begun anew nor replaced."""
    path = place / "all.txt"
    with path.open("wb", buffering=0) as file:
        file.write(b"before ")
        for name in ("/dev/fd", "/proc/self/fd"):
            write_text(Path(name) / str(file.fileno()), "here ")
        (place / "link").symlink_to(f"/proc/self/fd/{file.fileno()}")
        write_text(place / "link", "there ")
        file.write(b"after")
    assert path.read_text() == "before here here there after"


def test_what_cannot_be_written_is_one_line(place: Path) -> None:
    with pytest.raises(OutputError, match="out: cannot be written: No such file or directory"):
        write_text(place / "nowhere" / "out", "x")
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        write_text(place, "x")
    (place / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match="symbolic links"):
        write_text(place / "loop", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_is_write_protected_stays_so(place: Path) -> None:
    (place / "protected").write_text("before")
    (place / "protected").chmod(0o400)
    with pytest.raises(OutputError, match="Permission denied"):
        write_text(place / "protected", "after")


@pytest.mark.parametrize("name", ["a" * 255, "日" * 85, "é" * 127])
def test_the_longest_name_there_is_is_written(place: Path, name: str) -> None:
    for text in ("before", "after"):
        write_text(place / name, text)
        assert (place / name).read_text() == text
    assert [path.name for path in place.iterdir()] == [name]


@pytest.mark.parametrize("path", ["a\0b", "~no-such-user/a", f"/dev/fd/{10**20}"])
def test_paths_that_cannot_be_are_refused_in_a_line(path: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(Path(path), "x")


def test_a_path_with_a_null_character_is_not_read() -> None:
    with pytest.raises(InputError, match="null character"):
        read_text(Path("a\0b"))


def test_standard_output_that_is_closed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # a shell has closed it: `>&-`
    with pytest.raises(OutputError, match="standard output: cannot be written: it is closed"):
        write_text(Path("-"), "lost")
