"""Programs of others, each in a virtual environment of its own, so that what they need disturbs nothing here.

    python -m benchmarks.gateway.environments litellm schemathesis aider

An environment is made once, under the user's cache directory, with the version pinned here.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

FOLDER = platformdirs.user_cache_path("sale") / "environments"


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is installed."""

    package: str
    version: str
    extra: str = ""
    command: str
    """The program it brings."""

    @property
    def folder(self) -> Path:
        """Its environment."""
        return FOLDER / f"{self.package}-{self.version}"

    @property
    def requirement(self) -> str:
        """As pip is told it."""
        return f"{self.package}{self.extra}=={self.version}"


PROGRAMS = {
    "litellm": Program(package="litellm", version="1.101.0", extra="[proxy]", command="litellm"),
    "schemathesis": Program(package="schemathesis", version="4.32.5", command="schemathesis"),
    "aider": Program(package="aider-chat", version="0.86.2", command="aider"),
}


def found(name: str) -> Path | None:
    """The folder of the program's executables, if it has been installed; nothing is installed for the asking."""
    program = PROGRAMS[name]
    return program.folder / "bin" if (program.folder / "installed").is_file() else None


def installed(name: str) -> Path:
    """The folder of the program's executables, installed first if need be.

    Raises:
        RuntimeError: pip could not install it; what it said is in the message.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER / f"{name}.lock"):
        return found(name) or _install(PROGRAMS[name])


def _install(program: Program) -> Path:
    shutil.rmtree(program.folder, ignore_errors=True)
    venv.create(program.folder, with_pip=True)
    pip = [str(program.folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*pip, program.requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program.requirement} could not be installed: {done.stderr.strip()[-500:]}")
    (program.folder / "installed").touch()
    return program.folder / "bin"


def main() -> None:
    """Install those named."""
    parser = argparse.ArgumentParser(description="Make environments for programs of others.")
    parser.add_argument("names", nargs="+", choices=sorted(PROGRAMS))
    names: list[str] = parser.parse_args().names
    for name in names:
        print(f"{name}: {installed(name)}", file=sys.stderr)


if __name__ == "__main__":
    main()
