"""The `sale.toml` that a trial recommends: the user's own file, with the rules of auctions that did best.

The file is changed as text, so that comments and everything else stay as they were, and read again before it is given
out: agents must be the same, and rules those that were meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sale import config
from sale.bench.trial.verdict import Way
from sale.errors import ConfigError

_HEADER = re.compile(r"^\s*\[auction\]\s*(#.*)?$")
_SECTION = re.compile(r"^\s*\[")


def recommended_text(text: str, way: Way, *, origin: str, base: Path | None) -> str:
    """The text of a sale.toml that does as a way of the trial did.

    Args:
        text: The user's.
        way: What is recommended.
        origin: Of the text, for messages.
        base: What its paths are relative to.

    Raises:
        ConfigError: The file cannot be changed as text: it writes its rules in a way of its own.
    """
    rules = rules_of(way)
    changed = f"# {_said(way)}\n" + with_rules(text, rules)
    before = config.parse(text, origin=origin, base=base)
    wrong = ConfigError("its rules of auctions cannot be changed here", where=origin, hint=f"Set {rules} yourself.")
    try:
        after = config.parse(changed, origin=origin, base=base)
    except ConfigError as error:
        raise wrong from error
    held = all(getattr(after.auction, name) == _value(value) for name, value in rules.items())
    if before.agents != after.agents or not held:
        raise wrong
    return changed


def rules_of(way: Way) -> Mapping[str, str]:
    """Keys of `[auction]`, with their values as TOML."""
    if way.kind == "agent":
        # Auctions that may take nothing of the money are not held: the incumbent does the work.
        return {"allowance": "0.0", "incumbent": f'"{way.name}"', "attempts": "1"}
    rules = {"hold": '"always"' if way.hold == "always" else '"worthwhile"', "attempts": str(way.attempts)}
    # The trial had no limit: an earlier one, or that of `sale serve`, could forbid the auctions that were found to pay.
    return rules | {"allowance": "0.0" if way.hold == "never" else "inf"}


def with_rules(text: str, rules: Mapping[str, str]) -> str:
    """The text with these keys in its section `[auction]`, in place of those there."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if _HEADER.match(line)), None)
    new = [f"{name} = {value}" for name, value in rules.items()]
    if start is None:
        return "\n".join([*lines, "", "[auction]", *new, ""])
    end = next(
        (number for number, line in enumerate(lines[start + 1 :], start + 1) if _SECTION.match(line)), len(lines)
    )
    named = re.compile(rf"^\s*({'|'.join(rules)})\s*=")
    kept = [line for line in lines[start + 1 : end] if not named.match(line)]
    return "\n".join([*lines[: start + 1], *new, *kept, *lines[end:], ""])


def _said(way: Way) -> str:
    return f"Recommended by `sale trial`: {way.name}."


def _value(value: str) -> object:
    if value.startswith('"'):
        return value.strip('"')
    return float(value) if "." in value or value == "inf" else int(value)
