"""Virtual keys: made, shown once, known again, revoked everywhere."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from sale.errors import AuthenticationError, InputError, StoreError
from sale.server.store import secrets
from sale.server.store.store import ServerStore
from sale.server.store.types import Session
from tests.support.ledger import noted
from tests.support.unawaited_errors import complaints, let_run

MIGHT_BE_OURS = "sk-sale-" + "A" * 43


def test_secrets_are_long_and_never_the_same():
    made = {secrets.new_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(secrets.prefix_of(one) == one[:16] for one in made)


@pytest.mark.parametrize("text", ["", "sk-sale-", "sk-sale-short", "sk-other", MIGHT_BE_OURS + "A", "sk-sale-é" * 9])
def test_what_cannot_be_a_secret_has_no_prefix(text):
    assert secrets.prefix_of(text) is None


def test_a_digest_depends_on_all_of_the_secret_and_on_the_salt():
    secret, salt = secrets.new_secret(), secrets.new_salt()
    digest = secrets.digest_of(secret, salt)
    assert secrets.is_secret(secret, salt, digest)
    assert not secrets.is_secret(secret[:-1] + ("a" if secret[-1] != "a" else "b"), salt, digest)
    assert not secrets.is_secret(secret, secrets.new_salt(), digest)


async def test_without_keys_anybody_is_let_in_and_with_one_nobody_else(store: ServerStore):
    assert (await store.admit(None)).key_id is None
    assert (await store.admit("anything at all")).agents is None
    assert not await store.has_keys()
    secret, info = await store.create_key("ci", agents=["small"])
    assert await store.has_keys()
    holder = await store.admit(secret)
    assert (holder.key_id, holder.name, holder.agents) == (info.id, "ci", frozenset({"small"}))
    for wrong in (None, "", "anything", MIGHT_BE_OURS, secret[:-1], secret + "x", secret[:16] + "A" * 35):
        with pytest.raises(AuthenticationError) as refused:
            await store.admit(wrong)
        assert not wrong or len(wrong) < 16 or wrong not in str(refused.value)


async def test_a_key_made_elsewhere_closes_the_door_within_a_second_and_works_at_once(opened):
    here, there = await opened(), await opened()
    assert (await here.admit(None)).key_id is None
    secret, info = await there.create_key("first")
    await asyncio.sleep(1.0)
    with pytest.raises(AuthenticationError):
        await here.admit(None)
    assert (await here.admit(secret)).key_id == info.id
    second, info = await there.create_key("second")
    assert (await here.admit(second)).key_id == info.id


async def _last_admitted(store: ServerStore, secret: str) -> float:
    """When the request came that was let in last. How long its answer took, on a busy machine, says nothing."""
    last = 0.0
    while True:
        came = time.monotonic()
        try:
            await store.admit(secret)
        except AuthenticationError:
            return last
        last = came
        await asyncio.sleep(0.005)


async def test_revoked_is_refused_here_at_once_and_elsewhere_within_a_second(opened):
    here, there = await opened(), await opened()
    secret, info = await here.create_key("ci")
    await there.admit(secret)
    revoked = await here.revoke_key(info.prefix)
    assert revoked.revoked_at is not None
    with pytest.raises(AuthenticationError, match="revoked"):
        await here.admit(secret)
    revoked_at = time.monotonic()
    last = await _last_admitted(there, secret)
    assert last - revoked_at < 1.0
    assert (await here.revoke_key(info.id)).revoked_at == revoked.revoked_at
    with pytest.raises(AuthenticationError):  # all keys are gone, the door stays closed
        await there.admit(None)


class InTwoHours(datetime):
    """The clock, two hours on."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(hours=2)


async def test_an_expired_key_is_refused(store: ServerStore, monkeypatch: pytest.MonkeyPatch):
    secret, _ = await store.create_key("guest", expires=datetime.now(UTC) + timedelta(hours=1))
    await store.admit(secret)
    monkeypatch.setattr("sale.server.store.keys.datetime", InTwoHours)
    with pytest.raises(AuthenticationError, match="expired"):
        await store.admit(secret)


async def test_a_warm_request_asks_the_database_nothing(store: ServerStore):
    """Nor does one of a key with a budget; what runs beside requests asks a few times a second."""
    secret, _ = await store.create_key("ci", budget=1000.0, period="day", rpm=10**6, tpm=10**9)
    free, _ = await store.create_key("free")
    asked: Counter[str] = Counter()
    backend = store._database.backend

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.update([statement.split()[0]])

    for engine in (backend.reader, backend.writer):
        event.listen(engine, "before_cursor_execute", count)
    for one in (secret, free):
        holder = await store.admit(one)
        await store.settle(await store.reserve(holder, 0.001, 10), dollars=0.001, tokens=10)
    asked.clear()
    began = time.monotonic()
    for _ in range(2000):
        for one in (secret, free):
            holder = await store.admit(one)
            await store.settle(await store.reserve(holder, 0.001, 10), dollars=0.001, tokens=10)
    beats = 1 + (time.monotonic() - began) / 0.2
    assert asked.total() < 40 * beats


def _everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_the_secret_is_nowhere_on_disk(tmp_path: Path):
    place = tmp_path / "server.sqlite3"
    async with await ServerStore.open(place) as store:
        secret, info = await store.create_key("ci")
        await store.admit(secret)
        assert secret not in repr(info)
        assert "digest" not in repr(await store._keyring.of_id(info.id))
        found = _everything(tmp_path)
    assert info.prefix.encode() in found
    assert secret[16:].encode() not in found
    assert secret[8:].encode() not in found


async def test_keys_are_found_by_id_prefix_and_name(store: ServerStore):
    _, first = await store.create_key("team a")
    _, second = await store.create_key("twin")
    _, third = await store.create_key("twin")
    assert [one.id for one in await store.keys()] == [first.id, second.id, third.id]
    for reference in (first.id, first.prefix, "team a"):
        assert (await store.key(reference)).id == first.id
    with pytest.raises(InputError, match="several"):
        await store.revoke_key("twin")
    await store.revoke_key(second.id)
    assert (await store.key("twin")).id == third.id
    await store.revoke_key(third.id)
    with pytest.raises(InputError, match="several"):
        await store.key("twin")
    await store.revoke_key("team a")
    assert (await store.key("team a")).id == first.id, "where none in force has the name, the revoked one is meant"
    with pytest.raises(InputError, match="no key"):
        await store.key("nobody")
    with pytest.raises(InputError) as pasted:
        await store.key(MIGHT_BE_OURS)
    assert "AAAA" not in str(pasted.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": 0.0}, "above 0"),
        ({"budget": float("nan")}, "above 0"),
        ({"budget": -1.0}, "above 0"),
        ({"period": "day"}, "needs a budget"),
        ({"rpm": 0}, "rate limit"),
        ({"tpm": -5}, "rate limit"),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "cannot end"),
        ({"expires": datetime(2100, 1, 1)}, "cannot end"),  # noqa: DTZ001  that is the fault
    ],
)
async def test_limits_that_are_none_are_refused(tmp_path, options, said):
    async with await ServerStore.open(tmp_path / "s") as store:
        with pytest.raises(InputError, match=said):
            await store.create_key("ci", **options)
        for name in (" ", MIGHT_BE_OURS):
            with pytest.raises(InputError, match="name"):
                await store.create_key(name)
        assert await store.keys() == ()


async def test_a_look_that_fails_after_all_who_wait_have_left_is_not_complained_of(
    store: ServerStore, monkeypatch: pytest.MonkeyPatch
):
    begun, fail = asyncio.Event(), asyncio.Event()
    keys = store._keyring

    async def look() -> None:
        begun.set()
        await fail.wait()
        raise StoreError("the database is away")

    monkeypatch.setattr(keys, "look", look)
    with complaints() as heard:
        caller = asyncio.create_task(keys._look_once())
        await begun.wait()
        caller.cancel()
        await asyncio.wait([caller])
        fail.set()
        await let_run()
        keys._looking = None
    assert heard == []


# ------------------------------------------------------------------------------------------- deleted; whose they are


async def test_with_all_keys_revoked_nobody_gets_in_and_is_told_why(store: ServerStore):
    secret, info = await store.create_key("ci")
    await store.revoke_key(info.id)
    assert await store.has_keys()
    for shown in (None, secret):
        with pytest.raises(AuthenticationError, match="revoked") as refused:
            await store.admit(shown)
        assert "sale keys create" in str(refused.value)
    with pytest.raises(AuthenticationError, match="`sale keys delete` removes keys for good"):
        await store.admit(None)


async def test_a_deleted_key_is_gone_and_with_the_last_one_the_door_is_as_it_was(opened):
    here, there = await opened(), await opened()
    first, one = await here.create_key("ci")
    second, other = await here.create_key("ci", budget=5.0)
    await there.admit(first)
    gone = await here.delete_key(one.id)
    assert (gone.id, gone.name, gone.revoked_at) == (one.id, "ci", None)
    assert [key.id for key in await here.keys()] == [other.id]
    with pytest.raises(InputError, match="there is no key"):
        await here.key(one.id)
    assert (await here.key("ci")).id == other.id, "its name is free"
    with pytest.raises(AuthenticationError, match="not known"):
        await here.admit(first)
    await asyncio.sleep(1.0)
    with pytest.raises(AuthenticationError, match="not known"):
        await there.admit(first)
    assert (await there.admit(second)).key_id == other.id
    await there.delete_key(other.id)
    assert not await there.has_keys()
    assert (await there.admit(None)).key_id is None
    await asyncio.sleep(1.0)
    assert not await here.has_keys()
    assert (await here.admit(second)).key_id is None
    with pytest.raises(InputError, match="there is no key"):
        await here.delete_key(other.id)


async def test_what_a_deleted_key_spent_stays_and_its_plans_go(store: ServerStore, opened):
    secret, info = await store.create_key("ci", budget=5.0)
    holder = await store.admit(secret)
    under_way = await store.reserve(holder, 1.0, 10)
    await store.note(noted(key_id=info.id, work_dollars=0.5))
    now = datetime.now(UTC)
    session = Session(
        id="s",
        market="sale",
        tail="t",
        agent="small",
        auction_id="a",
        plan="1. Look.",
        turns=1,
        dollars=0.5,
        prompt_tokens=1,
        began=now,
        seen=now,
        key_id=info.id,
    )
    store.put_session(session)
    await store.recent_sessions()
    await store.delete_key("ci")
    another = await store.reserve(holder, 0.5, 10)
    for one in (under_way, another):
        await store.settle(one, dollars=0.25, tokens=10)
    await store._budgets.tick()
    (spent,) = await store.spend(by="key")
    assert spent.label.startswith("ci (sk-sale-")
    assert spent.work_dollars == pytest.approx(0.5)
    assert await store.recent_sessions() == ()
    assert await store.session("s", info.id) is None
    (row,) = await store._database.read(lambda c: c.exec_driver_sql("SELECT salt, digest FROM server_keys").all())
    assert [bytes(value) for value in row] == [b"", b""]


async def test_a_key_is_a_tenant_of_its_own_unless_told(store: ServerStore):
    own, info = await store.create_key("a")
    team, _ = await store.create_key("b", tenant="team")
    assert (await store.admit(own)).tenant == (await store.key("a")).tenant == f"key-{info.id}"
    assert (await store.admit(team)).tenant == (await store.key("b")).tenant == "team"
    with pytest.raises(InputError, match="name of a tenant"):
        await store.create_key("c", tenant=" ")


async def test_without_keys_all_is_the_default_tenants(store: ServerStore):
    assert (await store.admit(None)).tenant == "default"


@pytest.mark.parametrize("by_id", [False, True])
async def test_what_was_read_before_a_key_was_revoked_is_not_kept(
    store: ServerStore, monkeypatch: pytest.MonkeyPatch, by_id: bool
) -> None:
    secret, info = await store.create_key("ci")
    keyring, read = store._keyring, store.database.read
    held, go = asyncio.Event(), asyncio.Event()

    async def read_late(work: Any) -> Any:
        found = await read(work)
        held.set()
        await go.wait()
        return found

    monkeypatch.setattr(store.database, "read", read_late)
    asked = asyncio.ensure_future(keyring.of_id(info.id) if by_id else keyring._of_prefix(info.prefix))
    await held.wait()
    monkeypatch.undo()
    await store.revoke_key(info.id)
    go.set()
    found = await asked
    assert found is not None
    assert found.revoked_at is not None, "it is read once more"
    with pytest.raises(AuthenticationError, match="revoked"):
        await store.admit(secret)


@pytest.mark.parametrize("empty", [False, True])
async def test_a_database_that_went_back_is_read_as_it_is(store: ServerStore, empty: bool) -> None:
    secret, info = await store.create_key("ci")
    later, _ = await store.create_key("later")
    assert (await store.admit(secret)).key_id == info.id
    gone = "" if empty else " WHERE name = 'later'"
    await store.database.write(
        lambda c: (
            c.exec_driver_sql(f"DELETE FROM server_keys{gone}"),
            c.exec_driver_sql("UPDATE server_state SET changes = 1"),
        )
    )
    async with asyncio.timeout(10):
        with pytest.raises(AuthenticationError, match="not known"):
            await store.admit(later)
        await store._keyring.look()
        await store._keyring.look()
        with pytest.raises(AuthenticationError):
            await store.admit(None)
        if not empty:
            assert (await store.admit(secret)).key_id == info.id
