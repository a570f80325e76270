"""A route of `/api/`: a path, and for each method a handler and the scope that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from awlog.api.call import Call
from awlog.model.access import Access, Scope
from awlog.model.errors import MethodNotAllowed

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Endpoint(NamedTuple):
    """A handler and the scope that it needs: in the bucket that the path names, else on the whole server.

    `scope` None: open to everybody. `by_bucket`: the handler looks at each bucket itself, with `call.access`; a grant that
    is limited to some buckets is enough to come in. `other_scope`: one that is enough too; the handler looks at what is
    done with it.
    """

    handler: Handler
    scope: Scope | None
    by_bucket: bool = False
    other_scope: Scope | None = None

    def check(self, access: Access, bucket_id: str | None) -> None:
        """Raises Forbidden. The one place that decides what whoever was admitted may do."""
        if self.scope is None or (self.other_scope is not None and access.may_somewhere(self.other_scope)):
            return
        if self.by_bucket:
            access.require_somewhere(self.scope)
        else:
            access.require(self.scope, bucket_id)


class Route(NamedTuple):
    """A path below `/api/`, with `{name}` for a segment that is a parameter, and its endpoints by method."""

    path: str
    endpoints: dict[str, Endpoint]

    @property
    def allowed(self) -> str:
        methods = [*self.endpoints, *(["HEAD"] if "GET" in self.endpoints else []), "OPTIONS"]
        return ", ".join(sorted(methods))

    def endpoint(self, method: str) -> Endpoint:
        """HEAD goes where GET goes. Raises MethodNotAllowed."""
        found = self.endpoints.get("GET" if method == "HEAD" else method)
        if found is None:
            raise MethodNotAllowed(method, self.allowed)
        return found
