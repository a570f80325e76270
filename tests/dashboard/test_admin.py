"""Tokens, privacy filters and retention, and the page on a server that asks for a token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Keys

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import NOON, insert, iso, make_bucket, send
from tests.server import Server

pytestmark = pytest.mark.needs("chromium", "chromedriver")


@pytest.fixture
def alone(tmp_path: Path, browser: Browser) -> Iterator[Server]:
    """A server of the test's own, which the browser speaks with for its duration."""
    with Server(tmp_path / "data") as running:
        before, browser.origin = browser.origin, running.url
        yield running
        browser.driver.get("about:blank")
        browser.complaints()
        browser.requests()
        browser.origin = before


def fill(browser: Browser, css: str, text: str) -> None:
    field = browser.find(css)
    browser.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))", field, text)


def test_the_first_token_is_an_admins_and_this_page_goes_on_with_it(browser: Browser, alone: Server) -> None:
    """Another page is asked for a token, takes `?token=` out of its address, and shows all after it."""
    browser.open("buckets")
    fill(browser, "#token-name", "desk")
    browser.button("Make a token").click()
    browser.until(lambda: "Make one for an admin first" in browser.text(".panel .error"))
    fill(browser, "#token-scope", "admin")
    browser.button("Make a token").click()
    browser.until(lambda: browser.text(".secret"))
    secret = browser.text(".secret")
    assert alone.request("GET", "/api/0/buckets/").status == 401
    browser.open("now")
    browser.until(lambda: browser.text("h1") == "Nothing yet")
    browser.run("sessionStorage.clear()")
    browser.complaints()
    browser.open("now")
    browser.find("#token").send_keys("not-it")
    browser.button("Go on", "dialog").click()
    browser.until(lambda: "is not taken" in browser.text("dialog"))
    browser.find("dialog #token").send_keys(secret)
    browser.button("Go on", "dialog").click()
    browser.until(lambda: browser.text("h1") == "Nothing yet")
    assert all("401" in each for each in browser.complaints())
    browser.run("sessionStorage.clear()")
    browser.driver.get(f"{alone.url}/?token={secret}#/buckets")
    browser.until(lambda: "desk" in browser.texts(".panel td .stored"))
    assert secret not in browser.driver.current_url
    browser.button("Revoke desk")


def test_a_page_whose_token_ends_asks_for_another(browser: Browser, alone: Server) -> None:
    """In the middle of its work, and goes on with what it shows when it has one."""
    admin = alone.request("POST", "/api/0/tokens", {"name": "me", "scopes": ["admin"]}).json()
    before = {"Authorization": f"Bearer {admin['secret']}"}
    soon = iso(datetime.now(UTC) + timedelta(seconds=4))
    short, later = (
        alone.request("POST", "/api/0/tokens", body, headers=before).json()["secret"]
        for body in ({"name": "short", "scopes": ["read"], "expires": soon}, {"name": "later", "scopes": ["read"]})
    )
    browser.driver.get("about:blank")
    browser.driver.get(f"{alone.url}/?token={short}#/now")
    browser.until(lambda: browser.text("h1") == "Nothing yet")
    browser.until(lambda: "not any more" in browser.text("dialog"), "that it asks for another")
    browser.find("dialog #token").send_keys(later + Keys.ENTER)
    browser.until(lambda: browser.text("#link-state") == "Live")
    assert browser.text("h1") == "Nothing yet"
    assert not browser.all("dialog")
    # The feed that it followed ends with its token.
    assert all("401" in each or "/changes" in each for each in browser.complaints())


def test_who_declines_to_give_a_token_is_not_asked_again(browser: Browser, alone: Server) -> None:
    """The page says what it lacks, and has a button for whoever has found one."""
    made = alone.request("POST", "/api/0/tokens", {"name": "me", "scopes": ["admin"]}).json()
    browser.driver.get("about:blank")
    browser.driver.get(f"{alone.url}/#/now")
    browser.find("dialog #token")
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.until(lambda: browser.text("h1") == "A token is needed")
    before = refused(alone, made["secret"])
    browser.until(lambda: refused(alone, made["secret"]) > before + 1, "that it tries again")
    assert browser.all("dialog") == []
    browser.button("Give a token").click()
    browser.find("dialog #token").send_keys(made["secret"] + Keys.ENTER)
    browser.until(lambda: browser.text("#link-state") == "Live")
    assert not browser.find("#other-token").is_displayed()
    browser.complaints()


def refused(server: Server, secret: str) -> int:
    """Requests without a token until now."""
    status = server.request("GET", "/api/0/status", headers={"Authorization": f"Bearer {secret}"}).json()
    return int(status["refused"]["Unauthorized"])


def test_a_token_sees_what_it_may(browser: Browser, alone: Server) -> None:
    """One for some buckets sees these, in all views; one that may only send is told that it may not look."""
    for name in ("mine-1", "other"):
        insert(alone, make_bucket(alone, name, "currentwindow"), [(NOON, 60.0, {"app": f"of {name}"})])

    def token(scope: str, admin: str | None = None) -> str:
        headers = {"Authorization": f"Bearer {admin}"} if admin else {}
        return str(
            alone.request("POST", "/api/0/tokens", {"name": scope, "scopes": [scope]}, headers=headers).json()["secret"]
        )

    admin = token("admin")
    mine, sender = token("read:mine*", admin), token("append", admin)
    browser.driver.get(f"{alone.url}/?token={mine}#/now")
    browser.until(lambda: browser.texts(".bucket-id .stored") == ["mine-1"])
    assert "1" in browser.texts(".tiles .figure")
    browser.open("timeline")
    browser.until(lambda: browser.texts(".track-name .stored") == ["mine-1"])
    browser.open("buckets")
    browser.until(lambda: browser.texts("tr[data-bucket] a .stored") == ["mine-1"])
    assert "of other" not in browser.text("body")
    browser.driver.get("about:blank")
    browser.driver.get(f"{alone.url}/?token={sender}#/now")
    browser.until(lambda: "`read`" in browser.text(".lede"), "the server's words")
    assert all("403" in each for each in browser.complaints())


def test_privacy_filters_are_previewed_saved_and_applied(browser: Browser, alone: Server) -> None:
    """A preview changes nothing; what is stored is changed only after asking once more."""
    bucket = make_bucket(alone, "w", "currentwindow")
    insert(alone, bucket, [(NOON, 60.0, {"title": "My bank"}), (NOON + timedelta(minutes=1), 60.0, {"title": "News"})])
    browser.open("buckets")
    browser.until(lambda: len(browser.all(".panel")) == 3)
    panel = ".panel:nth-of-type(2)"
    browser.button("Add a rule", panel).click()
    fill(browser, "#filter-1-pattern", "(?i)bank")
    browser.button("Preview", panel).click()
    browser.until(lambda: "1 redacted" in browser.text(f"{panel} .news"))
    assert "My bank" in browser.text(f"{panel} .samples")
    browser.button("Save filters").click()
    browser.until(lambda: "Saved" in browser.text(f"{panel} .news"))
    [rule] = send(alone, "GET", "settings/privacy_filters")
    assert (rule["pattern"], rule["action"], rule["replacement"]) == ("(?i)bank", "redact", "(private)")
    browser.button("Apply to what is stored …").click()
    titles = [event["data"]["title"] for event in send(alone, "GET", f"buckets/{bucket}/events")]
    assert titles == ["News", "My bank"]
    browser.button("Change what is stored, for good").click()
    browser.until(lambda: "Done" in browser.text(f"{panel} .news"))
    titles = [event["data"]["title"] for event in send(alone, "GET", f"buckets/{bucket}/events")]
    assert titles == ["News", "(private)"]
    fill(browser, "#filter-1-pattern", "(")
    browser.button("Save filters").click()
    browser.until(lambda: browser.text(f"{panel} .news.error"), "the server's reason")
    assert all("400" in each for each in browser.complaints())


def test_retention_is_previewed_saved_and_run(browser: Browser, alone: Server) -> None:
    bucket = make_bucket(alone, "w", "currentwindow")
    insert(alone, bucket, [(NOON - timedelta(days=500), 60.0, {"a": 1}), (NOON, 60.0, {"a": 2})])
    browser.open("buckets")
    browser.until(lambda: len(browser.all(".panel")) == 3)
    panel = ".panel:nth-of-type(3)"
    browser.button("Add a rule", panel).click()
    browser.button("Preview", panel).click()
    browser.until(lambda: "1 event would be removed" in browser.text(f"{panel} .news"))
    browser.button("Save retention").click()
    browser.until(lambda: "Saved" in browser.text(f"{panel} .news"))
    assert send(alone, "GET", "settings/retention")[0]["max_age_days"] == 365
    browser.button("Run now …").click()
    browser.button("Remove events, for good").click()
    browser.until(lambda: "Done" in browser.text(f"{panel} .news"))
    assert send(alone, "GET", f"buckets/{bucket}/events/count") == 1
