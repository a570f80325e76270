"""Summary: how long what was there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import NOON, insert, iso, make_bucket, send
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")

WINDOW = "aw-watcher-window_desk"


def show(browser: Browser, **params: Any) -> None:
    browser.open("summary?" + urlencode({"date": iso(NOON), **params}))
    wait(browser)


def wait(browser: Browser) -> None:
    browser.until(
        lambda: browser.run("return document.querySelector('.view-summary')?.dataset.settled") == "yes", "sums"
    )


def hours(seconds: float) -> str:
    whole = int(seconds + 1e-6)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def shown(browser: Browser) -> dict[str, str]:
    script = """
        return [...document.querySelectorAll(".ranking li")].map((row) =>
          [row.querySelector(".bar-name").textContent, row.querySelector(".bar-time").textContent]);
    """
    return dict(browser.run(script))


def asked(server: Server, lines: list[str], start: datetime, days: int) -> Any:
    period = f"{iso(start)}/{iso(start + timedelta(days=days))}"
    return send(server, "POST", "query", {"query": lines, "timeperiods": [period]})[0]


@pytest.mark.parametrize(("period", "days"), [("day", 1), ("week", 7)])
def test_sums_are_those_of_a_query(browser: Browser, server: Server, period: str, days: int) -> None:
    """Of the browser's days, which begin at midnight here: the tests' machine may be anywhere, its browser is in UTC."""
    browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
    show(browser, bucket=WINDOW, period=period)
    start = (
        NOON.replace(hour=0)
        if period == "day"
        else datetime.fromisoformat(browser.run("return new URLSearchParams(location.hash.split('?')[1]).get('date')"))
    )
    lines = [
        f'events = flood(query_bucket("{WINDOW}"));',
        'present = filter_keyvals(flood(query_bucket("aw-watcher-afk_desk")), "status", ["not-afk"]);',
        "events = filter_period_intersect(events, present);",
        'RETURN = sort_by_duration(merge_events_by_keys(events, ["app"]));',
    ]
    merged = asked(server, lines, start, days)
    assert shown(browser) == {event["data"]["app"]: hours(event["duration"]) for event in merged}
    assert browser.text(".total strong") == hours(sum(event["duration"] for event in merged))


def test_the_map_adds_up_to_the_whole(browser: Browser) -> None:
    """Three hours of a day, each in its cell; the year has a cell for each day."""
    browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
    show(browser, bucket=WINDOW, period="day")
    amounts = [each for each in browser.texts(".heat td .amount") if each]
    assert amounts == ["1:00", "1:00", "1:00"]
    show(browser, bucket=WINDOW, period="year")
    assert len(browser.all(".heat td[data-level]")) in (365, 366)


def test_days_are_those_of_the_browsers_time_zone_and_begin_when_told(browser: Browser, server: Server) -> None:
    """Noon in UTC is the evening of Tokyo; with days from 21 o'clock on the last two hours belong to the next."""
    browser.command("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
    try:
        show(browser, bucket=WINDOW, period="day")
        assert [each for each in browser.texts(".heat td .amount") if each] == ["1:00"] * 3
        assert browser.text(".total strong") == "3:00:00"
        browser.run(
            "const f = document.querySelector('#start-hour'); f.value = '21'; f.dispatchEvent(new Event('change'))"
        )
        wait(browser)
        browser.until(lambda: browser.text(".total strong") != "3:00:00" or browser.texts(".heat .amount")[0] == "1:00")
        assert send(server, "GET", "settings/startOfDay") == "21:00"
    finally:
        browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
        send(server, "DELETE", "settings/startOfDay")


def test_days_begin_at_their_hour_also_after_one_that_left_it_out(browser: Browser, server: Server) -> None:
    """Berlin had no two o'clock on 30 March 2025: that day began at three and had 23 hours, the next began at two again."""
    bucket = make_bucket(server, "clocks", "currentwindow", "elsewhere")
    change = datetime(2025, 3, 30, 1, tzinfo=UTC)
    insert(server, bucket, [(change + timedelta(hours=at), 1800.0, {"app": "a"}) for at in range(-24, 47)])
    send(server, "POST", "settings/startOfDay", "02:00")
    browser.command("Emulation.setTimezoneOverride", timezoneId="Europe/Berlin")
    try:
        show(browser, bucket=bucket, period="day", date=iso(change + timedelta(hours=10)))
        assert len(browser.all(".heat td[data-level]")) == 23
        assert browser.text(".total strong") == "11:30:00"
        show(browser, bucket=bucket, period="month", date=iso(change))
        amounts = [each for each in browser.texts(".heat td .amount") if each]
        assert amounts == ["12:00", "11:30", "12:00"]
    finally:
        browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
        send(server, "DELETE", "settings/startOfDay")
        send(server, "DELETE", f"buckets/{bucket}?force=1")


def test_any_bucket_can_be_summed_up(browser: Browser) -> None:
    """Without a window or an afk watcher: a stopwatch by its label, tabs by their domain."""
    show(browser, bucket="stopwatch", period="year", date=iso(NOON.replace(year=NOON.year - 1, month=10)))
    browser.open("summary?" + urlencode({"bucket": "aw-watcher-web_desk", "date": iso(NOON)}))
    wait(browser)
    assert shown(browser) == {"x0.org": "0:10:00", "x1.org": "0:10:00"}


def test_categories_are_those_of_the_setting(browser: Browser, server: Server) -> None:
    rule = {"type": "regex", "regex": "Code|\\bzsh", "ignore_case": True}
    unsayable = {"name": ["Drives"], "rule": rule | {"regex": "C:\\\\"}}
    send(server, "POST", "settings/classes", [unsayable, {"name": ["Work", "Programming"], "rule": rule}])
    browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
    show(browser, bucket=WINDOW, period="day")
    browser.run("const f = document.querySelector('#key'); f.value = '$category'; f.dispatchEvent(new Event('change'))")
    browser.until(lambda: "Work › Programming" in browser.texts(".ranking .bar-name"), "the category")
    assert shown(browser) == {"Work › Programming": "2:00:00", "Uncategorized": "1:00:00"}
    send(server, "DELETE", "settings/classes")


def test_a_name_of_a_megabyte_comes_when_it_is_asked_for(browser: Browser, server: Server) -> None:
    """The page gets its beginning, and all of it in a window; it is text in both."""
    bucket = make_bucket(server, "long-names", "currentwindow", "elsewhere")
    name = "<b>" + "W" * 1_000_000
    insert(server, bucket, [(NOON, 60.0, {"app": name}), (NOON + timedelta(hours=1), 30.0, {"app": "short"})])
    try:
        browser.requests()
        show(browser, bucket=bucket, period="day", date=iso(NOON))
        shown = browser.texts(".ranking .bar-name .stored")
        assert (shown[0], shown[1]) == (name[:299] + "…", "short")
        assert len(browser.all(".ranking button")) == 1
        assert max(each.get("bytes", 0) for each in browser.requests()) < 50_000
        browser.click(".ranking button")
        browser.until(lambda: browser.text("dialog pre") == name, "the whole name")
        browser.button("Close", "dialog").click()
        browser.until(lambda: not browser.all("dialog"))
    finally:
        send(server, "DELETE", f"buckets/{bucket}?force=1")


def test_a_range_without_data_says_why_and_where_there_is_some(browser: Browser) -> None:
    browser.open("summary?" + urlencode({"bucket": "stopwatch", "date": iso(NOON)}))
    browser.until(lambda: "Nothing was recorded into" in browser.text(".sums"))
    browser.find(".sums button").click()
    browser.until(lambda: shown(browser) == {"long ago": "0:01:00"})
