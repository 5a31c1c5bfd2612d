"""The program that tries a task's examples on an answer's code, inside a sandbox. Given to it as text, never imported.

It runs as the tests of `code_tests`, in a module of its own, so that no name of the answer stands in its way.
"""

import ast
import contextlib
import importlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any

CLOSE = 1e-6
"""Largest difference of a number from the one an example shows, relative and absolute."""
GOT_CHARACTERS = 200


def same(expected: Any, got: Any) -> bool:  # noqa: ANN401  a tree of anything
    """Equality, with room for rounding in numbers however deep; a list does not equal a tuple."""
    if _both(int | float, expected, got):
        return bool(expected == got or math.isclose(expected, got, rel_tol=CLOSE, abs_tol=CLOSE))
    if _both(list, expected, got) or _both(tuple, expected, got):
        return len(expected) == len(got) and all(map(same, expected, got))
    if _both(dict, expected, got):
        return bool(expected.keys() == got.keys()) and all(same(expected[key], got[key]) for key in expected)
    return bool(expected == got)


def _both(kind: type | UnionType, *values: object) -> bool:
    return all(isinstance(value, kind) for value in values)


def evaluate(code: str, scope: dict[str, object]) -> object:
    """The value of an expression; `None` for a statement."""
    try:
        expression = compile(code, "example", "eval", dont_inherit=True)
    except SyntaxError:
        exec(compile(code, "example", "exec", dont_inherit=True), scope)  # noqa: S102  in the sandbox
        return None
    return eval(expression, scope)  # noqa: S307  in the sandbox


def brief(value: object) -> str:
    """A value as it is shown, cut short."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  somebody else's class
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"
    return text if len(text) <= GOT_CHARACTERS else f"{text[:GOT_CHARACTERS]}…"


def shown(code: str, expected: str, scope: dict[str, object]) -> tuple[bool, str]:
    """Return whether an interactive session would show this: as text, or as a value written another way."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        value = evaluate(code, scope)
    try:
        wanted: object = ast.literal_eval(expected) if expected else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    else:
        if (value is not None or not printed.getvalue()) and same(wanted, value):
            return True, ""
    text = printed.getvalue() + ("" if value is None else repr(value))
    words = " ".join(text.split())
    parts = [re.escape(" ".join(part.split())) for part in expected.split("...")]
    if re.fullmatch(r"\s*.*\s*".join(parts), words, re.DOTALL):
        return True, ""
    if printed.getvalue() and value is None:
        return False, f"printed {brief(printed.getvalue())}"
    return False, f"got {brief(value)}"


def raised(code: str, expected: str, scope: dict[str, object]) -> tuple[bool, str]:
    """Return whether it raises the expected exception: by name and, where one is given, by message."""
    try:
        value = evaluate(code, scope)
    except Exception as error:  # noqa: BLE001  it is what is looked for
        kind, _, message = expected.partition(":")
        name = kind.strip().rpartition(".")[2]
        known = name in {base.__name__ for base in type(error).__mro__}
        wanted, said = message.split(), str(error).split()
        return known and wanted in ([], ["..."], said), f"raised {complaint(error)}"
    return False, f"got {brief(value)}"


def complaint(error: BaseException) -> str:
    """An exception in a line."""
    try:
        return f"{type(error).__name__}: {error}".removesuffix(": ")[:GOT_CHARACTERS]
    except Exception:  # noqa: BLE001  somebody else's class
        return type(error).__name__


def holds(way: str, code: str, expected: str, scope: dict[str, object]) -> tuple[bool, str]:
    """Return whether one example holds, and what happened if not."""
    match way:
        case "equals":
            value = evaluate(code, scope)
            return bool(value == evaluate(expected, scope)), f"got {brief(value)}"
        case "true":
            good = bool(evaluate(code, scope))
            return good, "" if good else f"{expected} gave {brief(evaluate(expected, scope))}"
        case "raises":
            return raised(code, expected, scope)
        case "shows":
            return shown(code, expected, scope)
        case _:
            evaluate(code, scope)
            return True, ""


def try_all(examples: Sequence[tuple[str, str, str]], modules: Sequence[str], namespace: Mapping[str, object]) -> None:
    """Try all examples, in order.

    Args:
        examples: Triples of a way of checking, Python, and what is expected of it.
        modules: Of the standard library, that they use.
        namespace: The answer's.

    Raises:
        AssertionError: Some do not hold: how many do, the number of the first that does not, and what happened there.
    """
    scope: dict[str, object] = {name: importlib.import_module(name) for name in modules}
    scope |= namespace
    passed, first = 0, ""
    for number, (way, code, expected) in enumerate(examples):
        try:
            good, happened = holds(way, code, expected, scope)
        except BaseException as error:  # noqa: BLE001  the answer's code may end in any way
            good, happened = False, f"raised {complaint(error)}"
        passed += good and way != "runs"
        if not good and not first:
            first = f"{number} {happened}"
    if first:
        raise AssertionError(f"{passed} {first}")
