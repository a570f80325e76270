"""Each view in all that can become of it: readable for everybody, still for those who want it so, usable without a mouse."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from selenium.webdriver import ActionChains, Keys

from tests.dashboard.browser import PATIENCE_S, Browser
from tests.dashboard.conftest import NOON, beat, iso, make_bucket, send
from tests.dashboard.test_page import DAY, VIEWS, looked_at
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")

WINDOW = "aw-watcher-window_desk"


def ask(browser: Browser, text: str, sign: str) -> None:
    browser.open("query?" + urlencode({"text": text}))
    browser.find(".check input").click()
    browser.button("Run").click()
    browser.find(sign)


def answered(browser: Browser) -> None:
    ask(browser, f'RETURN = limit_events(query_bucket("{WINDOW}"), 5);', ".costs td")


def charted(browser: Browser) -> None:
    answered(browser)
    browser.button("Chart").click()
    browser.find(".ranking-list li")


def mistaken(browser: Browser) -> None:
    ask(browser, "RETURN = nonsense(1);", ".results .error")
    browser.complaints()  # the browser tells of the 400


def opened(browser: Browser) -> None:
    browser.open("timeline?" + urlencode({"bucket": WINDOW, **DAY}))
    browser.click(".listed tbody button")
    browser.find("dialog textarea")


def sought_in_vain(browser: Browser) -> None:
    browser.open("timeline?" + urlencode({"bucket": WINDOW, **DAY}))
    browser.find(".listed tbody tr")
    browser.find("#sought").send_keys("nothing like it")
    browser.until(lambda: "Nothing in this range" in browser.text(".listed"))


def made(browser: Browser) -> None:
    browser.open("buckets")
    browser.button("New bucket …").click()
    browser.find("dialog #new-id")


def deleted(browser: Browser) -> None:
    browser.open("buckets")
    browser.click(".does button.danger")
    browser.find("dialog #typed")


def ruled(browser: Browser) -> None:
    browser.open("buckets")
    browser.until(lambda: len(browser.all(".panel")) == 3)
    for at in (1, 2):
        browser.button("Add a rule", f".panel:nth-child({at + 1})").click()
    browser.until(lambda: len(browser.all(".rule")) == 2)


def summed_up(period: str) -> Callable[[Browser], None]:
    def show(browser: Browser) -> None:
        browser.open("summary?" + urlencode({"bucket": WINDOW, "period": period, "date": iso(NOON)}))
        browser.find(f".heat-{period}")

    show.__name__ = period
    return show


def without_data(browser: Browser) -> None:
    browser.open("summary?" + urlencode({"bucket": "stopwatch", "date": iso(NOON)}))
    browser.find(".sums .notice button")


STATES = (answered, charted, mistaken, opened, sought_in_vain, made, deleted, ruled, without_data)
PERIODS = tuple(map(summed_up, ("week", "month", "year")))


@pytest.mark.parametrize("state", [*STATES, *PERIODS], ids=lambda state: state.__name__)
def test_nothing_serious_stands_in_anybodys_way_in_any_state(
    browser: Browser, state: Callable[[Browser], None]
) -> None:
    """By axe-core, in light and in the dark; and it fits a phone."""
    state(browser)
    for dark in (False, True):
        browser.screen(dark=dark)
        looked_at(browser)
    browser.screen(width=390, height=844)
    assert browser.fits()


def counted(browser: Browser) -> dict[str, int]:
    """What the page holds when all that is garbage is gone."""
    browser.command("HeapProfiler.collectGarbage")
    held: dict[str, int] = browser.command("Memory.getDOMCounters")
    return held


@pytest.mark.parametrize("view", ["now", "timeline?bucket=endless"])
def test_a_page_that_stays_open_does_not_grow(browser: Browser, server: Server, view: str) -> None:
    """Hundreds of heartbeats and renewals leave as many elements and listeners as tens of them."""
    bucket = make_bucket(server, "endless", "currentwindow")
    beat(server, bucket, {"app": "App"})
    browser.open(view)
    browser.until(lambda: "endless" in browser.text("main"))
    first: dict[str, int] = {}
    for rounds in (20, 90):
        for at in range(rounds):
            beat(server, bucket, {"app": f"App {rounds} {at % 7}"})
            browser.run("document.querySelector('.view-timeline')?.timeline.renew()")
        browser.until(lambda rounds=rounds: f"App {rounds} {(rounds - 1) % 7}" in browser.text("main"))  # type: ignore[misc]
        first = first or counted(browser)
    # What is still on its way holds something for a moment.
    browser.until(lambda: counted(browser)["nodes"] < first["nodes"] * 2 + 500, "as many elements as before")
    browser.until(
        lambda: counted(browser)["jsEventListeners"] < first["jsEventListeners"] + 40, "as many listeners as before"
    )
    send(server, "DELETE", f"buckets/{bucket}?force=1")


MOVING = """
    const told = [];
    for (const node of document.querySelectorAll("*")) for (const pseudo of [null, "::before", "::after"]) {
      const {transitionDuration, animationName, scrollBehavior} = getComputedStyle(node, pseudo);
      const isStill = !/[1-9]/.test(transitionDuration) && animationName === "none" && scrollBehavior === "auto";
      if (!isStill) told.push(node.outerHTML.slice(0, 80));
    }
    return told;
"""


def test_nothing_moves_for_those_who_want_it_still(browser: Browser) -> None:
    """No transition, no animation, no smooth scrolling in any view; for others there is at least one."""
    for reduced in ("reduce", "no-preference"):
        browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": reduced}])
        for address, sign in VIEWS.values():
            browser.open(address)
            browser.find(sign)
            browser.until(lambda: browser.text("#link-state") == "Live")
            moving = browser.run(MOVING)
            assert bool(moving) == (reduced == "no-preference"), (address, moving)
            assert reduced != "reduce" or browser.run("return document.getAnimations().length") == 0


def press(browser: Browser, *keys: str) -> None:
    ActionChains(browser.driver).send_keys(*keys).perform()


def tab_to(browser: Browser, css: str, name: str = "") -> None:
    """With the keyboard alone; what has the focus on the way is seen, not hidden behind a bar that stays."""
    hidden = """
        const {left, top, width, height} = document.activeElement.getBoundingClientRect();
        const there = document.elementFromPoint(left + width / 2, top + Math.min(height, 30) / 2);
        return Boolean(there?.closest(".masthead .views")) && !document.activeElement.closest(".masthead");
    """
    is_there = """
        const focused = document.activeElement;
        const name = focused.getAttribute("aria-label") ?? focused.textContent;
        return focused.matches(arguments[0]) && name.includes(arguments[1]);
    """
    until_s = time.monotonic() + PATIENCE_S
    while not browser.run(is_there, css, name):
        press(browser, Keys.TAB)
        assert not browser.run(hidden), browser.run("return document.activeElement.outerHTML")[:200]
        assert time.monotonic() < until_s, f"{css} is not reached"


@pytest.mark.parametrize("width", [1280, 390])
def test_everything_is_done_without_a_mouse(browser: Browser, server: Server, width: int) -> None:
    """From Now to a bucket's timeline and an event; a period; a query; a bucket made and deleted."""
    browser.screen(width=width, height=844)
    browser.open("now")
    browser.find("[data-bucket]")
    tab_to(browser, ".bucket-id")
    press(browser, Keys.ENTER)
    browser.find(".view-timeline .track-name")

    browser.open("timeline?" + urlencode({"bucket": WINDOW, **DAY}))
    browser.find(".listed tbody button")
    tab_to(browser, "#sought")
    press(browser, "zsh 1")
    browser.until(lambda: len(browser.all(".listed tbody tr")) == 3)
    tab_to(browser, ".listed tbody button")
    press(browser, Keys.ENTER)
    browser.find("dialog textarea")
    press(browser, Keys.ESCAPE)
    browser.until(lambda: not browser.all("dialog"))

    browser.open("summary?" + urlencode({"bucket": WINDOW, "date": iso(NOON)}))
    browser.find(".heat")
    tab_to(browser, ".segments button", "Week")
    press(browser, Keys.ENTER)
    browser.find(".heat-week")

    browser.open("query")
    browser.find(".editor textarea")
    tab_to(browser, ".editor textarea")
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).perform()
    press(browser, "RETURN = 6 * 7;")
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    browser.until(lambda: browser.text(".results .json") == "42")

    browser.open("buckets")
    browser.find("tr[data-bucket]")
    tab_to(browser, ".toolbar button", "New bucket")
    press(browser, Keys.ENTER)
    browser.find("dialog #new-id")
    press(browser, "by-keys", Keys.ENTER)
    browser.find("tr[data-bucket='by-keys']")
    tab_to(browser, ".does button", "Delete by-keys")
    press(browser, Keys.ENTER)
    browser.find("dialog #typed")
    press(browser, "by-keys", Keys.ENTER)
    browser.until(lambda: not browser.all("tr[data-bucket='by-keys']"))
    assert "by-keys" not in send(server, "GET", "buckets/")
