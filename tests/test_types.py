"""The nouns: frozen, and right in the arithmetic on their own fields."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale import types
from sale.types import (
    Auction,
    AuctionRules,
    Baseline,
    Call,
    Caps,
    Execution,
    Outcome,
    Price,
    Refinement,
    Result,
    Settlement,
    Stage,
    Task,
    Usage,
    Weights,
)
from tests.support.builders import TASK, bid, pair, weights

NOUNS = [noun for _, noun in inspect.getmembers(types, inspect.isclass) if dataclasses.is_dataclass(noun)]
usages = st.builds(Usage, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9))


def sent(value: object) -> object:
    """To another process and back."""
    return pickle.loads(pickle.dumps(value))


def call(stage: Stage, dollars: float, usage: Usage | None = None) -> Call:
    return Call(stage=stage, agent="a", usage=usage or Usage(input_tokens=1), dollars=dollars, seconds=0.1)


def auction(**changes: object) -> Auction:
    fields: dict[str, object] = {
        "id": "1",
        "task": TASK,
        "bids": (bid("a"), bid("b")),
        "provisional": "b",
        "refinements": (),
        "winner": bid("b"),
        "dropouts": (),
        "weights": weights(),
        "jury": "panel",
        "settlement": Settlement(calls=(call("bid", 1.0),)),
        "seconds": 1.0,
    }
    return Auction(**{**fields, **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_is_frozen_slotted_and_keyword_only(noun: type) -> None:
    parameters = noun.__dataclass_params__  # pyright: ignore[reportAttributeAccessIssue]
    assert parameters.frozen
    assert hasattr(noun, "__slots__")
    assert all(field.kw_only for field in dataclasses.fields(noun))
    assert noun.__doc__
    assert not noun.__doc__.startswith(f"{noun.__name__}(")


class TestUsageAndPrice:
    @given(st.lists(usages, max_size=5))
    def test_usages_add_up(self, many: list[Usage]) -> None:
        total = sum(many, Usage())
        assert total.total == sum(one.input_tokens for one in many) + sum(one.output_tokens for one in many)

    def test_dollars_are_at_the_real_prices_not_the_blended_one(self) -> None:
        rate = Price(input=1.0, output=10.0, blended=999.0)
        assert rate.dollars(Usage(input_tokens=500_000, output_tokens=100_000)) == pytest.approx(0.5 + 1.0)

    def test_no_more_is_read_from_a_cache_than_was_read_at_all(self) -> None:
        """Some endpoints count more cached tokens than tokens; the rest of the input must not be paid back for them."""
        rate = Price(input=4.0, output=10.0, blended=5.5, cached=1.0)
        assert rate.dollars(Usage(input_tokens=1000, output_tokens=100), cached=5000) == pytest.approx(0.002)

    @pytest.mark.parametrize("bad", [-0.01, math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("field", ["input", "output", "blended"])
    def test_a_price_is_a_finite_number_from_zero_up(self, field: str, bad: float) -> None:
        with pytest.raises(ValueError, match=f"{field} must be a price from 0 up, got {bad!r}"):
            Price(**{"input": 0.0, "output": 0.0, "blended": 0.0, field: bad})


class TestRules:
    @pytest.mark.parametrize("field", ["calls", "tokens", "seconds"])
    @pytest.mark.parametrize("bad", [0, -1])
    def test_caps_leave_room_for_something(self, field: str, bad: int) -> None:
        with pytest.raises(ValueError, match=f"{field} must be above 0, got {bad}"):
            Caps(**{field: bad})

    @pytest.mark.parametrize("bad", [-0.1, math.nan])
    def test_dollars_may_be_none_but_not_less(self, bad: float) -> None:
        assert Caps(dollars=0.0).dollars == 0.0
        with pytest.raises(ValueError, match="dollars must not be negative"):
            Caps(dollars=bad)

    @pytest.mark.parametrize("field", ["strategy_tokens", "bid_seconds", "judge_seconds"])
    @pytest.mark.parametrize("bad", [0, -1, math.nan])
    def test_rules_leave_room_for_something(self, field: str, bad: float) -> None:
        with pytest.raises(ValueError, match=f"{field} must be above 0"):
            AuctionRules(**{field: bad})  # pyright: ignore[reportArgumentType]

    def test_there_may_be_no_examples(self) -> None:
        assert AuctionRules(examples=0).examples == 0
        with pytest.raises(ValueError, match="examples must not be negative, got -1"):
            AuctionRules(examples=-1)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_weights_are_finite(self, bad: float) -> None:
        with pytest.raises(ValueError, match="weight of cost"):
            Weights(cost=bad, entropy=0.0, jurors={})
        with pytest.raises(ValueError, match="weight of entropy"):
            Weights(cost=1.0, entropy=bad, jurors={})
        with pytest.raises(ValueError, match="weight of a"):
            Weights(cost=1.0, entropy=0.0, jurors={"a": bad})

    def test_a_juror_called_cost_hides_nothing(self) -> None:
        with pytest.raises(ValueError, match="weight of cost"):
            Weights(cost=math.nan, entropy=0.0, jurors={"cost": 1.0})


class TestTask:
    def test_its_id_is_the_digest_of_its_text(self) -> None:
        assert Task(text="x").id == hashlib.sha256(b"x").hexdigest()[:16]
        assert Task(text="x", domain="coding").id == Task(text="x").id
        assert Task(text="x", id="mine").id == "mine"

    @given(st.text(st.characters()), st.text(st.characters()))
    def test_any_text_has_an_id_and_another_text_another(self, one: str, other: str) -> None:
        assert (Task(text=one).id == Task(text=other).id) == (one == other)

    def test_half_characters_are_no_reason_to_fail(self) -> None:
        assert len(Task(text="\udcff").id) == 16


class TestSettlement:
    def test_tells_overhead_from_work(self) -> None:
        stages: list[Stage] = ["bid", "judge", "refine", "rejudge", "execute", "verify"]
        settled = Settlement(calls=tuple(call(stage, 2.0**at) for at, stage in enumerate(stages)))
        assert settled.dollars == 63.0
        assert settled.auction_dollars == 15.0
        assert settled.work_dollars == 48.0
        assert settled.overhead == 15 / 63
        assert settled.usage == Usage(input_tokens=6)

    def test_of_nothing_has_no_overhead(self) -> None:
        assert Settlement().overhead is None
        assert Settlement(calls=(call("bid", 0.0),)).overhead is None
        assert Settlement().usage == Usage()

    def test_adds_up(self) -> None:
        both = Settlement(calls=(call("bid", 1.0),)) + Settlement(calls=(call("execute", 2.0),))
        assert [one.stage for one in both.calls] == ["bid", "execute"]


class TestAuctionAndResult:
    def test_contenders_are_first_and_refined_bids(self) -> None:
        refined = bid("a", refined=True)
        held = auction(
            refinements=(
                Refinement(agent="a", pairs=(pair(),), bid=refined),
                Refinement(agent="b", pairs=(), bid=None, note="nothing in memory"),
            )
        )
        assert held.contenders == (*held.bids, refined)
        assert not held.flipped
        assert auction(winner=refined).flipped

    @pytest.mark.parametrize("way", [copy.deepcopy, sent])
    def test_a_result_knows_what_was_saved_and_survives_a_copy(self, way: Callable[[Any], Any]) -> None:
        held = auction()
        result = Result(
            auction=held,
            execution=Execution(agent="b", answer="55", mode="direct", followed_strategy=True),
            outcome=Outcome(verdict="success", judged_by="user"),
            settlement=held.settlement + Settlement(calls=(call("execute", 3.0),)),
            always_largest=Baseline(agent="b", dollars=10.0, basis="an estimate"),
            seconds=2.0,
        )
        assert result.saved == 6.0
        assert result.answer == "55"
        assert way(result) == result
        dearer = dataclasses.replace(result, always_largest=Baseline(agent="b", dollars=1.0, basis="an estimate"))
        assert dearer.saved == -3.0
