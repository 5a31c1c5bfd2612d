"""The program in a model's answer: which of its text is code, and how that code continues a given beginning.

Pure functions of text. They never fail: an answer without usable code gives text that will not run.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from sale.types.thoughts import text_after_thoughts

MAX_ANSWER = 100_000
"""Characters of an answer that are looked at. What is cut off would take long to parse and has never been an answer."""

MAX_TRIMS = 200
"""Times the end of unfinished code is cut off to make the rest parse."""

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}+|~{3,}+)[ \t]*+(?P<tag>[^\s`{]*+)[^`]*+$")
_PYTHON_TAGS = frozenset({"python", "py", "python3", "py3", "ipython", "ipython3"})
_CODE_START = re.compile(r"^(def |async def |class |import |from \w[\w.]* import |@\w)")
_INDENT = " " * 4
_SOME_FUNCTION = "def _():"


@dataclass(frozen=True, kw_only=True, slots=True)
class _CodeBlock:
    """A fenced block of an answer."""

    tag: str
    code: str
    closed: bool


def extract_code(answer: str) -> str:
    """The code of an answer, by these rules.

    1. Whatever precedes `</think>` is ignored.
    2. An answer that parses as a whole and defines something is code itself, fences in its docstrings included.
    3. Among fenced blocks those tagged as Python count; without any, untagged ones; without any, all. An unfinished
       fence runs to the end of the answer, less trailing lines that keep the rest from parsing.
    4. Of several blocks that count, those that define nothing (usage, output) are left out if another defines
       something, imports alone excepted; a block whose every definition comes again in a later block is an earlier
       version and is left out; the rest is joined in order. If none of them parses, the last one counts.
    5. Without fences: the whole answer if it parses, also as the body of a function whose first line may have lost
       its indentation; else from the first line that starts like code, less trailing lines that keep the rest from
       parsing; else the whole answer.

    Args:
        answer: Any text.

    Returns:
        Python source without a common indentation unless it is a function's body, ending in a newline unless empty.
    """
    text = answer[:MAX_ANSWER].replace("\r\n", "\n").replace("\r", "\n")
    if (after := text_after_thoughts(text)).strip():
        text = after
    blocks = _blocks(text)
    code = _chosen(blocks) if blocks and not _definitions(text) else _unfenced(text)
    code = code.strip("\n")
    return f"{code}\n" if code else ""


def complete(code: str, prelude: str) -> list[tuple[str, str]]:
    """The program that an answer's code makes with the given beginning, as (name, source) parts to run in order.

    A prelude begins a function if that comes last in it, alone or in a class, with no more than a docstring or imports
    for a body.

    Args:
        code: The answer's code.
        prelude: What the answer was asked to go on from, such as imports and the head of a function; may be empty.

    Returns:
        Where the prelude begins no function, or the code defines that function (or its class), the prelude and then the
        code. Else the prelude with the code as the function's body, indented as it takes; if it takes none, the two
        apart.
    """
    if not prelude.strip():
        return [("answer", code)]
    head = prelude if prelude.endswith("\n") else f"{prelude}\n"
    endings = ("", f"{_INDENT}pass\n", f"{_INDENT * 2}pass\n")
    whole = next((head + ending for ending in endings if _parses(head + ending)), head)
    begun = _begun(whole)
    if begun is not None and begun.name not in _definitions(code):
        for body in _as_body(code, _INDENT * begun.depth):
            if begun.grows(head + body):
                return [("answer", head + body)]
    return [("prelude", whole), ("answer", code)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _BegunFunction:
    """A function that a prelude begins and leaves to be completed."""

    name: str
    """Its own, or its class's."""
    depth: int
    """Levels by which its body is indented: 1, or 2 in a class."""
    position: tuple[int, ...]
    """Where it is: which statement of the module and, in a class, of that."""
    statements: int

    def grows(self, program: str) -> bool:
        """Return whether the function has more of a body in this program."""
        nodes: list[ast.stmt] = getattr(_tree(program), "body", [])
        for place in self.position:
            if place >= len(nodes):
                return False
            nodes = getattr(nodes[place], "body", [])
        return _length(nodes) > self.statements


def _begun(prelude: str) -> _BegunFunction | None:
    tree = _tree(prelude)
    nodes = tree.body if tree else []
    position = [len(nodes) - 1]
    last = outer = nodes[-1] if nodes else None
    if isinstance(last, ast.ClassDef):
        position.append(len(last.body) - 1)
        last = last.body[-1]
    if not isinstance(last, ast.FunctionDef | ast.AsyncFunctionDef) or any(map(_does_something, last.body)):
        return None
    name = outer.name if isinstance(outer, ast.ClassDef) else last.name
    return _BegunFunction(name=name, depth=len(position), position=tuple(position), statements=_length(last.body))


def _length(body: Sequence[ast.stmt]) -> int:
    return sum(not isinstance(node, ast.Pass) for node in body)


def _does_something(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    return not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _blocks(text: str) -> list[_CodeBlock]:
    blocks: list[_CodeBlock] = []
    lines = iter(text.split("\n"))
    for line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        fence, kept, closed = opening["fence"], list[str](), False
        for inner in lines:
            if _closes(inner, opening["indent"], fence):
                closed = True
                break
            kept.append(inner.removeprefix(opening["indent"]))
        code = "\n".join(kept)
        blocks.append(_CodeBlock(tag=opening["tag"].lower(), code=code if closed else _trimmed(code), closed=closed))
    return blocks


def _closes(line: str, indent: str, fence: str) -> bool:
    """Return whether a line ends the block. One that is four columns further in belongs to it, as in a docstring."""
    bare = line.strip()
    return (
        len(bare) >= len(fence)
        and set(bare) == {fence[0]}
        and len(line) - len(line.lstrip()) < len(indent) + len(_INDENT)
    )


def _chosen(blocks: Sequence[_CodeBlock]) -> str:
    tagged = [block.code for block in blocks if block.tag in _PYTHON_TAGS]
    bare = [block.code for block in blocks if not block.tag]
    codes = [code for code in tagged or bare or [block.code for block in blocks] if code.strip()]
    if len(codes) < 2:
        return codes[0] if codes else ""
    names = [_definitions(code) for code in codes]
    if not any(names):
        parsed = [code for code in codes if _parses(code) or _parses_as_body(code)]
        return (parsed or codes)[-1]
    kept: list[str] = []
    for index, code in enumerate(codes):
        again = set[str]().union(*names[index + 1 :])
        if (names[index] and not names[index] <= again) or (not names[index] and _only_imports(code)):
            kept.append(code.strip("\n"))
    return "\n\n".join(kept)


def _unfenced(text: str) -> str:
    if _parses(text) or _parses_as_body(text):
        return text
    restored = _INDENT + text.lstrip()
    if _parses_as_body(restored):
        return restored
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if _CODE_START.match(line):
            return _trimmed("\n".join(lines[index:]))
    trimmed = _trimmed(text)
    return trimmed if _parses_as_body(trimmed) else text


def _trimmed(code: str) -> str:
    """The code without the fewest trailing lines that let the rest parse; as it is where none do."""
    lines = code.rstrip().split("\n")
    head = [_SOME_FUNCTION] if _indented(code) else []
    count = len(lines)
    for _ in range(MAX_TRIMS):
        if count <= 0:
            break
        wrong = _wrong_line("\n".join([*head, *lines[:count]]))
        if wrong is None:
            return "\n".join(lines[:count])
        # Whatever is kept beyond that line is wrong in the same place.
        count = min(count, wrong - len(head)) - 1
    return code


def _wrong_line(code: str) -> int | None:
    """The line (from 1) a parser stumbles over, `None` if it does not."""
    try:
        _parse(code)
    except SyntaxError as error:
        return error.lineno or sys.maxsize
    except (ValueError, RecursionError, MemoryError):
        return sys.maxsize
    return None


def _parse(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _tree(code: str) -> ast.Module | None:
    try:
        return _parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parses(code: str) -> bool:
    return _tree(code) is not None


def _parses_as_body(code: str) -> bool:
    """Return whether indented code would do as the body of a function."""
    return _indented(code) and _parses(f"{_SOME_FUNCTION}\n{code}")


def _indented(code: str) -> bool:
    first = next((line for line in code.split("\n") if line.strip()), "")
    return first[:1] in (" ", "\t")


def _definitions(code: str) -> set[str]:
    """Names of the functions and classes at the top level."""
    tree = _tree(code)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)} if tree else set()


def _only_imports(code: str) -> bool:
    tree = _tree(code)
    return tree is not None and all(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)


def _as_body(code: str, indent: str) -> list[str]:
    """The code as it may follow a function's head: as it is; indented; or with the indentation its first line lost."""
    return [code, textwrap.indent(textwrap.dedent(code), indent), indent + code.lstrip()]
