"""The functions, classes and assignments of Python code, and which of those handed in stands for which of a file's.

Definitions may share a name: a property and its setter, handlers of a generic function, overloads. They are told apart
by their decorators and annotations; where one handed in could stand for several, it stands for none.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sale.errors import InputError

Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_ACCESSORS = frozenset({"setter", "getter", "deleter"})
_OVERLOAD = "overload"
_UNNAMED = "_"


@dataclass(frozen=True, slots=True)
class Counterpart:
    """The place of a definition handed in: that of one that is there, or a new one, which may be after another."""

    replaced: Defined | None = None
    after: Defined | None = None


def parse_module(source: str) -> ast.Module | None:
    """Return the syntax tree of a Python file; `None` where it is not Python."""
    found = _parse(source)
    return found if isinstance(found, ast.Module) else None


def is_indented(source: str) -> bool:
    """Return False where lines of a Python file go back to an indentation that none before them has."""
    found = _parse(source)
    return not (isinstance(found, TabError) or (isinstance(found, IndentationError) and "unindent" in found.msg))


def _parse(source: str) -> ast.Module | Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return error


def defined_names(source: str) -> frozenset[str]:
    """Return the names of all functions and classes of a Python file, methods included."""
    module = parse_module(source)
    nodes = [] if module is None else [node for node in ast.walk(module) if isinstance(node, Defined)]
    return frozenset(node.name for node in nodes)


def definitions(body: Sequence[ast.stmt]) -> list[Defined]:
    """Return the functions and classes of a body, in order."""
    return [node for node in body if isinstance(node, Defined)]


def assignments(body: Sequence[ast.stmt]) -> Mapping[str, list[ast.stmt]]:
    """Return the assignments of a body to one name each, on lines of their own, by that name."""
    found: dict[str, list[ast.stmt]] = {}
    for before, node, after in zip([None, *body], body, [*body[1:], None], strict=False):
        beside = (before is not None and before.end_lineno == node.lineno) or (
            after is not None and after.lineno == node.end_lineno
        )
        if (name := assigned_name(node)) is not None and not beside:
            found.setdefault(name, []).append(node)
    return found


def assigned_name(node: ast.stmt) -> str | None:
    """Return the one name that a statement assigns to, if it is one that does."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


def first_line(node: ast.stmt) -> int:
    """Return the line a statement begins at, from 1; with its decorators."""
    decorators = node.decorator_list if isinstance(node, Defined) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def find_counterpart(node: Defined, there: Sequence[Defined], given: Sequence[Defined], path: str) -> Counterpart:
    """Return what a definition handed in stands for.

    Args:
        node: It.
        there: The definitions of the body it is for.
        given: Those handed in beside it, and itself.
        path: The file's path, for error messages.

    Raises:
        InputError: There are several of its name, and it is not clear which is meant.
    """
    there = [one for one in there if one.name == node.name]
    given = [one for one in given if one.name == node.name]
    if not there:
        return Counterpart()
    kind = _kind(node)
    same_kind = [one for one in there if _kind(one) == kind]
    if len(same_kind) == 1 == sum(_kind(one) == kind for one in given) and node.name != _UNNAMED:
        return Counterpart(replaced=same_kind[0])
    alike = [one for one in there if _role(one) == _role(node)]
    mine = [one for one in given if _role(one) == _role(node)]
    if alike and len(alike) == len(mine):
        return Counterpart(replaced=alike[mine.index(node)])
    if len(mine) == 1 and not alike and (node.name == _UNNAMED or (kind in _ACCESSORS and not same_kind)):
        return Counterpart(after=there[-1])
    raise InputError(
        f"it is not clear which {node.name!r} of {path} is meant",
        hint="Hand in the whole file, or the lines to be replaced.",
    )


def covers(ours: Sequence[ast.stmt], theirs: Sequence[ast.stmt]) -> bool:
    """Return whether one body defines all that another one does, members of classes included."""
    given, there = definitions(ours), definitions(theirs)
    if Counter((one.name, _kind(one)) for one in there) - Counter((one.name, _kind(one)) for one in given):
        return False
    classes = {one.name: one for one in given if isinstance(one, ast.ClassDef)}
    pairs = [(classes.get(one.name), one) for one in there if isinstance(one, ast.ClassDef)]
    return all(
        one is None or (covers(one.body, other.body) and not lacks_names(one.body, other.body)) for one, other in pairs
    )


def lacks_names(ours: Sequence[ast.stmt], theirs: Sequence[ast.stmt]) -> bool:
    """Return whether a body is a part of another one by its assignments: to some of its names, or to new ones alone.

    Where it assigns to some and to new ones, the new ones may be the others by another name. Where it repeats most of
    the other's statements, it is not a part: the names that it lacks are taken out.
    """
    given, there = set(assignments(ours)), set(assignments(theirs))
    return (given < there or (bool(there) and given.isdisjoint(there))) and not repeats_most(ours, theirs)


def repeats_most(ours: Sequence[ast.stmt], theirs: Sequence[ast.stmt]) -> bool:
    """Return whether a body repeats more than half of another one's statements, or half and not assignments alone.

    Definitions and imports do not count: parts repeat them too.
    """
    named = {ast.unparse(node) for nodes in assignments(theirs).values() for node in nodes}
    mine, basis = (
        [ast.unparse(node) for node in body if not isinstance(node, Defined | ast.Import | ast.ImportFrom)]
        for body in (ours, theirs)
    )
    found = [one for one in basis if one in mine]
    return 2 * len(found) + any(one not in named for one in found) > len(basis)


def loose_statements(body: Sequence[ast.stmt]) -> Counter[str]:
    """Return the statements of a body that have no name to be found by: no definitions, imports or assignments."""
    named = {id(node) for nodes in assignments(body).values() for node in nodes}
    return Counter(
        ast.unparse(node)
        for node in body
        if not isinstance(node, Defined | ast.Import | ast.ImportFrom | ast.Pass)
        and id(node) not in named
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    )


def _kind(node: Defined) -> str:
    """The part of a definition beside others of its name: an accessor of a property, an overload, or none."""
    for decorator in node.decorator_list:
        name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
        if name == _OVERLOAD or (isinstance(decorator, ast.Attribute) and name in _ACCESSORS):
            return name
    return ""


def _role(node: Defined) -> tuple[str, ...]:
    decorators = tuple(ast.unparse(one) for one in node.decorator_list)
    if isinstance(node, ast.ClassDef) or not (node.name == _UNNAMED or _kind(node) == _OVERLOAD):
        return decorators
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return (*decorators, *(ast.unparse(one.annotation) if one.annotation else "" for one in arguments))
