"""A look at a process and everything below it, through /proc: how much memory it holds, and how to end it.

Reading is best effort: processes come and go while it looks, and elsewhere than on Linux there is nothing to see.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_RESIDENT = ("RssAnon:", "RssShmem:", "VmSwap:")
_PROPORTIONAL = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
_KIBIBYTE = 1024


def children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(child) for child in (thread / "children").read_text(encoding="ascii").split()]
    return found


def memory_bytes(pid: int, enough: int) -> int:
    """Memory the process and all below it hold, in bytes: what is theirs alone, shared between them, or swapped out.

    Pages a fork shares with its parent are counted for both at first. Only where that sum passes `enough` is the exact
    share of each asked for, which costs the kernel a walk through all page tables.
    """
    family = list(_family(pid))
    rough = sum(_sum(member, "status", _RESIDENT) for member in family)
    if rough <= enough:
        return rough
    exact = [_sum(member, "smaps_rollup", _PROPORTIONAL) for member in family]
    return sum(exact) or rough


def kill_children(pid: int) -> bool:
    """Kill the direct children of our own child `pid` alone; return whether there were any."""
    killed = False
    for child in children(pid):
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(child)
            try:
                # Either number may have been given to another process since; the handle cannot change hands.
                if _parent(child) == pid and _parent(pid) == os.getpid():
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed = True
            finally:
                os.close(handle)
    return killed


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in children(pid):
        yield from _family(child)


def _sum(pid: int, table: str, rows: tuple[str, ...]) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / table).read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(rows):
                total += int(line.split()[1]) * _KIBIBYTE
    return total


def _parent(pid: int) -> int:
    # The name in parentheses may hold anything, further parentheses included.
    stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[1])
