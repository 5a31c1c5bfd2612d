"""The process around a `llama-server` of the user's own, in place of `host.py`: same line in, same line out.

A build for the very machine, with its vector units or its graphics card, is often several times as fast as the wheel.
This process owns the server and takes it down with itself: it ends when its input does. Like `host.py` it imports
nothing of `sale`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE = 0.1
"""Seconds between looks at a server that is loading."""
DIE_WITH_PARENT = 1
"""Linux's PR_SET_PDEATHSIG: the server goes even where this process is killed outright."""


def command(wanted: dict[str, Any], port: int, keys: Path) -> list[str]:
    """The server's command line. The key stands in a file: other users can read command lines."""
    context = wanted["context"] * wanted["parallel"]
    threads = str(wanted["threads"])
    return [
        *(wanted["server"], "-m", wanted["gguf"], "--alias", wanted["alias"], "--jinja"),
        *("--host", "127.0.0.1", "--port", str(port), "--api-key-file", str(keys)),
        *("-c", str(context), "-np", str(wanted["parallel"]), "-t", threads, "-tb", threads),
        *("-b", str(wanted["batch"]), "-ub", str(wanted["batch"]), "--cache-ram", str(wanted["cache_mb"])),
    ]


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """Asked of the kernel by the server before it starts, where there is such a thing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def wait_until_ready(server: subprocess.Popen[bytes], port: int) -> str | None:
    """The fault that keeps it from answering, or `None` once it does. Whoever reads our answer watches the time."""
    while server.poll() is None:
        url = f"http://127.0.0.1:{port}/health"
        # Past all proxies: it is on this very machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(url, timeout=5) as answer:
            if answer.status == 200:
                return None
        time.sleep(PATIENCE)
    return f"the server ended with code {server.returncode}"


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out, tempfile.TemporaryDirectory() as scratch:
        wanted = json.loads(sys.stdin.readline())
        keys = Path(scratch) / "keys"
        keys.touch(mode=0o600)
        keys.write_text(wanted["key"] + "\n", encoding="utf-8")
        port = free_port()
        os.putenv("GOMP_SPINCOUNT", wanted["spin"])  # inherited
        try:
            server = subprocess.Popen(  # noqa: S603
                command(wanted, port, keys),
                stdin=subprocess.DEVNULL,
                stdout=2,
                preexec_fn=die_with_parent,
                cwd=scratch,  # some builds write a log wherever they are
            )
        except OSError as error:
            out.write(json.dumps({"error": f"{wanted['server']}: {error.strerror}"}) + "\n")
            return
        fault = wait_until_ready(server, port)
        out.write(json.dumps({"error": fault} if fault else {"address": f"http://127.0.0.1:{port}"}) + "\n")
        out.flush()
        if fault is None:
            sys.stdin.read()
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
