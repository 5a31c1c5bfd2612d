"""Writing to where the user says: one way for every command that writes a file the user names.

A regular file is replaced in one step, once the whole is written, and keeps its permissions and its owner; a failure
leaves what was there. A symbolic link stays, and the file it leads to is written. What is not a regular file (a pipe,
a device, a socket of a terminal) is never replaced: the whole is written into it. `-` is standard output.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, TextIO

from sale.errors import OutputError
from sale.files.private import FILE_MODE
from sale.files.reading import STANDARD

_DESCRIPTORS = ("/dev/fd", "/proc/self/fd")
"""Where the system shows the files that a process has open, by number."""
_MAX_LINKS = 40
"""Symbolic links that are followed at most, as in Linux itself."""
_NO_DESCRIPTOR = 2**31 - 1
"""The largest number the system takes for an open file, which none has."""
_NAME_BYTES = 255 - len(".12345678.part")
"""Bytes of a file's name that fit into that of its new version; most file systems count bytes."""
_ANYBODY = 0o666
"""The mode of a new file, less what the user's mask takes away."""


def write_bytes(target: Path, content: bytes, *, private: bool = False) -> None:
    """Write the whole content to a target; see `writing`.

    Raises:
        OutputError: It cannot be written.
    """
    with writing(target, private=private) as stream:
        stream.write(content)


def write_text(target: Path, text: str, *, private: bool = False) -> None:
    """Write text as UTF-8; what is not valid Unicode is written as `?`. See `writing`.

    Raises:
        OutputError: It cannot be written.
    """
    write_bytes(target, text.encode(errors="replace"), private=private)


@contextlib.contextmanager
def writing(target: Path, *, private: bool = False) -> Generator[BinaryIO]:
    """Open a stream whose content reaches the target when the block ends, and only if it ends well.

    Args:
        target: A file, a link to one, a pipe, a device, or `-` for standard output.
        private: Whether a file that is new is for its owner alone. One that is there keeps its permissions.

    Raises:
        OutputError: It cannot be written.
        BrokenPipeError: Whoever read it has left.
    """
    try:
        found = _destination(target)
        if isinstance(found, Path):
            with _replacing(found, private=private) as stream:
                yield stream
        else:
            with found as sink, tempfile.TemporaryFile() as stream:
                yield stream
                stream.seek(0)
                shutil.copyfileobj(stream, sink)
                sink.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise explain_output(error, target) from error


@contextlib.contextmanager
def writing_text(target: Path, *, private: bool = False) -> Generator[TextIO]:
    """Open a stream of UTF-8 text, with line feeds as line ends; see `writing`.

    Raises:
        OutputError: It cannot be written.
        BrokenPipeError: Whoever read it has left.
    """
    with writing(target, private=private) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="\n", write_through=True)
        yield text
        text.flush()
        text.detach()  # or it would close the stream


def explain_output(error: OSError, target: Path | str) -> OutputError:
    """The error as a user should see it."""
    name = "standard output" if target == STANDARD else str(target)
    message = f"cannot be written: {error.strerror or error}"
    return OutputError(message, where=name, hint="Check the path, its permissions and the space on the disk.")


def _destination(target: Path) -> Path | contextlib.AbstractContextManager[BinaryIO]:
    """The regular file to replace, its links followed; or what is written into, opened.

    Raises:
        OSError: It cannot be.
    """
    if target == STANDARD:
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  see `>&-`
            raise OSError(errno.EBADF, "it is closed", str(target))
        return contextlib.nullcontext(sys.stdout.buffer)
    try:
        target = target.expanduser()
    except RuntimeError as error:  # ~somebody
        raise FileNotFoundError(errno.ENOENT, "there is no such user", str(target)) from error
    if "\0" in str(target):
        raise OSError(errno.EINVAL, "there is a null character in the path", str(target))
    own = _own_descriptor(target)
    if own is not None:
        return os.fdopen(os.dup(own), "wb")
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target.resolve()  # a new file, maybe at the end of a link that leads to nothing yet
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if stat.S_ISREG(mode):
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        return target.resolve()
    return os.fdopen(os.open(target, os.O_WRONLY), "wb")


def _own_descriptor(target: Path) -> int | None:
    """The number of the open file of this process that a path stands for: 1 for `/dev/stdout`.

    To open such a path anew would begin at the beginning of a file that others have written to, and to replace it would
    take the file away from them.
    """
    folders = {os.path.realpath(folder) for folder in _DESCRIPTORS}
    path = target
    for _ in range(_MAX_LINKS):
        if os.path.realpath(path.parent) in folders and path.name.isdecimal():
            return min(int(path.name), _NO_DESCRIPTOR)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


@contextlib.contextmanager
def _replacing(path: Path, *, private: bool) -> Generator[BinaryIO]:
    """A stream to a new file beside `path`, which takes its place if the block ends well."""
    name = os.fsencode(path.name)[:_NAME_BYTES].decode(errors="ignore")
    partial = path.with_name(f"{name}.{uuid.uuid4().hex[:8]}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE if private else _ANYBODY)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            _keep_permissions(path, partial)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _keep_permissions(path: Path, partial: Path) -> None:
    """Give a new file the mode of the one it will replace, and its owner where this user may."""
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    new = partial.stat()
    if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with contextlib.suppress(PermissionError):
            os.chown(partial, old.st_uid, old.st_gid)
    partial.chmod(stat.S_IMODE(old.st_mode))
