"""The study of refinement: its page says what its record says."""

from __future__ import annotations

import pytest

from benchmarks.refinement import FIRST, PAGE, page, study


@pytest.mark.slow
async def test_the_page_says_what_is_on_record() -> None:
    found = await study(replay=True, first=None)
    assert len(found) >= 10
    assert all(FIRST in one for one in found)
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, found) == text, "python -m benchmarks.refinement report"
