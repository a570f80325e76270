"""Who may do what: scopes, each perhaps limited to some buckets. Pure: who is asking is found out elsewhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from awlog.model.errors import Forbidden


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


class Access(Struct, frozen=True):
    """All that somebody may do. `name` says who it is, to people."""

    name: str
    grants: tuple[Grant, ...]

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

    def require(self, scope: Scope, bucket_id: str | None = None) -> None:
        """Raises Forbidden unless `may`. The text names the scope, and no bucket that the asker need not know of."""
        if not self.may(scope, bucket_id):
            where = "on the whole server" if bucket_id is None else "in this bucket"
            raise Forbidden(f"This needs the scope `{scope}` {where}")


FULL_ACCESS: Final = Access("everybody", (Grant(Scope.ADMIN),))
