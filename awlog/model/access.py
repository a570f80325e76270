"""Who may do what: scopes, each perhaps limited to some buckets. Pure: who is asking is found out elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from awlog.model.bucket import BUCKET_ID_BYTES_MAX, is_valid_bucket_id
from awlog.model.errors import BadRequest, Forbidden, Unauthorized
from awlog.model.times import Micros

_DEVICE_CHARS_MAX: Final = 64


class Scope(StrEnum):
    """What a request needs, and what is granted.

    read     every GET, and queries
    append   make buckets, send heartbeats and new events; read back nothing but the acknowledgements
    write    append, and edit and delete
    admin    everything
    """

    READ = "read"
    APPEND = "append"
    WRITE = "write"
    ADMIN = "admin"


# What holds a scope holds these as well.
_INCLUDED: Final = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.APPEND: frozenset({Scope.APPEND}),
    Scope.WRITE: frozenset({Scope.APPEND, Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}


class Grant(Struct, frozen=True):
    """One scope: in every bucket if `bucket_prefix` is empty, else in those whose id begins with it."""

    scope: Scope
    bucket_prefix: str = ""

    def __str__(self) -> str:
        return f"{self.scope}:{self.bucket_prefix}*" if self.bucket_prefix else str(self.scope)


def parse_grant(text: str) -> Grant:
    """`append`, or `append:aw-watcher-web*` for the buckets whose id begins like that. Raises BadRequest."""
    name, colon, pattern = text.partition(":")
    if name not in tuple(map(str, Scope)):
        raise BadRequest(
            f"A scope is one of {', '.join(Scope)}, perhaps with a prefix of bucket ids: append:my-bucket*"
        )
    if not colon:
        return Grant(Scope(name))
    prefix = pattern.removesuffix("*")
    if prefix == pattern or "*" in prefix or not prefix.isprintable() or not is_valid_bucket_id(prefix):
        raise BadRequest(
            "A scope's prefix of bucket ids is a printable text that a bucket id may begin with, of at most "
            f"{BUCKET_ID_BYTES_MAX} bytes, with one `*`, at its end: append:my-bucket*"
        )
    return Grant(Scope(name), prefix)


class Token(Struct, frozen=True):
    """A bearer token as it is kept: `digest` is the SHA-256 of the secret, which nobody can read back.

    A plain hash is enough: a secret of 256 random bits cannot be guessed, however fast the hash. `id` is no secret.
    """

    id: str
    name: str
    digest: bytes
    created_us: Micros
    expires_us: Micros | None
    grants: tuple[Grant, ...]
    last_used_us: Micros | None = None
    device_id: str | None = None
    """The only device as which it pushes: it was made for that one, or pushed as that one first."""

    @property
    def is_admin(self) -> bool:
        """For everything, not for some buckets only."""
        return Grant(Scope.ADMIN) in self.grants

    def has_expired(self, now_us: Micros) -> bool:
        return self.expires_us is not None and now_us >= self.expires_us


def check_device_id(device_id: str) -> None:
    """Raises BadRequest."""
    if not 1 <= len(device_id) <= _DEVICE_CHARS_MAX or not device_id.isprintable():
        raise BadRequest(f"`device` is a printable text of 1 to {_DEVICE_CHARS_MAX} characters")


def must_be_bound(tokens: Mapping[str, Token], token_id: str | None, device_id: str, now_us: Micros) -> bool:
    """May this token push as this device? True if from then on it may push as no other.

    A device has one token, unless an admin made more for it: who got hold of another one cannot push in its place. Admins
    may, and whoever needs no token. Raises Unauthorized, Forbidden.
    """
    if token_id is None:
        return False
    token = tokens.get(token_id)
    if token is None:
        raise Unauthorized("There is no such token, or it was revoked")
    if token.is_admin or token.device_id == device_id:
        return False
    if token.device_id is not None:
        raise Forbidden("This token pushes for another device: make one for this device")
    if any(other.device_id == device_id and not other.has_expired(now_us) for other in tokens.values()):
        raise Forbidden(
            "Another token pushes for this device: use that, or revoke it, or make this one by `awlog token create --device`"
        )
    return True


class Access(Struct, frozen=True):
    """All that somebody may do. `name` says who it is, to people; `token_id` to the server, None without a token."""

    name: str
    grants: tuple[Grant, ...]
    token_id: str | None = None

    def may(self, scope: Scope, bucket_id: str | None = None) -> bool:
        """In this bucket; without one, in the server as a whole, for which a grant without a prefix is needed."""
        return any(
            scope in _INCLUDED[grant.scope]
            and (not grant.bucket_prefix or (bucket_id is not None and bucket_id.startswith(grant.bucket_prefix)))
            for grant in self.grants
        )

    def may_somewhere(self, scope: Scope) -> bool:
        """In the server as a whole, or in some buckets at least."""
        return any(scope in _INCLUDED[grant.scope] for grant in self.grants)

    def prefixes(self, scope: Scope) -> tuple[str, ...]:
        """The buckets whose ids begin with one of these; `("",)` for all. `id.startswith(prefixes)` takes 0.1 µs."""
        granted = tuple(grant.bucket_prefix for grant in self.grants if scope in _INCLUDED[grant.scope])
        return ("",) if "" in granted else granted

    def require(self, scope: Scope, bucket_id: str | None = None) -> None:
        """Raises Forbidden unless `may`. The text names the scope, and no bucket that the asker need not know of."""
        if not self.may(scope, bucket_id):
            where = "on the whole server" if bucket_id is None else "in this bucket"
            raise Forbidden(f"This needs the scope `{scope}` {where}")

    def require_somewhere(self, scope: Scope) -> None:
        """Raises Forbidden unless `may_somewhere`."""
        if not self.may_somewhere(scope):
            raise Forbidden(f"This needs the scope `{scope}`, for some buckets at least")


FULL_ACCESS: Final = Access("everybody", (Grant(Scope.ADMIN),))
# Who opens the socket in the data directory owns the data, whatever is required of others.
OWNER_ACCESS: Final = Access("owner", (Grant(Scope.ADMIN),))
NO_ACCESS: Final = Access("nobody", ())
