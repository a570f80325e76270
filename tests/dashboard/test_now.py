"""Now: is it recording?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote, urlencode

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


def test_a_heartbeat_is_seen_without_a_reload(browser: Browser, server: Server) -> None:
    """Each of several in turn, in a page that is not loaded again. How soon: `python -m benchmarks run --only dashboard`."""
    bucket = make_bucket(server, "live", "currentwindow")
    browser.open("now")
    row(browser, bucket)
    browser.run("window.isSamePage = true")
    for turn in range(3):
        beat(server, bucket, {"app": f"App {turn}!"})
        browser.until(partial(is_called, browser, bucket, f"App {turn}!"), f"App {turn}!")
    assert browser.run("return window.isSamePage")


def test_what_became_of_heartbeats_and_what_was_refused_is_told(browser: Browser, server: Server) -> None:
    """As the API counts it: continued, begun, refused by the type of the error."""
    bucket = make_bucket(server, "counted", "currentwindow")
    before = send(server, "GET", "status")
    for _ in range(3):
        beat(server, bucket, {"app": "Counted"})
    assert server.request("POST", f"/api/0/buckets/{bucket}/heartbeat?pulsetime=1", {"data": 3}).status == 400
    status = send(server, "GET", "status")
    gained = {key: value - before["heartbeats"][key] for key, value in status["heartbeats"].items()}
    assert gained == {"merged": 2, "inserted": 1, "unchanged": 0}
    assert status["refused"]["BadRequest"] == before["refused"].get("BadRequest", 0) + 1
    browser.open("now")
    refused = f"{status['refused']['BadRequest']:,} BadRequest"
    begun = f"{status['heartbeats']['merged']:,} continued an event, {status['heartbeats']['inserted']:,} began one"
    browser.until(lambda: refused in browser.text(".outcomes") and begun in browser.text(".outcomes"), refused)


def test_health_is_told(browser: Browser, server: Server) -> None:
    """How soon writes are durable, the busiest second and the newest write on the disk: the figures of the API."""
    beat(server, make_bucket(server, "counted", "currentwindow"), {"app": "Counted"})
    browser.open("now")
    tiles = """
        const all = [...document.querySelectorAll(".tiles > div")];
        return Object.fromEntries(all.map((tile) => [tile.querySelector("dt").textContent, tile.textContent]));
    """
    browser.until(lambda: "ago" in browser.run(tiles)["Last write on disk"])
    status, shown = send(server, "GET", "status"), browser.run(tiles)
    assert f"{status['busiest_second']} in the busiest second" in shown["Writes per second"]
    for tile in ("Half answered within", "Last write on disk"):
        assert "ms" in shown[tile]


def test_what_was_refused_is_shown_with_its_sender(browser: Browser, server: Server) -> None:
    """As text, whatever it calls itself; one line for equal ones, without a reload."""
    browser.open("now")
    browser.find("[data-bucket]")
    headers = {"User-Agent": "aw-watcher-broken/0.1 <b>"}
    for _ in range(2):
        path = "/api/0/buckets/%3Ci%3Enowhere/heartbeat?pulsetime=1"
        assert server.request("POST", path, {"timestamp": "2024-05-01T10:00:00Z"}, headers=headers).status == 404
    beat(server, make_bucket(server, "counted", "currentwindow"), {"app": "Counted"})
    lines = browser.until(
        lambda: [each for each in browser.texts(".refused li") if "aw-watcher-broken/0.1" in each], "the refusal"
    )
    assert len(lines) == 1
    for words in ("There is no bucket named '<i>nowhere'", "into <i>nowhere", "2 times", "NoSuchBucket"):
        assert words in lines[0]


def test_today_is_summed_up_for_each_kind_of_bucket(browser: Browser, server: Server) -> None:
    """What is shown is what a query over the day answers; a kind that nobody knows has its own key."""
    browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    readings = [(midnight + timedelta(seconds=20 * at), at + 1.0, {"room": f"room {at}"}) for at in range(7)]
    bucket = make_bucket(server, "of-today", "room.use", "elsewhere")
    insert(server, bucket, readings)
    try:
        browser.open("now")
        card = ".today .card"
        found = browser.until(lambda: [each for each in browser.texts(card) if "of-today" in each], "the card")
        assert found[0].startswith("room in of-today0:00:28of-today"), "its key and the sum"
        assert "".join(f"room {at}0:00:0{at + 1}" for at in range(6, 1, -1)) in found[0], "the five that are longest"
        assert "room 1" not in found[0]
    finally:
        send(server, "DELETE", f"buckets/{bucket}?force=1")
        browser.command("Emulation.setTimezoneOverride", timezoneId="")


def test_a_bucket_that_no_query_can_name_takes_nothing_from_today(browser: Browser, server: Server) -> None:
    """An id or a key that ends in a backslash, and a kind that is called as something that every object has."""
    browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = [
        (make_bucket(server, "ends in \\", "currentwindow", "elsewhere"), {"app": "a"}),
        (make_bucket(server, "odd-key", "sensor", "elsewhere"), {"room\\": "cellar", "floor": "lowest"}),
        (make_bucket(server, "odd-kind", "constructor", "elsewhere"), {"room": "attic"}),
    ]
    for bucket, data in made:
        insert(server, bucket, [(midnight, 30.0, data)])
    try:
        browser.open("now")
        cards = browser.until(lambda: browser.texts(".today .card"), "today")
        assert any("floor in odd-key" in each and "lowest" in each for each in cards), cards
        assert any("room in odd-kind" in each and "attic" in each for each in cards), cards
        browser.open("summary?" + urlencode({"bucket": made[2][0]}))
        browser.until(lambda: "attic" in browser.text(".sums"), "the sum of a strange kind")
        browser.open("summary?" + urlencode({"bucket": made[0][0]}))
        browser.until(lambda: "ends in a backslash" in browser.text(".sums .error"), "why there is no sum")
    finally:
        for bucket, _ in made:
            send(server, "DELETE", f"buckets/{quote(bucket, safe='')}?force=1")
        browser.command("Emulation.setTimezoneOverride", timezoneId="")


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
