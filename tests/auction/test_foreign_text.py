"""Text that others wrote, made fit to be sent on and stored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sale.auction.text import clip, make_storable
from tests.support.generators import hostile_text


def test_half_characters_and_nul_are_gone() -> None:
    assert make_storable("a\ud800b\0c") == "a?bc"
    assert make_storable("ganz übel 😀\n") == "ganz übel 😀\n"


@given(hostile_text)
def test_what_is_storable_encodes_and_stays(text: str) -> None:
    clean = make_storable(text)
    assert clean.encode().decode() == clean
    assert "\0" not in clean
    assert make_storable(clean) == clean


@given(st.text(), st.integers(0, 50))
def test_clipping_keeps_the_longest_beginning_that_fits(text: str, size: int) -> None:
    cut = clip(text, size)
    assert text.startswith(cut)
    assert len(cut.encode()) <= size
    assert cut == text or len(text[: len(cut) + 1].encode()) > size
