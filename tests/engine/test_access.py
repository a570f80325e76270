"""Who is let in, for how long, and what the disk knows of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from awlog.engine.access import USE_PRECISION_US, AccessRules, Door, new_token
from awlog.model.access import FULL_ACCESS, Access, Grant, Scope, Token
from awlog.model.commands import RequireTokens, RevokeToken
from awlog.model.errors import BadRequest, NoSuchToken, Unauthorized, Unavailable
from awlog.model.times import Micros
from tests.engine.harness import Disk, Store, WatchedEngine, create

NOW_US = Micros(1_700_000_000_000_000)
READ = (Grant(Scope.READ),)
NO_RULES = AccessRules()


def made(*, expires_us: int | None = None, grants: Sequence[Grant] = READ) -> tuple[str, Token]:
    expiry = None if expires_us is None else Micros(expires_us)
    return new_token("phone", grants, created_us=NOW_US, expires_us=expiry)


def door_with(*tokens: Token, rules: AccessRules = NO_RULES, required: bool = True) -> Door:
    door = Door(rules)
    door.take({token.id: token for token in tokens}, required=required)
    return door


def test_a_secret_is_random_and_not_in_what_is_kept() -> None:
    """256 bits each; only the hash is kept."""
    secrets = [made()[0] for _ in range(20)]
    assert len(set(secrets)) == 20
    assert all(len(secret) == len("awlog_") + 43 for secret in secrets)
    secret, token = made()
    assert secret not in repr(token)
    assert len(token.digest) == 32


@pytest.mark.parametrize(
    "header", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", " Bearer {} "], ids=lambda header: repr(header)
)
def test_the_scheme_may_be_in_any_case(header: str) -> None:
    """RFC 9110, section 11.1."""
    secret, token = made()
    assert door_with(token).admit([header.format(secret)], NOW_US).access.token_id == token.id


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["{}"],
        ["Basic {}"],
        ["Bearer {}x"],
        ["Bearer x{}"],
        ["Bearer {} {}"],
        ["Bearer {},Bearer {}"],
        ["Bearer {}", "Bearer {}"],
        ["Bearer \udcff"],
        ["Token {}"],
    ],
    ids=repr,
)
def test_anything_else_lets_nobody_in(headers: list[str]) -> None:
    """One header, one scheme, one secret, all of it."""
    secret, token = made()
    with pytest.raises(Unauthorized) as refusal:
        door_with(token).admit([header.replace("{}", secret) for header in headers], NOW_US)
    assert secret not in str(refusal.value)


def test_without_tokens_everybody_is_let_in_and_with_one_nobody_else() -> None:
    """What is remembered counts, not how many tokens there are."""
    assert door_with(required=False).admit([], NOW_US).access is FULL_ACCESS
    assert door_with(required=False).admit(["Bearer whatever"], NOW_US).access is FULL_ACCESS
    for rules in (NO_RULES, AccessRules(requires_tokens=True), AccessRules(is_exposed=True)):
        with pytest.raises(Unauthorized):
            door_with(rules=rules, required=rules == NO_RULES).admit([], NOW_US)


def test_a_token_ends_at_its_moment() -> None:
    """Not a microsecond later, and for what lasts as well."""
    secret, token = made(expires_us=NOW_US + 10)
    door = door_with(token)
    admission = door.admit([f"Bearer {secret}"], Micros(NOW_US + 9))
    assert admission.expires_us == NOW_US + 10
    door.check(admission.access, Micros(NOW_US + 9))
    for refused in (lambda at: door.admit([f"Bearer {secret}"], at), lambda at: door.check(admission.access, at)):
        with pytest.raises(Unauthorized, match="expired"):
            refused(Micros(NOW_US + 10))


def test_what_lasts_ends_with_its_token() -> None:
    """A stream that was begun before a token was revoked, or before tokens were required."""
    secret, token = made()
    door = door_with(token)
    access = door.admit([f"Bearer {secret}"], NOW_US).access
    door.take({}, required=True)
    for admitted in (access, FULL_ACCESS):
        with pytest.raises(Unauthorized):
            door.check(admitted, NOW_US)
    door.take({}, required=False)
    door.check(FULL_ACCESS, NOW_US)


def test_the_api_key_is_a_token_for_everything() -> None:
    """As the single key of ActivityWatch's Rust server; it needs no token beside it."""
    door = door_with(rules=AccessRules(api_key="s3cret"), required=False)
    access = door.admit(["Bearer s3cret"], NOW_US).access
    assert access.may(Scope.ADMIN)
    door.check(access, NOW_US)
    for header in ("Bearer S3cret", "Bearer s3cre", "Bearer s3crets"):
        with pytest.raises(Unauthorized):
            door.admit([header], NOW_US)


def test_changes_are_told_and_uses_are_none() -> None:
    """Whoever remembers who was let in forgets it; not every minute."""
    _, token = made()
    told = []
    door = door_with(token)
    door.on_changed = lambda: told.append(1)
    used = Token(token.id, token.name, token.digest, token.created_us, None, token.grants, NOW_US)
    door.take({token.id: used}, required=True)
    assert told == []
    door.take({token.id: used}, required=False)
    door.take({}, required=False)
    assert len(told) == 2


def test_uses_are_noted_to_the_minute() -> None:
    """A commit for each heartbeat would say no more."""
    secret, token = made()
    door = door_with(token)
    door.admit([f"Bearer {secret}"], NOW_US)
    assert door.unwritten_uses() == {token.id: NOW_US}
    assert door.unwritten_uses() == {}
    used = Token(token.id, token.name, token.digest, token.created_us, None, token.grants, NOW_US)
    door.take({token.id: used}, required=True)
    door.admit([f"Bearer {secret}"], Micros(NOW_US + USE_PRECISION_US - 1))
    assert door.unwritten_uses() == {}
    door.admit([f"Bearer {secret}"], Micros(NOW_US + USE_PRECISION_US))
    assert door.unwritten_uses() == {token.id: NOW_US + USE_PRECISION_US}


@pytest.mark.parametrize(
    ("name", "grants", "expires_us"),
    [("a\nb", READ, None), ("n" * 101, READ, None), ("", (), None), ("", READ * 101, None), ("", READ, NOW_US)],
)
def test_what_is_no_token_is_refused(name: str, grants: Sequence[Grant], expires_us: Micros | None) -> None:
    with pytest.raises(BadRequest):
        new_token(name, grants, created_us=NOW_US, expires_us=expires_us)


# The engine


async def test_tokens_outlive_a_crash_and_a_restart(store: Store):
    """And so does that they are required, and when they were used."""
    engine = await store.open()
    secret, token = await engine.tokens.create("phone", READ, None)
    _, gone = await engine.tokens.create("gone", READ, None)
    engine.tokens.admit([f"Bearer {secret}"])
    await engine.submit(RevokeToken(gone.id))
    engine = await store.crash()
    assert [known.id for known in engine.tokens.all()] == [token.id]
    engine.tokens.admit([f"Bearer {secret}"])
    engine = await store.restart()
    (known,) = engine.tokens.all()
    assert known.last_used_us == engine.clock()
    await engine.submit(RevokeToken(token.id))
    engine = await store.restart()
    assert engine.tokens.all() == []
    with pytest.raises(Unauthorized):
        engine.tokens.admit([])


async def test_a_token_that_is_not_durable_lets_nobody_in(engine: WatchedEngine, disk: Disk):
    """And requires nothing: its commit failed, so it was never made."""
    disk.fail_next(Unavailable("The disk refused this write"))
    with pytest.raises(Unavailable):
        await engine.tokens.create("phone", READ, None)
    assert engine.tokens.all() == []
    assert engine.tokens.admit([]).access is FULL_ACCESS


async def test_revoking_fails_whole(engine: WatchedEngine, disk: Disk):
    """A token whose revocation was not durable is good; the next try takes it away."""
    secret, token = await engine.tokens.create("phone", READ, None)
    disk.fail_next(Unavailable("The disk refused this write"))
    with pytest.raises(Unavailable):
        await engine.submit(RevokeToken(token.id))
    assert engine.tokens.admit([f"Bearer {secret}"]).access.token_id == token.id
    await engine.submit(RevokeToken(token.id))
    with pytest.raises(Unauthorized):
        engine.tokens.admit([f"Bearer {secret}"])
    with pytest.raises(NoSuchToken):
        await engine.submit(RevokeToken(token.id))


async def test_an_open_server_is_opened_by_words_only(engine: WatchedEngine):
    """Not by revoking; and a token that is made later closes it again."""
    _, token = await engine.tokens.create("phone", READ, None)
    await engine.submit(RevokeToken(token.id))
    assert engine.tokens.are_required
    await engine.submit(RequireTokens(required=False))
    assert not engine.tokens.are_required
    engine.tokens.check(FULL_ACCESS)
    await engine.tokens.create("again", READ, None)
    assert engine.tokens.are_required


async def test_a_query_sees_the_buckets_that_may_be_read_and_its_answer_is_not_anothers(engine: WatchedEngine):
    """The same text, asked by one who may read all, by one who may not, and again."""
    await engine.submit(create("a-1"))
    await engine.submit(create("b-1"))
    text = ['RETURN = find_bucket("");']
    periods = ["2024-05-01T00:00Z/2024-05-02T00:00Z"]

    async def asked(*prefixes: str) -> bytes:
        return b"".join((await engine.readers.query(text, periods, name="", explain=False, prefixes=prefixes)).parts)

    assert [await asked(prefix) for prefix in ("", "b", "", "a", "b")] == [
        b'"a-1"',
        b'"b-1"',
        b'"a-1"',
        b'"a-1"',
        b'"b-1"',
    ]


def test_prefixes_say_where_a_scope_reaches() -> None:
    """One check of a bucket's id against them is `may`."""
    access = Access("x", (Grant(Scope.READ, "a"), Grant(Scope.WRITE, "b"), Grant(Scope.ADMIN, "c")))
    assert access.prefixes(Scope.READ) == ("a", "c")
    assert access.prefixes(Scope.APPEND) == ("b", "c")
    assert FULL_ACCESS.prefixes(Scope.WRITE) == ("",)
    assert Access("nobody", ()).prefixes(Scope.READ) == ()
    for scope in Scope:
        for bucket_id in ("a-1", "b-1", "c-1", "d-1"):
            assert access.may(scope, bucket_id) == bucket_id.startswith(access.prefixes(scope))
