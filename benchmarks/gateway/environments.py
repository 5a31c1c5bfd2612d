"""Programs of others, each in an environment of its own, so that what they need disturbs nothing here.

    python -m benchmarks.gateway.environments litellm portkey schemathesis claude-code codex opencode qwen-code aider

An environment is made once, under the user's cache directory, with the version pinned here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    npm: bool = False
    """Whether npm installs it, and not pip."""
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    """Versions of what it depends on, where npm would choose others with which it does not work."""

    @property
    def folder(self) -> Path:
        """Its environment."""
        return FOLDER / f"{self.package.rpartition('/')[2]}-{self.version}"

    @property
    def programs(self) -> Path:
        """The folder of its executables."""
        return self.folder / ("node_modules/.bin" if self.npm else "bin")

    @property
    def requirement(self) -> str:
        """As the installer is told it."""
        return f"{self.package}@{self.version}" if self.npm else f"{self.package}{self.extra}=={self.version}"

    @property
    def installer(self) -> list[str]:
        """The command that installs it, without its name."""
        if self.npm:
            return ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(self.folder)]
        return [str(self.folder / "bin" / "python"), *["-m", "pip", "install", "-q", "--disable-pip-version-check"]]


PROGRAMS = {
    "litellm": Program(package="litellm", version="1.101.0", extra="[proxy]", command="litellm"),
    "schemathesis": Program(package="schemathesis", version="4.32.5", command="schemathesis"),
    "aider": Program(package="aider-chat", version="0.86.2", command="aider"),
    "codex": Program(package="@openai/codex", version="0.171.0", command="codex", npm=True),
    "claude-code": Program(package="@anthropic-ai/claude-code", version="2.1.332", command="claude", npm=True),
    "opencode": Program(package="opencode-ai", version="1.18.33", command="opencode", npm=True),
    # As its own lock has it: with 1.19 every stream is answered 500, as Portkey adds to headers that are immutable.
    "portkey": Program(
        package="@portkey-ai/gateway",
        version="1.15.2",
        command="gateway",
        npm=True,
        held={"@hono/node-server": "1.13.5"},
    ),
    "qwen-code": Program(package="@qwen-code/qwen-code", version="0.24.4", command="qwen", npm=True),
}


def found(name: str) -> Path | None:
    """The folder of the program's executables, if it has been installed; nothing is installed for the asking."""
    program = PROGRAMS[name]
    return program.programs if (program.folder / "installed").is_file() else None


def installed(name: str) -> Path:
    """The folder of the program's executables, installed first if need be.

    Raises:
        RuntimeError: It could not be installed; what the installer said is in the message.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER / f"{name}.lock"):
        return found(name) or _install(PROGRAMS[name])


def _install(program: Program) -> Path:
    shutil.rmtree(program.folder, ignore_errors=True)
    if program.npm:
        program.folder.mkdir(parents=True)
        if program.held:
            (program.folder / "package.json").write_text(json.dumps({"overrides": program.held}), encoding="utf-8")
    else:
        venv.create(program.folder, with_pip=True)
    try:
        done = subprocess.run([*program.installer, program.requirement], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeError(f"{program.requirement} could not be installed: {error.filename} is not here") from error
    if done.returncode:
        raise RuntimeError(f"{program.requirement} could not be installed: {done.stderr.strip()[-500:]}")
    (program.folder / "installed").touch()
    return program.programs


def main() -> None:
    """Install those named."""
    parser = argparse.ArgumentParser(description="Make environments for programs of others.")
    parser.add_argument("names", nargs="+", choices=sorted(PROGRAMS))
    names: list[str] = parser.parse_args().names
    for name in names:
        print(f"{name}: {installed(name)}", file=sys.stderr)


if __name__ == "__main__":
    main()
