"""Labels of agents and requirements of requests: read, written, compared, explained."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale import config
from sale.agents.admission import Admission
from sale.agents.protocol import Agent
from sale.auction.protocols import Juror
from sale.auction.questions import Seat
from sale.errors import ConfigError, RequirementError
from sale.types.labels import MAX_CHARACTERS, MAX_NEEDS, NOTHING_REQUIRED, Labels, Requirements, read_labels

EU = read_labels({"Region": "EU", "retention": "none", "licence": ["MIT", "Apache-2.0"]})


@pytest.mark.parametrize(
    ("required", "met"),
    [
        ("region=eu", True),
        (" REGION = eu , retention=None", True),
        ("region=ch|eu", True),
        ("licence=mit", True),
        ("licence=apache-2.0|bsd", True),
        ("region=us", False),
        ("region=eu, retention=30 days", False),
        ("region=eu, region=us", False),
        ("audit=yes", False),
    ],
)
def test_every_need_must_be_met_by_a_label(required: str, met: bool) -> None:
    assert Requirements.parse(required).met_by(EU) is met


def test_an_agent_without_labels_satisfies_only_nothing() -> None:
    assert NOTHING_REQUIRED.met_by({})
    assert not NOTHING_REQUIRED
    assert Requirements.parse("region=eu")
    assert not Requirements.parse("region=eu").met_by({})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "'' is not written as label=value"),
        ("region", "'region' is not written as"),
        ("region=eu,", "'' is not written as"),
        ("=eu", "'' is not the name of a label"),
        ("re gion=eu", "'re gion' is not the name of a label"),
        ("region=", "'' is not the value of a label"),
        ("region=eu|", "'' is not the value"),
        ("region=a=b", "'a=b' is not the value"),
        ("région=eu", "is not the name"),
        ("region=eü", "is not the value"),
        (f"region={'x' * 65}", "is not the value"),
        (f"region={'x' * MAX_CHARACTERS}", f"is longer than {MAX_CHARACTERS}"),
        (",".join(f"l{number}=x" for number in range(MAX_NEEDS + 1)), f"has more than {MAX_NEEDS}"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        Requirements.parse(text)


def test_the_reason_names_what_nobody_has() -> None:
    pool: list[Labels] = [{"region": frozenset({"eu"})}, {"retention": frozenset({"none"})}]
    both = Requirements.parse("region=eu, retention=none")
    assert both.explain_unmet(pool) == "no agent has region=eu, retention=none together"
    more = Requirements.parse("region=us|ca, retention=none, audit=yes")
    assert more.explain_unmet(pool) == "no agent has audit=yes or region=ca|us"


NAMES = st.sampled_from(["region", "retention", "licence"])
VALUES = st.frozensets(st.sampled_from(["eu", "us", "none"]), min_size=1)
REQUIREMENTS = st.builds(Requirements, st.frozensets(st.tuples(NAMES, VALUES), max_size=4))
LABELS = st.dictionaries(NAMES, VALUES)


@given(REQUIREMENTS, REQUIREMENTS, LABELS)
def test_together_they_ask_for_no_less_than_apart(one: Requirements, other: Requirements, labels: Labels) -> None:
    assert (one | other).met_by(labels) == (one.met_by(labels) and other.met_by(labels))
    assert (one | NOTHING_REQUIRED) == one
    if one:
        assert Requirements.parse(str(one)) == one


class TestSettings:
    HEAD = (
        '[[agents]]\nname = "{name}"\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice = 1.0\nlabels = {labels}\n'
    )
    POOL = HEAD.format(name="eu", labels='{ region = "EU" }') + HEAD.format(
        name="us", labels='{ region = ["us", "ca"] }'
    )

    def test_jurors_have_labels_of_their_own_or_of_their_agent(self) -> None:
        jurors = (
            '[[jurors]]\nname = "asks"\nkind = "question"\nagent = "eu"\n'
            '[[jurors]]\nname = "likeness"\nkind = "match"\n'
            '[[jurors]]\nname = "decides"\nkind = "decision"\nendpoint = "http://127.0.0.1:9/v1"\n'
            'model = "m"\nprice = 1.0\n'
            '[[jurors]]\nname = "mine"\nkind = "function"\nfunction = "a.b:c"\nlabels = { region = "eu" }\n'
        )
        admission = Admission.of(config.parse(self.POOL + jurors))
        eu, us = Requirements.parse("region=eu"), Requirements.parse("region=us")
        names = ("asks", "likeness", "decides", "mine")
        assert [admission.admits_seat(name, eu) for name in names] == [True, True, False, True]
        assert [admission.admits_seat(name, us) for name in names] == [False, True, False, False]
        assert all(admission.admits_seat(name, NOTHING_REQUIRED) for name in (*names, "unheard of"))
        assert not admission.admits_seat("unheard of", eu)

    def test_who_is_left(self) -> None:
        admission = Admission.of(config.parse(self.POOL))
        assert admission.filter_agents(["eu", "us"], NOTHING_REQUIRED) == ["eu", "us"]
        assert admission.filter_agents(["eu", "us"], Requirements.parse("region=ca")) == ["us"]
        assert admission.filter_agents([], Requirements.parse("region=ca")) == []
        with pytest.raises(RequirementError, match="no agent has region=ca"):
            admission.filter_agents(["eu"], Requirements.parse("region=ca"))

    def test_of_agents_jurors_and_seats_those_are_left_that_may_see_the_text(self) -> None:
        jurors = "".join(
            f'[[jurors]]\nname = "asks-{name}"\nkind = "question"\nagent = "{name}"\n' for name in ("eu", "us")
        )
        admission = Admission.of(config.parse(self.POOL + jurors))
        pool = [SimpleNamespace(name=name) for name in ("eu", "us", "unlabelled")]
        seats = [SimpleNamespace(name=name) for name in ("asks-eu", "asks-us")]

        def names(required: Requirements) -> list[list[str]]:
            found = admission.select(
                cast("list[Agent]", pool), cast("list[Juror]", pool), cast("list[Seat]", seats), required
            )
            return [[one.name for one in part] for part in found]

        assert names(Requirements.parse("region=us")) == [["us"], ["us"], ["asks-us"]]
        everything = ["eu", "us", "unlabelled"]
        assert names(NOTHING_REQUIRED) == [everything, everything, ["asks-eu", "asks-us"]]
        with pytest.raises(RequirementError):
            names(Requirements.parse("region=mars"))

    @pytest.mark.parametrize(
        ("more", "fault"),
        [
            (HEAD.format(name="x", labels='{ "a b" = "eu" }'), "agents.3.labels: 'a b' is not the name of a label"),
            (HEAD.format(name="x", labels='{ a = "x,y" }'), "agents.3.labels: 'x,y' is not the value of a label"),
            (HEAD.format(name="x", labels="{ a = true }"), "agents.3.labels"),
            ('[[jurors]]\nname = "l"\nkind = "match"\nlabels = { a = "b" }\n', "labels cannot be said of a juror of"),
            ('[server.embeddings]\nendpoint = "http://x"\nlabels = { a = "" }\n', "server.embeddings.labels: ''"),
        ],
    )
    def test_faults(self, more: str, fault: str) -> None:
        with pytest.raises(ConfigError) as refused:
            config.parse(self.POOL + more)
        assert fault in str(refused.value)
