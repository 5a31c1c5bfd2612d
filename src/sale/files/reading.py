"""Reading what a user hands in: text in UTF-8, with or without a byte-order mark, with any line ends.

Editors of some systems put a byte-order mark before UTF-8, or write UTF-16. The first is not part of the text. The
second is refused in one line that says what to do: a guessed encoding would change the words.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import shutil
import stat
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, Final

from sale.errors import InputError

STANDARD: Final = Path("-")
"""Stands for standard input where a file is read, and for standard output where one is written."""
_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""Marks of encodings with several bytes a character, the longer ones first: one begins with another."""
_HINT: Final = "Save it as UTF-8."


def read_text(path: Path) -> str:
    """Read a file, or standard input for `-`, as text.

    Raises:
        InputError: It cannot be read, or is not UTF-8.
    """
    return decode_text(read_bytes(path), "standard input" if path == STANDARD else str(path))


def read_bytes(path: Path) -> bytes:
    """Read a file, or standard input for `-`.

    Raises:
        InputError: It cannot be read.
    """
    with reading(path) as stream:
        return stream.read()


def decode_text(data: bytes, where: str) -> str:
    """Decode a whole text: a byte-order mark is left out, and every line ends with a single line feed.

    Args:
        data: The text's bytes.
        where: What they were read from, for the message.

    Raises:
        InputError: It is not UTF-8.
    """
    text = decode_exactly(data, where)
    return io.StringIO(text, newline=None).read()


def decode_exactly(data: bytes, where: str) -> str:
    """Decode a whole text, and leave its line ends as they are; otherwise like `decode_text`.

    Raises:
        InputError: It is not UTF-8.
    """
    refuse_wide(data, where)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} is not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise InputError(message, where=where, hint=_HINT) from None


def refuse_wide(data: bytes, where: str) -> None:
    """Refuse text whose beginning shows that it is UTF-16 or UTF-32, marked as such or not.

    Raises:
        InputError: It is.
    """
    name = next((name for mark, name in _WIDE if data.startswith(mark)), None)
    if name is None and b"\0" in data[:4]:
        name = "UTF-16, or no text at all"
    if name is not None:
        raise InputError(f"it is {name}, not UTF-8", where=where, hint=_HINT)


@contextlib.contextmanager
def reading(path: Path) -> Generator[BinaryIO]:
    """Open a file, or standard input for `-`. What can be read only once (a pipe) is copied first, so one may go back.

    Raises:
        InputError: It cannot be read.
    """
    with contextlib.ExitStack() as held:
        try:
            stream = held.enter_context(_opened(path))
        except OSError as error:
            name = "standard input" if path == STANDARD else str(path)
            raise InputError(f"cannot be read: {error.strerror or error}", where=name) from error
        yield stream


@contextlib.contextmanager
def _opened(path: Path) -> Generator[BinaryIO]:
    if path == STANDARD:
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  see `<&-`
            raise OSError(errno.EBADF, "it is closed")
        with _copied(sys.stdin.buffer) as copy:
            yield copy
        return
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "there is a null character in the path")
    with path.open("rb") as stream:
        if stat.S_ISREG(path.stat().st_mode):
            yield stream
            return
        with _copied(stream) as copy:
            yield copy


@contextlib.contextmanager
def _copied(stream: BinaryIO) -> Generator[BinaryIO]:
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield copy
