"""The route table of `/api/`: the one place that says which paths and methods there are, and what each needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from awlog.api import (
    buckets,
    care,
    erasure,
    events,
    feed,
    heartbeat,
    info,
    jobs,
    openapi,
    privacy,
    push,
    query,
    retention,
    settings,
    status,
    stream,
    tokens,
    transfer,
    watching,
    webhooks,
)
from awlog.api.route import Endpoint, Route
from awlog.model.access import Scope
from awlog.model.errors import MethodNotAllowed, NotFound

READ, APPEND, WRITE, ADMIN = Scope.READ, Scope.APPEND, Scope.WRITE, Scope.ADMIN

ROUTES: Final[tuple[Route, ...]] = (
    Route("0/info", {"GET": Endpoint(info.get_info, None)}),
    Route("0/buckets", {"GET": Endpoint(buckets.list_buckets, READ, by_bucket=True)}),
    Route("0/buckets/{bucket_id}", {
        "GET": Endpoint(buckets.get_bucket, READ),
        "POST": Endpoint(buckets.create_bucket, APPEND),
        "PUT": Endpoint(buckets.update_bucket, WRITE),
        "DELETE": Endpoint(buckets.delete_bucket, WRITE),
    }),
    Route("0/buckets/{bucket_id}/events", {
        "GET": Endpoint(events.read_events, READ),
        "POST": Endpoint(events.insert_events, APPEND),
    }),
    Route("0/buckets/{bucket_id}/events/count", {"GET": Endpoint(events.count_events, READ)}),
    Route("0/buckets/{bucket_id}/events/{event_id}", {
        "GET": Endpoint(events.get_event, READ),
        "DELETE": Endpoint(events.delete_event, WRITE),
    }),
    Route("0/buckets/{bucket_id}/delete", {"POST": Endpoint(erasure.delete_events, WRITE)}),
    Route("0/buckets/{bucket_id}/heartbeat", {"POST": Endpoint(heartbeat.heartbeat, APPEND)}),
    Route("0/buckets/{bucket_id}/heartbeats", {"POST": Endpoint(heartbeat.heartbeats, APPEND)}),
    Route("0/buckets/{bucket_id}/export", {"GET": Endpoint(transfer.export_bucket, READ)}),
    Route("0/buckets/{bucket_id}/timeline", {"GET": Endpoint(status.get_timeline, READ)}),
    Route("0/timeline", {"GET": Endpoint(status.get_timelines, READ, by_bucket=True)}),
    Route("0/status", {"GET": Endpoint(status.get_status, READ, by_bucket=True)}),
    Route("0/refusals", {"GET": Endpoint(status.get_refusals, READ, by_bucket=True)}),
    Route("0/sizes", {"GET": Endpoint(status.get_sizes, READ, by_bucket=True)}),
    Route("0/heartbeats", {"POST": Endpoint(stream.post_heartbeats, APPEND, by_bucket=True)}),
    Route("0/stream", {"GET": Endpoint(stream.stream, APPEND, by_bucket=True, other_scope=READ)}),
    Route("0/changes", {"GET": Endpoint(feed.get_changes, READ, by_bucket=True)}),
    Route("0/webhooks/deliveries", {"GET": Endpoint(webhooks.list_deliveries, ADMIN)}),
    Route("1/push/hello", {"POST": Endpoint(push.hello, WRITE, by_bucket=True)}),
    Route("1/push/{bucket_id}", {"POST": Endpoint(push.push, WRITE, by_bucket=True)}),
    Route("1/forward", {"GET": Endpoint(push.get_forwarding, ADMIN)}),
    Route("1/mirrored/{bucket_id}", {"DELETE": Endpoint(push.release, ADMIN)}),
    Route("0/query", {"POST": Endpoint(query.query, READ, by_bucket=True)}),
    Route("0/export", {"GET": Endpoint(transfer.export_all, READ)}),
    Route("0/import", {"POST": Endpoint(transfer.import_buckets, APPEND)}),
    Route("0/settings", {
        "GET": Endpoint(settings.all_settings, READ),
        "POST": Endpoint(settings.without_key, ADMIN),
    }),
    Route("0/settings/{key}", {
        "GET": Endpoint(settings.get_setting, READ),
        "POST": Endpoint(settings.set_setting, ADMIN),
        "DELETE": Endpoint(settings.remove_setting, ADMIN),
    }),
    Route("0/openapi.json", {"GET": Endpoint(openapi.telling(lambda: ROUTES), READ, by_bucket=True)}),
    Route("0/tokens", {
        "GET": Endpoint(tokens.list_tokens, ADMIN),
        "POST": Endpoint(tokens.create_token, ADMIN),
        "PUT": Endpoint(tokens.require_tokens, ADMIN),
    }),
    Route("0/tokens/{token_id}", {"DELETE": Endpoint(tokens.revoke_token, ADMIN)}),
    Route("0/forget", {"POST": Endpoint(erasure.forget, WRITE, by_bucket=True)}),
    Route("0/privacy/preview", {"POST": Endpoint(privacy.preview_filters, READ, by_bucket=True)}),
    Route("0/privacy/apply", {"POST": Endpoint(privacy.apply_filters, ADMIN)}),
    Route("0/retention", {"GET": Endpoint(retention.get_retention, READ)}),
    Route("0/retention/preview", {"POST": Endpoint(retention.preview_retention, READ)}),
    Route("0/retention/run", {"POST": Endpoint(retention.run_retention, ADMIN)}),
    Route("0/jobs", {"GET": Endpoint(jobs.list_jobs, ADMIN)}),
    Route("0/jobs/{job_id}", {
        "GET": Endpoint(jobs.get_job, WRITE, by_bucket=True),
        "DELETE": Endpoint(jobs.cancel_job, ADMIN),
    }),
    Route("0/log", {"GET": Endpoint(info.get_log, ADMIN)}),
    Route("0/admin/backup", {"POST": Endpoint(care.back_up, ADMIN)}),
    Route("0/admin/compact", {"POST": Endpoint(care.compact, ADMIN)}),
)  # fmt: skip


# Outside `/api/`, by their one segment: who watches a server looks there. Described in the README.
WATCHING: Final = {
    "metrics": Endpoint(watching.metrics, READ),
    "healthz": Endpoint(watching.health, None),
    "readyz": Endpoint(watching.readiness, None),
}


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

    def is_open(self, method: str, segments: Sequence[str]) -> bool:
        """Does this need no token? Nothing is open by not being there."""
        try:
            return self.find(segments, {}).endpoint(method).scope is None
        except (NotFound, MethodNotAllowed):
            return False
