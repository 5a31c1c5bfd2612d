"""Examples of use in the lines of a text: interactive sessions, assertions, and lines that say what a call gives.

Pure functions of text; other lines are passed over. Whether the code can be run is not asked here.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

MAX_LINES = 20
"""Of one example."""
MAX_LINE_CHARACTERS = 2000
"""Characters of a line; longer lines are not read as examples."""
BUILTINS = frozenset(dir(builtins))
_PYTHON = frozenset({"", "python", "py", "python3", "py3", "pycon", "doctest", "ipython"})

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*([\w+-]*)")
_PROMPT = re.compile(r"^(\s*)>>> ?(.*)$")
_MORE = re.compile(r"^\s*\.\.\.(?: (.*))?$")
_DOCSTRING_END = re.compile(r'"""|\'\'\'')
_ASSERT = re.compile(r"^\s*(?:[-*]\s+)?`?(assert\b.*?)`?\s*$")
_SAID = re.compile(
    r"^\s*(?:[-*]\s+)?(?:>>> ?)?`?(?P<call>\w+\(.*\))`?\s*"
    r"(?:={1,2}>|-{1,2}>|[→➞⇒]|={1,2}|returns|should return|should be|gives)\s*`?(?P<value>.+?)`?\s*$"
)

Way = Literal["equals", "true", "shows", "raises", "runs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeExample:
    """One example of a task."""

    way: Way
    """The way it is checked; `runs` is a step on the way to the next one, and does not count itself."""
    code: str
    """Python: what is run."""
    expected: str
    """Expected result: Python to compare with (`equals`), the text of a session (`shows`), `Name: message` of an
    exception (`raises`), or the call in it whose value tells most (`true`)."""


def python_lines(text: str) -> list[str]:
    """The lines of a text; fences, what stands in fences of another language, and overlong lines are blank."""
    kept: list[str] = []
    fence, foreign = "", False
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark is not None and (not fence or mark[1].startswith(fence)):
            foreign = not fence and mark[2].lower() not in _PYTHON
            fence = "" if fence else mark[1]
            kept.append("")
        else:
            kept.append("" if foreign or len(line) > MAX_LINE_CHARACTERS else line)
    return kept


def session_examples(lines: Sequence[str]) -> Iterator[CodeExample]:
    """`>>> f(1)` and what the next lines show, up to a blank line or the end of the docstring."""
    at = 0
    while at < len(lines):
        prompt = _PROMPT.match(lines[at])
        at += 1
        if prompt is None:
            continue
        source = [prompt[2]]
        while at < len(lines) and len(source) < MAX_LINES and (more := _MORE.match(lines[at])):
            source.append(more[1] or "")
            at += 1
        shown: list[str] = []
        while at < len(lines) and len(shown) < MAX_LINES and _goes_on(lines[at], prompt[1]):
            shown.append(_before_end(lines[at]))
            at += 1
            if _DOCSTRING_END.search(lines[at - 1]):
                break
        if (example := _session_example("\n".join(source), shown)) is not None:
            yield example


def _goes_on(line: str, indent: str) -> bool:
    """Return whether a line still belongs to the output of a session."""
    return line.startswith(indent) and not _PROMPT.match(line) and bool(_before_end(line))


def _before_end(line: str) -> str:
    """Return the part of a line before the end of a docstring."""
    return _DOCSTRING_END.split(line, maxsplit=1)[0].strip()


def _session_example(source: str, shown: Sequence[str]) -> CodeExample | None:
    tree = _tree(source)
    if tree is None or not tree.body:
        return None
    text = "\n".join("" if line == "<BLANKLINE>" else line for line in shown)
    if text.startswith("Traceback (most recent call last)"):
        return CodeExample(way="raises", code=source, expected=shown[-1])
    last = tree.body[-1]
    if text:
        return CodeExample(way="shows", code=source, expected=text)
    if len(tree.body) > 1 or not isinstance(last, ast.Expr):
        return CodeExample(way="runs", code=source, expected="")
    # A comparison that shows nothing is meant to hold; a remark after a call may say anything.
    if isinstance(last.value, ast.Compare):
        return _claim(last.value)
    return CodeExample(way="runs" if "#" in source else "shows", code=source, expected="")


def assertion_examples(lines: Sequence[str]) -> Iterator[CodeExample]:
    """`assert f(1) == 2`, on a line of its own or on several."""
    for at, line in enumerate(lines):
        first = _ASSERT.match(line)
        if first is None:
            continue
        for more in range(MAX_LINES):
            tree = _tree("\n".join([first[1], *lines[at + 1 : at + 1 + more]]))
            if tree is not None and len(tree.body) == 1 and isinstance(claim := tree.body[0], ast.Assert):
                yield _claim(claim.test)
                break


def informal_examples(lines: Sequence[str], defined: set[str]) -> Iterator[CodeExample]:
    """`f(1) => 2` and the like, for functions that the text defines: a call and a value with nothing but literals."""
    for line in lines:
        found = _SAID.match(line)
        if found is None or (line.lstrip().startswith(">>>") and _tree(line.lstrip()[3:].strip()) is not None):
            continue
        tree = _tree(found["call"])
        call = tree.body[0].value if tree and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in defined:
            continue
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        value = found["value"].rstrip(".")
        if all(_is_literal(argument) for argument in given) and _literal(value):
            yield CodeExample(way="shows", code=ast.unparse(call), expected=value)


def _claim(test: ast.expr) -> CodeExample:
    """Return an assertion as an example."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        return CodeExample(way="equals", code=ast.unparse(test.left), expected=ast.unparse(test.comparators[0]))
    calls = (
        node
        for node in ast.walk(test)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in BUILTINS
    )
    telling = next(calls, test)
    return CodeExample(way="true", code=ast.unparse(test), expected=ast.unparse(telling))


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedNames:
    """The names in pieces of Python."""

    called: set[str]
    """As functions."""
    made: set[str]
    """Given a value there: variables, arguments, definitions, imports."""
    modules: set[str]
    """Of the standard library, used as such and not imported."""
    free: set[str]
    """All others that are read."""


def names_in(*codes: str) -> UsedNames:
    """Which names pieces of Python use, and how."""
    nodes = [node for code in codes if (tree := _tree(code)) for node in ast.walk(tree)]
    made = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    roots = {node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
    modules = (roots & sys.stdlib_module_names) - made
    loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return UsedNames(called=called, made=made, modules=modules, free=loaded - modules)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def _literal(text: str) -> bool:
    tree = _tree(text)
    only = tree.body[0] if tree is not None and len(tree.body) == 1 else None
    return isinstance(only, ast.Expr) and _is_literal(only.value)


def _tree(code: str) -> ast.Module | None:
    """The code as Python, `None` where it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(code.strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
