"""Labels of agents, and what a request or a key requires of them: pure.

An agent has labels that whoever runs it vouches for: `region = "eu"`, `retention = "none"`. A requirement names a label
and the values that will do. An agent without the label does not satisfy it: unknown is not good enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

Labels = Mapping[str, frozenset[str]]
"""By name, in lower case, the values of each label."""

MAX_NEEDS = 32
MAX_CHARACTERS = 1000
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VALUE = re.compile(r"[ -~]{1,64}")
_RESERVED = frozenset(",|=")
NO_LABELS: Labels = MappingProxyType({})


def read_labels(given: Mapping[str, str | Iterable[str]]) -> Labels:
    """Return labels as they are compared: names and values in lower case, each with a set of values.

    Raises:
        ValueError: A name or a value cannot be one.
    """
    return {
        _checked_name(name): frozenset(_checked_value(one) for one in ([value] if isinstance(value, str) else value))
        for name, value in given.items()
    }


@dataclass(frozen=True, slots=True)
class Requirements:
    """Labels that an agent must have, every one of them."""

    needs: frozenset[tuple[str, frozenset[str]]] = frozenset()
    """Names of labels, each with the values of which the agent must have one."""

    @classmethod
    def parse(cls, text: str) -> Requirements:
        """Read `region=eu|ch, retention=none`: several needs, each with one value or alternatives.

        Raises:
            ValueError: It is not written so, or is too long.
        """
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"is longer than {MAX_CHARACTERS} characters")
        needs: set[tuple[str, frozenset[str]]] = set()
        for part in text.split(","):
            name, sign, values = part.partition("=")
            if not sign:
                raise ValueError(f"{part.strip()!r} is not written as label=value or label=value|value")
            needs.add((_checked_name(name), frozenset(_checked_value(one) for one in values.split("|"))))
        if len(needs) > MAX_NEEDS:
            raise ValueError(f"has more than {MAX_NEEDS} requirements")
        return cls(frozenset(needs))

    def __bool__(self) -> bool:
        """True where anything is required."""
        return bool(self.needs)

    def __or__(self, other: Requirements) -> Requirements:
        """Both sets of requirements together: each of them must be met."""
        return Requirements(self.needs | other.needs)

    def __str__(self) -> str:
        """In the form that `parse` reads, always in the same order."""
        return ", ".join(sorted(map(_written, self.needs)))

    def met_by(self, labels: Labels) -> bool:
        """Return whether an agent with these labels satisfies every requirement."""
        return all(values & labels.get(name, frozenset()) for name, values in self.needs)

    def explain_unmet(self, pool: Iterable[Labels]) -> str:
        """Say which requirements no agent of a pool meets, given that none meets all: each that is met by none alone.

        Where every one is met by some agent, no agent meets them together.
        """
        agents = list(pool)
        alone = sorted(_written(need) for need in self.needs if not any(_has(need, labels) for labels in agents))
        return f"no agent has {' or '.join(alone)}" if alone else f"no agent has {self} together"


NOTHING_REQUIRED = Requirements()


def _has(need: tuple[str, frozenset[str]], labels: Labels) -> bool:
    name, values = need
    return bool(values & labels.get(name, frozenset()))


def _written(need: tuple[str, frozenset[str]]) -> str:
    name, values = need
    return f"{name}={'|'.join(sorted(values))}"


def _checked_name(given: str) -> str:
    name = given.strip().lower()
    if not NAME.fullmatch(name):
        raise ValueError(f"{given.strip()[:80]!r} is not the name of a label: letters, digits and any of . _ -")
    return name


def _checked_value(given: str) -> str:
    value = given.strip().lower()
    if not VALUE.fullmatch(value) or _RESERVED & set(value):
        raise ValueError(f"{given.strip()[:80]!r} is not the value of a label: printable ASCII without , | =")
    return value
