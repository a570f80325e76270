"""Now: is it recording?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import HOSTILE, beat, insert, make_bucket, send
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")


def is_called(browser: Browser, bucket_id: str, name: str) -> bool:
    return row(browser, bucket_id)["name"] == name


def row(browser: Browser, bucket_id: str) -> dict[str, str]:
    """What stands in the line of a bucket."""
    script = """
        const row = [...document.querySelectorAll("[data-bucket]")].find((each) => each.dataset.bucket === arguments[0]);
        const text = (css) => row.querySelector(css).textContent;
        if (!row) return null;
        return {state: row.dataset.state, name: text(".value-name"), detail: text(".value-detail"), age: text(".age")};
    """
    return browser.until(lambda: browser.run(script, bucket_id), f"the line of {bucket_id}")


def test_each_bucket_is_shown_with_its_newest_event(browser: Browser, server: Server) -> None:
    """Name and detail are those of the API, whatever is stored; what nobody can read to its end is cut on the screen."""
    browser.open("now")
    buckets = send(server, "GET", "status")["buckets"]
    browser.until(lambda: len(browser.all("[data-bucket]")) == len(buckets))
    for bucket in buckets:
        shown = row(browser, bucket["id"])
        tail = bucket["tail"] or {"name": "no events", "detail": ""}
        assert (shown["name"], shown["detail"]) == (tail["name"], tail["detail"])
    assert browser.fits(), "the page is no wider than the screen"


def test_the_figures_are_those_of_the_api(browser: Browser, server: Server) -> None:
    browser.open("now")
    events = send(server, "GET", "status")["events"]
    browser.until(lambda: f"{events:,}" in browser.texts(".tiles .figure"), "the number of events")


def seen_after_ms(browser: Browser, server: Server, bucket: str, name: str) -> float:
    """From before a heartbeat is sent until its name stands on the page."""
    browser.run(
        """
        window.seenAt = null;
        window.watching?.disconnect();
        window.watching = new MutationObserver(() => {
          if (document.body.textContent.includes(arguments[0])) window.seenAt ??= Date.now();
        });
        window.watching.observe(document.body, {subtree: true, childList: true, characterData: true});
        """,
        name,
    )
    assert name not in browser.text("body")
    sent_at_ms = datetime.now(UTC).timestamp() * 1000
    beat(server, bucket, {"app": name})
    return float(browser.until(lambda: browser.run("return window.seenAt"), name) - sent_at_ms)


def test_a_heartbeat_is_seen_within_a_second(browser: Browser, server: Server) -> None:
    """The best of some, because other programs use this machine too."""
    bucket = make_bucket(server, "live", "currentwindow")
    browser.open("now")
    row(browser, bucket)
    assert any(seen_after_ms(browser, server, bucket, f"App {turn}!") < 1000 for turn in range(8))


def test_stopped_watchers_come_first_with_since_when(browser: Browser, server: Server) -> None:
    """Judged by their own rhythm: an event a minute until two hours ago is a watcher that stopped."""
    stopped_at = datetime.now(UTC) - timedelta(hours=2)
    minutes = [(stopped_at - timedelta(minutes=at), 50.0, {"app": "Code"}) for at in range(30, 0, -1)]
    insert(server, make_bucket(server, "stopped", "currentwindow"), minutes)
    beat(server, make_bucket(server, "beating", "currentwindow"), {"app": "Code"})
    browser.open("now")
    assert row(browser, "stopped")["state"] == "stopped"
    assert row(browser, "stopped")["age"].startswith("since ")
    assert row(browser, "beating")["state"] == "recording"
    states = browser.run("return [...document.querySelectorAll('[data-bucket]')].map((each) => each.dataset.state)")
    assert states == sorted(states, key=["stopped", "late", "recording", "past", "empty"].index)
    assert "stopped" in browser.text("h1")


def test_what_is_stored_is_text(browser: Browser, server: Server) -> None:
    """Each hostile text becomes the newest event of a bucket in turn, and is shown as it is; none runs."""
    bucket = make_bucket(server, "hostile-now", "currentwindow")
    browser.open("now")
    for text in HOSTILE:
        beat(server, bucket, {"app": text})
        expected = text if len(text) <= 160 else text[:159] + "…"
        browser.until(partial(is_called, browser, bucket, expected), text[:40])
    browser.until(lambda: row(browser, "<b>hostile</b> /%2F?&#"))
    assert browser.all(".buckets b, .buckets i, .buckets img, .buckets script") == []


def test_first_load_is_small(browser: Browser) -> None:
    """All that is fetched before and while the first view is shown, compressed: under 150 KB."""
    browser.command("Network.clearBrowserCache")
    browser.open("now")
    browser.find("[data-bucket]")
    files = [each for each in browser.requests() if "/api/" not in each["url"]]
    assert {"main.js", "style.css", "now.js"} <= {each["url"].rpartition("/")[2] for each in files}
    assert sum(each.get("bytes", 0) for each in files) < 150_000
