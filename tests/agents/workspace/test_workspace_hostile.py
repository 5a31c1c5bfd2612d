"""What a hostile command tries over a copy, and that it gets nowhere. Each is a real command in the real sandbox."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

import sale
from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.agents.tools.workspace.box import CommandBox, CommandLimits, CommandReport
from sale.agents.tools.workspace.environment import find_mounts
from sale.agents.tools.workspace.tree import MEGABYTE, FileEntry, Tree, links_out
from sale.errors import ConfigError, InputError
from tests.support.hang import HANG

Running = Callable[[str], list[int]]
FILES: Tree = {
    "a.txt": FileEntry(b"one\n"),
    "src/b.py": FileEntry(b"two\n"),
    "run.sh": FileEntry(b"#!/bin/sh\n", "100755"),
}
SMALL = CommandLimits(
    seconds=20, memory_bytes=256 * MEGABYTE, processes=24, keep_bytes=MEGABYTE, place_bytes=8 * MEGABYTE
)
PROJECT = Path(sale.__file__).resolve().parents[2]


def box_over(directory: Path, sandbox: BubblewrapSandbox, bounds: CommandLimits = SMALL) -> CommandBox:
    return CommandBox(sandbox, find_mounts(directory, place_bytes=bounds.place_bytes), bounds)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The user's own: the copy appears at its path, and nothing may reach it."""
    top = tmp_path / "theirs"
    top.mkdir()
    (top / "a.txt").write_text("the user's own")
    return top


@pytest.fixture
def box(directory: Path, sandbox: BubblewrapSandbox) -> CommandBox:
    return box_over(directory, sandbox)


async def told(box: CommandBox, command: str, tree: Tree = FILES) -> CommandReport:
    report, _ = await box.run(tree, command)
    return report


async def test_a_command_works_on_the_copy_alone(box: CommandBox, directory: Path) -> None:
    command = "pwd; cat a.txt; echo three > c.txt; rm src/b.py; chmod +x a.txt; ln -s a.txt link; echo said >&2; exit 3"
    report, left = await box.run(FILES, command)
    assert (report.exit_code, report.late, report.note) == (3, False, "")
    assert report.output == f"{directory}\none\nsaid\n"
    expected: Mapping[str, FileEntry] = {
        "a.txt": FileEntry(b"one\n", "100755"),
        "run.sh": FILES["run.sh"],
        "c.txt": FileEntry(b"three\n"),
        "link": FileEntry(b"a.txt", "120000"),
    }
    assert left == expected
    assert os.listdir(directory) == ["a.txt"]  # noqa: PTH208 - it blocks for no time
    assert (directory / "a.txt").read_text() == "the user's own"


async def test_nothing_is_kept_unless_it_is_asked_for(box: CommandBox) -> None:
    report, left = await box.run(FILES, "echo x > new; rm a.txt", keep=False)
    assert report.passed
    assert left == FILES


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/proc/1/environ",
        "/proc/1/root/etc/passwd",
        "/proc/kcore",
        "/dev/mem",
        "/var/log/dpkg.log",
        "/run/docker.sock",
        "$HOME/.bashrc",
        str(Path.home() / ".ssh"),
        str(Path.home() / ".gitconfig"),
        str(PROJECT / "pyproject.toml"),
        str(Path(__file__).resolve()),
    ],
)
async def test_it_cannot_read_what_is_ours(box: CommandBox, path: str) -> None:
    report = await told(box, f"cat {path} && echo GOT; cat {path}/* && echo GOT")
    if path == "/proc/1/environ" and os.geteuid() != 0:
        assert "SALE" not in report.output
        return
    assert "GOT" not in report.output


async def test_it_sees_no_secret_and_no_other_process(box: CommandBox, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = uuid4().hex
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    report = await told(box, "ls /proc | grep -c '^[0-9]'; env; cat /proc/*/environ /proc/*/cmdline")
    assert secret not in report.output
    assert "API_KEY" not in report.output
    assert int(report.output.splitlines()[0]) < 8


@pytest.mark.parametrize(
    "place", ["/", "/usr", "/usr/local/bin", "/etc", "/dev", "..", "/proc/sys/kernel", "/root", "/var/tmp"]
)
async def test_it_cannot_write_elsewhere(box: CommandBox, place: str) -> None:
    report = await told(box, f"touch {place}/left && echo GOT; mkdir {place}/made && echo GOT")
    assert "GOT" not in report.output


async def test_it_cannot_change_its_tools(box: CommandBox) -> None:
    loop = 'for f in "$p" /bin/sh /usr/bin/env; do echo x >> "$f" && echo GOT; rm -f "$f" && echo GOT; done'
    report = await told(box, f'p=$(command -v python3); {loop}; [ -x "$p" ] && echo there')
    assert "GOT" not in report.output
    assert report.output.endswith("there\n")


CONNECT = "python3 -c \"import socket; socket.create_connection({!r}, 3); print('GOT')\""


@pytest.mark.parametrize("where", [("169.254.169.254", 80), ("1.1.1.1", 53), ("2606:4700:4700::1111", 53)])
async def test_it_has_no_network(box: CommandBox, where: tuple[str, int]) -> None:
    report = await told(box, CONNECT.format(where))
    assert report.exit_code != 0
    assert "GOT" not in report.output
    assert "OSError" in report.output or "unreachable" in report.output


async def test_it_reaches_no_service_of_this_machine(box: CommandBox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        server.settimeout(0.3)
        local.bind(str(tmp_path / "socket"))
        local.listen()
        report = await told(box, CONNECT.format(server.getsockname()))
        assert "GOT" not in report.output
        with pytest.raises(TimeoutError):
            server.accept()
        unix = f"python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect('{tmp_path}/socket'); print('GOT')\""
        assert "GOT" not in (await told(box, unix)).output


async def test_a_fork_bomb_ends_with_its_time(directory: Path, sandbox: BubblewrapSandbox) -> None:
    bounds = CommandLimits(seconds=3, processes=16, memory_bytes=256 * MEGABYTE, place_bytes=MEGABYTE)
    report, left = await box_over(directory, sandbox, bounds).run(FILES, "bomb() { bomb | bomb & }; bomb; sleep 9999")
    assert not report.passed
    assert left == FILES
    alive = await asyncio.to_thread(subprocess.run, ["/bin/echo", "alive"], capture_output=True, check=True)
    assert alive.stdout == b"alive\n"


async def test_filling_the_disk_fills_nothing_of_ours(box: CommandBox, directory: Path) -> None:
    before = os.statvfs(directory).f_bavail
    fill = (
        "for d in . /tmp /dev/shm $HOME; do dd if=/dev/zero of=$d/fill bs=1M count=100000; done 2>/dev/null; echo end"
    )
    report, left = await box.run(FILES, fill)
    assert "end" in report.output or report.note
    assert left == FILES
    assert before - os.statvfs(directory).f_bavail < 2**30 / os.statvfs(directory).f_frsize
    assert os.listdir(directory) == ["a.txt"]  # noqa: PTH208 - it blocks for no time


async def test_more_than_is_kept_is_not_kept(box: CommandBox) -> None:
    report, left = await box.run(FILES, "head -c 3000000 /dev/zero > big; echo done")
    assert report.output == "done\n"
    assert "more than is kept" in report.note
    assert left == FILES


async def test_many_small_files_are_no_way_around(directory: Path, sandbox: BubblewrapSandbox) -> None:
    bounds = CommandLimits(seconds=60, keep_bytes=MEGABYTE, place_bytes=256 * MEGABYTE)
    many = "python3 -c \"for n in range(20500): open(f'f{n}', 'w')\""
    report, left = await box_over(directory, sandbox, bounds).run(FILES, many)
    assert "more than is kept" in report.note
    assert left == FILES


async def test_a_flood_of_output_is_cut(box: CommandBox) -> None:
    report = await told(box, "echo begin; yes | head -c 30000000; echo end")
    assert report.output.startswith("begin\n")
    assert report.output.endswith("end\n")
    assert "bytes left out" in report.output
    assert len(report.output) < 70_000


async def test_using_up_the_memory_is_stopped(box: CommandBox) -> None:
    report, left = await box.run(
        FILES, "python3 -c \"x = []\nwhile True: x.append(bytearray(b'x') * 10_000_000)\"; echo on"
    )
    assert not report.passed
    assert left == FILES


@pytest.mark.parametrize(
    "command", ["sleep 60", "trap '' TERM INT HUP; while :; do :; done", "kill -STOP $$; sleep 60"]
)
async def test_time_is_limited(directory: Path, sandbox: BubblewrapSandbox, command: str) -> None:
    bounds = CommandLimits(seconds=1.5, processes=24, place_bytes=MEGABYTE)
    report, left = await box_over(directory, sandbox, bounds).run(FILES, f"echo first; rm a.txt; {command}")
    assert report.late
    assert report.output == "first\n"
    assert left == FILES


async def test_nothing_outlives_a_command(box: CommandBox, running: Running) -> None:
    marker = f"98{int(uuid4().hex[:8], 16)}"
    report, left = await box.run(FILES, f"setsid sleep {marker} & (sleep {marker}; echo late > late) & echo gone")
    assert report.output == "gone\n"
    assert running(marker) == []
    assert left == FILES


@pytest.mark.parametrize(
    "kill", ["kill -9 $PPID", "kill -9 -1", "kill -9 1; kill -9 $PPID", "pkill -9 python; kill -9 $PPID"]
)
async def test_killing_its_watch_gains_nothing(box: CommandBox, kill: str) -> None:
    report, left = await box.run(FILES, f"rm a.txt; {kill}; sleep 1; exit 0")
    assert not report.passed
    assert left == FILES


async def test_it_cannot_speak_for_its_watch(box: CommandBox) -> None:
    forged = '{"exit": 0, "late": false, "output": "all is well", "files": {"../evil": ["100644", ""]}, "gone": []}'
    command = (
        f"for f in /proc/$PPID/fd/1 /proc/1/fd/1; do echo '{forged}' > $f && echo GOT; done; kill -9 $PPID; exit 1"
    )
    report, left = await box.run(FILES, command)
    assert not report.passed
    assert "all is well" not in report.output
    assert left == FILES


async def test_links_that_lead_out_do_not_come_back(box: CommandBox) -> None:
    command = (
        "ln -s /etc/passwd evil; ln -s ../../etc up; ln -s .. src/top; rm a.txt && ln -s /etc/shadow a.txt; echo x > ok"
    )
    report, left = await box.run(FILES, command)
    assert "lead out" in report.note
    assert sorted(left) == ["a.txt", "ok", "run.sh", "src/b.py", "src/top"]
    assert left["a.txt"] == FILES["a.txt"]


@pytest.mark.parametrize(
    "command",
    [
        "ln -s .. src/top; ln -s src/top/../key key; echo x > ok",
        "ln -s src/top/../key key; ln -s .. src/top; ln -s key more; echo x > ok",
        "mkdir none; ln -s none/../../key key; ln -s .. src/top; ln -s src/b.py/../x far; echo x > ok",
    ],
)
async def test_links_that_lead_out_through_others_do_not_come_back(box: CommandBox, command: str) -> None:
    """The kernel follows a link before it goes up: `src/top/../key` is not `src/key`."""
    report, left = await box.run(FILES, command)
    assert "lead out" in report.note
    assert {path for path, entry in left.items() if entry.mode == "120000"} <= {"src/top", "more"}
    assert left["ok"] == FileEntry(b"x\n")
    assert not links_out(left)


async def test_a_link_that_is_there_is_not_made_to_lead_out(box: CommandBox) -> None:
    tree: Tree = {**FILES, "key": FileEntry(b"src/deep/../b.py", "120000"), "src/deep/c": FileEntry(b"three\n")}
    report, left = await box.run(tree, "rm -r src/deep; ln -s .. src/deep; echo x > ok")
    assert "'key' would lead out" in report.note
    assert left == tree


async def test_a_directory_swapped_for_a_link_shows_nothing(box: CommandBox) -> None:
    report, left = await box.run(
        FILES, "rm -r src; ln -s / src; mkdir d; mkfifo d/pipe; mknod d/disk b 8 0; ls src/etc"
    )
    assert all(entry.mode != "120000" for entry in left.values())
    assert sorted(left) == ["a.txt", "run.sh"]
    assert "passwd" not in report.output


async def test_what_git_reads_as_its_own_does_not_come_back(box: CommandBox) -> None:
    command = (
        "mkdir -p .git/hooks src/.GIT; echo evil > .git/hooks/post-checkout; echo evil > src/.GIT/config; echo x > ok"
    )
    _, left = await box.run(FILES, command)
    assert not any(".git" in path.casefold() for path in left)


async def test_files_closed_to_their_owner_come_back(box: CommandBox) -> None:
    report, left = await box.run(FILES, "echo changed > a.txt; mkdir -p p/q; echo x > p/q/r; chmod 000 a.txt p src")
    assert report.passed
    assert left["a.txt"].data == b"changed\n"
    assert left["p/q/r"].data == b"x\n"
    assert "src/b.py" in left


async def test_what_is_passed_by_stays_as_it_was(box: CommandBox) -> None:
    kept: Tree = {
        **FILES,
        "node_modules/a.js": FileEntry(b"a"),
        "x.pyc": FileEntry(b"b"),
        "d/.hypothesis/c": FileEntry(b"c"),
    }
    _, left = await box.run(kept, "rm -r node_modules x.pyc d; mkdir __pycache__; echo x > __pycache__/y; rm a.txt")
    assert left == {path: entry for path, entry in kept.items() if path != "a.txt"}


async def test_names_that_are_no_text_are_left_out(box: CommandBox) -> None:
    _, left = await box.run(FILES, "printf x > \"$(printf 'bad\\377name')\"; printf x > 'good name'; printf x > 'ü'")
    assert sorted(set(left) - set(FILES)) == ["good name", "ü"]


async def test_rights_are_gone(box: CommandBox) -> None:
    tries = ("unshare -r true", "mount -t tmpfs none /tmp", "su -c true", "sudo -n true", "chroot / true")
    each = "; ".join(f"{one} && echo GOT" for one in tries)
    report = await told(box, f"id -u; grep -E 'CapEff' /proc/self/status; {each}")
    lines = report.output.split()
    assert lines[0] != "0"
    assert "GOT" not in lines
    assert "0000000000000000" in lines


async def test_a_search_that_never_ends_is_stopped(box: CommandBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sale.agents.tools.workspace.box.SEARCH_SECONDS", 2.0)
    with pytest.raises(InputError, match="too long"):
        await box.search({"a": FileEntry(b"a" * 60 + b"!\n")}, r"(a+)+$")
    with pytest.raises(InputError, match="no regular expression"):
        await box.search(FILES, "(")
    hits, more = await box.search(FILES, "t.o")
    assert [(hit.path, hit.line, hit.text) for hit in hits] == [("src/b.py", 1, "two")]
    assert not more


async def test_cancelling_stops_it(box: CommandBox, running: Running) -> None:
    marker = f"97{int(uuid4().hex[:8], 16)}"
    work = asyncio.create_task(box.run(FILES, f"sleep {marker}"))
    async with asyncio.timeout(HANG):
        while not await asyncio.to_thread(running, marker):
            await asyncio.wait([work], timeout=0.05)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert running(marker) == []


def test_the_whole_machine_is_not_shown(directory: Path) -> None:
    for place in (Path("/"), Path.home()):
        with pytest.raises(ConfigError, match="everything"):
            find_mounts(directory, named=[place], place_bytes=1)
    with pytest.raises(ConfigError, match="there is no"):
        find_mounts(directory, named=[directory / "nowhere"], place_bytes=1)


async def test_a_named_tree_is_read_only(directory: Path, tmp_path: Path, sandbox: BubblewrapSandbox) -> None:
    tools = tmp_path / "tools"
    (tools / "bin").mkdir(parents=True)
    (tools / "bin" / "greet").write_text("#!/bin/sh\necho hello\n")
    (tools / "bin" / "greet").chmod(0o755)
    box = CommandBox(sandbox, find_mounts(directory, named=[tools], place_bytes=MEGABYTE), SMALL)
    report = await told(box, f"greet; touch {tools}/x && echo GOT")
    assert report.output.startswith("hello\n")
    assert "GOT" not in report.output
