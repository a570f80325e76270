"""Buckets: what there is, and what can be done with it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver.remote.webelement import WebElement

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import NOON, insert, iso, make_bucket, send
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")


def row(browser: Browser, bucket: str) -> WebElement:
    return browser.until(
        lambda: next(each for each in browser.all("tr[data-bucket]") if each.get_attribute("data-bucket") == bucket),
        bucket,
    )


def test_counts_are_those_of_the_api(browser: Browser, server: Server) -> None:
    browser.open("buckets")
    for bucket in send(server, "GET", "status")["buckets"]:
        cells = [cell.text for cell in row(browser, bucket["id"]).find_elements("css selector", "td")]
        assert cells[3] == f"{bucket['events']:,}"
        assert cells[1] == bucket["type"]


def test_a_bucket_is_made_and_deleted_by_typing_its_name(browser: Browser, server: Server) -> None:
    """Another name deletes nothing."""
    name = 'made <here> "1"'
    browser.open("buckets")
    browser.button("New bucket …").click()
    browser.find("#new-id").send_keys(name)
    browser.button("Create", "dialog").click()
    row(browser, name)
    assert send(server, "GET", f"buckets/{quote(name, safe='')}")["type"] == "general.note"
    browser.until(lambda: not browser.all("dialog"))
    browser.button(f"Delete {name}").click()
    browser.find("#typed").send_keys("made")
    browser.button("Delete for good", "dialog").click()
    browser.until(lambda: "not the name" in browser.text("dialog .error"))
    assert name in send(server, "GET", "buckets/")
    browser.find("#typed").clear()
    browser.find("#typed").send_keys(name)
    browser.button("Delete for good", "dialog").click()
    browser.until(lambda: name not in send(server, "GET", "buckets/"))
    browser.until(lambda: not any(each.get_attribute("data-bucket") == name for each in browser.all("tr[data-bucket]")))


def test_an_export_is_saved(browser: Browser, server: Server) -> None:
    """By the browser, under the name that the server gives."""
    bucket = make_bucket(server, "to-export", "test")
    insert(server, bucket, [(NOON, 1.0, {"label": "x"})])
    browser.open("buckets")
    row(browser, bucket)
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(browser.downloads))
    browser.button(f"Export {bucket}").click()
    saved = browser.downloads / f"aw-bucket-export_{bucket}.json"
    browser.until(saved.exists, "the file")
    assert json.loads(saved.read_text("utf-8"))["buckets"][bucket]["events"][0]["data"] == {"label": "x"}


def test_an_import_says_what_became_of_it(browser: Browser, server: Server, tmp_path: Path) -> None:
    """A file that is refused is refused as a whole, with the server's reason."""
    event = {"timestamp": iso(NOON), "duration": 5, "data": {"label": "imported"}}
    good = {"buckets": {"imported": {"id": "imported", "type": "t", "client": "c", "hostname": "h", "events": [event]}}}
    file = tmp_path / "good.json"
    file.write_text(json.dumps(good))
    browser.open("buckets")
    row(browser, "empty")
    browser.find("#import-file").send_keys(str(file))
    browser.until(lambda: "was imported" in browser.text(".news"))
    assert row(browser, "imported").is_displayed()
    bad = tmp_path / "bad.json"
    bad.write_text('{"buckets": {"other": {}}}')
    browser.find("#import-file").send_keys(str(bad))
    browser.until(lambda: "was not imported" in browser.text(".news"))
    assert "other" not in send(server, "GET", "buckets/")
    assert all("400" in each for each in browser.complaints())
