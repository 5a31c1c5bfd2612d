"""One table of `sale.toml` that makes several agents: a model at several efforts, or under several settings.

`efforts = ["low", "high"]` and `[agents.modes]` stand in a table `[[agents]]`. Each effort, or mode, becomes an agent
of its own, called `name-effort` or `name-mode`, with everything else the table says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from sale.config.agents import AgentSettings
from sale.extensions import fault_text

MODE = re.compile(r"[A-Za-z0-9._:-]+")
NOT_OF_MODES = ("name", "efforts", "modes")
Table = Mapping[str, Any]
Agents = tuple[AgentSettings, ...]


def expand_agents(given: object, validate: Callable[[object], Agents]) -> Agents:
    """Return the agents of a list of tables, those of one table side by side.

    Args:
        given: The list, as the file has it.
        validate: Makes agents of plain tables. A fault is named by the place of its table, so places must not move.

    Raises:
        ValueError: A mode makes no sense, or what it makes of its table.
    """
    if not isinstance(given, list | tuple):
        return validate(given)
    rows = [_variants(one) for one in cast("Sequence[object]", given)]
    first = validate([row[0][1] for row in rows])
    agents: list[AgentSettings] = []
    for agent, row in zip(first, rows, strict=True):
        agents.append(agent)
        agents += [_validated(variant, label) for label, variant in row[1:]]
    return tuple(agents)


def _variants(given: object) -> list[tuple[str, object]]:
    """The tables that one table stands for, each with what to call it in an error; itself where it has no variants."""
    table: Table = cast("Table", given) if isinstance(given, Mapping) else dict[str, Any]()
    efforts, modes = table.get("efforts"), table.get("modes")
    if not efforts and not modes:
        return [("", given)]
    name = str(table.get("name"))
    if efforts and modes:
        raise ValueError(f"agent {name!r} has efforts and modes; give each mode its own effort")
    base = {key: value for key, value in table.items() if key not in NOT_OF_MODES}
    if isinstance(modes, Mapping):
        return [_mode(name, base, str(mode), own) for mode, own in cast("Table", modes).items()]
    # Anything that is no list of texts is left where it is, to be refused as any wrong value is.
    if not isinstance(efforts, list | tuple) or not all(isinstance(one, str) for one in cast("list[object]", efforts)):
        return [("", given)]
    if "effort" in table:
        raise ValueError(f"agent {name!r} has effort and efforts; one of them says it")
    return [_mode(name, base, effort, {"effort": effort}) for effort in cast("Sequence[str]", efforts)]


def _mode(name: str, base: Table, mode: str, own: object) -> tuple[str, object]:
    where = f"agent {name!r}, mode {mode!r}"
    if not MODE.fullmatch(mode):
        raise ValueError(f"{where}: a mode is called by letters, digits and any of . _ : -")
    if not isinstance(own, Mapping):
        raise ValueError(f'{where}: must be a table, {{ model = "…" }}')
    if idle := sorted(set(cast("Table", own)) & set(NOT_OF_MODES)):
        raise ValueError(f"{where}: {', '.join(idle)} cannot be said of a mode")
    return where, {**base, **cast("Table", own), "name": f"{name}-{mode}"}


def _validated(table: object, where: str) -> AgentSettings:
    try:
        return AgentSettings.model_validate(table)
    except ValidationError as error:
        faults = "; ".join(dict.fromkeys(fault_text(one, AgentSettings.model_fields) for one in error.errors()))
        raise ValueError(f"{where}: {faults}") from None
