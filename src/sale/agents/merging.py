"""Functions and classes handed in for a Python file, without the file around them: where each of them goes.

Whatever is not handed in stays as it is. Pure functions of text, in which every line ends in a line feed.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from sale.agents.definitions import (
    Counterpart,
    Defined,
    assigned_name,
    assignments,
    covers,
    definitions,
    find_counterpart,
    first_line,
    lacks_names,
    loose_statements,
    parse_module,
    repeats_most,
)
from sale.agents.tools.workspace.texts import TextEdit
from sale.errors import InputError

_TEST = "test_"
_FROM = re.compile(r"from ([\w.]+) import ([\w, ]+)$")
_NAMES = re.compile(r"^[ \t]*(?:async +def|def|class) +(\w+)", re.MULTILINE)
_BOUND = re.compile(r"^(?:[ \t]*(?:async +def|def|class) +(\w+)|(\w+) *[:=])", re.MULTILINE)
_IMPORT = re.compile(r"^(?:import|from)\b")
_HINT = "Hand in the whole file, or the lines to be replaced."


def merge(old: str, new: str, path: str) -> tuple[TextEdit, ...] | None:
    """Return what changes in a Python file by what is handed in for it; `None` where that is the whole file.

    It is the whole file if it defines all that the file defines, members of its classes included, and repeats something
    of what else is in the file: its comments and statements or, where there are none, its imports. If it assigns only
    to some of the file's names, it has to repeat most of its statements. Otherwise functions, classes, methods,
    attributes and assignments replace those of their name, new ones are added, and imports that are missing are put at
    the top.

    Args:
        old: The file.
        new: What is handed in.
        path: The file's path, for error messages.

    Raises:
        InputError: What is handed in is not Python, or is a part of a file that cannot be taken apart, or it is not
            clear which part.
    """
    before, after = parse_module(old), parse_module(new)
    if before is None:
        if not Counter[str](_NAMES.findall(old)) - Counter[str](_NAMES.findall(new)):
            return None
        raise InputError(
            f"{path} is not Python that can be taken apart, and what is handed in is a part of it", hint=_HINT
        )
    if after is None:
        raise InputError(f"what is handed in for {path} is not Python")
    if _is_whole(before.body, after.body, old.split("\n"), new.split("\n")):
        return None
    theirs, ours = ([node.name for node in definitions(one.body)] for one in (before, after))
    if ours and all(name.startswith(_TEST) for name in ours) and not any(name.startswith(_TEST) for name in theirs):
        return ()  # a usage example, not a change
    return _checked(old, _Merge(old, new, path).module(before, after), path)


def without_itself(new: str, path: str, old: str = "") -> str:
    """Return a Python file without imports of itself: small models copy them from the tests they are shown.

    Args:
        new: What is handed in.
        path: The file's path.
        old: The file as it is; what it imports already is from another module of its name.
    """
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    there = set(old.split("\n"))
    bound = {name for text in (old, new) for found in _BOUND.findall(text) for name in found}

    def is_own(line: str) -> bool:
        found = _FROM.match(line)
        if found is None or line in there or not f".{module}".endswith(f".{found[1]}"):
            return False
        if module == found[1]:
            return True
        return found[1] not in sys.stdlib_module_names and not bound.isdisjoint(re.findall(r"\w+", found[2]))

    lines = new.split("\n")
    own = [line for line in lines if is_own(line)]
    return "\n".join(line for line in lines if line not in own).lstrip("\n") if own else new


def _is_whole(before: Sequence[ast.stmt], after: Sequence[ast.stmt], old: Sequence[str], new: Sequence[str]) -> bool:
    """Return whether a body replaces all of another one; their lines begin and end where the files do."""
    theirs, ours = definitions(before), definitions(after)
    if not theirs and not ours:
        there, given = set(assignments(before)), set(assignments(after))
        is_part = (given <= there or given.isdisjoint(there)) and not repeats_most(after, before)
        return not (len(after) < len(before) and is_part and _only_assigns(after))
    if not ours or not covers(after, before) or lacks_names(after, before):
        return False
    inside = {number for node in theirs for number in range(first_line(node), (node.end_lineno or 0) + 1)}
    outside = [line.strip() for number, line in enumerate(old, 1) if number not in inside and line.strip()]
    basis = [line for line in outside if not _IMPORT.match(line)] or outside
    lines = {line.strip() for line in new}
    imports = [line for line in outside if _IMPORT.match(line)]
    if (names := set(assignments(before))) and names <= set(assignments(after)):
        basis = imports  # all of its statements are there, though none may be as it was
    return not basis or any(line in lines for line in basis)


def _only_assigns(body: Sequence[ast.stmt]) -> bool:
    return all(isinstance(node, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom) for node in body)


class _Merge:
    """The changes of one file by what is handed in for it."""

    def __init__(self, old: str, new: str, path: str) -> None:
        self._old, self._new, self._path = old, new, path
        self._old_lines, self._new_lines = old.split("\n"), new.split("\n")
        self._starts = [0]
        for line in self._old_lines:
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._spans: list[TextEdit] = []
        self._added: dict[int, list[str]] = {}
        """The texts put in, by where they go, in order."""
        self._taken: list[Defined] = []

    def module(self, before: ast.Module, after: ast.Module) -> tuple[TextEdit, ...]:
        self._check_loose(before.body, after.body)
        given = definitions(after.body)
        fresh = [self._given(node) for node in given if not self._put(node, self._counterpart(before, node, given))]
        top = _top(before, self._old_lines)
        first = _missing(before, after, self._old, self._new)
        anchors: dict[str, int | None] = {}
        for node, text in self._assigned(before.body, after.body):
            anchor = anchors[assigned_name(node) or ""] = self._anchor(before, node, given, top, anchors)
            if anchor is None:
                fresh.append(text)
            elif anchor <= top:
                first.append(text)
            else:
                self._add_after(anchor, f"\n{text}")
        if first:
            self._insert(top, "".join(f"{line}\n" for line in first))
        if fresh:
            self._add(len(self._old.rstrip("\n")), "".join(f"\n\n\n{text}" for text in fresh))
        return (*self._spans, *(TextEdit(at, at, "".join(texts)) for at, texts in self._added.items()))

    def _counterpart(self, module: ast.Module, node: Defined, given: Sequence[Defined]) -> Counterpart:
        """Return the place of a definition: in the module, or in the one class that has a method like it."""
        there = definitions(module.body)
        if isinstance(node, ast.ClassDef) or any(one.name == node.name for one in there):
            return find_counterpart(node, there, given, self._path)
        classes = [one for one in there if isinstance(one, ast.ClassDef)]
        owners = [one for one in classes if any(_is_like(node, method) for method in definitions(one.body))]
        if len(owners) == 1:
            return find_counterpart(node, definitions(owners[0].body), given, self._path)
        if owners and _first_argument(node) in {"self", "cls"}:
            raise InputError(
                f"it is not clear to which class of {self._path} {node.name!r} belongs",
                hint="Hand it in within its class.",
            )
        return Counterpart()

    def _put(self, node: Defined, place: Counterpart) -> bool:
        """Put a definition where its counterpart is, if there is one."""
        if place.replaced is not None:
            if place.replaced in self._taken:
                raise InputError(f"{node.name!r} of {self._path} is handed in more than once", hint=_HINT)
            self._taken.append(place.replaced)
            self._replace(place.replaced, node)
        elif place.after is not None:
            indent = _indent(self._old_lines[place.after.lineno - 1])
            gap = "\n\n" if indent else "\n\n\n"
            self._add_after(place.after.end_lineno or 0, f"{gap}{_moved(self._given(node), indent)}")
        return place != Counterpart()

    def _replace(self, place: Defined, node: Defined) -> None:
        if isinstance(place, ast.ClassDef) and isinstance(node, ast.ClassDef) and not self._is_whole(place, node):
            self._members(place, node)
            return
        indent = _indent(self._old_lines[place.lineno - 1])
        bare = not node.decorator_list and _first_argument(node) == _first_argument(place)
        first = place.lineno if bare else first_line(place)  # without any, the decorators that are there stay
        self._lines(first, place.end_lineno or 0, _moved(self._given(node), indent))

    def _is_whole(self, place: ast.ClassDef, node: ast.ClassDef) -> bool:
        """Return whether a class that is handed in replaces all of the present one; its head does not count."""
        if place.body[0].lineno == place.lineno and all(_is_nothing(one) for one in place.body):
            return True
        old, new = (
            [*[""] * (first_line(one.body[0]) - 1), *lines[first_line(one.body[0]) - 1 : one.end_lineno]]
            for lines, one in ((self._old_lines, place), (self._new_lines, node))
        )
        return not lacks_names(node.body, place.body) and _is_whole(place.body, node.body, old, new)

    def _members(self, place: ast.ClassDef, node: ast.ClassDef) -> None:
        """Put the members of a class into the class that is there, which keeps its others."""
        for one in (place, node):
            if one.body[0].lineno == one.lineno:
                raise InputError(f"class {place.name!r} of {self._path} is on one line", hint=_HINT)
        self._check_loose(place.body, node.body)
        indent = _indent(self._old_lines[place.body[-1].lineno - 1])
        there, given = definitions(place.body), definitions(node.body)
        methods = [one for one in given if not self._put(one, find_counterpart(one, there, given, self._path))]
        added = [_moved(text, indent) for _, text in self._assigned(place.body, node.body, indent)]
        if added:
            self._add_attributes(place, added)
        texts = [_moved(self._given(one), indent) for one in methods]
        if texts:
            self._add_after(place.end_lineno or 0, "".join(f"\n\n{text}" for text in texts))

    def _check_loose(self, before: Sequence[ast.stmt], after: Sequence[ast.stmt]) -> None:
        """Refuse statements in place of others: where they would go cannot be told, and they would be lost."""
        there, given = loose_statements(before), loose_statements(after)
        lost = next(iter(given - there), "").partition("\n")[0]
        if lost and there - given:
            raise InputError(f"it is not clear where {lost!r} goes in {self._path}", hint=_HINT)

    def _add_attributes(self, place: ast.ClassDef, texts: Sequence[str]) -> None:
        """Put attributes after those of a class, before its methods."""
        at = next((index for index, one in enumerate(place.body) if isinstance(one, Defined)), len(place.body))
        lines = "".join(f"\n{text}" for text in texts)
        if at == 0:
            line = first_line(place.body[0]) - 1
            while self._old_lines[line - 1].lstrip().startswith("#"):
                line -= 1
            self._add_after(line, f"{lines}\n")
            return
        last = place.body[at - 1]
        is_docstring = isinstance(last, ast.Expr) and len(place.body) > 1
        self._add_after(last.end_lineno or 0, f"\n{lines}" if is_docstring else lines)

    def _assigned(
        self, before: Sequence[ast.stmt], after: Sequence[ast.stmt], indent: str = ""
    ) -> list[tuple[ast.stmt, str]]:
        """Replace assignments of a body; return those of names that are new."""
        theirs = assignments(before)
        added: list[tuple[ast.stmt, str]] = []
        for name, nodes in assignments(after).items():
            text = self._text(self._new_lines, nodes[-1])
            there = theirs.get(name, [])
            if len(there) == 1:
                self._lines(there[0].lineno, there[0].end_lineno or 0, _moved(text, indent))
            elif not there:
                added.append((nodes[-1], text))
            elif not any(ast.unparse(one) == ast.unparse(nodes[-1]) for one in there):
                raise InputError(f"{name!r} is assigned to {len(there)} times in {self._path}", hint=_HINT)
        return added

    @staticmethod
    def _anchor(
        module: ast.Module, node: ast.stmt, given: Sequence[Defined], top: int, anchors: Mapping[str, int | None]
    ) -> int | None:
        """The line after which a new assignment goes: that of the last import, or of what it needs; `None`: the end."""
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
        needed = [anchors[name] for name in used & set(anchors)]
        if None in needed or not used.isdisjoint({one.name for one in given} - _names(module)):
            return None
        found, begins = max([top, *(line for line in needed if line is not None)]), True
        for one in module.body:
            begins = begins and not isinstance(one, Defined)
            name = one.name if isinstance(one, Defined) else assigned_name(one)
            imports = begins and any(isinstance(part, ast.Import | ast.ImportFrom) for part in ast.walk(one))
            if imports or name in used:
                found = max(found, one.end_lineno or 0)
        return found

    def _given(self, node: Defined) -> str:
        return "\n".join(self._new_lines[first_line(node) - 1 : node.end_lineno])

    @staticmethod
    def _text(lines: Sequence[str], node: ast.stmt) -> str:
        return "\n".join(lines[node.lineno - 1 : node.end_lineno])

    def _lines(self, first: int, last: int, new: str) -> None:
        self._spans.append(TextEdit(self._starts[first - 1], self._starts[last] - 1, new))

    def _add(self, at: int, text: str) -> None:
        self._added.setdefault(at, []).append(text)

    def _add_after(self, line: int, text: str) -> None:
        """Put text at the end of a line, from 1."""
        self._add(self._starts[line] - 1, text)

    def _insert(self, line: int, new: str) -> None:
        """Put whole lines after a line."""
        at = min(self._starts[line], len(self._old))
        apart = "\n" if at == len(self._old) and self._old and not self._old.endswith("\n") else ""
        self._add(at, f"{apart}{new.removesuffix(apart)}")


def _checked(old: str, spans: tuple[TextEdit, ...], path: str) -> tuple[TextEdit, ...]:
    """The changes, where the file is still Python with them."""
    text = old
    for span in sorted(spans, key=lambda one: (one.start, one.end), reverse=True):
        text = f"{text[: span.start]}{span.new}{text[span.end :]}"
    if parse_module(text) is None:
        raise InputError(f"what is handed in does not fit into {path}", hint=_HINT)
    return spans


def _names(module: ast.Module) -> set[str]:
    return {one.name for one in definitions(module.body)}


def _is_like(given: Defined, method: Defined) -> bool:
    return given.name == method.name and _first_argument(given) == _first_argument(method)


def _is_nothing(node: ast.stmt) -> bool:
    """Return whether a statement only fills the place of others."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node.value.value is ...
    return isinstance(node, ast.Pass)


def _first_argument(node: Defined) -> str | None:
    if isinstance(node, ast.ClassDef):
        return None
    arguments = [*node.args.posonlyargs, *node.args.args]
    return arguments[0].arg if arguments else None


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


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _moved(text: str, indent: str) -> str:
    """Lines of code, moved to stand at another indentation; as they are where they stand there already."""
    if _indent(text) == indent:
        return text
    return textwrap.indent(textwrap.dedent(text), indent)
