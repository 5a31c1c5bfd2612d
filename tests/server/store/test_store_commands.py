"""`sale keys` and `sale spend`, as a user runs them, on one store after another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sale.cli.main import app
from sale.errors import AuthenticationError, InputError
from sale.server.store.store import ServerStore
from tests.support.ledger import noted

SETTINGS = """
[[agents]]
name = "small"
price = 0.1
endpoint = "http://127.0.0.1:9/v1"
model = "s"

[server]
database = "{database}"
"""
Run = Callable[..., Result]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "server.sqlite3")


@pytest.fixture
def run(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    settings = tmp_path / "sale.toml"
    settings.write_text(SETTINGS.format(database=database), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--config", str(settings)])


def test_a_key_is_shown_once_works_and_is_revoked(run: Run, database: str):
    made = run("keys", "create", "team a", "--budget", "5", "--period", "week", "--rpm", "60", "--agent", "small")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert secret.startswith("sk-sale-")
    assert secret not in made.stderr

    async def use() -> None:
        async with await ServerStore.open(database) as store:
            holder = await store.admit(secret)
            assert holder.agents == frozenset({"small"})
            await store.settle(await store.reserve(holder, 2.0, 1), dollars=1.25, tokens=1)

    asyncio.run(use())
    for arguments in (("list",), ("show", "team a"), ("list", "--json")):
        said = run("keys", *arguments).output
        assert secret[:16] in said
        assert secret[16:] not in said
    shown = run("keys", "show", "team a").output
    assert "$1.25 of $5.00 a week until" in shown
    assert "60 requests/min" in shown
    assert json.loads(run("keys", "show", secret[:16], "--json").output)["key"]["spent"] == 1.25
    assert "revoked" in run("keys", "revoke", "team a").output
    assert "revoked" in run("keys", "list").output
    with pytest.raises(AuthenticationError):
        asyncio.run(use())


def test_a_key_as_json_and_its_end(run: Run):
    made = json.loads(run("keys", "create", "ci", "--expires", "2999-01-01", "--json").stdout)
    assert made["schema"] == "sale.key/1"
    assert made["key"]["secret"].startswith(made["key"]["prefix"])
    assert made["key"]["expires_at"] == "2999-01-01 00:00:00+00:00"
    (listed,) = json.loads(run("keys", "list", "--json").output)["keys"]
    assert "secret" not in listed
    assert listed["agents"] is None


def test_mistakes_end_in_words(run: Run):
    assert "programs of this machine are served without one" in run("keys", "list").output
    wrong = run("keys", "create", "ci", "--agent", "smal")
    assert wrong.exit_code == 2
    assert "no agent is called 'smal'; there are small" in wrong.output
    assert isinstance(run("keys", "show", "nobody").exception, InputError)
    assert isinstance(run("keys", "create", "ci", "--period", "day").exception, InputError)
    assert run("keys", "create", "ci", "--period", "year").exit_code == 2
    assert run("spend", "--since", "2026-01-01", "--days", "3").exit_code == 2
    assert "Nothing is on the ledger" in run("spend").output


def test_spend(run: Run, database: str):
    async def fill() -> None:
        now = datetime.now(UTC)
        async with await ServerStore.open(database) as store:
            for number in range(4):
                await store.note(
                    noted(
                        id=f"r{number}",
                        at=now - timedelta(days=number),
                        key_id=None,
                        status=200 if number else 500,
                        input_tokens=1000,
                        output_tokens=100,
                        cached_tokens=0,
                        work_dollars=1.0,
                        auction_dollars=0.5,
                        largest_dollars=6.0,
                    )
                )

    asyncio.run(fill())
    said = run("spend").output
    assert said.count("$4.50 (75%)") == 4
    assert "$18.00 (75%)" in said
    assert "an estimate" in said
    found = json.loads(run("spend", "--days", "2", "--by", "agent", "--json").output)
    assert found["schema"] == "sale.spend/1"
    (small,) = found["spend"]
    assert (small["label"], small["requests"], small["failures"]) == ("small", 2, 1)
    assert (small["work_dollars"], small["auction_dollars"], small["saved"]) == (2.0, 1.0, 9.0)


def test_of_a_name_that_a_revoked_key_has_too_none_is_deleted(run: Run):
    """The one that was revoked is meant as easily as the one in force."""
    old, new = (json.loads(run("keys", "create", "ci", "--json").stdout)["key"]["id"] for _ in range(2))
    assert run("keys", "revoke", old).exit_code == 0
    refused = run("keys", "delete", "ci", "--yes")
    assert isinstance(refused.exception, InputError)
    assert f"Give one of their ids: {old} (revoked), {new}." in str(refused.exception)
    assert len(json.loads(run("keys", "list", "--json").output)["keys"]) == 2
    assert run("keys", "delete", old, "--yes").exit_code == 0
    assert run("keys", "delete", "ci", "--yes").exit_code == 0


def test_keys_are_deleted_and_it_is_said_who_gets_in(run: Run, database: str):
    """With keys in force, with revoked ones alone, and with none."""
    assert "programs of this machine are served without one" in run("keys", "list").output
    made = run("keys", "create", "a", "--tenant", "team", "--json")
    assert json.loads(made.stdout)["key"]["tenant"] == "team"
    other = json.loads(run("keys", "create", "b", "--json").stdout)["key"]
    assert other["tenant"] == f"key-{other['id']}"
    shown = run("keys", "list").output
    assert "team" in shown
    assert other["tenant"] in shown
    assert "No key is left" not in run("keys", "revoke", "a").output
    said = run("keys", "revoke", "b")
    assert "No key is left that is in force" in said.output
    assert "No key is left that is in force" in run("keys", "list").output
    assert run("keys", "delete", "a").exit_code != 0, "it asks first"
    assert "No key is left that is in force" in run("keys", "delete", "a", "--yes").output
    last = run("keys", "delete", "b", "--yes")
    assert last.exit_code == 0
    assert f"Its tenant was {other['tenant']}" in last.output
    assert "There are no keys any more" in last.output
    assert json.loads(run("keys", "list", "--json").output)["keys"] == []
    missing = run("keys", "delete", "b", "--yes")
    assert missing.exit_code != 0
