"""`/info`, `/log`, and the page at `/api/` that describes the API to people."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from awlog import telemetry
from awlog.api.call import Call
from awlog.api.describe import Operation, described
from awlog.api.wire import InfoBody, LogRecordBody, encode

if TYPE_CHECKING:
    from awlog.api.routes import Route


@described(Operation(InfoBody))
async def get_info(call: Call) -> web.StreamResponse:
    """Who this server is. Needs no key."""
    settings = call.settings
    return call.json(
        encode(
            {
                "hostname": settings.hostname,
                # Not a release number: the web UI compares those with ActivityWatch's and nags.
                "version": f"awlog {settings.version}",
                "testing": settings.testing,
                "device_id": settings.device_id,
            }
        )
    )


@described(Operation(list[LogRecordBody]))
async def get_log(call: Call) -> web.StreamResponse:
    """The newest program messages, newest first. They hold no recorded data."""
    return call.json(encode(telemetry.newest_records()))


def describe_api(routes: Sequence[Route]) -> str:
    """An HTML page made of the route table and the first lines of its handlers' docstrings."""
    rows = []
    for route in routes:
        for method, endpoint in route.endpoints.items():
            says = (endpoint.handler.__doc__ or "").strip().partition("\n")[0]
            path = html.escape(f"/api/{route.path}")
            rows.append(f"<tr><td>{method}</td><td><code>{path}</code></td><td>{html.escape(says)}</td></tr>")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>awlog: API</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
        "td{padding:.2rem .8rem;vertical-align:top}</style>"
        "<h1>awlog's REST API</h1><p>It is ActivityWatch's: every client of that works here.</p>"
        f"<table><tr><th>method<th>path<th>what it does</tr>{''.join(rows)}</table></html>"
    )
