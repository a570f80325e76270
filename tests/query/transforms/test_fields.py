"""Transforms that change data: split_url_events and simplify_window_titles."""

from __future__ import annotations

from typing import Any

import pytest

from awlog.query.events import Payloads
from awlog.query.transforms import merge_events_by_keys, simplify_window_titles, split_url_events
from tests.query.transforms.lists import made, rows

PARTS = ("$protocol", "$domain", "$path", "$params", "$options", "$identifier")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://www.example.com/a/b;p?q=1#f", ("http", "example.com", "/a/b", "p", "q=1", "f")),
        ("https://user:pw@WWW.Example.com:8080", ("https", "user:pw@WWW.Example.com:8080", "", "", "", "")),
        ("http://www.www.x.org", ("http", "www.x.org", "", "", "", "")),
        ("file:///home/x", ("file", "file", "/home/x", "", "", "")),
        ("about:blank", ("about", "about", "blank", "", "", "")),
        ("www.example.com/x", ("", "", "www.example.com/x", "", "", "")),
        ("", ("", "", "", "", "", "")),
    ],
)
def test_the_parts_of_an_address(url: str, parts: tuple[str, ...]) -> None:
    events = split_url_events(made(Payloads(), [(0, 1, {"url": url, "title": "t"})]))
    assert rows(events) == [(0, 1, {"url": url, "title": "t", **dict(zip(PARTS, parts, strict=True))}, 1)]


@pytest.mark.parametrize("data", [{}, {"url": 1}, {"url": None}, {"url": ["http://x"]}, {"url": "http://[::1"}])
def test_what_cannot_be_split_stays_as_it_is(data: dict[str, Any]) -> None:
    """Section 9: aw-core fails."""
    assert rows(split_url_events(made(Payloads(), [(0, 1, data)]))) == [(0, 1, data, 1)]


def test_what_was_known_about_the_old_fields_is_not_said_of_the_new() -> None:
    """The titles were grouped before, and are grouped again when they are simple."""
    events = made(Payloads(), [(0, 1, {"title": "(1) x", "app": "a"}), (1, 2, {"title": "x", "app": "a"})])
    assert len(merge_events_by_keys(events, ["title"])) == len(merge_events_by_keys(events, ["app", "title"])) == 2
    simple = simplify_window_titles(events, "title")
    assert rows(merge_events_by_keys(simple, ["title"])) == [(0, 3, {"title": "x"}, 0)]
    assert rows(merge_events_by_keys(simple, ["app"])) == [(0, 3, {"app": "a"}, 0)]


def test_older_parts_are_replaced() -> None:
    events = split_url_events(made(Payloads(), [(0, 1, {"url": "http://x", "$domain": "old", "!": 1})]))
    assert rows(events)[0][2]["$domain"] == "x"


@pytest.mark.parametrize(
    ("title", "simple"),
    [
        ("(2) Facebook", "Facebook"),
        ("(23)\u00a0 Facebook", "Facebook"),
        ("(2) (3) x", "(3) x"),
        ("() x", "() x"),
        ("x (2)", "x (2)"),
        ("Cemu - FPS: 59.2 - x", "Cemu - FPS: ... - x"),
        ("FPS:  60 FPS: 1.2.3", "FPS: ... FPS: ..."),
        ("FPS:60", "FPS:60"),
        ("● main.py", "main.py"),
        ("*notes", "notes"),
        ("* ● x", "● x"),
        ("(1) ● x", "x"),
        ("● (1) x", "(1) x"),
        ("", ""),
    ],
)
def test_titles_of_windows(title: str, simple: str) -> None:
    """First the count, then frames per second, then the mark of unsaved files."""
    events = simplify_window_titles(made(Payloads(), [(0, 1, {"title": title, "app": "x"})]), "title")
    assert rows(events) == [(0, 1, {"title": simple, "app": "x"}, 1)]


@pytest.mark.parametrize(
    ("data", "key"), [({"title": "(1) ● FPS: 60"}, "title"), ({"a": "(1) ● FPS: 60", "app": "x"}, "a")]
)
def test_without_an_app_or_under_another_key_only_the_count_goes(data: dict[str, Any], key: str) -> None:
    events = simplify_window_titles(made(Payloads(), [(0, 1, data)]), key)
    assert rows(events) == [(0, 1, {**data, key: "● FPS: 60"}, 1)]


@pytest.mark.parametrize("data", [{}, {"title": 1, "app": "x"}, {"title": ["(1) x"]}])
def test_what_is_no_text_stays_as_it_is(data: dict[str, Any]) -> None:
    """Section 9: aw-core fails."""
    assert rows(simplify_window_titles(made(Payloads(), [(0, 1, data)]), "title")) == [(0, 1, data, 1)]
