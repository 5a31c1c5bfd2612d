"""Faults of files that people write, in words that need no manual of a library."""

from __future__ import annotations

import pytest

from sale import config
from sale.bench.tasks.files import parse_tasks as parse_bench_tasks
from sale.cli.examples import parse_task
from sale.errors import ConfigError, InputError

AGENT = '[[agents]]\nname = "a"\nmodel = "m"\nprice = 1.0\nendpoint = "{endpoint}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (AGENT.format(endpoint="127.0.0.1:9/v1"), "agents.1.endpoint: must begin with http:// or https://"),
        ('[[agents]]\nname = "a"\nprice = 1.0\nfunction = "mine"\n', "must be package.module:name"),
        (AGENT.format(endpoint="http://x").replace("price", "prise"), "did you mean 'price'? docs/configuration.md"),
    ],
)
def test_settings(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert said in str(caught.value)
    assert "should match pattern" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a", "text": "t", "expect": "42"}', "expect: unknown key; there are id, text, "),
        ('{"id": "a", "text": "t", "refrence": "42"}', "refrence: unknown key; did you mean 'reference'?"),
        ('{"id": "a", "text": "t"', "the line: Invalid JSON"),
    ],
)
def test_a_line_of_a_task_file(line: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_task(line, "tasks.jsonl:3")
    assert str(caught.value).startswith(f"tasks.jsonl:3: {said}")


def test_a_line_of_a_benchs_task_file() -> None:
    with pytest.raises(InputError) as caught:
        parse_bench_tasks('{"promt": "t"}', "bench.jsonl")
    assert "bench.jsonl:1: " in str(caught.value)
    assert "Extra inputs" not in str(caught.value)
