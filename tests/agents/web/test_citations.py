"""Citations: kept where they were read, taken out where they were not, and never found in code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.agents.tools.web.citations import settle, without_sources

READ = {1: "One (http://one.example/)", 2: "Two (http://two.example/)", 4: "Four (passage:4)"}


def test_cited_sources_are_listed_once_and_in_order() -> None:
    cited = settle("It is long [2]. It is old [1, 2][4].", READ)
    assert cited.numbers == (1, 2, 4)
    assert cited.removed == ()
    assert cited.text == (
        "It is long [2]. It is old [1, 2][4].\n\nSources:\n[1] One (http://one.example/)\n"
        "[2] Two (http://two.example/)\n[4] Four (passage:4)"
    )


def test_what_was_never_read_is_taken_out_and_said() -> None:
    cited = settle("It is long [3]. It is old [1, 7].", READ)
    assert cited.text.startswith("It is long. It is old [1].\n\nSources:\n[1] One")
    assert cited.text.endswith("\n\nNote: [3], [7] was cited but never read, and is taken out.")
    assert (cited.numbers, cited.removed) == ((1,), (3, 7))
    only = settle("Yes [9].", READ)
    assert only.text == "Yes.\n\nNote: [9] was cited but never read, and is taken out."


@pytest.mark.parametrize(
    "answer",
    [
        "Paris",
        "",
        "[1]",
        "[1, 2]",
        "The interval is [7, 9].",
        "Since 1999 [2000] it is [0].",
        "See [1](http://a.example/) for more.",
        "`x[1]` is it",
        "```python\nx = y[1]\nz = [2]\n```",
        "```\nunfinished [1]",
        "x =[1] and y = [2]",
        "[[1]]",
    ],
)
def test_what_is_no_citation_is_left_alone(answer: str) -> None:
    assert settle(answer, READ).text == answer


def test_without_anything_read_nothing_is_touched() -> None:
    assert settle("It is so [1].", {}).text == "It is so [1]."


@pytest.mark.parametrize("answer", ["Paris [1]", "Paris[2]", "Paris [9]", "Paris [1] [9]", "Paris"])
def test_a_reference_is_compared_with_the_answer_alone(answer: str) -> None:
    assert without_sources(settle(answer, READ).text) == "Paris"


@given(answer=st.text(alphabet="ab [](),=`129\n", max_size=60))
def test_settling_never_lists_what_was_not_read_or_not_cited(answer: str) -> None:
    cited = settle(answer, READ)
    assert set(cited.numbers) <= set(READ)
    assert not set(cited.removed) & set(READ)
    assert all(str(number) in answer for number in (*cited.numbers, *cited.removed))
    assert ("\n\nSources:\n" in cited.text) == bool(cited.numbers)
