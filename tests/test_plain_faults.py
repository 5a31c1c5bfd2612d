"""Faults of files that people write, in words that need no manual of a library."""

from __future__ import annotations

import pytest

from sale import config
from sale.bench.tasks.files import parse_tasks as parse_bench_tasks
from sale.cli.examples import parse_task
from sale.errors import ConfigError, InputError

GOOD = '[[agents]]\nname = "a"\nmodel = "m"\nprice = 1.0\nendpoint = "http://x/v1"\n'
PRICED = GOOD.replace("1.0", "{}")
AGENT = '[[agents]]\nname = "a"\nmodel = "m"\nprice = 1.0\nendpoint = "{endpoint}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (AGENT.format(endpoint="127.0.0.1:9/v1"), "agents.1.endpoint: must begin with http:// or https://"),
        ('[[agents]]\nname = "a"\nprice = 1.0\nfunction = "mine"\n', "must be package.module:name"),
        (AGENT.format(endpoint="http://x").replace("price", "prise"), "did you mean 'price'? docs/configuration.md"),
        (
            '[agents]\nname = "a"\n',
            "agents is not a list of tables: write [[agents]], in two brackets, once for each agent.",
        ),
        ('agents = "a"', "write [[agents]], in two brackets, once for each agent."),
        ('agents = ["a"]', "write [[agents]], in two brackets, once for each agent."),
        (f'{GOOD}[jurors]\nname = "j"\n', "jurors is not a list of tables: write [[jurors]], in two brackets"),
        (f"{GOOD}[[auction]]\n", "auction is not a table: write [auction], in single brackets."),
        (f"{GOOD}budget = 3\n", "agents.1.budget is not a table: write [agents.budget]"),
        (f'{GOOD}drop = "temperature"\n', "agents.1.drop: must be a list, [\"…\"] (got 'temperature')"),
        (f'{GOOD}headers = "x"\n', "agents.1.headers: must be a table, { … } (got 'x')"),
        (f'{GOOD}[memory]\nshare = "team"\n', "memory.share: must be true, false or a list of tenants"),
        (PRICED.format('"cheap"'), "agents.1.price: must be a number, 0 or more, or { input = …, output = … }"),
        (
            PRICED.format("-1"),
            "given: agents.1.price: must be a number, 0 or more, or { input = …, output = … } (got -1). ",
        ),
        (PRICED.format("true"), "given: agents.1.price: must be a number"),
    ],
)
def test_settings(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert said in str(caught.value)
    for word in ("should match pattern", "tuple", "dictionary", "instance of"):
        assert word not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a", "text": "t", "expect": "42"}', "expect: unknown key; there are id, text, "),
        ('{"id": "a", "text": "t", "refrence": "42"}', "refrence: unknown key; did you mean 'reference'?"),
        ('{"id": "a", "prompt": "t"}', "prompt: unknown key; there are id, text, "),
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


def test_a_missing_key_is_told_beside_the_unknown_one() -> None:
    with pytest.raises(InputError, match=r"; text is missing\. A line has id and text"):
        parse_task('{"id": "a", "prompt": "t"}', "tasks.jsonl:3")
