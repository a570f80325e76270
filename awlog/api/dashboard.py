"""The built-in dashboard: the files of `awlog/dashboard/`, at `/awlog/`, and at `/` when no other web UI is there.

They are read and compressed once, when the first of them is asked for: 2 ms. A browser asks for each anew and is told that
it has it already, so a new version of awlog shows at the next reload.
"""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import web
from msgspec import Struct

from awlog.api.call import Call
from awlog.api.content_coding import takes_gzip
from awlog.model.errors import NotFound

FOLDER: Final = "awlog"
_INDEX: Final = "index.html"
_CONTENT_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Whatever is stored cannot run: scripts and styles come from here only, none is written into the page, and the page talks to
# nobody else.
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}


class _File(Struct, frozen=True):
    content: bytes
    compressed: bytes
    content_type: str
    etag: str


def serve_dashboard(call: Call, below: list[str], *, from_above: bool) -> web.StreamResponse:
    """A file of the dashboard by its path below `/awlog/`; its index by none. Raises NotFound.

    `from_above`: for the index at `/` and `/awlog`, from where the files are one folder down.
    """
    found = _index_from_above() if from_above else _all_files().get("/".join(below) or _INDEX)
    if found is None:
        raise NotFound("There is nothing at this path")
    headers = {**_HEADERS, "ETag": found.etag}
    if found.etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    body = found.content
    if takes_gzip(call.request.headers.get("Accept-Encoding", "")):
        headers["Content-Encoding"] = "gzip"
        body = found.compressed
    return web.Response(body=body, content_type=found.content_type, charset="utf-8", headers=headers)


@cache
def _all_files() -> dict[str, _File]:
    """By path below the folder. What is not of a listed type is none of the page's."""
    found: dict[str, _File] = {}
    _collect(files("awlog") / "dashboard", "", found)
    return found


@cache
def _index_from_above() -> _File:
    """Its links are relative, so that they are right below any base path."""
    text = _all_files()[_INDEX].content.replace(b'="./', f'="{FOLDER}/'.encode()).replace(b'="../', b'="./')
    return _file(text, _CONTENT_TYPES[".html"])


def _collect(folder: Traversable, prefix: str, found: dict[str, _File]) -> None:
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            _collect(entry, f"{path}/", found)
        elif (content_type := _CONTENT_TYPES.get(path[path.rfind(".") :])) is not None:
            found[path] = _file(entry.read_bytes(), content_type)


def _file(content: bytes, content_type: str) -> _File:
    etag = f'W/"{blake2b(content, digest_size=12).hexdigest()}"'
    return _File(content, gzip.compress(content, 9, mtime=0), content_type, etag)
