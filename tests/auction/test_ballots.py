"""What is a ballot and what is not."""

from __future__ import annotations

import math

import pytest

from sale.auction.ballots import BallotError, ballot_schema, expected_scores, read_ballot
from tests.support.builders import token


class TestReading:
    @pytest.mark.parametrize(
        "text",
        [
            '{"A": 3, "B": 0}',
            '{"B": 0, "A": 3}',
            '  \n{ "A" : 3 ,\n"B":0}\n ',
            '```json\n{"A": 3, "B": 0}\n```',
            '```\n{"A": 3, "B": 0}```',
            '```JSON \n\n{"A": 3, "B": 0}\n```\n',
        ],
    )
    def test_takes_one_object_alone_or_in_a_fence(self, text: str) -> None:
        assert read_ballot(text, ["A", "B"]) == {"A": 3, "B": 0}

    def test_keeps_the_order_of_the_answer(self) -> None:
        assert list(read_ballot('{"B": 0, "A": 3}', ["A", "B"])) == ["B", "A"]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "5",
            "null",
            "[3, 0]",
            '[["A", 3], ["B", 0]]',
            '"A"',
            "A: 3, B: 0",
            '{"A": 3}',
            "{}",
            '{"A": 3, "B": 0, "C": 1}',
            '{"A": 3, "b": 0}',
            '{"A": 6, "B": 0}',
            '{"A": -1, "B": 0}',
            '{"A": 3.0, "B": 0}',
            '{"A": "3", "B": 0}',
            '{"A": true, "B": false}',
            '{"A": null, "B": 0}',
            '{"A": [3], "B": 0}',
            '{"A": NaN, "B": 0}',
            '{"A": Infinity, "B": 0}',
            'The scores are {"A": 3, "B": 0}',
            '{"A": 3, "B": 0}\nPlan A is better.',
            '```json\n{"A": 3, "B": 0}\n```\nPlan A is better.',
            '```give A the best score\n{"A": 3, "B": 0}\n```',
            '```json\n{"A": 3, "B": 0}\n```\n```json\n{"A": 5, "B": 5}\n```',
            '{"A": 3, "B": 0}{"A": 3, "B": 0}',
            "{'A': 3, 'B': 0}",
            '\ufeff{"A": 3, "B": 0}',
            "[" * 100_000,
            '{"A": ' * 5000,
            '{"A": ' + "9" * 5000 + ', "B": 0}',
        ],
    )
    def test_takes_nothing_else(self, text: str) -> None:
        with pytest.raises(BallotError):
            read_ballot(text, ["A", "B"])

    def test_a_plan_scored_twice_is_no_ballot(self) -> None:
        with pytest.raises(BallotError, match="expected scores for A, got 'A, A'"):
            read_ballot('{"A": 0, "A": 5}', ["A"])

    def test_says_what_was_wrong(self) -> None:
        with pytest.raises(BallotError, match="not JSON: 'five'"):
            read_ballot("five", ["A"])
        with pytest.raises(BallotError, match="not a JSON object: '5'"):
            read_ballot("5", ["A"])
        with pytest.raises(BallotError, match="score of A is 7, not a whole number from 0 to 5"):
            read_ballot('{"A": 7}', ["A"])
        with pytest.raises(BallotError, match="score of A is something nested, not"):
            read_ballot('{"A": {}}', ["A"])

    def test_what_it_quotes_is_short_and_can_be_stored(self) -> None:
        for text in ('{"\ud800": 5}', '{"A": "\ud800"}', "\ud800", '{"A": "' + "x" * 9999 + '"}', "x" * 9999):
            with pytest.raises(BallotError) as caught:
                read_ballot(text, ["A"])
            assert len(str(caught.value).encode()) < 200


class TestSchema:
    def test_says_what_is_read(self) -> None:
        assert ballot_schema(["A", "B"]) == {
            "type": "object",
            "properties": {label: {"type": "integer", "minimum": 0, "maximum": 5} for label in "AB"},
            "required": ["A", "B"],
            "additionalProperties": False,
        }


class TestExpected:
    def test_weighs_the_digits_at_the_token_of_the_score(self) -> None:
        tokens = [
            token('{"score":'),
            token(" 4", math.log(0.5), (" 4", math.log(0.5)), ("4", math.log(0.25)), ("2", math.log(0.25)), ("9", -1)),
            token("}"),
        ]
        assert expected_scores(tokens, {"score": 4}) == {"score": pytest.approx(3.5)}

    def test_follows_the_order_of_the_answer(self) -> None:
        tokens = [token('{"B": '), token("2"), token(', "A": '), token("5"), token("}")]
        assert expected_scores(tokens, read_ballot('{"B": 2, "A": 5}', ["A", "B"])) == {"B": 2.0, "A": 5.0}

    def test_is_left_out_where_the_token_of_a_score_is_not_certain(self) -> None:
        stray = [token("1"), token('{"A": '), token("5"), token("}")]
        assert expected_scores(stray, {"A": 5}) == {}
        assert expected_scores([token('{"A": 5}')], {"A": 5}) == {}
        assert expected_scores([token("2"), token("5")], {"A": 5, "B": 2}) == {}

    def test_is_left_out_where_no_digit_has_a_probability(self) -> None:
        assert expected_scores([token("5", 0.0, ("five", 0.0))], {"A": 5}) == {}
        assert expected_scores([token("5", math.nan)], {"A": 5}) == {}
        assert expected_scores([token("5", -math.inf)], {"A": 5}) == {}

    def test_is_unknown_without_log_probabilities(self) -> None:
        assert expected_scores(None, {"A": 5}) == {}
        assert expected_scores([], {"A": 5}) == {}

    @pytest.mark.parametrize("wild", [1e9, math.inf])
    def test_survives_what_no_probability_can_be(self, wild: float) -> None:
        assert expected_scores([token("5", 0.0, ("5", wild))], {"A": 5}) == {"A": 5.0}
