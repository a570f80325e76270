"""One server with a week of two devices, and one browser, for all tests of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.dashboard.browser import Browser
from tests.server import Server

# What the tests look at has ended by then; a morning, so that days and hours are whole.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
APPS = (("Firefox", "GitHub – awlog"), ("Code", "engine.py"), ("Terminal", "zsh"))

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    '"><svg onload=window.pwned=3>',
    "javascript:window.pwned=4",
    "\u202eevil\u202c \u2066isolated",
    "W" * 10_000,
    "{{constructor.constructor('window.pwned=5')()}}",
)


def iso(instant: datetime) -> str:
    return instant.isoformat()


def send(server: Server, method: str, path: str, body: Any = None) -> Any:
    reply = server.request(method, f"/api/0/{path}", body)
    assert reply.status in (200, 304), reply.body
    return reply.json() if reply.body else None


def make_bucket(server: Server, bucket_id: str, kind: str, hostname: str = "desk") -> str:
    send(server, "POST", f"buckets/{quote(bucket_id, safe='')}", {"client": "test", "type": kind, "hostname": hostname})
    return bucket_id


def insert(server: Server, bucket_id: str, events: list[tuple[datetime, float, dict[str, Any]]]) -> list[Any]:
    body = [{"timestamp": iso(start), "duration": duration_s, "data": data} for start, duration_s, data in events]
    stored: list[Any] = send(server, "POST", f"buckets/{quote(bucket_id, safe='')}/events", body)
    return stored


def beat(server: Server, bucket_id: str, data: dict[str, Any]) -> None:
    event = {"timestamp": iso(datetime.now(UTC)), "duration": 0, "data": data}
    send(server, "POST", f"buckets/{quote(bucket_id, safe='')}/heartbeat?pulsetime=60", event)


def _week(server: Server) -> None:
    """Three hours around noon of each of eight days: windows of four minutes, and who was there."""
    windows, presence = [], []
    for days_ago in range(8):
        begin = NOON - timedelta(days=days_ago, hours=2)
        presence.append((begin, 10_800.0, {"status": "not-afk"}))
        for at in range(45):
            app, title = APPS[(at + days_ago) % 3]
            windows.append((begin + timedelta(minutes=4 * at), 240.0, {"app": app, "title": f"{title} {at % 5}"}))
    insert(server, make_bucket(server, "aw-watcher-window_desk", "currentwindow"), windows)
    insert(server, make_bucket(server, "aw-watcher-afk_desk", "afkstatus"), presence)
    tabs = [
        (NOON + timedelta(seconds=60 * at), 60.0, {"url": f"https://x{at % 2}.org/", "title": "t"}) for at in range(20)
    ]
    insert(server, make_bucket(server, "aw-watcher-web_desk", "web.tab.current"), tabs)
    old = [(NOON - timedelta(days=400), 60.0, {"label": "long ago"})]
    insert(server, make_bucket(server, "stopwatch", "general.stopwatch", "other"), old)
    make_bucket(server, "empty", "test")
    nasty = [
        (NOON + timedelta(minutes=at), 50.0, {"app": text, "title": text, "url": text})
        for at, text in enumerate(HOSTILE)
    ]
    insert(server, make_bucket(server, "<b>hostile</b> /%2F?&#", "currentwindow", "<i>host</i>"), nasty)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("dashboard") / "data") as running:
        _week(running)
        yield running


@pytest.fixture(scope="session")
def one_browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"), server.url)
    yield browser
    browser.quit()


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """After each test: nothing was complained about, nobody else was asked, nothing that is stored has run."""
    one_browser.screen()
    one_browser.complaints()
    one_browser.requests()
    yield one_browser
    assert one_browser.run("return window.pwned ?? null") is None, "something that is stored was run"
    assert one_browser.complaints() == []
    assert one_browser.foreign(one_browser.requests()) == []
