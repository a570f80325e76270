"""Query: programs, their answers and their errors."""

from __future__ import annotations

import csv
import io
import json

import pytest
from selenium.webdriver import ActionChains, Keys

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import HOSTILE, NOON, iso, send
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")

HOSTILE_BUCKET = "<b>hostile</b> /%2F?&#"


def ask(browser: Browser, text: str, *, explain: bool = False) -> None:
    """Two days are asked about: the one of the data, and the next."""
    browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
    browser.open("query")
    field = browser.find(".editor textarea")
    for name in ("from", "to"):
        browser.run(f"document.getElementById('{name}').value = arguments[0]", NOON.date().isoformat())
    browser.run(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input')); arguments[0].focus()",
        field,
        text,
    )
    if explain:
        browser.find(".view-query label.check").click()
        field.click()
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    browser.until(
        lambda: browser.run("return document.querySelector('.view-query').dataset.settled") == "yes", "an answer"
    )


def test_an_answer_is_shown_as_table_chart_and_json(browser: Browser, server: Server) -> None:
    text = 'events = flood(query_bucket("aw-watcher-web_desk"));\nRETURN = merge_events_by_keys(events, ["url"]);'
    ask(browser, text)
    period = f"{iso(NOON.replace(hour=0))}/{iso(NOON.replace(hour=23, minute=59))}"
    [expected] = send(server, "POST", "query", {"query": text.split("\n"), "timeperiods": [period]})
    assert browser.texts(".results tbody td:nth-child(3)") == [event["data"]["url"] for event in expected]
    browser.button("Chart").click()
    assert sorted(browser.texts(".ranking-list .bar-time")) == ["0:10:00", "0:10:00"]
    browser.button("JSON").click()
    assert json.loads(browser.text("pre.json")) == expected
    assert text.split("\n")[0][:20] in browser.text("#earlier")


def test_csv_holds_what_was_answered(browser: Browser) -> None:
    """Hostile texts too; the browser saves it, nothing is sent anywhere."""
    ask(browser, f'RETURN = query_bucket("{HOSTILE_BUCKET}");')
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(browser.downloads))
    browser.button("Save as CSV").click()
    saved = browser.downloads / "awlog-query.csv"
    browser.until(saved.exists, "the file")
    rows = list(csv.DictReader(io.StringIO(saved.read_text("utf-8"))))
    assert [row["app"] for row in reversed(rows)] == list(HOSTILE)
    assert browser.all(".results b, .results script, .results img") == []


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a = 1;\nRETURN = nothing(1);", 2, 10), ('a = 1;\n\nb = "x', 3, 5), ("RETURN = query_bucket('none');", 1, 10)],
)
def test_an_error_is_marked_where_it_is(browser: Browser, server: Server, text: str, line: int, column: int) -> None:
    """In the numbers, in the text, and by a line that shows the place; as the API says it."""
    ask(browser, text)
    period = f"{iso(NOON)}/{iso(NOON)}"
    refused = server.request("POST", "/api/0/query", {"query": text.split("\n"), "timeperiods": [period]}).json()
    assert (refused["line"], refused["column"]) == (line, column)
    assert browser.texts(".line-numbers .wrong") == [str(line)]
    assert refused["message"] in browser.text(".results .error")
    start = browser.run("return document.querySelector('.editor textarea').selectionStart")
    assert start == sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
    assert browser.text(".frame").split("\n")[1].index("^") == browser.text(".frame").index("│") + 2 + column - 1
    # A refused query is an entry in the console: the browser's own, about the status.
    assert all("400" in each for each in browser.complaints())


def test_costs_are_told_by_statement(browser: Browser) -> None:
    ask(browser, 'events = query_bucket("aw-watcher-web_desk");\nRETURN = sum_durations(events);', explain=True)
    assert browser.texts(".costs tbody td:nth-child(1)") == ["1", "2"]
    assert browser.texts(".costs tbody td:nth-child(6)")[0] == "20"
    assert browser.text("pre.json") == "1200"


def test_examples_fill_the_editor(browser: Browser) -> None:
    browser.open("query")
    browser.find("#example option:nth-child(4)")
    browser.run("const f = document.querySelector('#example'); f.value = '2'; f.dispatchEvent(new Event('change'))")
    assert "split_url_events" in browser.run("return document.querySelector('.editor textarea').value")


def test_an_empty_answer_says_where_there_is_something(browser: Browser) -> None:
    """By the buckets that the program names; one click asks for the days that they have."""
    ask(browser, 'RETURN = query_bucket("stopwatch");')
    browser.until(lambda: "stopwatch holds events from" in browser.text(".nothing"))
    browser.button("Ask for the last seven days of it").click()
    browser.until(lambda: "long ago" in browser.texts(".results td"))
    ask(browser, 'RETURN = query_bucket("empty");')
    browser.until(lambda: "empty is empty" in browser.text(".nothing"))
