"""One tree of errors, each with everything a person and a program need."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from sale import errors
from sale.errors import SaleError, first_error, leaves_of, retrieve_error

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SaleError)]
DRAWN = {
    name: len(indent) // 4
    for indent, name in re.findall(r"^    ([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
}


def sent(value: object) -> object:
    """To another process and back."""
    return pickle.loads(pickle.dumps(value))


def error(kind: type[SaleError]) -> SaleError:
    return kind("what 'was' wrong", where="sale.toml", hint="Do this.")


@pytest.mark.parametrize("kind", KINDS)
class TestEveryError:
    def test_carries_what_where_and_what_to_do(self, kind: type[SaleError]) -> None:
        made = error(kind)
        assert (made.message, made.where, made.hint) == ("what 'was' wrong", "sale.toml", "Do this.")
        assert str(made) == "sale.toml: what 'was' wrong. Do this."
        assert made.args == ("what 'was' wrong",)

    def test_may_leave_out_where_and_hint(self, kind: type[SaleError]) -> None:
        made = kind("wrong")
        assert (made.where, made.hint, str(made)) == ("", "", "wrong")

    @pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, sent])
    def test_survives_being_copied_and_sent(self, kind: type[SaleError], way: Callable[[Any], Any]) -> None:
        made = error(kind)
        again = way(made)
        assert type(again) is kind
        assert (again.message, again.where, again.hint) == (made.message, made.where, made.hint)
        assert str(again) == str(made)

    def test_says_what_it_is_for(self, kind: type[SaleError]) -> None:
        assert kind.__doc__

    def test_has_a_code_below_its_parents(self, kind: type[SaleError]) -> None:
        parent = kind.__mro__[1]
        if kind is SaleError:
            assert kind.code == "sale"
        elif parent is SaleError:
            assert re.fullmatch(r"[a-z_]+", kind.code)
        else:
            assert re.fullmatch(re.escape(parent.code) + r"\.[a-z_]+", kind.code)

    def test_is_drawn_in_its_place_in_the_tree(self, kind: type[SaleError]) -> None:
        assert DRAWN[kind.__name__] == len(kind.__mro__) - len(SaleError.__mro__)


def test_the_drawing_holds_nothing_else() -> None:
    assert set(DRAWN) == {kind.__name__ for kind in KINDS}


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)


def test_what_may_be_tried_again_is_as_drawn() -> None:
    drawn = set(re.findall(r"(\w+Error)\b[^\n]*\(retryable\)", errors.__doc__ or ""))
    assert {kind.__name__ for kind in KINDS if kind.retryable} == drawn


def test_of_a_group_the_first_error_counts_however_deep_it_lies() -> None:
    one, two, three = ValueError("1"), KeyError("2"), SaleError("3")
    group = BaseExceptionGroup("all", [BaseExceptionGroup("some", [one, two]), three])
    assert list(leaves_of(group)) == [one, two, three]
    assert first_error(group) is one
    assert first_error(three) is three


async def test_an_error_without_a_reader_is_retrieved_once() -> None:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    for retrieve in (True, False):
        done, left = loop.create_future(), loop.create_future()
        if retrieve:
            done.add_done_callback(retrieve_error)
            left.add_done_callback(retrieve_error)
        done.set_exception(ValueError("lost"))
        left.cancel()
        await asyncio.sleep(0)
        del done, left
        gc.collect()
        assert len(told) == (0 if retrieve else 1)
