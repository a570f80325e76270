"""Timeline: any range of any bucket, drawn from small answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import HOSTILE, NOON, beat, insert, iso, make_bucket, send
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")

WINDOW = "aw-watcher-window_desk"
HOSTILE_BUCKET = "<b>hostile</b> /%2F?&#"
MANY = 100_000
ANSWER_BYTES_MAX = 300_000
DAY = {"start": iso(NOON.replace(hour=0)), "end": iso(NOON.replace(hour=23))}


def show(browser: Browser, bucket: str, start: datetime, end: datetime) -> None:
    """Opens the range and waits until all of it is drawn."""
    browser.open("timeline?" + urlencode({"bucket": bucket, "start": iso(start), "end": iso(end)}))
    browser.until(lambda: browser.run("return document.querySelector('.view-timeline')?.dataset.settled"), "pictures")


def picture(browser: Browser, bucket: str) -> Any:
    """What the page draws of a bucket."""
    script = """
        const {rows} = document.querySelector(".view-timeline").timeline;
        return rows.find((row) => row.bucket.id === arguments[0])?.pictures[0] ?? null;
    """
    return browser.until(lambda: browser.run(script, bucket), f"the picture of {bucket}")


def pixel_of(browser: Browser, bucket: str, instant: datetime) -> tuple[int, int]:
    """Where on the screen an instant of a bucket is."""
    script = """
        const timeline = document.querySelector(".view-timeline").timeline;
        const {canvas} = timeline.rows.find((row) => row.bucket.id === arguments[0]);
        canvas.scrollIntoView({block: "center"});
        const {left, top, width, height} = canvas.getBoundingClientRect();
        const share = (arguments[1] - timeline.begin) / (timeline.end - timeline.begin);
        return [left + share * width, top + height / 2].map(Math.round);
    """
    x, y = browser.run(script, bucket, instant.timestamp() * 1000)
    return x, y


def test_what_is_drawn_is_what_the_api_says(browser: Browser, server: Server) -> None:
    """Each event of the range, with its id, place and name, and a table of the newest."""
    start, end = NOON, NOON + timedelta(minutes=30)
    show(browser, WINDOW, start, end)
    drawn = picture(browser, WINDOW)
    bars = drawn["bars"]
    shown = {
        id_: (round(drawn["begin"] / 1000 + offset, 3), duration, drawn["names"][name])
        for id_, offset, duration, name in zip(
            bars["id"], bars["offset_s"], bars["duration_s"], bars["name"], strict=True
        )
    }
    events = send(server, "GET", f"buckets/{WINDOW}/events?" + urlencode({"start": iso(start), "end": iso(end)}))
    inside = [event for event in events if datetime.fromisoformat(event["timestamp"]) > start]
    for event in inside[1:]:
        began_s = datetime.fromisoformat(event["timestamp"]).timestamp()
        assert shown[event["id"]] == (began_s, event["duration"], event["data"]["app"])
    browser.until(lambda: len(browser.all(".listed tbody tr")) == len(events))


def test_a_click_opens_an_event_which_can_be_changed_and_deleted(browser: Browser, server: Server) -> None:
    """Deleting asks once more; what is no JSON is said and not sent."""
    bucket = make_bucket(server, "to-edit", "currentwindow")
    [event] = insert(server, bucket, [(NOON, 600.0, {"app": "Before", "title": "t"})])
    show(browser, bucket, NOON - timedelta(minutes=10), NOON + timedelta(minutes=20))
    picture(browser, bucket)
    x, y = pixel_of(browser, bucket, NOON + timedelta(minutes=5))
    actions = ActionChains(browser.driver)
    actions.w3c_actions.pointer_action.move_to_location(x, y)  # type: ignore[no-untyped-call]
    actions.perform()
    browser.until(lambda: "title: t" in browser.text(".tip"), "the whole event under the pointer")
    actions.click().perform()
    data = browser.find("#event-data")
    browser.run("arguments[0].value = '{'", data)
    browser.button("Save", "dialog").click()
    browser.until(lambda: "no JSON" in browser.text("dialog .error"))
    browser.run("""arguments[0].value = '{"app": "After"}'""", data)
    browser.button("Save", "dialog").click()
    browser.until(lambda: not browser.all("dialog"))
    assert send(server, "GET", f"buckets/{bucket}/events/{event['id']}")["data"] == {"app": "After"}
    browser.until(lambda: picture(browser, bucket)["names"] == ["After"])
    browser.until(lambda: "After" in browser.text(".listed td.data"))
    browser.click(".listed tbody button")
    browser.button("Delete …", "dialog")
    shown = [button.text for button in browser.all("dialog button") if button.is_displayed()]
    assert shown == ["Delete …", "Close", "Save"]
    browser.button("Delete …", "dialog").click()
    assert send(server, "GET", f"buckets/{bucket}/events/count") == 1
    browser.button("Delete for good", "dialog").click()
    browser.until(lambda: not browser.all("dialog"))
    assert send(server, "GET", f"buckets/{bucket}/events/count") == 0


def test_with_the_keyboard_alone(browser: Browser) -> None:
    """Tab to the tracks; move, zoom, choose a bucket, step to an event, open and leave it."""
    show(browser, WINDOW, NOON, NOON + timedelta(minutes=30))
    picture(browser, WINDOW)
    body = browser.find("body")
    for _ in range(40):
        if browser.run("return document.activeElement.className") == "tracks":
            break
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    assert browser.run("return document.activeElement.className") == "tracks"
    length_ms = "const t = document.querySelector('.view-timeline').timeline; return t.end - t.begin"
    begin_ms = "return document.querySelector('.view-timeline').timeline.begin"
    before_ms, began_ms = browser.run(length_ms), browser.run(begin_ms)
    ActionChains(browser.driver).send_keys("-").send_keys(Keys.ARROW_LEFT).perform()
    assert browser.run(length_ms) == 2 * before_ms
    assert browser.run(begin_ms) < began_ms - before_ms / 2
    ActionChains(browser.driver).send_keys(Keys.ARROW_RIGHT).send_keys("+").perform()
    browser.until(lambda: picture(browser, WINDOW)["bars"])
    ActionChains(browser.driver).send_keys("n").send_keys("n").perform()
    browser.until(
        lambda: any(app in browser.text("#chosen") for app in ("Firefox", "Code", "Terminal")), "the step is said"
    )
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    browser.find("#event-data")
    opened = json.loads(browser.run("return document.querySelector('#event-data').value"))
    assert browser.text("#chosen").startswith(opened["app"])
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.until(lambda: not browser.all("dialog"))
    browser.until(lambda: browser.run("return document.activeElement.className") == "tracks")
    ActionChains(browser.driver).send_keys(Keys.ARROW_DOWN).perform()
    assert browser.text("#chosen").endswith("is chosen")
    assert body.is_displayed()


@pytest.mark.parametrize(
    ("words", "expected"),
    [("GITHUB – awlog 3", 3), ("engine.py", 15), (".*", 0), ("\\", 0), ('"', 0), ("zsh 1", 3)],
)
def test_events_are_found_by_a_text(browser: Browser, words: str, expected: int) -> None:
    """In any case and under any key; signs that mean something in patterns or queries are just signs."""
    browser.open("timeline?" + urlencode({"bucket": WINDOW, **DAY}))
    browser.until(lambda: len(browser.all(".listed tbody tr")) == 45)
    browser.find("#sought").send_keys(words)
    says = f"{expected} events" if expected else "Nothing in this range holds that text"
    browser.until(lambda: says in browser.text(".listed .rows"), says)
    assert len(browser.all(".listed tbody tr")) == expected


def test_the_range_is_saved_as_a_file(browser: Browser, server: Server) -> None:
    """What is in it, and nothing else."""
    browser.open("timeline?" + urlencode({"bucket": WINDOW, **DAY}))
    browser.find(".listed tbody tr")
    for form in ("CSV", "JSON"):
        browser.button(form).click()
        saved = browser.downloads / f"aw-watcher-window_desk.{form.lower()}"
        browser.until(saved.exists, saved.name)
    events = send(server, "GET", f"buckets/{WINDOW}/events?{urlencode(DAY)}")
    assert json.loads((browser.downloads / "aw-watcher-window_desk.json").read_text("utf-8")) == events
    assert len((browser.downloads / "aw-watcher-window_desk.csv").read_text("utf-8").splitlines()) == 1 + len(events)


def test_what_comes_joins_the_list(browser: Browser, server: Server) -> None:
    """A heartbeat of now, in a page that shows the present; so does a bucket that is made meanwhile."""
    bucket = make_bucket(server, "tailed", "currentwindow")
    beat(server, bucket, {"app": "First"})
    browser.open("timeline?" + urlencode({"bucket": bucket}))
    browser.until(lambda: "First" in browser.text(".listed td.data"))
    beat(server, bucket, {"app": "Second"})
    browser.until(lambda: "Second" in browser.text(".listed td.data"))
    beat(server, make_bucket(server, "made-meanwhile", "currentwindow"), {"app": "Third"})
    browser.until(lambda: browser.all("li[data-bucket='made-meanwhile']"))
    for made in (bucket, "made-meanwhile"):
        send(server, "DELETE", f"buckets/{made}?force=1")


def test_what_is_stored_is_text_here_too(browser: Browser) -> None:
    """In bars, tips, table and the event's form; long texts are cut on the screen."""
    show(browser, HOSTILE_BUCKET, NOON - timedelta(minutes=1), NOON + timedelta(minutes=8))
    drawn = picture(browser, HOSTILE_BUCKET)
    assert len(drawn["names"]) == len(HOSTILE)
    browser.until(lambda: len(browser.all(".listed tbody tr")) == len(HOSTILE))
    for at, text in enumerate(reversed(HOSTILE)):
        assert text[:100] in browser.texts(".listed td.data")[at]
    browser.click(".listed tbody button", -1)
    browser.until(lambda: HOSTILE[0] in browser.run("return document.querySelector('#event-data')?.value ?? ''"))
    browser.button("Close", "dialog").click()
    assert browser.all("main script, main b, main i, main img") == []
    assert browser.fits()


def test_a_range_without_events_offers_the_nearest(browser: Browser, server: Server) -> None:
    show(browser, "stopwatch", NOON - timedelta(days=100), NOON - timedelta(days=99))
    browser.until(lambda: "Nothing was recorded in this range" in browser.text(".listed"))
    browser.click(".listed p button")
    browser.until(lambda: "long ago" in browser.text(".listed td.data"))


def test_all_of_time_can_be_shown(browser: Browser, server: Server) -> None:
    """The years 1 to 9999, which the server knows; an address that asks for more is led back to them."""
    bucket = make_bucket(server, "ages", "currentwindow")
    try:
        edges = (datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC))
        insert(server, bucket, [(edge, 60.0, {"app": f"In {edge.year}"}) for edge in edges])
        show(browser, bucket, NOON, NOON + timedelta(minutes=1))
        browser.button("All").click()
        browser.until(lambda: picture(browser, bucket)["events"] == 2, "both events")
        browser.until(lambda: "9999" in browser.text(".range"), "the range")
        for start, end in (("-200000-01-01T00:00:00Z", "+200000-01-01T00:00:00Z"), (iso(NOON), iso(edges[0]))):
            browser.open("timeline?" + urlencode({"bucket": bucket, "start": start, "end": end}))
            picture(browser, bucket)
            browser.until(lambda: browser.all(".listed table, .listed p"))
            assert browser.all(".error") == []
    finally:
        send(server, "DELETE", f"buckets/{bucket}?force=1")


def test_only_buckets_in_sight_are_asked_for(browser: Browser, tmp_path: Path) -> None:
    """Of sixty some twenty; the last one when it is scrolled to."""
    with Server(tmp_path / "data") as server:
        for number in range(60):
            moment = [(NOON - timedelta(minutes=number), 30.0, {"app": "a"})]
            insert(server, make_bucket(server, f"bucket-{number:02}", "currentwindow"), moment)
        before, browser.origin = browser.origin, server.url
        try:
            browser.driver.get("about:blank")
            browser.requests()
            show(browser, "bucket-00", NOON - timedelta(hours=1), NOON)
            asked = [each["url"] for each in browser.requests() if "/timeline?" in each["url"]]
            assert 0 < len({url.partition("?")[0] for url in asked}) < 30
            browser.run("document.querySelector('.tracks li:last-child').scrollIntoView()")
            picture(browser, "bucket-59")
            browser.driver.get("about:blank")
            assert browser.foreign(browser.requests()) == []
        finally:
            browser.origin = before


def test_many_events_are_drawn_from_small_answers(browser: Browser, server: Server) -> None:
    """Of a hundred thousand the page gets bins, never the events; while it is moved it draws each frame from what it has,
    and asks again when it rests. What that takes: `python -m benchmarks run --only dashboard`.
    """
    bucket = make_bucket(server, "many", "currentwindow")
    begin = datetime(2022, 1, 1, tzinfo=UTC)
    starts = np.datetime_as_string(np.datetime64(begin.replace(tzinfo=None), "s") + 60 * np.arange(MANY))
    events = (
        f'{{"timestamp":"{start}Z","duration":45,"data":{{"app":"App {n % 9}","title":"t{n % 997}"}}}}'
        for n, start in enumerate(starts.tolist())
    )
    raw = f"[{','.join(events)}]".encode()
    json_type = {"Content-Type": "application/json"}
    assert server.request("POST", f"/api/0/buckets/{bucket}/events", raw=raw, headers=json_type).status == 200
    browser.requests()
    show(browser, bucket, begin, begin + timedelta(minutes=MANY))
    drawn = picture(browser, bucket)
    assert (drawn["events"], "bars" in drawn) == (MANY, False)
    assert sum(drawn["bins"]["count"]) == MANY
    first = pictures_asked(browser, bucket)
    assert len(first) == 1
    settled = browser.run("return document.querySelector('.view-timeline').dataset.settled")
    browser.run("document.querySelector('.view-timeline').timeline.frames.length = 0")
    turns = 60
    browser.driver.set_script_timeout(30)
    browser.driver.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        const {timeline} = document.querySelector(".view-timeline");
        let turns = arguments[0];
        const turn = () => {
          if (turns % 3) timeline.pan(0.05); else timeline.zoom(turns > 30 ? 0.8 : 1.25);
          turns -= 1;
          if (turns) requestAnimationFrame(turn); else done();
        };
        turn();
        """,
        turns,
    )
    browser.until(
        lambda: browser.run("return document.querySelector('.view-timeline').dataset.settled") != settled,
        "the new range",
    )
    frames = browser.run("return document.querySelector('.view-timeline').timeline.frames.length")
    again = pictures_asked(browser, bucket)
    assert frames > len(again) > 0, "it is drawn without asking, and then sharpened"
    assert all(0 < size < ANSWER_BYTES_MAX for size in (*first, *again))


def pictures_asked(browser: Browser, bucket: str) -> list[int]:
    """Bytes of each picture of the bucket that came since this was last asked."""
    asked = [each for each in browser.requests() if f"/buckets/{bucket}/timeline" in each["url"]]
    return [each["bytes"] for each in asked if "bytes" in each]
