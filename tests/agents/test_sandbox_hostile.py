"""What hostile code tries, and that it gets nowhere. Each attempt is a real program in the real sandbox."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

import sale
from sale.agents.tools.bubblewrap import SHARED_MEMORY_BYTES, BubblewrapSandbox
from sale.agents.tools.processes import children
from sale.agents.tools.runs import RunLimits
from tests.support.hang import HANG

Running = Callable[[str], list[int]]
Started = Callable[[], list[int]]

PROJECT = Path(sale.__file__).resolve().parents[2]
HOME = Path.home()
PREFIX = Path(sys.base_prefix).resolve()

TRY = """
import os
def attempt(what, *args, **kwargs):
    try:
        result = what(*args, **kwargs)
    except (OSError, ValueError) as error:  # anything else is a mistake of the attempt
        print("refused", type(error).__name__, getattr(error, "errno", ""))
    else:
        print("GOT", repr(result)[:500])
"""


async def attempt(sandbox: BubblewrapSandbox, code: str, limits: RunLimits | None = None) -> list[str]:
    """Run attempts; one line each."""
    report = await sandbox.run(TRY + code, limits=limits or RunLimits())
    assert report.exit_code == 0, report.stderr
    return report.stdout.splitlines()


async def refused(sandbox: BubblewrapSandbox, code: str) -> None:
    """Every attempt of the code is refused, and there is one at least."""
    lines = await attempt(sandbox, code)
    assert lines
    assert [line for line in lines if not line.startswith("refused")] == []


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/proc/1/environ",
        "/proc/1/root/etc/passwd",
        "/proc/1/cwd/../etc/passwd",
        "/proc/kcore",
        "/proc/kmsg",
        "/dev/kmsg",
        "/dev/mem",
        "/var/log/dpkg.log",
        "/run/docker.sock",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        str(PROJECT / "pyproject.toml"),
        str(Path(__file__).resolve()),
        str(HOME / ".bashrc"),
    ],
)
async def test_cannot_read(sandbox: BubblewrapSandbox, path: str) -> None:
    if path == "/proc/1/environ" and os.geteuid() != 0:
        # Process 1 is then of the code's own user, and its environment is the run's own.
        assert "SALE" not in "".join(await attempt(sandbox, f"attempt(open({path!r}).read)"))
        return
    await refused(sandbox, f"attempt(lambda: open({path!r}, 'rb').read(100))")


async def test_cannot_list_the_home_or_the_project(sandbox: BubblewrapSandbox) -> None:
    # The interpreter may live below the home: then the way to it exists in the sandbox, with nothing else on it.
    code = f"""
for place in {[str(HOME), str(PROJECT), "/home", "/mnt", "/var", "/opt", "/srv"]!r}:
    names = os.listdir(place) if os.path.isdir(place) else []
    print(place, *names)
"""
    for line in await attempt(sandbox, code):
        place, *names = line.split()
        on_the_way = [Path(place, name) for name in names]
        assert all(PREFIX.is_relative_to(path) for path in on_the_way), line


async def test_sees_no_file_system_of_ours(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret")
    await refused(sandbox, f"attempt(lambda: open({str(tmp_path / 'secret')!r}).read())")
    (root,) = await attempt(sandbox, "print(*sorted(os.listdir('/')))")
    known = {"bin", "lib", "lib32", "lib64", "usr", "etc", "dev", "proc", "tmp", PREFIX.parts[1]}
    assert set(root.split()) <= known
    assert (await attempt(sandbox, "print(*os.listdir('/etc'))")) == ["ld.so.cache"]


@pytest.mark.parametrize(
    "place",
    ["/", "/usr", "/usr/bin", "/usr/lib", "/etc", "/dev", "/bin", "/home", "/root", "/var/tmp", "/proc", str(PREFIX)],
)
async def test_cannot_write_outside_its_workspace(sandbox: BubblewrapSandbox, place: str) -> None:
    await refused(sandbox, f"attempt(open, {place!r} + '/left-behind', 'w')\nattempt(os.mkdir, {place!r} + '/left')")


async def test_cannot_change_what_it_runs_on(sandbox: BubblewrapSandbox) -> None:
    code = """
import sys
for path in (sys.executable, os.__file__, "/bin/sh", "/etc/ld.so.cache"):
    attempt(open, path, "r+b")
    attempt(os.unlink, path)
    attempt(os.chmod, path, 0o777)
"""
    await refused(sandbox, code)


async def test_cannot_set_kernel_parameters(sandbox: BubblewrapSandbox) -> None:
    # As root of a user namespace made by root it could, core_pattern and modprobe included. An ordinary user's code
    # owns the parameters of its own namespaces, and of nothing else.
    own = "$." if os.geteuid() == 0 else "/proc/sys/(fs/mqueue/|kernel/(msg|sem|shm|auto_msg|pid_max))"
    code = f"""
import re
tried = 0
for place, _, names in os.walk("/proc/sys"):
    for name in names:
        path = os.path.join(place, name)
        try:
            value = open(path).read()
            with open(path, "w") as file:
                file.write(value)
        except OSError:
            tried += 1
        else:
            if not re.match({own!r}, path):
                print("GOT", path)
print("refused" if tried > 300 else "nothing to try")
attempt(open, "/proc/sysrq-trigger", "w")
"""
    await refused(sandbox, code)


async def test_writes_in_memory_only(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
    marker = uuid4().hex
    code = f"for d in ('.', '/tmp', '/dev/shm'): open(d + '/{marker}', 'w').write('x')"
    assert await attempt(sandbox, code) == []
    for place in (Path.cwd(), Path("/tmp"), Path("/dev/shm"), tmp_path):
        assert not (place / marker).exists()


# --- network ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        yield server


async def test_cannot_reach_a_service_on_this_machine(sandbox: BubblewrapSandbox, listener: socket.socket) -> None:
    host, port = listener.getsockname()
    socket.create_connection((host, port)).close()  # it does listen
    listener.accept()[0].close()
    await refused(sandbox, f"import socket; attempt(socket.create_connection, ({host!r}, {port}), timeout=3)")
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize(
    "connect",
    [
        "socket.create_connection(('169.254.169.254', 80), timeout=3)",
        "socket.create_connection(('1.1.1.1', 53), timeout=3)",
        "socket.create_connection(('2606:4700:4700::1111', 53), timeout=3)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).connect((2, 1024))",
        "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1/', timeout=3)",
    ],
)
async def test_cannot_use_the_network(sandbox: BubblewrapSandbox, connect: str) -> None:
    await refused(sandbox, f"import socket\nattempt(lambda: {connect})")


async def test_cannot_reach_a_local_socket_of_ours(sandbox: BubblewrapSandbox, tmp_path: Path) -> None:
    abstract, path = f"\0sale-{uuid4().hex}", str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as unnamed, socket.socket(socket.AF_UNIX) as named:
        for server, address in ((unnamed, abstract), (named, path)):
            server.bind(address)
            server.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(address)
        code = f"import socket\nfor a in ({abstract!r}, {path!r}): attempt(socket.socket(socket.AF_UNIX).connect, a)"
        await refused(sandbox, code)


# --- other processes, rights, secrets --------------------------------------------------------------------------------


async def test_sees_only_its_own_processes(sandbox: BubblewrapSandbox) -> None:
    lines = await attempt(sandbox, "print(*[p for p in os.listdir('/proc') if p.isdigit()], os.getpid())")
    assert lines == ["1 2 2"]


@pytest.mark.parametrize("kind", ["mnt", "pid", "net", "ipc", "uts"])
async def test_has_namespaces_of_its_own(sandbox: BubblewrapSandbox, kind: str) -> None:
    (inside,) = await attempt(sandbox, f"print(os.readlink('/proc/self/ns/{kind}'))")
    outside = await asyncio.to_thread(os.readlink, f"/proc/self/ns/{kind}")
    assert inside.startswith(f"{kind}:[")
    assert inside != outside


async def test_cannot_kill_or_trace(sandbox: BubblewrapSandbox) -> None:
    host = os.getpid()
    code = f"""
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) == -1:
        raise OSError(ctypes.get_errno(), name)
attempt(os.kill, {host}, 0)
attempt(os.kill, {host}, signal.SIGKILL)
attempt(call, "ptrace", 16, 1, 0, 0)
attempt(call, "ptrace", 0, 0, 0, 0)
attempt(call, "process_vm_readv", 1, 0, 0, 0, 0, 0)
attempt(open, "/proc/1/mem", "r+b") if os.stat("/proc/1").st_uid != os.getuid() else attempt(open, "/nothing")
"""
    await refused(sandbox, code)


async def test_killing_its_parent_ends_nothing_but_itself(sandbox: BubblewrapSandbox) -> None:
    code = """
import os, signal
for pid in (os.getppid(), 1):
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        pass
print("still here", flush=True)
os.kill(-1, signal.SIGKILL)
"""
    report = await sandbox.run(code)
    assert report.stdout == "still here\n"
    assert (await sandbox.run("print('and so are we')")).stdout == "and so are we\n"


async def test_sees_no_secret_of_our_environment(sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = uuid4().hex
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    code = """
import glob
print(dict(os.environ))
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline"):
    try:
        print(path, open(path).read())
    except OSError as error:
        print(path, error)
"""
    lines = await attempt(sandbox, code)
    assert len(lines) > 3
    assert secret not in "".join(lines)
    assert "API_KEY" not in "".join(lines)


async def test_has_no_rights_and_gets_none(sandbox: BubblewrapSandbox) -> None:
    status = await attempt(sandbox, "print(open('/proc/self/status').read())")
    held = {key: value.strip() for key, _, value in (line.partition(":") for line in status)}
    assert int(held["CapEff"], 16) == int(held["CapPrm"], 16) == int(held["CapAmb"], 16) == 0
    assert held["NoNewPrivs"] == "1"
    assert "0" not in held["Uid"].split() + held["Gid"].split() + held["Groups"].split()
    assert held["Seccomp"] == ("2" if platform.machine() in ("x86_64", "aarch64") else "0")
    code = """
import ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) == -1:
        raise OSError(ctypes.get_errno(), name)
attempt(os.setuid, 0)
attempt(os.setgid, 0)
attempt(os.setgroups, [0])
attempt(os.chroot, "/tmp")
attempt(os.nice, -1)
attempt(call, "mount", b"none", b"/tmp", b"tmpfs", 0, 0)
attempt(call, "umount2", b"/tmp", 0)
attempt(call, "unshare", 0x10000000)
attempt(call, "unshare", 0x00020000)
attempt(call, "setns", 0, 0)
attempt(call, "sethostname", b"x", 1)
attempt(call, "memfd_create", b"x", 0)
attempt(call, "shmget", 0, 4096, 0o1600)
attempt(call, "syscall", {"x86_64": 250, "aarch64": 219}[os.uname().machine], 0, -3, 0)  # keyctl
attempt(os.mknod, "disk", 0o60600, os.makedev(8, 0))
for name in ("AS", "CPU", "NPROC", "FSIZE", "NOFILE", "CORE"):
    kind = getattr(resource, "RLIMIT_" + name)
    attempt(resource.setrlimit, kind, (resource.getrlimit(kind)[1] + 1,) * 2)
    attempt(resource.setrlimit, kind, (-1, -1))
"""
    await refused(sandbox, code)


async def test_clone_with_new_namespaces_is_refused(sandbox: BubblewrapSandbox) -> None:
    number = {"x86_64": 56, "aarch64": 220}.get(platform.machine())
    if number is None:
        pytest.skip("no system call filter for this machine")
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for flags in (0x10000000, 0x20000, 0x40000000):
    pid = libc.syscall({number}, flags | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    print("refused" if pid == -1 and ctypes.get_errno() == 1 else "GOT", pid)
print("refused" if libc.syscall(435, 0, 0) == -1 and ctypes.get_errno() == 38 else "GOT")
"""
    await refused(sandbox, code)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other way to call the kernel is x86's")
async def test_the_old_calling_convention_is_no_way_around(sandbox: BubblewrapSandbox) -> None:
    # `int 0x80` with the 32-bit number of getpid: the filter would read it as another call.
    code = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
"""
    report = await sandbox.run(code)
    assert (report.stdout, report.exit_code) == ("", 128 + 31)


# --- using everything up ---------------------------------------------------------------------------------------------

FORK_BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
QUIET_FORK_BOMB = """
import os, time
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        time.sleep(0.01)
"""
THREAD_BOMB = """
import threading, time
while True:
    try:
        threading.Thread(target=time.sleep, args=(60,)).start()
    except RuntimeError:
        time.sleep(0.01)
"""


def family(started: Sequence[int]) -> set[int]:
    """Processes, and everything below them."""
    return set(started).union(*(family(children(one)) for one in started))


@pytest.mark.parametrize("bomb", [FORK_BOMB, QUIET_FORK_BOMB, THREAD_BOMB], ids=["fork", "setsid", "thread"])
async def test_fork_bomb_is_contained(sandbox: BubblewrapSandbox, started: Started, bomb: str) -> None:
    limits = RunLimits(wall_seconds=5, processes=16)
    task = asyncio.create_task(sandbox.run(bomb, limits=limits))
    most = 0
    while most < limits.processes - 1 and not task.done():
        await asyncio.sleep(0.1)
        most = max(most, len(family(started())))
    served = await asyncio.to_thread(subprocess.run, ["/bin/echo", "alive"], capture_output=True, check=True)
    assert served.stdout == b"alive\n"
    while not task.done():
        most = max(most, len(family(started())))
        await asyncio.wait([task], timeout=0.1)
    assert task.result().killed_reason == "time"
    assert most <= limits.processes + 2  # bwrap and the launcher
    if bomb != THREAD_BOMB:
        assert most >= limits.processes
    assert family(started()) == set()


async def test_memory_bomb_in_one_process(sandbox: BubblewrapSandbox) -> None:
    code = "x = []\nwhile True: x.append(bytearray(b'x') * 10_000_000)"
    report = await sandbox.run(code, limits=RunLimits(memory_bytes=128 * 2**20))
    assert report.exit_code == 1
    assert "MemoryError" in report.stderr


@pytest.mark.parametrize(
    "hold",
    [
        "x = bytearray(b'x') * 60_000_000",
        "import mmap; x = mmap.mmap(-1, 60_000_000, mmap.MAP_SHARED); x.write(b'x' * 60_000_000)",
    ],
    ids=["private", "shared"],
)
async def test_memory_bomb_over_many_processes(sandbox: BubblewrapSandbox, started: Started, hold: str) -> None:
    code = f"import os, time\nfor _ in range(3): os.fork()\n{hold}\ntime.sleep(60)"
    report = await sandbox.run(code, limits=RunLimits(memory_bytes=256 * 2**20))
    assert report.killed_reason == "memory"
    assert family(started()) == set()


async def test_disk_fill(sandbox: BubblewrapSandbox) -> None:
    code = """
import os
total = 0
for place in (".", "/tmp", "/dev/shm", "/dev", "/", "/run", "/var/tmp", "/proc"):
    for n in range(40):
        try:
            with open(f"{place}/fill{n}", "wb", buffering=0) as file:
                while True:
                    total += file.write(b"x" * 65536)
        except OSError as error:
            if error.errno != 27:  # this file is full: take the next
                break
print(total)
"""
    limits = RunLimits(file_bytes=4 * 2**20)
    report = await sandbox.run(code, limits=limits)
    assert report.exit_code == 0, report.stderr
    assert limits.file_bytes / 2 < int(report.stdout) <= limits.file_bytes + SHARED_MEMORY_BYTES


@pytest.mark.parametrize("stream", [1, 2])
async def test_endless_output(sandbox: BubblewrapSandbox, stream: int) -> None:
    code = f"import os\nwhile True: os.write({stream}, b'x' * 65536)"
    report = await sandbox.run(code, limits=RunLimits(output_bytes=100_000))
    assert report.killed_reason == "output"
    assert report.truncated
    assert len(report.stdout if stream == 1 else report.stderr) == 100_000


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')",
    ],
    ids=["loop", "deaf loop", "backtracking"],
)
async def test_endless_loop(sandbox: BubblewrapSandbox, code: str) -> None:
    report = await sandbox.run(code, limits=RunLimits(cpu_seconds=1, wall_seconds=HANG))
    assert report.killed_reason == "time"
    assert report.seconds < HANG  # its processor time ended it


@pytest.mark.parametrize(
    "code",
    [
        "import time; print('before'); time.sleep(60)",
        "import signal, time; print('before'); [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(60)",
        "import os, signal; print('before'); os.kill(os.getpid(), signal.SIGSTOP)",
        "import os; print('before'); os.close(1); os.close(2); os.close(0)\nwhile True: os.sched_yield()",
    ],
    ids=["sleep", "deaf sleep", "stopped", "closed streams"],
)
async def test_wall_time(sandbox: BubblewrapSandbox, code: str) -> None:
    report = await sandbox.run(code, limits=RunLimits(wall_seconds=5.0))
    assert report.killed_reason == "time"
    assert report.stdout == "before\n"
    assert report.seconds >= 5.0


DAEMON = """
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", "MARKER"])
    os._exit(0)
import time
time.sleep(0.3)
print("away")
"""


@pytest.mark.parametrize("ending", ["", "os._exit(1)", "time.sleep(60)", "os.kill(os.getpid(), 9)"])
async def test_daemon_does_not_outlive_the_run(sandbox: BubblewrapSandbox, running: Running, ending: str) -> None:
    marker = uuid4().hex
    code = DAEMON.replace("MARKER", marker) + ending
    task = asyncio.create_task(sandbox.run(code, limits=RunLimits(wall_seconds=5)))
    seen = False
    while not task.done():
        await asyncio.wait([task], timeout=0.05)
        seen = seen or len(running(marker)) > 0
    assert seen
    assert running(marker) == []
    assert task.result().stdout == "away\n"
