"""Text a user hands in, as editors of all systems save it."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sale import config
from sale.agents.tools.corpus import read_passages
from sale.bench.recording.log import read_record
from sale.bench.tasks.loaders import local
from sale.cli.examples import read_tasks
from sale.errors import ConfigError, InputError
from sale.files.reading import STANDARD, decode_text, read_text, reading

SETTINGS = '[[agents]]\nname = "a"\nprice = 1.0\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "é"\n'
TASK = '{"id": "a", "text": "Zähle."}\n{"id": "b", "text": "Encore."}\n'
PASSAGES = '{"id": "p", "title": "é", "text": "x"}\n'
RECORD = '{"kind": "run", "text": "é"}\n'
CSV = "question,answer\né,x\n"
FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": lambda text: text.encode(),
    "marked": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "windows": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
    "carriage returns": lambda text: text.replace("\n", "\r\n").encode(),
}


def settings_of(path: Path) -> object:
    return config.load(path).agents


READERS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "settings": (SETTINGS, "sale.toml", settings_of),
    "tasks": (TASK, "tasks.jsonl", read_tasks),
    "passages": (PASSAGES, "corpus.jsonl", read_passages),
    "record": (RECORD, "record.jsonl", lambda path: list(read_record(path))),
    "rows of CSV": (CSV, "rows.csv", lambda path: [row for _, row in local.rows(path)]),
    "rows of JSON lines": (RECORD, "rows.jsonl", lambda path: [row for _, row in local.rows(path)]),
    "rows of JSON": (f"[{RECORD}]", "rows.json", lambda path: [row for _, row in local.rows(path)]),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("form", FORMS)
def test_marks_and_line_ends_are_no_part_of_a_file(tmp_path: Path, kind: str, form: str) -> None:
    text, name, read = READERS[kind]
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / name).write_bytes(text.encode())
    (tmp_path / name).write_bytes(FORMS[form](text))
    assert read(tmp_path / name) == read(tmp_path / "plain" / name) != []


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_is_refused_in_one_line(tmp_path: Path, kind: str, encoding: str) -> None:
    text, name, read = READERS[kind]
    data = text.encode(encoding)
    (tmp_path / name).write_bytes(data)
    with pytest.raises((InputError, ConfigError)) as caught:
        read(tmp_path / name)
    said = str(caught.value)
    assert name in said
    assert "UTF-8" in said
    assert "\n" not in said
    assert ("UTF-16" in said or "UTF-32" in said) == (encoding != "latin-1")


def test_the_line_that_is_not_utf8_is_named() -> None:
    with pytest.raises(InputError, match=r"notes: line 2 is not UTF-8 text \(byte 0xe9\)"):
        decode_text(b"one\ncaf\xe9\n", "notes")


def test_separators_within_a_line_end_no_line(tmp_path: Path) -> None:
    """U+2028 may stand in a JSON string as it is."""
    (tmp_path / "t.jsonl").write_text('{"id": "a", "text": "x\u2028y\x85z"}\n', encoding="utf-8")
    assert [task.text for task in read_tasks(tmp_path / "t.jsonl")] == ["x\u2028y\x85z"]


def test_a_pipe_is_read_once_and_gone_back_in(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(b"twice"))
    feeder.start()
    with reading(pipe) as stream:
        assert stream.read() == b"twice"
        stream.seek(0)
        assert stream.read() == b"twice"
    feeder.join()


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfh\xc3\xa9\r\n"), encoding="ascii"))
    assert read_text(STANDARD) == "hé\n"
    monkeypatch.setattr(sys, "stdin", None)  # a shell has closed it: `<&-`
    with pytest.raises(InputError, match="standard input: cannot be read: it is closed"):
        read_text(STANDARD)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: cannot be read: No such file"):
        read_text(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_text(tmp_path)
