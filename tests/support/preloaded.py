"""The command `sale` in a process of its own that has loaded everything already.

To load what `sale run` or `sale serve` needs takes seconds of processor time, most of what their tests took. One
process for each worker loads all of it, and a process forked from it does what a command says: with the arguments,
folder, environment, streams and ignored signals of a small launcher, which is what a test starts, and which passes
signals on and ends as the command did. What only an interpreter's own start can show (what is loaded when, limits of
the system set before it) is not for it: such tests start `PLAIN`.

    subprocess.run([*sale_command(), "run", "--quiet", "Say it."])
"""

from __future__ import annotations

import atexit
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

LAUNCHER = Path(__file__).with_name("preloaded_launcher.py")
SERVER = Path(__file__).with_name("preloaded_server.py")
PLAIN = (sys.executable, "-m", "sale.cli.main")
"""The command, loaded anew."""


@functools.cache
def sale_command() -> tuple[str, ...]:
    """What to start in place of `sale`; the process it is forked from ends with this one."""
    folder = tempfile.TemporaryDirectory(prefix="sale-tests-")
    atexit.register(folder.cleanup)
    address = str(Path(folder.name) / "socket")
    # It ends when this end of its standard input is closed, however this process ends.
    server = subprocess.Popen(
        [sys.executable, str(SERVER), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server.stdout:
        assert server.stdout.readline() == b"ready\n"
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return (sys.executable, "-I", "-S", str(LAUNCHER), address)
