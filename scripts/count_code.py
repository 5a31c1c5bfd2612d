"""Count the lines of `src` that hold code: a line with a token that is no comment, no docstring and no line break.

python scripts/count_code.py [folder …]
"""

from __future__ import annotations

import ast
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(path: Path) -> int:
    """The lines of one file that hold code."""
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in SILENT]
    held = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    return len(held - _docstring_lines(ast.parse(path.read_text(encoding="utf-8"))))


def _docstring_lines(tree: ast.AST) -> set[int]:
    """The lines of strings that stand alone: docstrings, also those of constants and fields."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


if __name__ == "__main__":
    for folder in sys.argv[1:] or ["src"]:
        files = sorted((ROOT / folder).rglob("*.py"))
        sys.stdout.write(f"{folder}: {sum(code_lines(path) for path in files):,} lines of code in {len(files)} files\n")
