"""One table that makes several agents: efforts and modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sale import config
from sale.errors import ConfigError

HEAD = '[[agents]]\nname = "o"\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice = 1.0\n'
OTHER = '[[agents]]\nname = "other"\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice = 2.0\n'


def test_each_effort_is_an_agent_with_everything_the_table_says() -> None:
    found = config.parse(f'{HEAD}seconds = 30.0\nefforts = ["low", "high"]\n{OTHER}').agents
    assert [agent.name for agent in found] == ["o-low", "o-high", "other"]
    assert [agent.effort for agent in found] == ["low", "high", None]
    low, high, _ = found
    assert low.model_copy(update={"name": "o", "effort": None}) == high.model_copy(update={"name": "o", "effort": None})
    assert (low.seconds, low.efforts) == (30.0, ())


def test_a_mode_stands_in_place_of_what_the_table_says(tmp_path: Path) -> None:
    text = (
        '[[agents]]\nname = "q"\nprice = 0.1\nanswer_tokens = 99\n[agents.modes]\nq4 = { gguf = "4.gguf" }\n'
        'q8 = { gguf = "8.gguf", price = { input = 1.0, output = 3.0 }, judge = false }\n'
    )
    q4, q8 = config.parse(text, base=tmp_path).agents
    assert (q4.name, q4.gguf, q4.judge) == ("q-q4", tmp_path / "4.gguf", True)
    assert (q8.name, q8.gguf, q8.judge) == ("q-q8", tmp_path / "8.gguf", False)
    assert q4.price is not None
    assert q8.price is not None
    assert (q4.price.input, q8.price.output) == (0.1, 3.0)
    assert (q4.answer_tokens, q8.answer_tokens) == (99, 99)


def test_a_mode_may_name_another_provider() -> None:
    text = (
        '[[agents]]\nname = "c"\nprice = 1.0\nmodes = { a = { model = "anthropic:x" }, b = { model = "google:y" } }\n'
    )
    assert [(one.provider, one.model) for one in config.parse(text).agents] == [("anthropic", "x"), ("google", "y")]


def test_the_incumbent_is_one_of_them() -> None:
    text = f'{HEAD}efforts = ["low", "high"]\n[auction]\nincumbent = '
    assert config.parse(f'{text}"o-high"\n').auction.incumbent == "o-high"
    with pytest.raises(ConfigError, match="names no agent of the pool: 'o'; there are o-low, o-high"):
        config.parse(f'{text}"o"\n')


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ('effort = "lo"', "agents.1.effort: Input should be 'none', 'minimal', 'low'"),
        ('efforts = ["lo"]', "agents.1.effort: Input should be"),
        ('efforts = ["low", "hihg"]', "agent 'o', mode 'hihg': effort: Input should be"),
        ('efforts = "low"', "agents.1.efforts: "),
        ("efforts = [1]", "agents.1.efforts"),
        ('efforts = ["low", "low"]', "agents share a name: o-low"),
        ('effort = "low"\nefforts = ["low"]', "agent 'o' has effort and efforts"),
        ('efforts = ["low"]\nmodes = { a = {} }', "agent 'o' has efforts and modes"),
        ("modes = 3", "agents.1.modes"),
        ("modes = { a = 1 }", "agent 'o', mode 'a': must be a table"),
        ('modes = { a = { name = "x" } }', "agent 'o', mode 'a': name cannot be said of a mode"),
        ('modes = { "a b" = {} }', "mode 'a b': a mode is called by letters"),
        ("modes = { a = {}, b = { prise = 1 } }", "mode 'b': prise: unknown key; did you mean 'price'?"),
        ('effort = "low"\nextra_body = { reasoning_effort = "high" }', "both give a reasoning_effort"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(said: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.parse(f"{HEAD}{said}\n")
    assert fault in str(refused.value)


def test_a_fault_of_a_later_table_is_named_by_its_own_place() -> None:
    with pytest.raises(ConfigError, match=r"agents\.2\.prise: unknown key"):
        config.parse(f'{HEAD}efforts = ["low", "medium", "high"]\n{OTHER}prise = 1\n')


@pytest.mark.parametrize("way", ['local = "qwen2.5-0.5b"', 'command = ["true"]\nprice_per_task = 0.1'])
def test_only_models_that_are_sent_requests_have_an_effort(way: str) -> None:
    with pytest.raises(ConfigError, match="effort goes with endpoint or provider only"):
        config.parse(f'[[agents]]\nname = "a"\nprice = 1.0\neffort = "low"\n{way}\n')


def test_one_agent_alone_has_one_effort() -> None:
    with pytest.raises(ValueError, match="make several agents"):
        config.AgentSettings.model_validate(
            {"name": "a", "endpoint": "http://127.0.0.1:9/v1", "model": "m", "price": 1.0, "efforts": ["low"]}
        )
