"""The standard streams of the command: a result is shown whatever the terminal can show, and remarks never stop work.

Standard output is for results. Where its encoding lacks a character, a like one stands in, or `?`; where it cannot be
written at all, the command says so and fails. Standard error is for remarks. Where it cannot be written, they are lost,
and nothing else is: the work they are about may have been paid for.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Generator, Iterable
from typing import BinaryIO, TextIO, cast

import click

from sale.cli.statuses import FAILED
from sale.cli.typography import in_ascii
from sale.errors import InputError, OutputError
from sale.files.reading import STANDARD, read_text
from sale.files.writing import explain_output

ERRORS = "sale.stand_in"
"""The name under which codecs know what to do with characters that an encoding lacks."""


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """Give what is written for characters that an encoding lacks: `?` where nothing is more like them.

    Raises:
        UnicodeError: It is not about writing.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = in_ascii(error.object[error.start : error.end])
    return "".join(one if one.isascii() else "?" for one in lacking), error.end


def prepare_streams() -> None:
    """Have both outputs take every character, and standard error take whatever happens to it."""
    codecs.register_error(ERRORS, _stand_in)
    output, remarks = cast("object", sys.stdout), cast("object", sys.stderr)
    if isinstance(output, io.TextIOWrapper):
        cast("io.TextIOWrapper[BinaryIO]", output).reconfigure(errors=ERRORS)
    if isinstance(remarks, io.TextIOWrapper):
        sys.stderr = _RemarkStream(cast("io.TextIOWrapper[BinaryIO]", remarks))


def finish_output() -> None:
    """Write out what standard output still holds, so that a failure is noticed while it can be said.

    Raises:
        OSError: It cannot be written.
    """
    if sys.stdout is not None and not sys.stdout.closed:  # pyright: ignore[reportUnnecessaryComparison]  see `>&-`
        sys.stdout.flush()


def abandon_output() -> None:
    """Drop what standard output still holds, once it cannot be written: Python would try, and complain, at exit."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.close()


def takes_unicode(stream: TextIO | None) -> bool:
    """Return whether a stream can write every character."""
    name = getattr(stream, "encoding", None) or "utf-8"
    try:
        return codecs.lookup(name).name in {"utf-8", "utf-16", "utf-32"}
    except LookupError:
        return False


def read_input() -> str:
    """All of standard input as text.

    Raises:
        InputError: It is not UTF-8, or there is none.
    """
    if not _has_input():
        raise InputError("standard input is closed", hint="Give the text as an argument.")
    return read_text(STANDARD)


def _has_input() -> bool:
    return sys.stdin is not None  # pyright: ignore[reportUnnecessaryComparison]  see `<&-`


def require_consent(question: str) -> None:
    """Ask on standard error, and end the verb where the answer is "no" or none can come.

    Raises:
        Abort: It was interrupted.
        Exit: It was not agreed to.
    """
    agreed = False
    if _has_input():
        try:
            agreed = click.confirm(question, err=True)
        except click.Abort as error:
            if not isinstance(error.__context__, EOFError):
                raise
            click.echo(err=True)  # the question's line is still open
    if not agreed:
        tell("nothing was done")
        finish(FAILED)


def tell(text: str) -> None:
    """One remark on standard error, marked as the command's own."""
    from sale.cli.consoles import PlainConsole

    PlainConsole(stderr=True, soft_wrap=True).print(f"sale: {text}")


@contextlib.contextmanager
def showing(auction_id: str, *, kept: bool) -> Generator[None]:
    """Show the result of an auction. Where standard output fails, say where the result still is.

    Args:
        auction_id: The auction's.
        kept: Whether the memory has it.

    Raises:
        OutputError: Standard output cannot be written.
        BrokenPipeError: Its reader has left.
    """
    try:
        yield
        finish_output()
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon_output()
        failed = explain_output(error, STANDARD)
        hint = f"The result is on record: `sale memory show {auction_id[:8]}`." if kept else "The result is lost."
        raise OutputError(failed.message, where=failed.where, hint=hint) from error


def finish(status: int) -> None:
    """End the verb with a status.

    Raises:
        Exit: The status is not 0.
    """
    if status:
        raise click.exceptions.Exit(status)


class _RemarkStream(io.TextIOWrapper):
    """Standard error that loses what it cannot write."""

    def __init__(self, stream: io.TextIOWrapper[BinaryIO]) -> None:
        super().__init__(stream.buffer, stream.encoding, "backslashreplace", line_buffering=True, write_through=True)
        self._stream = stream  # which would close what is below it if it were let go

    def write(self, text: str) -> int:
        """Write, or do not."""
        with contextlib.suppress(OSError, ValueError):
            return super().write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write, or do not."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write out, or do not."""
        with contextlib.suppress(OSError, ValueError):
            super().flush()
