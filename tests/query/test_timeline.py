"""A picture of a range is what a plain loop over the events says, and of a size that the bins decide."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.columns import Columns, columns_of
from awlog.model.event import BucketNumber, Event, Payload, Seq
from awlog.model.picture import BINS_MAX, EVENTS_MAX, PICTURE_BYTES_MAX
from awlog.model.times import Micros
from awlog.query.label import TEXT_CHARS_MAX, Labels, label_of
from awlog.query.timeline import Bins, picture

NUMBER = BucketNumber(1)


def named(events: list[Event], labels: Labels) -> Columns:
    """As a reader takes them: by their payloads, which are sorted in segments."""
    return labels.called(columns_of(sorted(events, key=lambda each: each.payload)))


def event(seq: int, start_us: int, duration_us: int, name: str) -> Event:
    return Event(Seq(seq), Micros(start_us), Micros(duration_us), Payload(msgspec.json.encode({"app": name})))


@given(
    st.lists(st.tuples(st.integers(-50, 150), st.integers(0, 120), st.sampled_from("abc")), max_size=30),
    st.integers(1, 12),
)
def test_bins_are_what_a_loop_says(rows: list[tuple[int, int, str]], count: int) -> None:
    """Covered time, beginnings, and the name that fills most: for events in any order that stick out and overlap."""
    events = [event(seq, start, duration, name) for seq, (start, duration, name) in enumerate(rows, 1)]
    events = [each for each in events if each.end_us >= 0 and each.start_us <= 100]
    bins = Bins(Micros(0), Micros(100), count)
    drawn = picture([named(events, Labels())], NUMBER, bins, events_max=0)
    if not events:
        assert drawn == {"events": 0, "names": []}
        return
    width = 100 / count
    for at in range(count):
        left, right = at * width, (at + 1) * width
        inside = [max(0.0, min(right, each.end_us) - max(left, each.start_us)) for each in events]
        assert drawn["bins"]["covered_s"][at] == pytest.approx(sum(inside) / 1e6, abs=1e-3)
        begin = [each for each in events if min(max(math.floor(each.start_us / width), 0), count - 1) == at]
        assert drawn["bins"]["count"][at] == len(begin)
        by_name: dict[str, float] = {}
        for each, overlap in zip(events, inside, strict=True):
            by_name[str(label_of(each.payload).name)] = by_name.get(label_of(each.payload).name, 0) + overlap
        place = drawn["bins"]["name"][at]
        if max(inside) > len(events):  # more than the one that each piece counts for besides
            ranked = sorted(by_name.values())
            assert by_name[drawn["names"][place]] >= ranked[-1] - len(events)


def test_parts_give_what_the_whole_gives() -> None:
    """Segments of one bucket share a growing list of names."""
    events = [event(seq, 13 * seq, 40, "abc"[seq % 3]) for seq in range(1, 60)]
    parts = [events[at : at + 7] for at in range(0, len(events), 7)]
    bins = Bins(Micros(0), Micros(800), 9)
    for events_max in (0, 100):
        labels = Labels()
        by_parts = picture([named(part, labels) for part in parts], NUMBER, bins, events_max=events_max)
        assert by_parts == picture([named(events, Labels())], NUMBER, bins, events_max=events_max)


@pytest.mark.parametrize(("count", "events_max"), [(EVENTS_MAX, EVENTS_MAX), (EVENTS_MAX + 1, EVENTS_MAX)])
def test_a_picture_stays_small_whatever_the_names(count: int, events_max: int) -> None:
    """The largest numbers, and names that each need six bytes a character."""
    far = 8_000_000_000_000_000
    events = [
        event(seq, far + seq * 7_777_777, 123_456, chr(seq % 30 + 1) * 200 + str(seq)) for seq in range(1, count + 1)
    ]
    bins = Bins(Micros(far), Micros(far + count * 7_777_777), BINS_MAX)
    drawn = picture([named(events, Labels())], BucketNumber((1 << 21) - 1), bins, events_max=events_max)
    assert ("bars" in drawn) == (count <= events_max)
    assert len(msgspec.json.encode(drawn)) < PICTURE_BYTES_MAX


@pytest.mark.parametrize(
    ("data", "name", "detail"),
    [
        ({"app": "Firefox", "title": "News"}, "Firefox", "News"),
        ({"status": "not-afk"}, "not-afk", ""),
        ({"url": "https://user@www.example.org:81/x?y", "title": "t"}, "example.org:81", "t"),
        ({"url": "about:blank"}, "about", "about:blank"),
        ({"url": "http://[", "title": "broken"}, "broken", ""),
        ({"project": "awlog", "file": "a.py", "language": "python"}, "awlog", "a.py"),
        ({"zeta": "last", "eta": 1}, "last", ""),
        ({"app": "", "title": "  "}, '{"app":"","title":"  "}', ""),
        ({"a": 1}, '{"a":1}', ""),
        ({}, "(no data)", ""),
    ],
)
def test_an_event_is_called_by_what_its_watcher_says(data: dict[str, object], name: str, detail: str) -> None:
    label = label_of(Payload(msgspec.json.encode(data)))
    assert (label.name, label.detail) == (name, detail)


def test_long_and_large_data_have_a_name_too() -> None:
    assert len(label_of(Payload(msgspec.json.encode({"app": "W" * 10_000}))).name) == TEXT_CHARS_MAX
    assert label_of(Payload(msgspec.json.encode({"app": "W" * 100_000}))).name == "(100,010 bytes of data)"


HARD_APPS = ["a", "aa", "a,", 'a"', 'a",', "a\\", "", "  ", "ä", "a-", "\u202e", "\u00a0", "W" * 70_000]
HARD_DATA = [
    {"app": app, **more} for app in HARD_APPS for more in ({}, {"title": "t"}, {"title": ""}, {"zeta": "z" * 70_000})
]


@given(
    st.lists(st.sampled_from([*HARD_DATA, {"status": "x"}, {}, {"title": "y"}, {"aaa": 1, "app": "b"}]), max_size=40)
)
def test_the_names_of_a_segment_are_those_of_its_payloads(data: list[dict[str, object]]) -> None:
    """Its payloads are sorted, and those of one app are looked at once."""
    events = [
        Event(Seq(seq), Micros(seq), Micros(1), Payload(msgspec.json.encode(each, order="deterministic")))
        for seq, each in enumerate(data, 1)
    ]
    columns = named(events, Labels())
    names = {int(seq): columns.payloads[code] for seq, code in zip(columns.seq, columns.payload_code, strict=True)}
    assert {seq: name.decode() for seq, name in names.items()} == {
        each.seq: label_of(each.payload).name for each in events
    }


def test_a_list_of_names_that_grew_too_long_begins_anew() -> None:
    """What was made with the old one keeps its own list."""
    renewed = []
    labels = Labels(on_renewed=lambda: renewed.append(True))
    old = named([event(seq, seq, 1, str(seq)) for seq in range(1, 100_003)], labels)
    labels.for_next_run()
    new = named([event(1, 1, 1, "new")], labels)
    assert (renewed, new.payloads, len(old.payloads)) == ([True], [b"new"], 100_002)
