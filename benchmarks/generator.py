"""One person's days, from a seed: the same seed gives the same bytes, on any machine.

What real histories have and random rows do not: a few apps and pages get most visits (each visit is as likely to repeat
any recent one, which gives Zipf's law), titles repeat with counters and unsaved marks, durations are log-normal, one
event ends a poll interval before the next begins, and all times are whole milliseconds, as the stock clients send them.
A year is about 555,000 events, 383,000 of them in the window bucket with 49,000 distinct titles.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any, Final, Literal, NamedTuple

from benchmarks.times import DAY_MS, iso
from benchmarks.vocabulary import APPS, LANGUAGES, PEOPLE, PROJECTS, SITES, TOPICS, VERBS, App

FIRST_DAY_MS: Final = 1_672_617_600_000  # Monday 2023-01-02, 00:00 UTC
POLL_MS: Final = 1_000  # a watcher looks once a second ...
PULSETIME_S: Final = 2.0  # ... and lets one look be missing, like the stock window watcher
SEED: Final = 1

BucketName = Literal["window", "afk", "web", "editor"]
BUCKET_TYPES: Final[dict[BucketName, str]] = {
    "window": "currentwindow",
    "afk": "afkstatus",
    "web": "web.tab.current",
    "editor": "app.editor.activity",
}

# How many of an app's recent visits can be repeated: pages fall into disuse after some weeks, as real ones do.
_RECENT_VISITS: Final = 4_000
# Polls of one window event: log-normal. exp(2.05 + 1.42**2 / 2) = 21.3 on average, 7.8 in the middle.
_POLLS_MU: Final = 2.05
_POLLS_SIGMA: Final = 1.42
_POLLS_MAX: Final = 7_200
_WEB_SHARE: Final = 0.82  # of the browser's window events: the others are private windows and settings
_EDITOR_SHARE: Final = 0.55


class Event(NamedTuple):
    """`data` is compact JSON in UTF-8; times are ms, `start_ms` since the epoch, UTC."""

    start_ms: int
    duration_ms: int
    data: bytes

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.duration_ms


class Beat(NamedTuple):
    """One heartbeat of duration 0, and the bucket it goes to."""

    at_ms: int
    bucket: BucketName
    data: bytes


Day = dict[BucketName, list[Event]]


def days(seed: int = SEED) -> Iterator[Day]:
    """The person's days, without end, from `FIRST_DAY_MS`. About 15 ms of CPU and 1,500 events a day."""
    person = _Person(random.Random(seed))
    start_ms = FIRST_DAY_MS
    while True:
        yield person.live(start_ms)
        start_ms += DAY_MS


def window_events(count: int, seed: int = SEED) -> Iterator[Event]:
    """The first `count` events of the window bucket, in order of time, none overlapping."""
    return islice((event for day in days(seed) for event in day["window"]), count)


def heartbeats(day: Day) -> Iterator[Beat]:
    """What the watchers of one day send, about one heartbeat a second and bucket, in order of time.

    Sent with `PULSETIME_S` to empty buckets, they merge into exactly the events of `day`: the result to expect.
    """
    return heapq.merge(*(_beats(bucket, events) for bucket, events in day.items()))


def body(events: Iterable[Event]) -> bytes:
    """The JSON list that `POST .../events` takes."""
    return b"[%b]" % b",".join(
        b'{"timestamp":"%b","duration":%b,"data":%b}' % (iso(start_ms), b"%.3f" % (duration_ms / 1000), data)
        for start_ms, duration_ms, data in events
    )


def _beats(bucket: BucketName, events: Iterable[Event]) -> Iterator[Beat]:
    """An event's start, its end, and between them steps of 1 to 2 s, which `PULSETIME_S` bridges."""
    for event in events:
        yield Beat(event.start_ms, bucket, event.data)
        steps = max(1, event.duration_ms // POLL_MS) if event.duration_ms else 0
        for step in range(1, steps + 1):
            yield Beat(event.start_ms + event.duration_ms * step // steps, bucket, event.data)


@dataclass
class _Page:
    """What one visit shows: `title` without the app's decoration, and what the app's own watcher records."""

    title: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Desk:
    """One app as the person uses it: its pages, most recently visited last."""

    app: App
    visits: deque[_Page]
    made_count: int = 0


class _Person:
    """Owns the random numbers and all that is remembered from day to day. One call of `live` a day, in order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._desks = [_Desk(app, deque(maxlen=_RECENT_VISITS)) for app in APPS]
        weights = accumulate(1 / (rank + 1) ** 1.1 for rank in range(len(APPS)))
        self._app_bounds = list(weights)
        self._known: dict[str, bytes] = {}  # titles repeat: one bytes object for each distinct window payload
        self._unread_count = 3
        self._tab_count = 9

    def live(self, day_ms: int) -> Day:
        day: Day = {"window": [], "afk": [], "web": [], "editor": []}
        spans = self._active_spans(day_ms)
        for index, (start_ms, end_ms) in enumerate(spans):
            self._work(day, start_ms, end_ms)
            _record(day["afk"], Event(start_ms, end_ms - start_ms, b'{"status":"not-afk"}'))
            if index + 1 < len(spans):
                # The window in front stays there while nobody is at the desk.
                away_until_ms = spans[index + 1][0]
                _record(day["afk"], Event(end_ms, away_until_ms - end_ms - POLL_MS, b'{"status":"afk"}'))
                last = day["window"][-1]
                left_ms = (away_until_ms - last.start_ms) - 2 * POLL_MS
                day["window"][-1] = last._replace(duration_ms=max(last.duration_ms, left_ms))
        return day

    def _active_spans(self, day_ms: int) -> list[tuple[int, int]]:
        """[start, end] in ms of each stretch at the desk: some 18 on a working day."""
        rng = self._rng
        weekend = (day_ms - FIRST_DAY_MS) // DAY_MS % 7 >= 5
        at_ms = day_ms + int((rng.gauss(10.5, 1.2) if weekend else rng.gauss(7.8, 0.4)) * 3_600_000)
        until_ms = day_ms + int(min(rng.gauss(21.5, 1.5) if weekend else rng.gauss(22.4, 0.8), 23.8) * 3_600_000)
        spans = []
        while at_ms < until_ms:
            active_ms = int(rng.lognormvariate(math.log(19 * 60_000), 0.7))
            spans.append((at_ms, at_ms + max(active_ms, 60_000)))
            away_ms = int(rng.lognormvariate(math.log((35 if weekend else 18) * 60_000), 1.0))
            at_ms = spans[-1][1] + max(away_ms, 180_000)
        return spans or [(at_ms, at_ms + 600_000)]

    def _work(self, day: Day, start_ms: int, end_ms: int) -> None:
        rng = self._rng
        at_ms = start_ms
        desk = self._pick_desk()
        shown = day["window"][-1].data if day["window"] else b""
        while at_ms < end_ms:
            if rng.random() < 0.45:
                desk = self._pick_desk()
            page = self._pick_page(desk)
            data = self._window_data(desk.app, page)
            if data is shown:
                continue
            shown = data
            polls_max = min(_POLLS_MAX, (end_ms - at_ms) // POLL_MS)
            polls = max(1, min(polls_max, round(rng.lognormvariate(_POLLS_MU, _POLLS_SIGMA))))
            # A look takes some ms more than the interval it sleeps; over many looks the excess averages out.
            excess_ms = (polls - 1) * 9 + rng.gauss(0, 3) * math.sqrt(polls - 1)
            duration_ms = max(0, (polls - 1) * POLL_MS + round(excess_ms))
            window = Event(at_ms, duration_ms, data)
            day["window"].append(window)
            if desk.app.kind == "browser" and rng.random() < _WEB_SHARE:
                self._tab_count = min(40, max(1, self._tab_count + rng.choice((-1, 0, 0, 0, 1))))
                _record(day["web"], _inside(rng, window, {**page.detail, "tabCount": self._tab_count}))
            elif desk.app.kind == "editor" and rng.random() < _EDITOR_SHARE:
                _record(day["editor"], _inside(rng, window, page.detail))
            at_ms = window.end_ms + POLL_MS + round(rng.lognormvariate(2.2, 0.5))

    def _pick_desk(self) -> _Desk:
        bounds = self._app_bounds
        return self._desks[bisect_right(bounds, self._rng.random() * bounds[-1])]

    def _pick_page(self, desk: _Desk) -> _Page:
        rng = self._rng
        if not desk.visits or rng.random() < desk.app.new_page_share:
            desk.made_count += 1
            page = self._new_page(desk.app, desk.made_count)
        else:
            page = desk.visits[int(rng.random() * len(desk.visits))]
        desk.visits.append(page)
        return page

    def _new_page(self, app: App, number: int) -> _Page:
        rng = self._rng
        topic, other, verb = rng.choice(TOPICS), rng.choice(TOPICS), rng.choice(VERBS)
        match app.kind:
            case "browser":
                host, site = SITES[min(int(rng.paretovariate(0.9)) - 1, len(SITES) - 1)]
                title = f"{verb} {topic} {other} #{number} · {site}"
                url = f"https://{host}/{topic}/{verb}-{other}/{number}"
                return _Page(title, {"url": url, "title": title, "audible": "youtube" in host, "incognito": False})
            case "editor":
                ending, language = rng.choice(LANGUAGES)
                project = rng.choice(PROJECTS)
                name = f"{topic}_{other}_{number}.{ending}"
                detail = {"file": f"/home/me/{project}/src/{name}", "project": project, "language": language}
                return _Page(f"{name} - {project}", detail)
            case "terminal":
                return _Page(f"{rng.choice(PROJECTS)}: {verb} {topic}-{number}")
            case "chat":
                return _Page(f"{PEOPLE[number % len(PEOPLE)]}{'' if number <= len(PEOPLE) else f' {number}'}")
            case "mail":
                return _Page(f"Re: {verb} {topic} {other} ({number})")
            case "player":
                return _Page(f"{other.title()} – {topic.title()} No. {number}")
            case "document":
                return _Page(f"{topic}-{other}-{number}.pdf" if app.name == "Evince" else f"{topic} {other} {number}")
            case "tool":
                return _Page(f"{topic} {number}")

    def _window_data(self, app: App, page: _Page) -> bytes:
        title = self._decorated(app, page.title)
        key = f"{app.name}\n{title}"
        data = self._known.get(key)
        if data is None:
            data = self._known[key] = _json({"app": app.name, "title": title})
        return data

    def _decorated(self, app: App, title: str) -> str:
        """A window's title: the page's, with the app's name, unread counters and unsaved marks."""
        rng = self._rng
        match app.kind:
            case "browser":
                return f"{title} — Mozilla Firefox" if app.name == "Firefox" else f"{title} - Google Chrome"
            case "editor":
                return f"{'● ' if rng.random() < 0.4 else ''}{title} - Visual Studio Code"
            case "chat" | "mail":
                self._unread_count = max(0, min(99, self._unread_count + rng.choice((-3, -1, -1, 0, 1, 1, 1))))
                unread = f"({self._unread_count}) " if self._unread_count and app.kind == "chat" else ""
                return f"{unread}{title} - {app.name}"
            case "document":
                return f"{'*' if rng.random() < 0.3 else ''}{title} - {app.name}"
            case "terminal" | "player" | "tool":
                return title


def _inside(rng: random.Random, window: Event, data: dict[str, Any]) -> Event:
    """What the app's own watcher saw of `window`: a little later, at most as long."""
    late_ms = min(window.duration_ms, int(rng.random() * 600))
    return Event(window.start_ms + late_ms, window.duration_ms - late_ms, _json(data))


def _record(events: list[Event], event: Event) -> None:
    """Adds `event` unless its heartbeats would merge with the last one's (same data, no gap)."""
    if events and events[-1].data == event.data and event.start_ms - events[-1].end_ms <= PULSETIME_S * 1000:
        return
    events.append(event)


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
