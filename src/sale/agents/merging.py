"""Functions and classes handed in for a Python file, without the file around them: where each of them goes.

Whatever is not handed in stays as it is. Pure functions of text, in which every line ends in a line feed.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence

from sale.agents.tools.workspace.texts import TextEdit
from sale.errors import InputError

_TEST = "test_"
_FROM = re.compile(r"from ([\w.]+) import [\w, ]+$")
_NAMES = re.compile(r"^(?:async +def|def|class) +(\w+)", re.MULTILINE)
_IMPORT = re.compile(r"^(?:import|from)\b")

Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def merge(old: str, new: str, path: str) -> tuple[TextEdit, ...] | None:
    """Return what changes in a Python file by what is handed in for it; `None` where that is the whole file.

    It is the whole file if it defines all that the file defines, and repeats something of what else is in the file:
    its comments and statements or, where there are none, its imports. Otherwise functions, classes, methods and
    assignments replace those of their name, new ones are added, and imports that are missing are put at the top.

    Args:
        old: The file.
        new: What is handed in.
        path: The file's path, for error messages.

    Raises:
        InputError: What is handed in is not Python, or is a part of a file that cannot be taken apart.
    """
    before, after = parse_module(old), parse_module(new)
    if before is None:
        if set(_NAMES.findall(old)) <= set(_NAMES.findall(new)):
            return None
        raise InputError(
            f"{path} is not Python that can be taken apart, and what is handed in is a part of it",
            hint="Hand in the whole file, or the lines to be replaced.",
        )
    if after is None:
        raise InputError(f"what is handed in for {path} is not Python")
    theirs, ours = _defined(before.body), _defined(after.body)
    if _is_whole(before.body, after.body, old.split("\n"), new.split("\n")):
        return None
    if ours and all(name.startswith(_TEST) for name in ours) and not any(name.startswith(_TEST) for name in theirs):
        return ()  # a usage example, not a change
    return _checked(old, _Merge(old, new).module(before, after), path)


def without_itself(new: str, path: str) -> str:
    """Return a Python file without imports of itself: small models copy them from the tests they are shown."""
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    lines = new.split("\n")
    own = [line for line in lines if (found := _FROM.match(line)) and f".{module}".endswith(f".{found[1]}")]
    return "\n".join(line for line in lines if line not in own).lstrip("\n") if own else new


def parse_module(source: str) -> ast.Module | None:
    """Return the syntax tree of a Python file; `None` where it is not Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def defined_names(source: str) -> frozenset[str]:
    """Return the names of all functions and classes of a Python file, methods included."""
    module = parse_module(source)
    nodes = [] if module is None else [node for node in ast.walk(module) if isinstance(node, Defined)]
    return frozenset(node.name for node in nodes)


def _is_whole(before: Sequence[ast.stmt], after: Sequence[ast.stmt], old: Sequence[str], new: Sequence[str]) -> bool:
    """Return whether a body replaces all of another one; their lines begin and end where the files do."""
    theirs, ours = _defined(before), _defined(after)
    if not theirs and not ours:
        there = _assignments(before)
        return not (len(after) < len(before) and set(_assignments(after)) <= set(there) and _only_assigns(after))
    if not ours or not set(theirs) <= set(ours):
        return False
    inside = {number for node in theirs.values() for number in range(_first(node), (node.end_lineno or 0) + 1)}
    outside = [line.strip() for number, line in enumerate(old, 1) if number not in inside and line.strip()]
    basis = [line for line in outside if not _IMPORT.match(line)] or outside
    given = {line.strip() for line in new}
    imports = [line for line in outside if _IMPORT.match(line)]
    if (names := set(_assignments(before))) and names <= set(_assignments(after)):
        basis = imports  # all of its statements are there, though none may be as it was
    return not basis or any(line in given for line in basis)


def _only_assigns(body: Sequence[ast.stmt]) -> bool:
    return all(isinstance(node, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom) for node in body)


class _Merge:
    """The changes of one file by what is handed in for it."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new
        self._old_lines, self._new_lines = old.split("\n"), new.split("\n")
        self._starts = [0]
        for line in self._old_lines:
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._spans: list[TextEdit] = []

    def module(self, before: ast.Module, after: ast.Module) -> tuple[TextEdit, ...]:
        theirs = _defined(before.body)
        fresh: list[str] = []
        for name, node in _defined(after.body).items():
            place = theirs.get(name) or _method(before, node)
            if place is None:
                fresh.append(self._given(node))
            else:
                self._replace(place, node)
        needed = _missing(before, after, self._old, self._new)
        needed += self._assigned(before, after)
        if needed:
            self._insert(_top(before, self._old_lines), "".join(f"{line}\n" for line in needed))
        if fresh:
            end = len(self._old.rstrip("\n"))
            self._spans.append(TextEdit(end, end, "".join(f"\n\n\n{text}" for text in fresh)))
        return tuple(self._spans)

    def _replace(self, place: Defined, node: Defined) -> None:
        if isinstance(place, ast.ClassDef) and isinstance(node, ast.ClassDef) and not self._is_whole(place, node):
            self._members(place, node)
            return
        indent = _indent(self._old_lines[place.lineno - 1])
        self._lines(_first(place), place.end_lineno or 0, _moved(self._given(node), indent))

    def _is_whole(self, place: ast.ClassDef, node: ast.ClassDef) -> bool:
        """Return whether a class that is handed in replaces all of the present one; its head does not count."""
        old, new = (
            [*[""] * (_first(one.body[0]) - 1), *lines[_first(one.body[0]) - 1 : one.end_lineno]]
            for lines, one in ((self._old_lines, place), (self._new_lines, node))
        )
        return _is_whole(place.body, node.body, old, new)

    def _members(self, place: ast.ClassDef, node: ast.ClassDef) -> None:
        """Put the methods of a class into the class that is there, which keeps its others."""
        theirs = _defined(place.body)
        indent = _indent(self._old_lines[place.body[-1].lineno - 1])
        fresh: list[str] = []
        for name, one in _defined(node.body).items():
            if name in theirs:
                self._replace(theirs[name], one)
            else:
                fresh.append(_moved(self._given(one), indent))
        if fresh:
            end = self._starts[place.end_lineno or 0] - 1
            self._spans.append(TextEdit(end, end, "".join(f"\n\n{text}" for text in fresh)))

    def _assigned(self, before: ast.Module, after: ast.Module) -> list[str]:
        """Replace assignments of the module; return those of names that are new."""
        theirs = _assignments(before.body)
        added: list[str] = []
        for name, nodes in _assignments(after.body).items():
            text = "\n".join(self._new_lines[nodes[-1].lineno - 1 : nodes[-1].end_lineno])
            there = theirs.get(name, [])
            if len(there) == 1:
                self._lines(there[0].lineno, there[0].end_lineno or 0, text)
            elif not there:
                added.append(text)
        return added

    def _given(self, node: Defined) -> str:
        return "\n".join(self._new_lines[_first(node) - 1 : node.end_lineno])

    def _lines(self, first: int, last: int, new: str) -> None:
        self._spans.append(TextEdit(self._starts[first - 1], self._starts[last] - 1, new))

    def _insert(self, line: int, new: str) -> None:
        """Put whole lines after a line."""
        at = min(self._starts[line], len(self._old))
        apart = "\n" if at == len(self._old) and self._old and not self._old.endswith("\n") else ""
        self._spans.append(TextEdit(at, at, f"{apart}{new.removesuffix(apart)}"))


def _checked(old: str, spans: tuple[TextEdit, ...], path: str) -> tuple[TextEdit, ...]:
    """The changes, where the file is still Python with them."""
    text = old
    for span in sorted(spans, key=lambda one: (one.start, one.end), reverse=True):
        text = f"{text[: span.start]}{span.new}{text[span.end :]}"
    if parse_module(text) is None:
        raise InputError(
            f"what is handed in does not fit into {path}", hint="Hand in the whole file, or the lines to be replaced."
        )
    return spans


def _defined(body: Sequence[ast.stmt]) -> dict[str, Defined]:
    return {node.name: node for node in body if isinstance(node, Defined)}


def _method(module: ast.Module, given: Defined) -> Defined | None:
    """The one method of the name of a function, where there is just one and it begins with the same argument."""
    classes = [one for one in module.body if isinstance(one, ast.ClassDef)]
    found = [node for one in classes for node in one.body if isinstance(node, Defined) and node.name == given.name]
    return found[0] if len(found) == 1 and _first_argument(found[0]) == _first_argument(given) else None


def _first_argument(node: Defined) -> str | None:
    if isinstance(node, ast.ClassDef):
        return None
    arguments = [*node.args.posonlyargs, *node.args.args]
    return arguments[0].arg if arguments else None


def _assignments(body: Sequence[ast.stmt]) -> Mapping[str, list[ast.stmt]]:
    """The assignments of a body to one name each, on lines of their own, by that name."""
    found: dict[str, list[ast.stmt]] = {}
    for before, node, after in zip([None, *body], body, [*body[1:], None], strict=False):
        beside = (before is not None and before.end_lineno == node.lineno) or (
            after is not None and after.lineno == node.end_lineno
        )
        if (name := _assigned_name(node)) is not None and not beside:
            found.setdefault(name, []).append(node)
    return found


def _assigned_name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def _missing(before: ast.Module, after: ast.Module, old: str, new: str) -> list[str]:
    """The imports of one file that another does not have, those from the future first."""
    there = set(_imports(before, old))
    found = dict.fromkeys(one for one in _imports(after, new) if one not in there)
    return sorted(found, key=lambda one: not one.startswith("from __future__"))


def _imports(module: ast.Module, source: str) -> list[str]:
    found = [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [segment for node in found if (segment := ast.get_source_segment(source, node))]


def _top(module: ast.Module, lines: Sequence[str]) -> int:
    """The last line of what has to come first: comments, the docstring, and imports from the future."""
    at = 0
    while at < len(lines) and lines[at].startswith("#"):
        at += 1
    for index, node in enumerate(module.body):
        docstring = index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        at = node.end_lineno or at
    return at


def _first(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, Defined) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _moved(text: str, indent: str) -> str:
    """Lines of code, moved to stand at another indentation; as they are where they stand there already."""
    if _indent(text) == indent:
        return text
    return textwrap.indent(textwrap.dedent(text), indent)
