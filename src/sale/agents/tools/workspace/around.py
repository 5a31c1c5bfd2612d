"""What commands over a copy find: the system's programs, the project's Python environment, and what the user names.

The copy appears at the directory's own path, so that an environment with the project installed for development, and
scripts that name their interpreter, work as they do outside. Everything else is read-only, and the user's files stay
out: the home directory is not there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sale.agents.tools.interpreter import LIBRARY_CACHE, SYSTEM_TREES, Interpreter, this_interpreter
from sale.agents.tools.surroundings import Surroundings
from sale.errors import ConfigError

ELSEWHERE = PurePosixPath("/workspace")
"""Where the copy appears if its directory's own path is taken in the sandbox."""
_SYSTEM = ("/usr", "/etc/alternatives")
_KERNEL = ("/proc", "/dev", "/sys")
_USUAL = ("/usr/local/bin", "/usr/bin", "/bin")
_HOPS = 8
HOME = "/tmp/home"  # noqa: S108 - inside the sandbox


def around(
    directory: Path, *, named: Sequence[Path] = (), environment: Path | None = None, place_bytes: int
) -> Surroundings:
    """What the commands of one workspace find.

    Args:
        directory: The user's directory.
        named: Trees the user wants visible; what is in their `bin` can be called by name.
        environment: The virtual environment the user works in, if it is not the directory's own.
        place_bytes: How much the copy may grow to.

    Raises:
        ConfigError: A tree that is named does not exist, or is the whole machine.
    """
    interpreter = this_interpreter()
    used = next(_environments(directory, environment), None)
    visible = [path for path in map(Path, _SYSTEM) if path.exists()]
    visible += interpreter.trees
    paths = [] if used is None else [str(used / "bin")]
    if used is not None:
        visible += [used, *_behind(used / "bin" / "python")]
    for tree in named:
        found = _checked(tree)
        visible += [found, *_links(tree)]
        paths.append(str(found / "bin" if (found / "bin").is_dir() else found))
    variables = {
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "LOGNAME": "nobody",
        "NO_COLOR": "1",
        "PATH": ":".join([*paths, str(interpreter.executable.parent), *_USUAL]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "dumb",
        "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
        "USER": "nobody",
    }
    if used is not None:
        variables["VIRTUAL_ENV"] = str(used)
    place = _place(directory, interpreter)
    trees = tuple(dict.fromkeys(visible))
    # What lies in another tree is visible with it.
    kept = tuple(one for one in trees if not any(one != tree and one.is_relative_to(tree) for tree in trees))
    return Surroundings(place=place, place_bytes=place_bytes, visible=kept, environment=variables)


def _place(directory: Path, interpreter: Interpreter) -> PurePosixPath:
    """The directory's own path, unless something that is needed is there or below."""
    needed = [*map(Path, SYSTEM_TREES), *interpreter.trees, LIBRARY_CACHE, Path("/tmp/box"), Path(HOME)]  # noqa: S108
    taken = any(path.is_relative_to(directory) for path in needed)
    kernel = any(directory.is_relative_to(path) for path in _KERNEL)
    return ELSEWHERE if taken or kernel else PurePosixPath(directory)


def _environments(directory: Path, active: Path | None) -> Iterator[Path]:
    """Virtual environments that may be meant: the directory's own, the active one, the one this program is in."""
    here = Path(sys.prefix) if sys.prefix != sys.base_prefix else None
    for path in (directory / ".venv", directory / "venv", active, here):
        if path is not None and (path / "pyvenv.cfg").is_file() and (path / "bin" / "python").exists():
            yield path


def _behind(python: Path) -> list[Path]:
    """What an environment's Python needs: each link on the way to the real one, and that one's library."""
    real = python.resolve()
    prefix = real.parent.parent
    libraries = [prefix / name for name in ("lib", "lib64") if (prefix / name).is_dir()]
    return [*_links(python), real, *(tree for tree in libraries if not tree.is_symlink())]


def _links(path: Path) -> list[Path]:
    """What a chain of symbolic links leads through, each hop at its own path."""
    found: list[Path] = []
    for _ in range(_HOPS):
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
        found.append(Path(*path.parts))
    return found


def _checked(tree: Path) -> Path:
    path = tree.expanduser().absolute()
    if not path.exists():
        raise ConfigError(f"there is no {str(tree)!r}", where="workspace.visible", hint="Name what exists.")
    if path in {Path("/"), Path.home()}:
        raise ConfigError(
            f"{str(tree)!r} would show everything to the commands of a model",
            where="workspace.visible",
            hint="Name the trees that hold the tools.",
        )
    return path
