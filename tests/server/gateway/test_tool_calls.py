"""Parts of tool calls put together, whatever their index."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.server.gateway.tool_calls import ToolCallIndex
from tests.support.replies import Json


def part(index: Any = "absent", call_id: str | None = None, name: str | None = None, arguments: str = "") -> Json:
    function: Json = {"arguments": arguments} | ({"name": name} if name else {})
    found: Json = {"function": function} | ({"id": call_id} if call_id else {})
    return found | ({} if index == "absent" else {"index": index})


def together(*deltas: list[Json]) -> list[tuple[str, str]]:
    calls = ToolCallIndex()
    for delta in deltas:
        calls.add(delta)
    functions = [one["function"] for one in calls.value]
    return [(one["name"], one["arguments"]) for one in functions]


TWO = [("alpha", '{"x":1}'), ("beta", '{"y":2}')]


@pytest.mark.parametrize("index", ["absent", None, 0])
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
def test_two_calls_one_after_the_other(index: Any, ids: bool) -> None:
    one, two = ("a", "b") if ids else (None, None)
    assert (
        together(
            [part(index, one, "alpha")],
            [part(index, None, None, '{"x"')],
            [part(index, None, None, ":1}")],
            [part(index, two, "beta")],
            [part(index, None, None, '{"y":2}')],
        )
        == TWO
    )


@pytest.mark.parametrize("index", ["absent", None, 0])
def test_two_calls_of_one_function_without_ids(index: Any) -> None:
    parts = [[part(index, None, "alpha", '{"x":1}')], [part(index, None, "alpha", '{"x":2}')]]
    assert together(*parts) == [("alpha", '{"x":1}'), ("alpha", '{"x":2}')]


@pytest.mark.parametrize("index", ["absent", None])
def test_calls_that_go_on_side_by_side_without_ids(index: Any) -> None:
    begun = [part(index, "a", "alpha"), part(index, "b", "beta")]
    rest = [part(index, None, None, '{"x":1}'), part(index, None, None, '{"y":2}')]
    assert together(begun, rest) == TWO


def test_an_endpoint_that_repeats_the_name_with_every_part() -> None:
    assert together([part(0, None, "alpha", '{"x"')], [part(0, None, "alpha", ":1}")], [part(0, None, "alpha")]) == [
        ("alpha", '{"x":1}')
    ]


@given(st.lists(st.text('{}":x1', min_size=1, max_size=8), min_size=1, max_size=4), st.data())
def test_right_indexes_are_right_in_any_order(calls: list[str], data: st.DataObject) -> None:
    """Letters of all calls mixed at random, each under its index."""
    order = data.draw(st.permutations([place for place, text in enumerate(calls) for _ in text]))
    begun = [part(place, f"id{place}", f"name{place}") for place in range(len(calls))]
    left = [list(text) for text in calls]
    parts = [[part(place, None, None, left[place].pop(0))] for place in order]
    assert together(begun, *parts) == [(f"name{place}", text) for place, text in enumerate(calls)]


def test_calls_of_a_message_are_as_many_as_it_has() -> None:
    calls = ToolCallIndex()
    same = part(0, "same", "alpha", "{}")
    assert calls.add([same, same], whole=True) == [0, 1]
