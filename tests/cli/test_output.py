"""A result that was paid for is shown, whatever terminal, disk and memory do; one line says what failed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.test_statuses import run, write
from tests.support.preloaded import PLAIN

ANSWER = "É is a letter — and 🜁 is not."
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
CANNOT = (
    "CREATE TRIGGER full_at_settling BEFORE UPDATE OF settled_at ON auctions"
    " WHEN NEW.settled_at IS NOT NULL BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
)
CANNOT_AWARD = CANNOT.replace("settled_at", "awarded_at")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write(tmp_path, "printf", "%s", ANSWER)


def untie(text: str) -> str:
    """A text without the line breaks of the board."""
    return " ".join(text.split())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict", "cp1252"])
def test_an_encoding_that_lacks_characters_costs_those_alone(place: Path, encoding: str) -> None:
    done = run(place, "run", "--quiet", "Say it.", env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    name = encoding.partition(":")[0]
    dash = "—" if name == "cp1252" else "-"  # a dash of its own, where the encoding has none
    assert ANSWER.replace("—", dash).encode(name, "replace").decode(name) in untie(done.stdout.decode(name))


def test_json_loses_no_character_in_any_encoding(place: Path) -> None:
    done = run(place, "run", "--json", "Say it.", env={"PYTHONIOENCODING": "ascii", "LANG": "C"})
    assert done.returncode == 0
    assert json.loads(done.stdout.decode("ascii"))["result"]["answer"] == ANSWER


def test_standard_input_is_utf8_whatever_the_terminal_says(place: Path) -> None:
    task = "Zähle bis drei."
    stdin = b"\xef\xbb\xbf" + task.encode() + b"\r\n"
    done = run(place, "bid", "-", "--json", "--quiet", stdin=stdin, env={"PYTHONIOENCODING": "ascii"})
    assert json.loads(done.stdout)["auction"]["task"]["text"].strip() == task
    done = run(place, "bid", "-", stdin=task.encode("utf-16"))
    assert done.returncode == 2
    assert b"standard input: it is UTF-16, not UTF-8" in done.stderr


@needs_full
def test_a_result_that_cannot_be_shown_is_on_record_and_said_to_be(place: Path) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [*PLAIN, "run", "--quiet", "Say it."], cwd=place, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "standard output: cannot be written: No space left on device" in line
    auction = line.rpartition("`sale memory show ")[2].partition("`")[0]
    assert ANSWER in untie(run(place, "memory", "show", auction).stdout.decode())


@needs_full
def test_remarks_that_cannot_be_made_stop_nothing(place: Path) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run([*PLAIN, "run", "Say it."], cwd=place, stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == 0
    assert ANSWER in untie(done.stdout.decode())


@needs_full
@pytest.mark.parametrize("arguments", [("memory", "list", "--json"), ("--help",), ("memory", "export", "/dev/full")])
def test_every_command_says_so_in_one_line(place: Path, arguments: tuple[str, ...]) -> None:
    assert run(place, "run", "--quiet", "Say it.").returncode == 0
    with FULL.open("wb") as full:
        done = subprocess.run([*PLAIN, *arguments], cwd=place, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "cannot be written: No space left on device" in line
    assert FULL.is_char_device()


@pytest.mark.parametrize("fault", [CANNOT, CANNOT_AWARD])
def test_a_memory_that_fails_after_the_work_takes_no_answer_along(place: Path, tmp_path: Path, fault: str) -> None:
    """A trigger stands for a disk that is full from then on: SQLite refuses the very statement."""
    assert run(place, "run", "--quiet", "Say it.").returncode == 0
    with closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as memory, memory:
        memory.execute(fault)
    done = run(place, "run", "--quiet", "Say it again.")
    assert done.returncode == 0
    assert ANSWER in untie(done.stdout.decode())
    (line,) = done.stderr.decode().splitlines()
    assert "the auction is not on record" in line
    assert "the disk is full" in line


def test_an_auction_that_cannot_be_kept_is_shown(place: Path, tmp_path: Path) -> None:
    assert run(place, "run", "--quiet", "Say it.").returncode == 0
    with closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as memory, memory:
        memory.execute(CANNOT_AWARD)
    done = run(place, "bid", "--quiet", "--json", "Say it again.")
    assert json.loads(done.stdout)["auction"]["winner"]["strategy"]["agent"] == "worker"
    assert b"the auction is not on record" in done.stderr


def test_records_go_out_and_come_in_through_the_standard_streams(place: Path, tmp_path: Path) -> None:
    assert run(place, "run", "--quiet", "Say it.").returncode == 0
    out = run(place, "memory", "export", "-")
    assert json.loads(out.stdout)["record"]["execution"]["answer"] == ANSWER
    assert b"1 record written to standard output" in out.stderr
    elsewhere = {"SALE_MEMORY": str(tmp_path / "other.sqlite3")}
    back = run(place, "memory", "import", "-", stdin=b"\xef\xbb\xbf" + out.stdout, env=elsewhere)
    assert b"1 record added; here already: 0" in back.stdout


def test_the_memory_is_no_target_by_any_name(place: Path, tmp_path: Path) -> None:
    assert run(place, "run", "--quiet", "Say it.").returncode == 0
    (tmp_path / "link").symlink_to("memory.sqlite3")
    (tmp_path / "hard").hardlink_to(tmp_path / "memory.sqlite3")
    for name in ("memory.sqlite3", "link", "hard"):
        done = run(place, "memory", "export", name)
        assert done.returncode == 2
        assert b"is the memory itself" in done.stderr
    assert run(place, "memory", "list").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("batch", "tasks.jsonl", "--out", "-"),
        ("trial", "tasks.jsonl", "--cap", "1", "--out", "-"),
        ("trial", "tasks.jsonl", "--cap", "1", "--record", "-"),
        ("bench", "run", "-"),
        ("bench", "annotate", "tasks.jsonl", "--annotator", "ann", "--record", "-"),
    ],
)
def test_what_is_read_again_is_no_stream(place: Path, arguments: tuple[str, ...]) -> None:
    (place / "tasks.jsonl").write_text('{"id": "one", "task": "Say it."}\n', encoding="utf-8")
    done = run(place, *arguments)
    assert done.returncode == 2
    assert b"a stream cannot be: name a file" in done.stderr
    assert not (place / "-").exists()
