"""Code in namespaces of its own, made by bubblewrap (`bwrap`): no network, no other process, no file but its own.

What the code finds: a read-only Python with its standard library and the system's libraries, an empty workspace in
memory, a private /proc and a minimal /dev. It has no rights, no environment of ours, and a filter on system calls.

Two ways, the same walls. An ordinary user gets them through a user namespace. Root gets them without one, and the code
then runs under a user id picked for the run: inside a user namespace made by root the code would still count as root
to the kernel, which lets it write /proc/sys and exempts it from the limit on processes.

What remains: bugs of the kernel; `processes` busy processes for `wall_seconds`; and kernel memory that no limit counts
(very many tiny files, full socket buffers), bounded by those two alone.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePath, PurePosixPath

from sale.agents.tools.interpreter import (
    LIBRARY_CACHE,
    SYSTEM_LINKS,
    SYSTEM_TREES,
    Interpreter,
    this_interpreter,
    within,
)
from sale.agents.tools.launch import ENVIRONMENT, launch, rlimits
from sale.agents.tools.processes import kill_children
from sale.agents.tools.runs import DEFAULT_LIMITS, MAIN_FILE, NO_FILES, RunLimits, RunReport, workspace_files
from sale.agents.tools.seccomp import filter_program
from sale.agents.tools.supervise import Command, supervise
from sale.agents.tools.surroundings import SandboxMounts

WORKSPACE = "/tmp/box"  # noqa: S108 - inside the sandbox
SHARED_MEMORY_BYTES = 8 * 2**20
"""Room in /dev/shm: enough for locks and queues between the code's own processes."""

NOBODY = 65534
_RUN_IDS = range(61184, 65520)
"""User ids for runs started by root: those that systemd keeps for services without a fixed user."""

PROBE_SECONDS = 30.0

_PROBE = """
import os, threading
threading.Thread(target=print, args=("a thread",)).start()
with open("/proc/net/dev") as devices:
    others = [line.split(":")[0].strip() for line in devices.readlines()[2:]]
assert others in ([], ["lo"]), f"network devices are visible: {others}"
try:
    for _ in range(PROCESSES):
        if os.fork() == 0:
            os._exit(0)  # and is counted until somebody asks for its end
except OSError:
    print("confined")
else:
    raise SystemExit("the kernel does not limit the number of processes")
"""


class BubblewrapSandbox:
    """Runs code under bubblewrap 0.8 or newer, on Linux 5.14 or newer. Safe to share between concurrent runs."""

    def __init__(
        self, *, bwrap: Path, interpreter: Interpreter | None = None, surroundings: SandboxMounts | None = None
    ) -> None:
        """Use the program at `bwrap`; the code's Python is the one this program runs on unless another is given."""
        self._bwrap = bwrap
        self._interpreter = interpreter or this_interpreter()
        self._surroundings = surroundings
        self._filter = filter_program(platform.machine())

    def within(self, surroundings: SandboxMounts) -> BubblewrapSandbox:
        """The same sandbox, with more to be found in it."""
        return BubblewrapSandbox(bwrap=self._bwrap, interpreter=self._interpreter, surroundings=surroundings)

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, str] = NO_FILES,
        stdin: str | bytes = "",
        limits: RunLimits = DEFAULT_LIMITS,
    ) -> RunReport:
        """Run `code`; see `Sandbox.run`."""
        content = workspace_files(code, files)
        with self._command(content, limits) as command:
            return await supervise(command, stdin=stdin, limits=limits)

    def command(self, code: str, limits: RunLimits) -> AbstractContextManager[Command]:
        """The command that runs `code` alone; see `InteractiveSandbox.command`."""
        return self._command(workspace_files(code, NO_FILES), limits)

    def probe(self) -> str | None:
        """Try it: why it does not confine code here, or `None` if it does. Blocks for some 50 ms."""
        limits = RunLimits(processes=8)
        code = _PROBE.replace("PROCESSES", str(limits.processes + 2))
        with self._command(workspace_files(code, NO_FILES), limits) as command:
            try:
                ran = subprocess.run(  # noqa: S603 - our own command
                    command.argv,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    env=dict(command.environment),
                    pass_fds=tuple(command.pass_fds),
                    timeout=PROBE_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.SubprocessError) as error:
                return str(error)
        if ran.returncode == 0 and b"confined" in ran.stdout:
            return None
        return ran.stderr.decode(errors="replace").strip()[-500:] or f"bwrap ended with status {ran.returncode}"

    @contextlib.contextmanager
    def _command(self, content: Mapping[str, bytes], limits: RunLimits) -> Generator[Command]:
        as_root = os.geteuid() == 0
        # A launcher of the code's own user counts as one of its processes.
        settings = rlimits(limits, processes=limits.processes if as_root else limits.processes + 1)
        user = secrets.choice(_RUN_IDS) if as_root else None
        with _Descriptors() as descriptors:
            reading, writing = descriptors.pipe()
            argv = [str(self._bwrap), *_namespaces(as_root=as_root), *_file_system(self._interpreter, limits)]
            argv += _hidden(self._interpreter) if self._surroundings is None else _around(self._surroundings)
            # Both are file systems in memory without a size of their own.
            argv += ["--remount-ro", "/dev", "--remount-ro", "/"]
            for name, data in content.items():
                argv += _directories(PurePosixPath(WORKSPACE, name).parents, "0777")
                argv += ["--perms", "0666", "--file", str(descriptors.holding(data)), f"{WORKSPACE}/{name}"]
            if self._filter is not None:
                argv += ["--seccomp", str(descriptors.holding(self._filter))]
            argv += ["--", *launch(
                self._interpreter.executable,
                MAIN_FILE,
                report=writing,
                settings=settings,
                mode="stay",
                user=user,
            )]  # fmt: skip
            yield Command(
                argv=argv,
                environment={**ENVIRONMENT, "HOME": WORKSPACE},
                kill=kill_children,
                report=reading,
                pass_fds=tuple(descriptors.passed),
            )


def find_bwrap() -> Path | None:
    """Where the bubblewrap program is, if it is installed."""
    found = shutil.which("bwrap")
    return None if found is None else Path(found)


def _namespaces(*, as_root: bool) -> list[str]:
    arguments = ["--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox"]
    arguments += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    arguments += ["--cap-drop", "ALL"]
    if as_root:  # kept by the launcher alone, to become the run's user
        return [*arguments, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*arguments, "--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY)]


def _file_system(interpreter: Interpreter, limits: RunLimits) -> list[str]:
    arguments: list[str] = []
    visible = [Path(tree) for tree in SYSTEM_TREES if Path(tree).is_dir()]
    visible += [LIBRARY_CACHE] if LIBRARY_CACHE.exists() else []
    for name in map(Path, SYSTEM_LINKS):
        if name.is_symlink():
            arguments += ["--symlink", str(name.readlink()), str(name)]
        elif name.is_dir():
            visible.append(name)
    visible += interpreter.trees
    for path in visible:
        arguments += [*_directories(path.parents, "0755"), "--ro-bind", str(path), str(path)]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    arguments += ["--perms", "1777", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108
    arguments += ["--perms", "1777", "--size", str(limits.file_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    return [*arguments, "--perms", "0777", "--dir", WORKSPACE, "--chdir", WORKSPACE]


def _hidden(interpreter: Interpreter) -> list[str]:
    """Empty read-only directories in place of installed packages that would otherwise be visible."""
    trees = (*SYSTEM_TREES, *SYSTEM_LINKS, *map(str, interpreter.trees))
    seen = [packages for packages in interpreter.packages if within(packages, trees)]
    return [part for packages in seen for part in ("--tmpfs", str(packages), "--remount-ro", str(packages))]


def _around(surroundings: SandboxMounts) -> list[str]:
    place = Path(surroundings.place)
    above = [path for path in surroundings.visible if place.is_relative_to(path)]
    empty = ["--perms", "0777", "--size", str(surroundings.place_bytes), "--tmpfs", str(place)]
    arguments = [part for path in above for part in _shown(path)] + [*_directories(place.parents, "0755"), *empty]
    return arguments + [part for path in surroundings.visible if path not in above for part in _shown(path)]


def _shown(path: Path) -> list[str]:
    return [*_directories(path.parents, "0755"), "--ro-bind", str(path), str(path)]


def _directories(parents: Sequence[PurePath], mode: str) -> list[str]:
    """Make the parents of a path, from the top; left to itself bubblewrap closes them to everybody but root."""
    return [part for parent in reversed(parents[:-1]) for part in ("--perms", mode, "--dir", str(parent))]


class _Descriptors:
    """File descriptors that live as long as one run, and those of them that the sandbox inherits."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self.passed: list[int] = []

    def __enter__(self) -> _Descriptors:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def pipe(self) -> tuple[int, int]:
        """A pipe whose write end is inherited and whose read end never blocks."""
        reading, writing = os.pipe()
        for end in (reading, writing):
            self._open.callback(os.close, end)
        os.set_blocking(reading, False)
        self.passed.append(writing)
        return reading, writing

    def holding(self, data: bytes) -> int:
        """An inherited file without a name that holds `data`, ready to be read."""
        descriptor = os.memfd_create("sale", os.MFD_CLOEXEC)
        self._open.callback(os.close, descriptor)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.passed.append(descriptor)
        return descriptor
