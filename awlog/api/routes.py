"""The route table of `/api/`: the one place that says which paths and methods there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from aiohttp import web

from awlog.api import buckets, events, heartbeat, info, query, settings, stream, transfer
from awlog.api.call import Call
from awlog.model.errors import MethodNotAllowed, NotFound

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Route(NamedTuple):
    """A path below `/api/`, with `{name}` for a segment that is a parameter, and its handlers by method."""

    path: str
    handlers: dict[str, Handler]

    @property
    def allowed(self) -> str:
        methods = [*self.handlers, *(["HEAD"] if "GET" in self.handlers else []), "OPTIONS"]
        return ", ".join(sorted(methods))

    def handler(self, method: str) -> Handler:
        """HEAD goes where GET goes. Raises MethodNotAllowed."""
        found = self.handlers.get("GET" if method == "HEAD" else method)
        if found is None:
            raise MethodNotAllowed(method, self.allowed)
        return found


ROUTES: Final = (
    Route("0/info", {"GET": info.get_info}),
    Route("0/buckets", {"GET": buckets.list_buckets}),
    Route("0/buckets/{bucket_id}", {
        "GET": buckets.get_bucket,
        "POST": buckets.create_bucket,
        "PUT": buckets.update_bucket,
        "DELETE": buckets.delete_bucket,
    }),
    Route("0/buckets/{bucket_id}/events", {"GET": events.read_events, "POST": events.insert_events}),
    Route("0/buckets/{bucket_id}/events/count", {"GET": events.count_events}),
    Route("0/buckets/{bucket_id}/events/{event_id}", {"GET": events.get_event, "DELETE": events.delete_event}),
    Route("0/buckets/{bucket_id}/heartbeat", {"POST": heartbeat.heartbeat}),
    Route("0/buckets/{bucket_id}/heartbeats", {"POST": heartbeat.heartbeats}),
    Route("0/buckets/{bucket_id}/export", {"GET": transfer.export_bucket}),
    Route("0/heartbeats", {"POST": stream.post_heartbeats}),
    Route("0/stream", {"GET": stream.stream}),
    Route("0/query", {"POST": query.query}),
    Route("0/export", {"GET": transfer.export_all}),
    Route("0/import", {"POST": transfer.import_buckets}),
    Route("0/settings", {"GET": settings.all_settings, "POST": settings.without_key}),
    Route("0/settings/{key}", {
        "GET": settings.get_setting,
        "POST": settings.set_setting,
        "DELETE": settings.remove_setting,
    }),
    Route("0/log", {"GET": info.get_log}),
)  # fmt: skip


def path_segments(path: str) -> list[str]:
    """The segments of a path, split at `/` and then percent-decoded once; one trailing slash is ignored.

    Raises NotFound if it does not begin with a slash or is not UTF-8.
    """
    if not path.startswith("/"):
        raise NotFound("There is nothing at this path")
    parts = path[1:].split("/")
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    if "%" not in path and path.isascii():
        return parts
    try:
        return [unquote_to_bytes(part.encode("utf-8", "surrogateescape")).decode() for part in parts]
    except UnicodeDecodeError:
        raise NotFound("There is nothing at this path: it is not UTF-8") from None


# Segments of a route by their place: those that must be equal, and those that are parameters.
_Fixed = tuple[tuple[int, str], ...]
_Named = tuple[tuple[int, str], ...]


class Router:
    """Finds a route by its segments. O(routes of that length); literals go before parameters, in table order."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_length: dict[int, list[tuple[_Fixed, _Named, Route]]] = {}
        for route in routes:
            parts = list(enumerate(route.path.split("/")))
            fixed = tuple((at, part) for at, part in parts if part[0] != "{")
            named = tuple((at, part[1:-1]) for at, part in parts if part[0] == "{")
            self._by_length.setdefault(len(parts), []).append((fixed, named, route))

    def find(self, segments: Sequence[str], params: dict[str, str]) -> Route:
        """The route, its parameters put into `params`. `segments` are those below `/api/`. Raises NotFound."""
        for fixed, named, route in self._by_length.get(len(segments), ()):
            if all(segments[at] == literal for at, literal in fixed):
                for at, name in named:
                    params[name] = segments[at]
                return route
        raise NotFound("There is nothing at this path; GET /api/ lists what there is")
