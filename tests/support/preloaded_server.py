"""Loads all of `sale`, then forks a process for each launcher that asks; ends, and ends them, with its standard input.

python preloaded_server.py SOCKET
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NEEDED = (
    "sale.cli.main",
    "sale.cli.run",
    "sale.market",
    "sale.memory.open",
    "sale.models.scripted",
)
START = ("PYTHONIOENCODING", "PYTHONUTF8", "PYTHONWARNINGS", "LC_ALL", "LC_CTYPE", "LANG")
"""What an interpreter heeds at its start: a command with others than this process had is loaded anew."""
NEEDED_BY = {
    "batch": ("sale.cli.batch", "sale.batch.pool", "sale.batch.run"),
    "serve": ("sale.cli.serve", "sale.server.app", "sale.server.serving"),
    "mcp": ("sale.cli.mcp",),
    "bench": ("sale.cli.bench", "sale.bench.report.make", "sale.bench.figure_style", "sale.bench.annotate.agreement"),
}
"""What a verb needs as well, which is loaded when it is first asked for."""


def load(names: Sequence[str]) -> None:
    """Load modules for good: forked processes share them."""
    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


@dataclass
class Wish:
    """One command, before it is started."""

    line: socket.socket
    streams: list[int]
    wish: dict[str, Any]


def _heard(_number: int, _frame: object) -> None:
    """Wake the selector up: a process has ended."""


class Server:
    """Waits for launchers, for their signals and for the ends of their commands."""

    def __init__(self, address: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._listening.listen(128)
        self._ended, ended = os.pipe()
        os.set_blocking(ended, False)
        signal.set_wakeup_fd(ended)
        signal.signal(signal.SIGCHLD, _heard)
        for waited in (self._listening, self._ended, sys.stdin.fileno()):
            self._selector.register(waited, selectors.EVENT_READ)
        self._lines: dict[int, socket.socket] = {}
        """By the number of the process that was forked for it."""

    def serve(self) -> Wish | None:
        """Fork for one launcher after another; returns in the forked process, or with nothing at the end."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    wish = _taken(self._listening.accept()[0])
                    if wish is not None and self._forked(wish):
                        return wish
                elif key.fileobj == self._ended:
                    os.read(self._ended, 4096)
                    self._reap()
                elif key.fileobj == sys.stdin.fileno():
                    for number in self._lines:
                        os.kill(number, signal.SIGKILL)
                    return None
                elif key.data in self._lines:
                    self._heed(key.data)

    def _forked(self, wish: Wish) -> bool:
        verb, *_ = [*wish.wish["arguments"], ""]
        load([name for name in NEEDED_BY.get(verb, ()) if name not in sys.modules])
        number = os.fork()
        if number == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for opened in (self._ended, self._listening, *self._lines.values(), wish.line):
                os.close(opened if isinstance(opened, int) else opened.detach())
            self._selector.close()
            return True
        for stream in wish.streams:
            os.close(stream)
        self._lines[number] = wish.line
        self._selector.register(wish.line, selectors.EVENT_READ, number)
        return False

    def _heed(self, number: int) -> None:
        """Pass a launcher's signals on; without the launcher the command is killed, as it would have been."""
        line = self._lines[number]
        try:
            said = line.recv(16)
        except ConnectionError:
            said = b""
        for wanted in said or [signal.SIGKILL]:
            os.kill(number, wanted)
        if not said:
            self._selector.unregister(line)

    def _reap(self) -> None:
        while self._lines:
            number, status = os.waitpid(-1, os.WNOHANG)
            if number == 0:
                return
            line = self._lines.pop(number)
            with line, contextlib.suppress(KeyError, OSError):  # the launcher has been killed
                self._selector.unregister(line)
                line.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def _taken(line: socket.socket) -> Wish | None:
    """A launcher's wish; nothing where it was killed before it had said all of it."""
    streams: list[int] = []
    with contextlib.suppress(ConnectionError):
        head, streams, _, _ = socket.recv_fds(line, 8, 3)
        length, text = int.from_bytes(head, "big"), b""
        while len(text) < length and (more := line.recv(length - len(text))):
            text += more
        if len(head) == 8 and len(text) == length:
            return Wish(line, streams, json.loads(text))
    line.close()
    for stream in streams:
        os.close(stream)
    return None


def become(wish: Wish) -> None:
    """Be the process that the launcher stands for."""
    os.setpgid(0, 0)
    for target, stream in enumerate(wish.streams):
        os.dup2(stream, target)
        os.close(stream)
    found = wish.wish
    os.umask(found["umask"])
    os.chdir(found["folder"])
    for number in found["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    command = ["sale", *found["arguments"]]
    if any(os.environ.get(name) != found["environment"].get(name) for name in START):
        os.execve(sys.executable, [sys.executable, "-m", "sale.cli.main", *command[1:]], found["environment"])
    os.environ.clear()
    os.environ.update(found["environment"])
    for name, target, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        old = getattr(sys, name)
        raw = io.FileIO(target, mode, closefd=False)
        buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        errors = "backslashreplace" if name == "stderr" else "strict"
        stream = io.TextIOWrapper(buffered, encoding="utf-8", errors=errors, line_buffering=name == "stderr")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        old.detach()
    sys.argv = command


def run() -> int:
    """Run the command; returns its status."""
    try:
        importlib.import_module("sale.cli.main").main()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def end(status: int) -> None:
    """End as an interpreter does, but for taking apart all that is loaded, which copies it."""
    getattr(threading, "_shutdown")()  # noqa: B009 - pools of threads end by it; the name is private
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError as error:
        sys.stderr.write(f"Exception ignored: {error!r}\n")
        status = 120
    os._exit(status)


if __name__ == "__main__":
    load(NEEDED)
    server = Server(sys.argv[1])
    os.write(1, b"ready\n")
    taken = server.serve()
    if taken is not None:
        become(taken)
        end(run())
