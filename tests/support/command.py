"""The command `sale` in this process: all of it but the interpreter's start, which takes longer than the command.

Tests of what only a process of its own has (signals, streams, its end) start one.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from sale.cli.main import main


@dataclass(frozen=True)
class Done:
    """How it ended."""

    code: int
    out: str
    err: str


def run_sale(folder: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
    """Run it in a folder. What it fails to catch is raised here, where a user would see a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["sale", *arguments])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())
