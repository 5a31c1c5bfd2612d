"""The environment of commands over a copy: the system's programs, the project's Python, and paths the user names.

The copy appears at the directory's own path, so that an environment with the project installed for development, and
scripts that name their interpreter, work as they do outside. Everything else is read-only, and the user's files stay
out: the home directory is not there.

A virtual environment in the directory may have come with it, from a stranger, and its Python may be a link to anywhere.
So it is used only where it really lies in the directory, and of what its Python leads to only an installation of Python
is shown: the interpreter and its library. Environments elsewhere are the user's own, and trusted.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sale.agents.tools.interpreter import LIBRARY_CACHE, SYSTEM_TREES, Interpreter, this_interpreter
from sale.agents.tools.surroundings import SandboxMounts
from sale.errors import ConfigError

ELSEWHERE = PurePosixPath("/workspace")
"""Where the copy appears if its directory's own path is taken in the sandbox."""
_SYSTEM = ("/usr", "/etc/alternatives")
_KERNEL = ("/proc", "/dev", "/sys")
_USUAL = ("/usr/local/bin", "/usr/bin", "/bin")
_HOPS = 8
_PYTHON = re.compile(r"(python|pypy)[0-9.]*[a-z]{0,2}")
HOME = "/tmp/home"  # noqa: S108 - inside the sandbox


def find_mounts(
    directory: Path, *, named: Sequence[Path] = (), environment: Path | None = None, place_bytes: int
) -> SandboxMounts:
    """Return the directories that the commands of one workspace may read.

    Args:
        directory: The user's directory.
        named: Trees the user wants visible; what is in their `bin` can be called by name.
        environment: The virtual environment the user works in, if it is not the directory's own.
        place_bytes: How much the copy may grow to.

    Raises:
        ConfigError: A tree that is named does not exist, or is the whole machine.
    """
    interpreter = this_interpreter()
    found = next(_environments(directory, environment), None)
    used, needed = found or (None, [])
    visible = [path for path in map(Path, _SYSTEM) if path.exists()]
    visible += interpreter.trees
    paths = [] if used is None else [str(used / "bin")]
    visible += needed
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
    return SandboxMounts(place=place, place_bytes=place_bytes, visible=kept, environment=variables)


def _place(directory: Path, interpreter: Interpreter) -> PurePosixPath:
    """The directory's own path, unless something that is needed is there or below."""
    needed = [*map(Path, SYSTEM_TREES), *interpreter.trees, LIBRARY_CACHE, Path("/tmp/box"), Path(HOME)]  # noqa: S108
    taken = any(path.is_relative_to(directory) for path in needed)
    kernel = any(directory.is_relative_to(path) for path in _KERNEL)
    return ELSEWHERE if taken or kernel else PurePosixPath(directory)


def _environments(directory: Path, active: Path | None) -> Iterator[tuple[Path, list[Path]]]:
    """Yield virtual environments that may be meant, and what each needs to be seen.

    The directory's own comes first, then the active one, then the one that this program is in.
    """
    here = Path(sys.prefix) if sys.prefix != sys.base_prefix else None
    for path in (directory / ".venv", directory / "venv", active, here):
        if path is None or not (path / "pyvenv.cfg").is_file() or not (path / "bin" / "python").is_file():
            continue
        if not path.absolute().is_relative_to(directory):
            yield path, [path, *_behind(path / "bin" / "python")]
        elif (needed := _installation(path / "bin" / "python", directory)) is not None and _is_inside(path, directory):
            yield path, [path, *needed]


def _is_inside(environment: Path, directory: Path) -> bool:
    """Return whether an environment really lies in the directory, and none of its own directories is a link out."""
    real = directory.resolve()
    return all(path.resolve().is_relative_to(real) for path in (environment, environment / "bin"))


def _installation(python: Path, directory: Path) -> list[Path] | None:
    """Return what an environment of the directory needs of the Python behind it; `None` where there is no Python.

    It must be a program by the name of Python with the standard library of that version beside it. What else is in its
    tree is not shown, unless the tree is one of conda's, which hold nothing but programs and libraries.
    """
    real = python.resolve()
    system = real.is_relative_to("/usr")
    if _PYTHON.fullmatch(real.name) is None or not real.is_file() or not os.access(real, os.X_OK):
        return None
    prefix = real.parent.parent
    libraries = [tree for name in ("lib", "lib64") for tree in (prefix / name).glob("python3*") if _is_library(tree)]
    if system or real.is_relative_to(directory.resolve()):
        return _links(python)
    if not libraries:
        return None
    if (prefix / "conda-meta").is_dir():
        libraries = [prefix / "lib"]
    shared = [path for path in (prefix / "lib").glob("libpython*") if path.resolve().is_relative_to(prefix)]
    return [*_links(python), real, *libraries, *shared]


def _is_library(tree: Path) -> bool:
    """Return whether a directory is a standard library of Python, and no link to elsewhere."""
    return tree == tree.resolve() and (tree / "os.py").is_file() and (tree / "encodings" / "__init__.py").is_file()


def _behind(python: Path) -> list[Path]:
    """Return the paths an environment's Python needs: each link on the way to the real one, and that one's library."""
    real = python.resolve()
    prefix = real.parent.parent
    libraries = [prefix / name for name in ("lib", "lib64") if (prefix / name).is_dir()]
    return [*_links(python), real, *(tree for tree in libraries if not tree.is_symlink())]


def _links(path: Path) -> list[Path]:
    """Return the paths a chain of symbolic links leads through, each hop at its own path."""
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
