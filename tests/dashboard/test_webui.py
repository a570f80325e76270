"""`--webui`: another page in the place of the dashboard, and back again.

The page here stands in for ActivityWatch's: it asks what that was seen to ask, in the same forms, and has a service worker
that goes on showing what it once saw.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException

from tests.dashboard.browser import Browser
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")

INDEX = """<!doctype html><html><head><meta charset="utf-8"><title>Stand-in</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-eval'">
<script type="module" crossorigin src="/assets/index-4f3a9c21.js"></script>
<link rel="icon" href="/logo.png"><link rel="stylesheet" href="/assets/index-77ab01ce.css"></head>
<body><h1>Stand-in</h1></body></html>"""
# Each line: what is sent, and the status that is right.
CALLS = """
const range = "start=2024-05-01T00:00:00%2B01:00&end=2024-05-02T00:00:00%2B01:00";
const timeperiods = ["2024-05-01T00:00:00+01:00/2024-05-02T00:00:00+01:00"];
const bucket = {client: "aw-webui", type: "currentwindow", hostname: "desk"};
const event = {timestamp: "2024-05-01T10:00:00Z", duration: 60, data: {app: "vim", title: "notes"}};
const calls = [
  ["GET", "info", undefined, 200], ["GET", "buckets/", undefined, 200],
  ["POST", "buckets/ui-test", bucket, 200], ["POST", "buckets/ui-test", bucket, 304],
  ["POST", "buckets/ui-test/events", [event], 200], ["POST", "buckets/ui-test/heartbeat?pulsetime=60", event, 200],
  ["GET", `buckets/ui-test/events?${range}&limit=-1`, undefined, 200],
  ["GET", "buckets/ui-test/events/count", undefined, 200],
  ["POST", "query/", {query: ["a = flood(query_bucket(find_bucket('ui-')));", "RETURN = a;"], timeperiods}, 200],
  ["POST", "query/", {query: ["a = query_bucket('ui-test'); RETURN = {'e': a, 'd': sum_durations(a)};"], timeperiods}, 200],
  ["GET", "settings", undefined, 200], ["GET", "settings/views", undefined, 200], ["POST", "settings/theme", "dark", 200],
  ["GET", "buckets/ui-test/export", undefined, 200], ["GET", "export", undefined, 200],
  ["DELETE", "buckets/ui-test?force=1", undefined, 200],
];
const said = [];
for (const [method, path, body, expected] of calls) {
  const options = {method};
  const headers = {"Content-Type": "application/json"};
  if (body !== undefined) Object.assign(options, {body: JSON.stringify(body), headers});
  const response = await fetch(`/api/0/${path}`, options);
  said.push({call: `${method} ${path}`, status: response.status, expected});
}
const file = new FormData();
const document_ = {buckets: {imported: {id: "imported", ...bucket, events: [event]}}};
file.append("buckets.json", new File([JSON.stringify(document_)], "buckets.json", {type: "application/json"}));
said.push({call: "import", status: (await fetch("/api/0/import", {method: "POST", body: file})).status, expected: 200});
window.said = said;
await navigator.serviceWorker.register("/sw.js");
await navigator.serviceWorker.ready;
window.isKept = true;
"""
KEEPER = """
self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open("ui").then((kept) => kept.addAll(["/", "/assets/index-4f3a9c21.js"])));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  event.respondWith(caches.match(event.request, {ignoreSearch: true}).then((kept) => kept ?? fetch(event.request)));
});
"""


def shows_dashboard(browser: Browser, server: Server) -> bool:
    """One visit; the browser looks for a newer service worker some time after it has shown a page."""
    browser.driver.get("about:blank")
    browser.driver.get(f"{server.url}/")
    until_s = time.monotonic() + 4
    while time.monotonic() < until_s:
        with suppress(WebDriverException):  # the page is left at this moment
            if browser.all("[data-bucket]"):
                return True
        time.sleep(0.05)
    return False


@pytest.fixture
def ui(tmp_path: Path) -> Path:
    folder = tmp_path / "ui"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "assets" / "index-4f3a9c21.js").write_text(CALLS)
    (folder / "assets" / "index-77ab01ce.css").write_text("body { color: #222 }")
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "sw.js").write_text(KEEPER)
    return folder


def test_another_ui_has_the_place_and_leaves_it_again(browser: Browser, ui: Path, tmp_path: Path) -> None:
    """All that it asks is answered; `/awlog/` is the dashboard; without it visitors soon see the dashboard, though the
    browser has kept the other page.
    """
    with Server(tmp_path / "data", "--webui", str(ui)) as server:
        before, browser.origin = browser.origin, server.url
        browser.driver.get("about:blank")
        browser.requests()  # the page before this one still asked its own server
        try:
            browser.driver.get(f"{server.url}/")
            said = browser.until(lambda: browser.run("return window.said ?? null"), "the calls of the page")
            assert [each["call"] for each in said if each["status"] != each["expected"]] == []
            browser.until(lambda: browser.run("return window.isKept ?? null"))
            assert browser.text("h1") == "Stand-in"
            browser.driver.get(f"{server.url}/awlog/#/buckets")
            browser.until(lambda: "imported" in browser.texts("tr[data-bucket] a .stored"))
            server.stop()
            server.args = ()
            server.start()
            browser.driver.get("about:blank")
            assert browser.foreign(browser.requests()) == []
            browser.until(lambda: shows_dashboard(browser, server), "the dashboard")
            assert browser.run("return navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
        finally:
            assert browser.foreign(browser.requests()) == []
            browser.driver.get("about:blank")
            browser.complaints()
            browser.requests()
            browser.origin = before
