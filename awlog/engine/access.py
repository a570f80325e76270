"""Who is asking: a bearer token -> what it may do.

A token is 256 random bits, shown once. What is kept is its SHA-256, which finds the token in a dict: how long that takes
says something about the digest at most, and nobody can choose a secret by its digest. So no comparison needs constant time.

Whether tokens are needed at all is remembered apart from them (`TokensRequired`), so that a server whose last token has
expired or was revoked lets nobody in, instead of everybody.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from msgspec import Struct

from awlog.model.access import FULL_ACCESS, Access, Grant, Scope, Token, check_device_id
from awlog.model.errors import BadRequest, Unauthorized
from awlog.model.times import Micros

# So that scanners of source code know one when somebody commits it.
_SECRET_PREFIX: Final = "awlog_"  # noqa: S105
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 6
_NAME_CHARS_MAX: Final = 100
_GRANTS_MAX: Final = 100
# A use is written down when the one that is written is older than this.
USE_PRECISION_US: Final = 60_000_000


class AccessRules(Struct, frozen=True):
    """What the settings say. `api_key` is a token with the scope admin; `requires_tokens` also while there are none.

    `is_exposed`: others than this machine's programs can ask, so that tokens are required whatever was said before.
    """

    api_key: str | None = None
    requires_tokens: bool = False
    is_exposed: bool = False


class Admission(Struct, frozen=True):
    """What whoever asks may do, and until when."""

    access: Access
    expires_us: Micros | None = None


_EVERYBODY: Final = Admission(FULL_ACCESS)


def new_token(
    name: str,
    grants: Sequence[Grant],
    *,
    created_us: Micros,
    expires_us: Micros | None,
    device_id: str | None = None,
) -> tuple[str, Token]:
    """The secret, and the token as it is kept. Raises BadRequest."""
    if len(name) > _NAME_CHARS_MAX or not name.isprintable():
        raise BadRequest(f"A token's name is a printable text of at most {_NAME_CHARS_MAX} characters")
    if not 1 <= len(grants) <= _GRANTS_MAX:
        raise BadRequest(f"A token has 1 to {_GRANTS_MAX} scopes")
    if expires_us is not None and expires_us <= created_us:
        raise BadRequest("A token expires in the future")
    if device_id is not None:
        check_device_id(device_id)
    secret = _SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    token_id = secrets.token_hex(_ID_BYTES)
    return secret, Token(token_id, name, _digest(secret), created_us, expires_us, tuple(grants), device_id=device_id)


class Door:
    """Knows the durable tokens. Loop only."""

    def __init__(self, rules: AccessRules) -> None:
        self._rules = rules
        self._api_key_digest = None if rules.api_key is None else _digest(rules.api_key)
        self._api_key = Admission(Access("api_key", (Grant(Scope.ADMIN),)))
        self.tokens: dict[str, Token] = {}
        """By id."""
        self._by_digest: dict[bytes, tuple[Token, Admission]] = {}
        self._remembered = False
        # By id, when tokens were used that is not written down yet.
        self._used_us: dict[str, Micros] = {}
        self.on_changed: Callable[[], None] = lambda: None
        """Called when who was admitted may not be any more."""

    @property
    def requires_tokens(self) -> bool:
        return self.is_set_up or self._rules.is_exposed

    @property
    def is_set_up(self) -> bool:
        """Did somebody say that tokens are required, by making one or by a setting?"""
        return self._remembered or self._rules.requires_tokens or self._rules.api_key is not None

    def take(self, tokens: dict[str, Token], *, required: bool) -> None:
        """The durable state is this now. O(tokens)."""
        # A token is never another than it was, but for its last use, and the device that it pushes for.
        changed = tokens.keys() != self.tokens.keys() or required != self._remembered
        self.tokens = dict(tokens)
        self._remembered = required
        self._by_digest = {
            token.digest: (token, Admission(Access(token.name or token.id, token.grants, token.id), token.expires_us))
            for token in tokens.values()
        }
        if changed:
            self.on_changed()

    def admit(self, authorization: Sequence[str], now_us: Micros) -> Admission:
        """`authorization`: all headers of this name. 2 µs. Raises Unauthorized."""
        if not self.requires_tokens:
            return _EVERYBODY
        scheme, _, secret = authorization[0].strip().partition(" ") if len(authorization) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise Unauthorized("This needs a token: send one `Authorization: Bearer <token>`")
        digest = _digest(secret.strip())
        if self._api_key_digest is not None and compare_digest(digest, self._api_key_digest):
            return self._api_key
        known = self._by_digest.get(digest)
        if known is None:
            raise Unauthorized("There is no such token, or it was revoked")
        token, admission = known
        _check_time(token, now_us)
        # Also if that is in the future: the clock was wrong then, or is now.
        if token.last_used_us is None or not 0 <= now_us - token.last_used_us < USE_PRECISION_US:
            self._used_us[token.id] = now_us
        return admission

    def check(self, access: Access, now_us: Micros) -> None:
        """For what lasts: raises Unauthorized if who was admitted then would not be admitted now."""
        if access.token_id is not None:
            token = self.tokens.get(access.token_id)
            if token is None and self.requires_tokens:
                raise Unauthorized("The token was revoked")
            if token is not None:
                _check_time(token, now_us)
        elif access is FULL_ACCESS and self.requires_tokens:
            raise Unauthorized("This needs a token now: send `Authorization: Bearer <token>`")

    def unwritten_uses(self) -> dict[str, Micros]:
        """When tokens were used last, by id. They are not told again."""
        used_us, self._used_us = self._used_us, {}
        return used_us


def _check_time(token: Token, now_us: Micros) -> None:
    if token.has_expired(now_us):
        raise Unauthorized("The token has expired")


def _digest(secret: str) -> bytes:
    """Of a header's text, which may hold what is no UTF-8."""
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
