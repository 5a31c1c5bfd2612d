"""Asking the git program, which makes and applies patches better than anything written anew.

A repository that was cloned from a stranger can have git start programs: its settings name monitors, filters, hooks,
editors, and remotes that are commands. So git never works with the repository of a user. It is given a repository of
our own, made for the moment, whose settings say nothing of the kind, and neither the settings of the user or the
machine nor any `GIT_` variable reach it. Where bubblewrap works, git runs under it besides: without network, and with
nothing to see but its own programs, that repository and the work tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sale.agents.tools.bubblewrap import find_bwrap
from sale.agents.tools.interpreter import LIBRARY_CACHE, SYSTEM_LINKS
from sale.errors import ExecutionError, InputError

SECONDS = 120.0
_ALONE = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
"""No settings of the user's or the machine's: the same files give the same patch everywhere."""
_NOTHING_STARTS = (
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.sshCommand=false",
    "core.gitProxy=false",
    "protocol.allow=never",
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
)
"""Said on the command line, above any file of settings, though the only file there is is ours."""
_CONFIG = "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = true\n"
_UNTOUCHED = "* -text -eol -ident -filter -working-tree-encoding\n"
"""Attributes above those of the files themselves: bytes stay what they are."""

Ran = subprocess.CompletedProcess[bytes]


def run_git(
    arguments: Sequence[str],
    *,
    repository: Path,
    work_tree: Path | None = None,
    directory: Path | None = None,
    given: bytes = b"",
    writes: bool = False,
    confined: bool = True,
) -> Ran:
    """Run git with a repository of our own.

    Args:
        arguments: What git is to do.
        repository: As `empty_repository` makes it.
        work_tree: The files it works on, if any.
        directory: Where in the work tree; its top unless given.
        given: Standard input.
        writes: Whether it may change the work tree.
        confined: Whether it runs under bubblewrap. What only turns over objects that we have made can do without, which
            takes half the time.

    Raises:
        InputError: There is no git program.
        ExecutionError: It could not be started, or took too long.
    """
    tree = [] if work_tree is None else [f"--work-tree={work_tree}"]
    said = [part for one in _NOTHING_STARTS for part in ("-c", one)]
    command = [_program(), f"--git-dir={repository}", *tree, *said, *arguments]
    where = directory or work_tree or repository
    boxed = _boxed(command, repository, work_tree, where, writes=writes) if confined else None
    if boxed is not None:
        ran = _ran(boxed, given, Path("/"))
        if not ran.stderr.startswith(b"bwrap: "):
            return ran
    return _ran(command, given, where)


def expect_output(ran: Ran) -> bytes:
    """Return what it wrote.

    Raises:
        ExecutionError: It failed.
    """
    if ran.returncode != 0:
        said = ran.stderr.decode(errors="replace").strip()[-500:]
        raise ExecutionError(f"git failed with status {ran.returncode}: {said or 'no word why'}")
    return ran.stdout


@contextmanager
def empty_repository(*, sha256: bool = False) -> Generator[Path]:
    """Make an empty bare repository for the moment. Made by hand: quicker, and no template of the machine's gets in."""
    with tempfile.TemporaryDirectory(prefix="sale-git-") as place:
        repository = Path(place).resolve()
        for folder in ("objects", "refs/heads", "info"):
            (repository / folder).mkdir(parents=True)
        config = _CONFIG.format(version=int(sha256))
        config += "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
        (repository / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        (repository / "config").write_text(config, encoding="ascii")
        (repository / "info" / "attributes").write_text(_UNTOUCHED, encoding="ascii")
        yield repository


def user_excludes() -> Path | None:
    """Return the file that the user's own settings of git name for what is ignored everywhere, if they name one."""
    with empty_repository() as repository:
        asked = ["config", "--global", "--includes", "--type=path", "--get", "core.excludesFile"]
        # In the environment of the user, whose settings these are; reading them starts nothing.
        ran = _ran([_program(), f"--git-dir={repository}", *asked], b"", repository, environment=None)
    named = os.fsdecode(ran.stdout).removesuffix("\n") if ran.returncode == 0 else ""
    return Path(named) if named else None


def _program() -> str:
    found = shutil.which("git")
    if found is None:
        raise InputError("a workspace needs git, which makes the patch", hint="Install the package `git`.")
    return found


def _boxed(
    command: Sequence[str], repository: Path, work_tree: Path | None, where: Path, *, writes: bool
) -> list[str] | None:
    """Return the command under bubblewrap; `None` where there is no bubblewrap, or git is not one of the system's."""
    bwrap = find_bwrap()
    if bwrap is None or not Path(command[0]).resolve().is_relative_to("/usr"):
        return None
    argv = [str(bwrap), "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    argv += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    # Root reads and writes files of other users, outside and so here; in a user namespace it could not.
    argv += ["--cap-add", "CAP_DAC_OVERRIDE"] if os.geteuid() == 0 else ["--unshare-user"]
    argv += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", str(LIBRARY_CACHE), str(LIBRARY_CACHE)]
    for name in map(Path, SYSTEM_LINKS):
        if name.is_symlink():
            argv += ["--symlink", str(name.readlink()), str(name)]
        elif name.is_dir():
            argv += ["--ro-bind", str(name), str(name)]
    argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - inside the sandbox
    if work_tree is not None:
        argv += ["--bind" if writes else "--ro-bind", str(work_tree), str(work_tree)]
    argv += ["--bind", str(repository), str(repository), "--chdir", str(where)]
    return [*argv, "--", *command]


def _ran(command: list[str], given: bytes, directory: Path, *, environment: dict[str, str] | None = _ALONE) -> Ran:
    try:
        return subprocess.run(  # noqa: S603 - our own command
            command,
            input=given,
            capture_output=True,
            cwd=directory,
            env=environment,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExecutionError(f"git took longer than {SECONDS:.0f} seconds, and was stopped") from None
    except OSError as error:
        raise ExecutionError(f"git did not do its work: {error}") from error
