"""Everything outside `/api/`: the web UI's directory, custom pages, and the built-in dashboard."""

from __future__ import annotations

import re
from mimetypes import guess_type
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import web

from awlog.api import manual
from awlog.api.call import Call
from awlog.api.dashboard import FOLDER, serve_dashboard
from awlog.api.wire import encode
from awlog.model.errors import MethodNotAllowed, NotFound

_INDEX: Final = "index.html"
# A bundler's file names carry a hash of their content: such a file never changes.
_HASHED: Final = re.compile(r"[.-][0-9A-Za-z_-]{8,}\.(js|css|woff2?|ttf|png|svg|jpg)$")
# What a web UI is made of, so that it does not depend on the system's tables: a module script needs a JavaScript type.
_CONTENT_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
# ActivityWatch's web UI leaves a service worker at its origin that goes on showing the old pages; this one removes it.
# It takes over the pages that the old one shows: only those can be led on. One that is being opened at that moment is taken
# over, but not listed before it is there, so it is looked for a while longer. The old page may register the worker again in
# between, which takes the removal back: it is repeated. So is the wish not to wait for the old worker: on a busy machine
# Chromium was seen to leave this one waiting.
_SERVICE_WORKER_NAMES: Final = frozenset({"sw.js", "service-worker.js"})  # of its newer builds, and of those up to 0.12
_SERVICE_WORKER: Final = """\
const led = new Set();
async function leadOn(turns) {
  await self.registration.unregister();
  for (const page of await self.clients.matchAll({type: 'window'})) {
    if (led.has(page.id)) continue;
    led.add(page.id);
    page.navigate(page.url).catch(() => led.delete(page.id));
  }
  if (turns > 0) setTimeout(leadOn, 250, turns - 1);
}
function pressOn(turns) {
  self.skipWaiting();
  if (turns > 0 && self.serviceWorker?.state !== 'activated') setTimeout(pressOn, 250, turns - 1);
}
self.addEventListener('install', () => pressOn(80));
self.addEventListener('activate', (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) await caches.delete(name);
  await self.clients.claim();
  await leadOn(40);
})()));
"""


async def serve_page(call: Call, path: str, segments: list[str]) -> web.StreamResponse:
    """A file, the list of custom pages, or the dashboard. Raises NotFound, MethodNotAllowed."""
    if call.request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(call.request.method, "GET, HEAD, OPTIONS")
    if segments[0] == "pages":
        return _custom_page(call, path, segments[1:])
    if segments[0] == FOLDER and segments[1:2] == [manual.FOLDER]:
        return manual.serve_manual(call, path, segments[2:])
    if segments[0] == FOLDER:
        return serve_dashboard(call, segments[1:], from_above=len(segments) == 1 and not path.endswith("/"))
    root = call.settings.webui_dir
    if root is not None:
        return _file(root, segments if segments != [""] else [_INDEX])
    if segments == [""]:
        return serve_dashboard(call, [], from_above=True)
    if len(segments) == 1 and segments[0] in _SERVICE_WORKER_NAMES:
        return web.Response(text=_SERVICE_WORKER, content_type="text/javascript", headers={"Cache-Control": "no-cache"})
    raise NotFound("There is nothing at this path")


def _custom_page(call: Call, path: str, below: list[str]) -> web.StreamResponse:
    pages = call.settings.custom_pages
    if not below or below == [""]:
        return call.json(encode(sorted(pages)))
    root = pages.get(below[0])
    if root is None:
        raise NotFound("There is no custom page of this name")
    if len(below) == 1 and not path.endswith("/"):
        target = f"{call.settings.base_path}/pages/{quote(below[0], safe='')}/"
        query = f"?{call.query_text}" if call.query_text else ""
        return web.Response(status=308, headers={"Location": target + query})
    return _file(root, below[1:] or [_INDEX])


def _file(root: Path, segments: list[str]) -> web.StreamResponse:
    """The file below `root`, by links too as long as they stay inside. Raises NotFound."""
    nothing = NotFound("There is nothing at this path")
    if any(part in ("", ".", "..") or "/" in part or "\\" in part or "\0" in part for part in segments):
        raise nothing
    try:
        inside = root.resolve(strict=True)
        found = inside.joinpath(*segments).resolve(strict=True)
        if not found.is_relative_to(inside) or not found.is_file():
            raise nothing
    except OSError:
        raise nothing from None
    forever = _HASHED.search(found.name) is not None
    caching = "public, max-age=31536000, immutable" if forever else "no-cache"
    content_type = _CONTENT_TYPES.get(found.suffix.lower()) or guess_type(found.name)[0] or "application/octet-stream"
    headers = {"Cache-Control": caching, "Content-Type": content_type, "X-Content-Type-Options": "nosniff"}
    return web.FileResponse(found, headers=headers)
