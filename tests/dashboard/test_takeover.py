"""Another server's page, kept by a service worker as bundlers make them, had this address: who comes back sees the new one.

The stand-in answers any navigation from its cache, as ActivityWatch's web UI does, and asks the network for nothing that
it keeps. What a browser allows: its worker answers the first visit, so the old page is there for a second or two; beside it
the browser looks for a newer `/sw.js`, and ours ends the old one and leads that same page on: nobody has to reload it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.dashboard.browser import Browser
from tests.server import Server, free_port

pytestmark = pytest.mark.needs("chromium", "chromedriver")

PAGES = {
    "/index.html": """<!doctype html><title>Old</title><link rel="manifest" href="/manifest.webmanifest">
        <script src="/assets/index-4f3a9c21.js" type="module"></script><script src="/registerSW.js"></script>
        <h1>Old page</h1>""",
    "/assets/index-4f3a9c21.js": "document.body.append('old script')",
    "/registerSW.js": """if ('serviceWorker' in navigator) {
        window.addEventListener('load', () => { navigator.serviceWorker.register('/sw.js', { scope: '/' }) }) }""",
    "/manifest.webmanifest": '{"name": "old"}',
    # Precached, cleaned up and routed as workbox does it: every navigation gets the index that is kept.
    "/sw.js": """
        const kept = ["/index.html", "/assets/index-4f3a9c21.js", "/registerSW.js", "/manifest.webmanifest"];
        const name = "workbox-precache-v2-" + self.registration.scope;
        self.skipWaiting();
        self.addEventListener("install", (event) => event.waitUntil(caches.open(name).then((cache) => cache.addAll(kept))));
        self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
        self.addEventListener("fetch", (event) => {
          const {mode, url} = event.request;
          const path = mode === "navigate" ? "/index.html" : new URL(url).pathname;
          if (kept.includes(path)) event.respondWith(caches.match(path).then((found) => found ?? fetch(event.request)));
        });""",
}
TYPES = {"js": "text/javascript", "html": "text/html", "webmanifest": "application/manifest+json"}


class OldPages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get("/index.html" if self.path == "/" else self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", TYPES.get(self.path.rpartition(".")[2], "text/html"))
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(params=["/sw.js", "/service-worker.js"])
def port(browser: Browser, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of an origin whose old page the browser has kept: it shows without any server. By the names that ActivityWatch's
    builds gave their workers.
    """
    port = free_port()
    monkeypatch.setitem(PAGES, "/registerSW.js", PAGES["/registerSW.js"].replace("/sw.js", request.param))
    monkeypatch.setitem(PAGES, request.param, PAGES["/sw.js"])
    with ThreadingHTTPServer(("127.0.0.1", port), OldPages) as old:
        threading.Thread(target=old.serve_forever, daemon=True).start()
        before, browser.origin = browser.origin, f"http://127.0.0.1:{port}"
        browser.driver.get(browser.origin)
        browser.until(lambda: browser.run("return navigator.serviceWorker.controller?.state") == "activated")
        old.shutdown()
    browser.driver.get("about:blank")
    browser.driver.get(f"{browser.origin}/anything")
    assert browser.text("h1") == "Old page"
    browser.driver.get("about:blank")
    yield port
    browser.driver.get("about:blank")
    browser.complaints()
    browser.requests()
    browser.origin = before


def test_the_first_visit_already_shows_the_new_page(browser: Browser, port: int, tmp_path: Path) -> None:
    """The address is opened once, and nobody reloads; after it nothing of the old worker is left, at no address."""
    server = Server(tmp_path / "data")
    server.port = port
    with server:
        browser.driver.get(f"{server.url}/")
        browser.until(lambda: browser.text("h1") == "Nothing yet", "the dashboard")
        left = "return Promise.all([navigator.serviceWorker.getRegistrations(), caches.keys()])"
        browser.until(lambda: browser.run(left) == [[], []], "that nothing of the old worker is left")
        for path in ("/api/", "/awlog/", "/anything"):
            browser.driver.get(f"{server.url}{path}")
            assert "Old page" not in browser.text("body")
