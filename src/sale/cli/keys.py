"""`sale keys`: virtual keys of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

import click

from sale import config
from sale.cli.board import money, plain
from sale.cli.encode import document, encode
from sale.cli.options import config_option, json_option, output
from sale.cli.streams import require_consent, tell
from sale.cli.tables import make_table
from sale.server.store.store import ServerStore
from sale.server.store.types import KeyInfo, Period
from sale.types.labels import NOTHING_REQUIRED, Requirements, read_labels

T = TypeVar("T")
DAY = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


class LimitOptions(TypedDict):
    """The limits of a new key, as options give them."""

    budget: float | None
    period: Period | None
    rpm: int | None
    tpm: int | None
    agents: tuple[str, ...]
    expires: datetime | None
    tenant: str | None
    require: str | None


NONE_IN_FORCE = (
    "No key is left that is in force, so every request is refused until `sale keys create NAME` makes one. "
    "`sale keys delete KEY` removes a key for good; once all are gone, this machine's own programs need none."
)
NONE_LEFT = (
    "There are no keys any more: programs of this machine are served without one, and nobody else is. "
    "`sale keys create NAME` makes one."
)


def with_store(config_file: Path | None, act: Callable[[ServerStore], Awaitable[T]]) -> T:
    """Open the server's store, do one thing, close it."""

    async def go() -> T:
        config.secure_data_directory()
        async with await ServerStore.open(config.server_database(config.load(config_file))) as store:
            return await act(store)

    return asyncio.run(go())


@click.group()
def keys() -> None:
    """Virtual keys of the gateway: create, list, show, revoke, delete."""


@keys.command()
@click.argument("name")
@click.option("--budget", type=float, metavar="DOLLARS", help="The most it may spend, per period if one is given.")
@click.option("--period", type=click.Choice(["day", "week", "month"]), help="When the budget is whole again, in UTC.")
@click.option("--rpm", type=int, metavar="N", help="Requests per minute.")
@click.option("--tpm", type=int, metavar="N", help="Tokens per minute, input and output.")
@click.option("--agent", "agents", multiple=True, metavar="NAME", help="An agent it may use; again for others.")
@click.option("--expires", type=click.DateTime(DAY), help="When it ends, in UTC.")
@click.option(
    "--tenant",
    metavar="NAME",
    help="Whose tasks its own are kept with: agents are shown past tasks and plans of one tenant only. A tenant of its "
    "own unless given; keys with the same name share. `default` is the command line's.",
)
@click.option(
    "--require",
    metavar="LABELS",
    help="Labels that agents must have for its requests: `region=eu|ch, retention=none`. No other agent sees them.",
)
@config_option
@json_option
def create(name: str, config_file: Path | None, *, as_json: bool, **asked: Unpack[LimitOptions]) -> None:
    """Make a key for NAME, and show its secret, once.

    With the first key, every request needs one.
    """
    agents, expires = asked["agents"], asked["expires"]
    _check_agents(config_file, agents)
    unmet = _unmet(config.load(config_file), asked["require"], agents)
    secret, key = with_store(
        config_file,
        lambda store: store.create_key(
            name,
            budget=asked["budget"],
            period=asked["period"],
            rpm=asked["rpm"],
            tpm=asked["tpm"],
            agents=agents or None,
            expires=expires.replace(tzinfo=UTC) if expires else None,
            tenant=asked["tenant"],
            require=asked["require"],
        ),
    )
    if unmet:
        tell(f"{plain(unmet)}: requests with this key are refused until one has")
    if as_json:
        click.echo(_document("key", {**_told(key), "secret": secret}))
        return
    click.echo(secret)
    click.echo(f"Key {key.id} for {plain(key.name)}. The secret above is not kept and cannot be shown again.", err=True)


def _check_agents(config_file: Path | None, agents: tuple[str, ...]) -> None:
    """A name that no agent has would make a key that can do nothing."""
    known = [agent.name for agent in config.load(config_file).agents]
    unknown = [name for name in agents if name not in known]
    if unknown:
        raise click.BadParameter(
            f"no agent is called {unknown[0]!r}; there are {', '.join(known)}", param_hint="--agent"
        )


def _unmet(settings: config.Settings, require: str | None, agents: tuple[str, ...]) -> str:
    """Say that no agent that a key may use has the labels it requires; empty where one has, or it names none."""
    try:
        needs = Requirements.parse(require) if require else NOTHING_REQUIRED
    except ValueError:
        return ""  # the store refuses them
    pool = [read_labels(agent.labels) for agent in settings.agents if not agents or agent.name in agents]
    if not needs or any(needs.met_by(labels) for labels in pool):
        return ""
    return needs.explain_unmet(pool).replace("no agent", f"no agent of {settings.origin}", 1)


@keys.command("list")
@config_option
@json_option
def list_keys(config_file: Path | None, *, as_json: bool) -> None:
    """All keys, with what they have spent in this period. `sale keys show KEY` says the rest."""
    found = with_store(config_file, lambda store: store.keys())
    if as_json:
        click.echo(_document("keys", [_told(key) for key in found]))
        return
    if not found:
        output().print(
            "There are no keys: programs of this machine are served without one. `sale keys create NAME` makes one."
        )
        return
    table = make_table("id", "key", "name", "tenant", "spent", "budget", "state", right=("spent",), whole=("id", "key"))
    for key in found:
        spent = (money(key.spent), _budget(key), _state(key))
        table.add_row(key.id, f"{key.prefix}…", plain(key.name), plain(key.tenant), *spent)
    output().print(table)
    if not any(map(_in_force, found)):
        output().print(NONE_IN_FORCE)


@keys.command()
@click.argument("key")
@config_option
@json_option
def show(key: str, config_file: Path | None, *, as_json: bool) -> None:
    """One key. KEY is its id, its name, or the beginning of its secret."""
    found = with_store(config_file, lambda store: store.key(key))
    if as_json:
        click.echo(_document("key", _told(found)))
        return
    resets = "" if found.resets_at is None else f" until {found.resets_at:%Y-%m-%d %H:%M} UTC"
    require = f"\nRequires {plain(found.require)}" if found.require else ""
    agents = "all" if found.agents is None else ", ".join(sorted(found.agents))
    output().print(
        f"{plain(found.name)} ({found.id}, {found.prefix}…): {_state(found)}\n"
        f"Spent    {money(found.spent)} of {_budget(found)}{resets}, {money(found.reserved)} set aside\n"
        f"Limits   {_limits(found)}\nAgents   {agents}\nTenant   {plain(found.tenant)}{require}\n"
        f"Made     {found.made_at:%Y-%m-%d %H:%M} UTC"
    )


@keys.command()
@click.argument("key")
@config_option
@json_option
def revoke(key: str, config_file: Path | None, *, as_json: bool) -> None:
    """Refuse a key from now on, in every process within a second. KEY is as for show.

    It stays on the list. With the last key revoked no request is let in: delete keys to serve without them.
    """

    async def act(store: ServerStore) -> tuple[KeyInfo, Sequence[KeyInfo]]:
        return await store.revoke_key(key), await store.keys()

    found, left = with_store(config_file, act)
    if as_json:
        click.echo(_document("key", _told(found)))
        return
    output().print(f"{plain(found.name)} ({found.id}, {found.prefix}…): {_state(found)}")
    if not any(map(_in_force, left)):
        output().print(NONE_IN_FORCE)


@keys.command()
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def delete(key: str, config_file: Path | None, *, yes: bool, as_json: bool) -> None:
    """Remove a key for good, with its sessions. KEY is as for show, but of a name that no revoked key has, either.

    What it spent stays on the ledger, under its name, and its auctions stay in the memory: `sale memory forget
    --tenant` deletes those. Without any key, only programs of this machine are served, without one.
    """
    found = with_store(config_file, lambda store: store.key(key, unique=True))
    if not yes:
        require_consent(f"Delete {plain(found.name)} ({found.id}, {found.prefix}…) for good?")

    async def act(store: ServerStore) -> Sequence[KeyInfo]:
        await store.delete_key(found.id)
        return await store.keys()

    left = with_store(config_file, act)
    if as_json:
        click.echo(_document("key", _told(found)))
        return
    output().print(f"{plain(found.name)} ({found.id}, {found.prefix}…): deleted. Its tenant was {plain(found.tenant)}.")
    if not left:
        output().print(NONE_LEFT)
    elif not any(map(_in_force, left)):
        output().print(NONE_IN_FORCE)


def _told(key: KeyInfo) -> dict[str, object]:
    names = None if key.agents is None else sorted(key.agents)
    return {name: encode(names if name == "agents" else getattr(key, name)) for name in KeyInfo.__dataclass_fields__}


def _document(kind: str, value: object) -> str:
    return document(kind, value)


def _budget(key: KeyInfo) -> str:
    if key.budget is None:
        return "no limit"
    return f"{money(key.budget)} {'in all' if key.period is None else f'a {key.period}'}"


def _limits(key: KeyInfo) -> str:
    limits = [f"{limit:,} {of}/min" for limit, of in ((key.rpm, "requests"), (key.tpm, "tokens")) if limit is not None]
    return ", ".join(limits) or "none"


def _in_force(key: KeyInfo) -> bool:
    return key.is_in_force(datetime.now(UTC))


def _state(key: KeyInfo) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is not None:
        ended = key.expires_at <= datetime.now(UTC)
        return f"{'expired' if ended else 'until'} {key.expires_at:%Y-%m-%d}"
    return "active"
