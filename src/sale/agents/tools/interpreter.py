"""Which Python runs in the sandbox, and what of this machine's files it needs: as little as it starts with."""

from __future__ import annotations

import site
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM_TREES = ("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/share/zoneinfo")
"""System programs and libraries: public on every machine. The rest of /usr, and all of /etc, stays out."""

SYSTEM_LINKS = ("/bin", "/lib", "/lib32", "/lib64")
"""Names that are symbolic links into /usr on most systems, and trees of their own on others."""

LIBRARY_CACHE = Path("/etc/ld.so.cache")


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """A Python, and where its files are. All paths are resolved."""

    executable: Path
    prefix: Path
    packages: tuple[Path, ...]
    """Directories of installed packages. They are hidden: the code gets the standard library and nothing else."""

    @property
    def trees(self) -> tuple[Path, ...]:
        """The directories it must be able to read to start, beside those of the system."""
        libraries = [self.prefix / name for name in ("lib", "lib64") if (self.prefix / name).is_dir()]
        libraries = [tree for tree in libraries if not tree.is_symlink()]
        needed = [*libraries, self.executable]
        return tuple(path for path in needed if not within(path, SYSTEM_TREES))


def this_interpreter() -> Interpreter:
    """The one this program runs on: the real one behind a virtual environment, without that environment's packages."""
    prefix = Path(sys.base_prefix).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    behind = prefix / "bin" / version
    executable = (behind if behind.exists() else Path(sys.executable)).resolve()
    return Interpreter(executable=executable, prefix=prefix, packages=_packages(prefix))


def within(path: Path, trees: Sequence[str]) -> bool:
    """Return whether a path lies in one of the trees."""
    return any(path.is_relative_to(tree) for tree in trees)


def _packages(prefix: Path) -> tuple[Path, ...]:
    known = {Path(path).resolve() for path in site.getsitepackages([str(prefix)])}
    distribution = prefix / "lib" / f"python{sys.version_info.major}" / "dist-packages"
    return tuple(sorted(path for path in {*known, distribution} if path.is_dir()))
