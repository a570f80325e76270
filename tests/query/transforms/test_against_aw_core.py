"""Random lists and pipelines through aw-core 0.5.18 and through awlog: the same events come out, to the microsecond.

Starts are whole milliseconds, because aw-core has no others (section 5, unit); durations are any microseconds. Where section
9 rules against aw-core, the step prepares its list so that the ruling does not matter, and says which ruling that is.
AWLOG_TEST_EXAMPLES sets how many pipelines are run; the seed of a failing one is shown.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import aw_transform
import numpy as np
import pytest

from awlog.query.events import EventList, render_event_list
from awlog.query.payloads import Payloads, Tables
from awlog.query.transforms import (
    categorize,
    chunk_events_by_key,
    concat,
    exclude_keyvals,
    filter_keyvals,
    filter_keyvals_regex,
    filter_period_intersect,
    flood,
    limit,
    merge_events_by_keys,
    merge_subwatcher_fields,
    parse_rules,
    period_union,
    simplify_window_titles,
    sort_by_duration,
    sort_by_timestamp,
    split_url_events,
    sum_durations_us,
    tag,
    union_no_overlap,
)
from tests.query.transforms.aw_core_side import from_aw, to_aw
from tests.query.transforms.lists import MS, Row, made, rows

EXAMPLES = int(os.environ.get("AWLOG_TEST_EXAMPLES", "2000"))
SEED = 20_240_501

KEYS = ("a", "b", "title", "app", "url", "$category", "$domain")
VALUES: tuple[Any, ...] = (
    "x", "x", "y", "y", "", "1", "true", 1, 1.0, True, 0, 0.0, False, -1.5, 10**20, 1e20, None,
    [], ["x"], ["x", "y"], [1], [True], [1.0], [["x"], 1], [["x"], True], {}, {"a": 1}, {"a": True}, {"a": [1.0]},
)  # fmt: skip
TITLES = (
    "(1) Facebook", "(23)x", "● main.py - Code", "* notes", "Cemu - FPS: 59.2 - x", "FPS:  60 FPS: 1.2.3", "(2) ● y",
    "Zürich – Straße", "K\u212a ſ ı İ", "line\n", "line\nnext", "(3) \u00a0* z", "x", "GitHub", "github - x", "",
)  # fmt: skip
URLS = (
    "http://www.example.com/path;par?q=1#frag", "https://user:pw@WWW.Example.com:80/", "file:///home/x", "about:blank",
    "www.example.com/x", "http://www.www.x.org", "", "//x.y/z", "http://[::1]:80/x", "mailto:a@b.c", "x y", "\n http://a.b",
)  # fmt: skip
REGEXES = (
    "x", "y$", "^x", "GitHub|Facebook", "(?i)github", r"\d+", r"\bmain\b", r"\w+\s", "", "e.a", r"\.py", "[^a-z]", "ß|k",
    "(a)b", r"(\w)\1", "^(?!x)", "line$", r"line\Z", r"\S\s", "[\u00e0-\u00ff]", "é|\\u00fc", "s", "i", "x*", "(?:x|y)+$",
)  # fmt: skip

Step = Callable[["Pair", random.Random], "Pair"]


class Pair:
    """One list of events on both sides. aw-core changes its arguments, so each step gets copies (section 9)."""

    def __init__(self, ours: EventList, theirs: list[Any]) -> None:
        self.ours = ours
        self.theirs = theirs

    def copied(self) -> list[Any]:
        return deepcopy(self.theirs)

    def where(self, keep: Callable[[dict[str, Any]], bool]) -> Pair:
        kept = np.array([keep(data) for _, _, data, _ in rows(self.ours)], np.bool_)
        return Pair(self.ours.take(kept), [one for one in self.theirs if keep(one.data)])

    def assert_equal(self) -> None:
        assert [shown(row) for row in rows(self.ours)] == [shown(row) for row in from_aw(self.theirs)]


def shown(row: Row) -> tuple[int, int, int, str]:
    """Data as JSON text, in which 1, 1.0 and true differ."""
    start, duration, data, event_id = row
    return start, duration, event_id, json.dumps(data, sort_keys=True, default=on_the_wire)


def random_data(rng: random.Random) -> dict[str, Any]:
    data: dict[str, Any] = {key: rng.choice(VALUES) for key in rng.sample(("a", "b"), rng.choice((0, 1, 1, 2)))}
    if rng.random() < 0.5:
        data["title"] = rng.choice(TITLES)
    if rng.random() < 0.5:
        data["app"] = rng.choice(("x", "y", "Code", "GitHub Desktop"))
    if rng.random() < 0.3:
        data["url"] = rng.choice(URLS)
    if rng.random() < 0.1:
        data["$category"] = rng.choice((["x"], "x"))
    return data


def random_rows(rng: random.Random) -> list[Row]:
    """Overlaps, zero lengths, equal starts, equal data; sometimes calm as from a watcher, sometimes newest first."""
    count = rng.choice((0, 1, 2, 3, 5, 8, 13, 40, 60))
    pool = [random_data(rng) for _ in range(rng.choice((1, 2, 3, 6)))]
    made_of: list[Row] = []
    calm = rng.random() < 0.4
    fine = rng.random() < 0.5  # durations of any microsecond
    step_ms = rng.choice((3, 200, 6000))
    at = rng.choice((0, -5 * 10**9, 1_714_557_600_000_000))
    for number in range(1, count + 1):
        duration = rng.choice((0, 1, 5, 40, 99, 100, 101, 1000, 5000, rng.randrange(1, 20_000))) * MS
        if fine and rng.random() < 0.7:
            duration += rng.randrange(0, 2000)
        if calm:
            start = at
            at += duration + rng.choice((0, 1, 1, 500, 1000, 4999, 5000, 5001, 60_000)) * MS
            at += -at % MS
        else:
            start = at + rng.randrange(0, count * step_ms) * MS
        made_of.append((start, duration, rng.choice(pool), number))
    order = rng.random()
    if order < 0.4:
        made_of.sort(key=lambda row: row[0])
    elif order < 0.7:
        made_of.sort(key=lambda row: -row[0])
    return made_of


def random_pair(payloads: Payloads, rng: random.Random) -> Pair:
    stored = random_rows(rng)
    return Pair(made(payloads, stored), to_aw(stored))


def has_text(key: str) -> Callable[[dict[str, Any]], bool]:
    return lambda data: isinstance(data.get(key), str)


def step_flood(pair: Pair, rng: random.Random) -> Pair:
    pulse_s = rng.choice((5, 5, 0, 1, 0.0005, 60, -1, 0.05, 1e6))
    return Pair(flood(pair.ours, round(pulse_s * 1_000_000)), aw_transform.flood(pair.theirs, pulse_s))


def step_filter_keyvals(pair: Pair, rng: random.Random) -> Pair:
    key = rng.choice(KEYS)
    values = rng.choices((*VALUES, ["Uncategorized"], ["Work"], "Code"), k=rng.randrange(0, 5))
    if rng.random() < 0.5:
        return Pair(filter_keyvals(pair.ours, key, values), aw_transform.filter_keyvals(pair.theirs, key, values))
    theirs = aw_transform.filter_keyvals(pair.theirs, key, values, exclude=True)
    return Pair(exclude_keyvals(pair.ours, key, values), theirs)


def step_regex(pair: Pair, rng: random.Random) -> Pair:
    key = rng.choice(KEYS)
    # Ruling "value not a text": aw-core crashes.
    pair = pair.where(lambda data: key not in data or isinstance(data[key], str))
    regex = rng.choice(REGEXES)
    return Pair(filter_keyvals_regex(pair.ours, key, regex), aw_transform.filter_keyvals_regex(pair.theirs, key, regex))


def with_another(pair: Pair, rng: random.Random) -> Pair:
    if rng.random() < 0.2:
        return pair
    other = random_pair(pair.ours.payloads, rng)
    return step_flood(other, rng) if rng.random() < 0.4 else other


def step_intersect(pair: Pair, rng: random.Random) -> Pair:
    other = with_another(pair, rng)
    ours = filter_period_intersect(pair.ours, other.ours)
    return Pair(ours, aw_transform.filter_period_intersect(pair.copied(), other.copied()))


def step_period_union(pair: Pair, rng: random.Random) -> Pair:
    other = with_another(pair, rng)
    return Pair(period_union(pair.ours, other.ours), aw_transform.period_union(pair.copied(), other.copied()))


def step_union_no_overlap(pair: Pair, rng: random.Random) -> Pair:
    other = with_another(pair, rng)
    ours = union_no_overlap(pair.ours, other.ours)
    return Pair(ours, aw_transform.union_no_overlap(pair.copied(), other.copied()))


def step_concat(pair: Pair, rng: random.Random) -> Pair:
    other = with_another(pair, rng)
    return Pair(concat(pair.ours, other.ours), aw_transform.concat(pair.copied(), other.copied()))


def step_limit(pair: Pair, rng: random.Random) -> Pair:
    count = rng.randrange(0, 40)
    return Pair(limit(pair.ours, count), aw_transform.limit_events(pair.theirs, count))


def step_sort(pair: Pair, rng: random.Random) -> Pair:
    if rng.random() < 0.5:
        return Pair(sort_by_timestamp(pair.ours), aw_transform.sort_by_timestamp(pair.theirs))
    return Pair(sort_by_duration(pair.ours), aw_transform.sort_by_duration(pair.theirs))


def step_merge(pair: Pair, rng: random.Random) -> Pair:
    keys = rng.sample(KEYS, rng.choice((0, 1, 1, 2, 2, 3)))

    def comparable(data: dict[str, Any]) -> bool:
        # Ruling "merge: dict or nested list as value": aw-core crashes.
        hashable = not any(
            isinstance(data.get(key), dict) or (isinstance(data.get(key), list) and "[[" in json.dumps(data[key]))
            for key in keys
        )
        # Ruling "merge: an absent key": with several keys aw-core mixes {a: x} and {b: x}.
        return hashable and (len(keys) == 1 or all(key in data for key in keys))

    if keys:
        pair = pair.where(comparable)
    return Pair(merge_events_by_keys(pair.ours, keys), aw_transform.merge_events_by_keys(pair.theirs, keys))


def step_chunk(pair: Pair, rng: random.Random) -> Pair:
    key = rng.choice(KEYS)
    # Ruling "chunk": aw-core stops at the first event without the key, and measures gaps to the end of the list, which
    # on ascending lists never says anything.
    pair = pair.where(lambda data: key in data)
    pair = Pair(sort_by_timestamp(pair.ours), aw_transform.sort_by_timestamp(pair.theirs))
    return Pair(chunk_events_by_key(pair.ours, key), aw_transform.chunk_events_by_key(pair.theirs, key))


def step_merge_subwatcher(pair: Pair, rng: random.Random) -> Pair:
    other = with_another(pair, rng)
    keys = rng.sample(KEYS, rng.randrange(0, 4))
    sub_wins = rng.random() < 0.5
    conflict = "sub_wins" if sub_wins else "base_wins"
    ours = merge_subwatcher_fields(pair.ours, other.ours, keys, sub_wins=sub_wins)
    return Pair(ours, aw_transform.merge_subwatcher_fields(pair.copied(), other.copied(), keys, conflict))


def step_split_url(pair: Pair, _: random.Random) -> Pair:
    # Ruling "url split: value not a text": aw-core crashes or shows bytes.
    pair = pair.where(lambda data: "url" not in data or isinstance(data["url"], str))
    return Pair(split_url_events(pair.ours), aw_transform.split_url_events(pair.copied()))


def step_simplify(pair: Pair, rng: random.Random) -> Pair:
    key = rng.choice(("title", "title", "app", "a"))
    # Ruling "titles: key missing, value not a text": aw-core crashes.
    pair = pair.where(has_text(key))
    return Pair(simplify_window_titles(pair.ours, key), aw_transform.simplify_string(pair.theirs, key))


def random_spec(rng: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {"type": "regex", "regex": rng.choice(REGEXES)}
    if rng.random() < 0.3:
        spec["ignore_case"] = rng.random() < 0.7
    if rng.random() < 0.3:
        spec["select_keys"] = rng.sample(KEYS, rng.randrange(0, 3))
    if rng.random() < 0.2:
        spec["priority"] = rng.randrange(-5, 30)
    if rng.random() < 0.1:
        spec["weight"] = rng.randrange(-5, 30)
    if rng.random() < 0.1:
        del spec["regex"]
    return spec


# As a reader process has them, for all queries; grown large now and then.
TABLES = Tables(size_bytes_max=300_000)


def table(number: int) -> Payloads:
    return TABLES.for_next_run() if number % 3 else Payloads()


def step_categorize(pair: Pair, rng: random.Random) -> Pair:
    names: list[list[str]] = [["Work"], ["Work", "Code"], ["Media"], ["Media", "Video", "x"], []]
    rules: list[Any] = [[rng.choice(names), random_spec(rng)] for _ in range(rng.randrange(0, 7))]
    theirs = aw_transform.categorize(pair.copied(), [(name, aw_transform.Rule(spec)) for name, spec in rules])
    return Pair(categorize(pair.ours, parse_rules(rules, "category")), theirs)


def step_tag(pair: Pair, rng: random.Random) -> Pair:
    rules: list[Any] = [[rng.choice(("t", "u", "")), random_spec(rng)] for _ in range(rng.randrange(0, 7))]
    theirs = aw_transform.tag(pair.copied(), [(name, aw_transform.Rule(spec)) for name, spec in rules])
    return Pair(tag(pair.ours, parse_rules(rules, "tag")), theirs)


STEPS: dict[str, Step] = {
    "flood": step_flood,
    "filter_keyvals": step_filter_keyvals,
    "filter_keyvals_regex": step_regex,
    "filter_period_intersect": step_intersect,
    "period_union": step_period_union,
    "union_no_overlap": step_union_no_overlap,
    "concat": step_concat,
    "limit": step_limit,
    "sort": step_sort,
    "merge_events_by_keys": step_merge,
    "merge_subwatcher_fields": step_merge_subwatcher,
    "split_url_events": step_split_url,
    "simplify_window_titles": step_simplify,
    "categorize": step_categorize,
    "tag": step_tag,
}
# The subevents of a chunk are events in aw-core, which compare without their ids; here they are data. So a chunk ends a
# pipeline.
LAST_STEPS: dict[str, Step] = {**STEPS, "chunk_events_by_key": step_chunk}


@pytest.mark.parametrize("name", LAST_STEPS)
def test_each_transform_gives_what_aw_core_gives(name: str) -> None:
    """On lists with overlaps, zero lengths, equal starts, equal data, true beside 1, nested values, missing keys."""
    for number in range(EXAMPLES // 10):
        rng = random.Random(f"{SEED} {name} {number}")
        pair = LAST_STEPS[name](random_pair(table(number), rng), rng)
        check(pair, f"{name}, example {number}")


@pytest.mark.parametrize("part", range(8))
def test_each_pipeline_gives_what_aw_core_gives(part: int) -> None:
    """Two to six transforms after one another, compared after each."""
    for number in range(part, EXAMPLES, 8):
        rng = random.Random(f"{SEED} pipeline {number}")
        pair = random_pair(table(number), rng)
        trace = []
        for _ in range(rng.randrange(1, 6)):
            name, step = rng.choice(list(STEPS.items()))
            trace.append(name)
            pair = step(pair, rng)
            check(pair, f"pipeline {number}: {trace}")
        name, step = rng.choice(list(LAST_STEPS.items()))
        check(step(pair, rng), f"pipeline {number}: {[*trace, name]}")


def check(pair: Pair, where: str) -> None:
    try:
        pair.assert_equal()
        total = aw_transform.sum_durations(pair.theirs)
        assert abs(sum_durations_us(pair.ours) - total // timedelta(microseconds=1)) < MS, "the sums differ"
        rendered = json.loads(render_event_list(pair.ours))
        assert rendered == json.loads(json.dumps(pair.theirs, default=on_the_wire)), "rendered otherwise"
    except AssertionError as error:
        error.add_note(f"seed {SEED}, {where}")
        raise


def on_the_wire(value: Any) -> Any:
    """How aw-server's encoder shows what JSON does not know."""
    return value.total_seconds() if isinstance(value, timedelta) else value.isoformat()
