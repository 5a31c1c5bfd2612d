"""Thoughts that models write into their text."""

from __future__ import annotations

import pytest

from sale.types.thoughts import remove_thoughts, split_thoughts, text_after_thoughts


@pytest.mark.parametrize(
    ("text", "thoughts", "rest"),
    [
        ("plain", "", "plain"),
        ("<think>\nhm\n</think>\n\n1. Do", "hm", "1. Do"),
        ("  <think>hm</think>1. Do", "hm", "1. Do"),
        ("hm\n</think>\n1. Do", "hm", "1. Do"),
        ("<think>never done", "never done", ""),
        ("<think></think>x", "", "x"),
        ("strip <think>…</think> from it", "", "strip <think>…</think> from it"),
        ("<THINK>a</THINK>1. x", "a", "1. x"),
        ("<think>a</think>\n<think>b</think>\n1. x", "a\nb", "1. x"),
        ("a</think><think>b</think>1. x", "a\nb", "1. x"),
        ("<think>a</think>1. x <think> is a mark", "a", "1. x <think> is a mark"),
        ("<think>a</think>1. x </think> is a mark", "a", "1. x </think> is a mark"),
        ("", "", ""),
    ],
)
def test_thoughts_at_the_beginning_are_told_from_the_text(text: str, thoughts: str, rest: str) -> None:
    assert split_thoughts(text) == (thoughts, rest)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("1. x", "1. x"),
        ("<think>a</think>1. x<THINK>b</THINK> y<think>never done", "1. x y"),
        ("a</think>b</think>1. x", "1. x"),
        ("<think>a</think>1. x</think>", "1. x</think>"),
        ("<think>never done", ""),
    ],
)
def test_thoughts_anywhere_are_left_out(text: str, rest: str) -> None:
    assert remove_thoughts(text) == rest


@pytest.mark.parametrize(
    ("text", "rest"),
    [("a</think>b</THINK>c", "c"), ("<think>never done", "<think>never done"), ("a </p> b", "a </p> b"), ("", "")],
)
def test_what_follows_the_last_thoughts(text: str, rest: str) -> None:
    assert text_after_thoughts(text) == rest
