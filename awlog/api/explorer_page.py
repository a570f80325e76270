"""The page at `/api/`: the API's description to look at and to try out, without any network beyond this server.

Swagger UI shows it; without JavaScript there is a table. The page is open to everybody: what it shows is the same in every
awlog, and what it asks it asks with the token that is typed in.
"""

from __future__ import annotations

import gzip
import hashlib
import html
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import web

from awlog.api.content_coding import takes_gzip
from awlog.api.route import Route
from awlog.model.errors import NotFound

FOLDER: Final = "explorer"
_FILES: Final = Path(__file__).with_name(FOLDER)
# What the page is made of, and how it is called: nothing else in the folder is served.
_CONTENT_TYPES: Final = {
    "explorer.css": "text/css",
    "explorer.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}
_SAFE: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ExplorerPage:
    """The page and its files, for one route table."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._table = _table(routes)

    def page(self, path: str) -> web.Response:
        """`path`: `/api` or `/api/`. Links are relative, so that they are right below any base path."""
        below, above = ("", "../") if path.endswith("/") else ("api/", "")
        text = (
            "<!doctype html><html lang=en><meta charset=utf-8><title>awlog: API</title>"
            "<meta name=viewport content='width=device-width'>"
            f"<link rel=icon href={above}awlog/icon.svg>"
            f"<link rel=stylesheet href={below}{FOLDER}/swagger-ui.css>"
            f"<link rel=stylesheet href={below}{FOLDER}/explorer.css>"
            f"<nav aria-label='This server'><a href={above}awlog/>awlog</a> <a href={above}awlog/docs/>Manual</a></nav>"
            f"<main id=explorer data-description={below}0/openapi.json></main>"
            f"<noscript><h1>awlog's REST API</h1>{self._table}</noscript>"
            f"<script src={below}{FOLDER}/swagger-ui-bundle.js></script>"
            f"<script src={below}{FOLDER}/explorer.js></script></html>"
        )
        return web.Response(text=text, content_type="text/html", headers=_SAFE)

    def file(self, name: str, request: web.BaseRequest) -> web.Response:
        """Raises NotFound."""
        content_type = _CONTENT_TYPES.get(name)
        if content_type is None:
            raise NotFound("There is nothing at this path")
        compressed, tag = _compressed(name)
        headers = {**_SAFE, "ETag": tag, "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = content_type
        if takes_gzip(request.headers.get("Accept-Encoding", "")):
            return web.Response(body=compressed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=gzip.decompress(compressed), headers=headers)


@cache
def _compressed(name: str) -> tuple[bytes, str]:
    """The file, and a tag for what it holds. Half a megabyte altogether."""
    packed = _FILES / f"{name}.gz"
    content = packed.read_bytes() if packed.exists() else gzip.compress((_FILES / name).read_bytes(), mtime=0)
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def _table(routes: Sequence[Route]) -> str:
    """The route table, with the first lines of its handlers' docstrings."""
    rows = []
    for route in routes:
        for method, endpoint in route.endpoints.items():
            says = html.escape((endpoint.handler.__doc__ or "").strip().partition("\n")[0])
            rows.append(f"<tr><td>{method}<td><code>{html.escape(f'/api/{route.path}')}</code><td>{says}")
    return f"<table><tr><th>method<th>path<th>what it does{''.join(rows)}</table>"
