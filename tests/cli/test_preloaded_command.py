"""The process that tests fork commands from outlives launchers that are killed at any moment."""

from __future__ import annotations

import socket
import subprocess

from tests.support.preloaded import sale_command


def test_launchers_that_say_nothing_or_a_part_end_no_other_command() -> None:
    address = sale_command()[-1]
    for said in (b"", b"\0" * 7, (1000).to_bytes(8, "big"), (1000).to_bytes(8, "big") + b'{"arguments"'):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(address)
            if said:
                socket.send_fds(line, [said], [0, 1, 2])
    done = subprocess.run([*sale_command(), "--version"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done
    assert "version" in done.stdout
