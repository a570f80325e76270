"""The page around the views: its files, every view on every screen, restarts."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode, urljoin

import pytest
from axe_core_python.base import AXE_FILE_PATH
from selenium.webdriver import ActionChains, Keys

from tests.contract.wire import exchange
from tests.dashboard.browser import PATIENCE_S, Browser
from tests.dashboard.conftest import NOON, beat, iso, make_bucket
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")

DAY = {"start": iso(NOON.replace(hour=0)), "end": iso(NOON.replace(hour=23))}
VIEWS = {
    "now": ("now", "[data-bucket]"),
    "timeline": ("timeline?" + urlencode({"bucket": "aw-watcher-window_desk", **DAY}), ".listed tr"),
    "summary": ("summary?" + urlencode({"bucket": "aw-watcher-window_desk", "date": DAY["start"]}), ".heat"),
    "query": ("query", ".editor"),
    "buckets": ("buckets", "tr[data-bucket]"),
}
SCREENS = {"light": {}, "dark": {"dark": True}, "phone": {"width": 390, "height": 844}}


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_serious_stands_in_anybodys_way(browser: Browser, view: str, screen: str) -> None:
    """axe-core finds no serious problem, and nothing is wider than the screen."""
    browser.screen(**SCREENS[screen])  # type: ignore[arg-type]
    address, sign = VIEWS[view]
    browser.open(address)
    browser.find(sign)
    looked_at(browser)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("page", ["", "settings"])
def test_nothing_serious_stands_in_a_readers_way(browser: Browser, page: str, screen: str) -> None:
    """The manual is one of the dashboard's pages: it is linked from there, leads back, and fits its screens."""
    browser.screen(**SCREENS[screen])  # type: ignore[arg-type]
    browser.open("now")
    browser.find("[data-bucket]")
    browser.click(".aside a[href$='docs/']")
    browser.until(lambda: browser.text("h1") == "The manual")
    browser.driver.get(f"{browser.driver.current_url}{page}")
    looked_at(browser)
    browser.click("nav .home")
    browser.find("[data-bucket]")


def looked_at(browser: Browser) -> None:
    """What is on the screen is without serious problems, and no wider than it."""
    # The policy of the pages allows no script that is not a file: axe comes by the browser's own door.
    browser.run(AXE_FILE_PATH.read_text("utf-8"))
    found = browser.driver.execute_async_script("axe.run().then(arguments[0])")
    serious = [
        (each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert browser.fits()


def test_it_can_be_zoomed_to_four_times_its_size(browser: Browser) -> None:
    """A screen of 1,280 pixels is one of 320 then: nothing is wider, and every view can still be reached."""
    browser.screen(width=320, height=640)
    for address, sign in VIEWS.values():
        browser.open(address)
        browser.find(sign)
        assert browser.fits(), address
        ends = browser.run(
            "return [...document.querySelectorAll('.views a')].map((a) => a.getBoundingClientRect().right)"
        )
        assert max(ends) <= 320


@pytest.mark.parametrize("path", ["/", "/awlog", "/awlog/"])
def test_it_works_wherever_it_is(browser: Browser, path: str) -> None:
    browser.driver.get(browser.origin + path)
    browser.find("[data-bucket]")


def test_every_view_is_reached_and_used_with_the_keyboard_alone(browser: Browser) -> None:
    """From the top of the page: skip to the content, or go on to the views; each has something of its own to go on to."""
    browser.open("now")
    browser.find("[data-bucket]")
    press(browser, Keys.TAB)
    assert browser.run("return document.activeElement.textContent") == "Skip to content"
    press(browser, Keys.ENTER)
    press(browser, Keys.TAB)
    assert browser.run("return document.activeElement.closest('main') !== null")
    for view in VIEWS:
        browser.open("now")
        browser.find("[data-bucket]")
        for _ in range(12):
            press(browser, Keys.TAB)
            if browser.run("return document.activeElement.hash") == f"#/{view}":
                break
        press(browser, Keys.ENTER)
        browser.until(lambda view=view: browser.all(f"nav a[aria-current][href='#/{view}']"), view)  # type: ignore[misc]
        browser.find(f".view-{view} :is(button, a)")
        for _ in range(12):
            press(browser, Keys.TAB)
            if browser.run("return document.activeElement.closest('main') !== null"):
                break
        assert browser.run("return document.activeElement.closest('main') !== null"), view
        assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") != "none", view


@pytest.mark.parametrize("name", ["constructor", "__proto__", "nothing", "toString?x=1"])
def test_an_address_of_no_view_shows_the_first(browser: Browser, name: str) -> None:
    """Also where it is the name of something that each object of the language has."""
    browser.open(name)
    browser.find(".view-now [data-bucket]")


@pytest.mark.parametrize("base", ["/logs/of/mine", "/awlog"])
def test_it_works_below_any_base_path(tmp_path: Path, base: str) -> None:
    """Whatever its name: each link of the index leads to a file, from each place where the index is."""
    server = Server(tmp_path / "data", "--base-path", base).start(wait=False)
    with server as based:
        wait_until(lambda: exchange(based, "GET", f"{base}/api/0/info").status == 200)
        for path in ("/", "/awlog", "/awlog/"):
            answer = exchange(based, "GET", base + path)
            links = re.findall(r'(?:src|href)="([^#"]+)"', answer.body.decode())
            assert "main.js" in "".join(links)
            for link in links:
                assert exchange(based, "GET", urljoin(base + path, link)).status == 200, link


def wait_until(probe: Callable[[], bool]) -> None:
    """A server that has just been started listens in a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(OSError):
            if probe():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def press(browser: Browser, key: str) -> None:
    ActionChains(browser.driver).send_keys(key).perform()


def test_its_files_come_compressed_or_not_and_only_once(server: Server) -> None:
    plain = exchange(server, "GET", "/awlog/main.js")
    small = exchange(server, "GET", "/awlog/main.js", "Accept-Encoding: gzip, zstd")
    assert gzip.decompress(small.body) == plain.body
    again = exchange(server, "GET", "/awlog/main.js", f"If-None-Match: {plain.headers['ETag']}")
    assert (again.status, again.body) == (304, b"")
    assert exchange(server, "HEAD", "/awlog/").status == 200


@pytest.mark.parametrize(
    "path", ["nothing.js", "../pyproject.toml", "..%2fapi%2fapp.py", "views", "views/", "index.html/x"]
)
def test_nothing_else_comes_from_there(server: Server, path: str) -> None:
    assert exchange(server, "GET", f"/awlog/{path}").status == 404


def test_its_policy_lets_nothing_run_that_is_not_a_file_of_it(browser: Browser, server: Server) -> None:
    """A script, a style, an image from elsewhere and a connection to elsewhere are all refused by the browser."""
    policy = exchange(server, "GET", "/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    browser.open("now")
    browser.find("[data-bucket]")
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.pwned = 9'; document.body.append(s)"
    )
    refused = "fetch('http://127.0.0.2:1/').catch((error) => arguments[0](String(error)))"
    assert "TypeError" in browser.driver.execute_async_script(refused)
    assert any("Content Security Policy" in each for each in browser.complaints())


def test_it_survives_a_restart_of_the_server(browser: Browser, server: Server) -> None:
    """It says that the server is away, and goes on by itself when it is back."""
    bucket = make_bucket(server, "restart", "currentwindow")
    browser.open("now")
    browser.find("[data-bucket]")
    server.stop()
    browser.until(lambda: "No answer" in browser.text("#link-state"))
    browser.until(lambda: browser.text("h1") == "Not reachable")
    browser.complaints()
    server.start()
    beat(server, bucket, {"app": "After the restart"})
    browser.until(lambda: "After the restart" in browser.text("main"))
    assert browser.text("#link-state") == "Live"
    browser.complaints()
