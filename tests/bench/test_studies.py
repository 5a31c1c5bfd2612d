"""Studies beside the results: their pages say what their records say."""

from __future__ import annotations

import pytest

from benchmarks import refinement
from benchmarks.self_estimate import asking, report
from sale.types import Reply, TokenLogprobs, Usage


@pytest.mark.slow
async def test_the_page_says_what_refinement_did() -> None:
    found = await refinement.study(replay=True, first=None)
    assert len(found) >= 10
    assert all(refinement.FIRST in one for one in found)
    text = refinement.PAGE.read_text(encoding="utf-8")
    assert refinement.page(text, found) == text, "python -m benchmarks.refinement report"


def test_the_page_says_what_agents_said_of_themselves() -> None:
    text, lines = report.PAGE.read_text(encoding="utf-8"), asking.read(report.RECORD)
    assert report.page(text, lines) == text, "python -m benchmarks.self_estimate report"


def test_shares_of_yes_and_no_are_summed_over_ways_to_write_them() -> None:
    top = ((" Yes", -1.0), ("yes", -2.0), ("No", -3.0), ("Maybe", -0.5))
    reply = Reply(
        text="Maybe", usage=Usage(), seconds=0.0, logprobs=(TokenLogprobs(token="Maybe", logprob=-0.5, top=top),)
    )
    assert asking.shares(reply) == pytest.approx((0.503215, 0.049787), abs=1e-6)
    assert asking.shares(Reply(text="", usage=Usage(), seconds=0.0)) == (0.0, 0.0)
