"""Whole programs against aw-core 0.5.18: random ones that use all of its functions, and those that real clients send.

Equal means: the same JSON, ids and order included, durations to a microsecond. Where section 9 rules otherwise,
`reference.py` says so by name. AWLOG_TEST_EXAMPLES multiplies the random programs; a failure shows its seed and both texts.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import iso8601
import pytest
from aw_client.queries import AndroidQueryParams, DesktopQueryParams, canonicalEvents, fullDesktopQuery
from aw_datastore.storages import PeeweeStorage
from aw_query.exceptions import QueryException
from aw_query.functions import functions as aw_functions

from awlog.model.event import Event
from awlog.query.errors import QueryError
from awlog.query.program import Period, parse_period
from tests.query.reference import Differs, datastore, reference_answer, reference_error
from tests.query.snapshot import Snapshot, answers, stored

EXAMPLES = int(os.environ.get("AWLOG_TEST_EXAMPLES") or 1)
WORLDS = 100 * EXAMPLES
PROGRAMS_PER_WORLD = 10

World = dict[str, list[Event]]


# Worlds: buckets with what real ones hold, and one with everything else. Starts are whole milliseconds (section 5).


def world(random: Random) -> World:
    """Few instants on a coarse grid, so that ties, touching events, overlaps and events without length are common."""
    odd = random.random() < 0.2  # titles that are no texts crash aw-core, so not always
    return {
        "aw-watcher-window_desk": events(random, lambda: window(random, odd)),
        "aw-watcher-afk_desk": events(random, lambda: {"status": random.choice(["afk", "not-afk", "not-afk"])}),
        "aw-watcher-web-firefox_desk": events(random, lambda: tab(random)),
        "aw-watcher-vim_desk": events(random, lambda: source_file(random)),
        "odd_desk": events(random, lambda: anything(random)),
    }


def events(random: Random, data: Any) -> list[Event]:
    grid_s = random.choice([0.05, 0.5, 3, 40])
    at = 0.0
    found = []
    for seq in range(1, random.randint(1, 30)):
        if random.random() < 0.15:
            at = random.uniform(0, 30) // grid_s * grid_s  # arrives late
        duration_s = random.choice([0, 1, 1, 2, 5]) * grid_s + random.choice([0, 0, 0, 0.000_001, 0.012_345])
        found.append(stored(seq, round(at, 3), duration_s, data()))
        at += random.choice([0, 1, 1, 2, 4]) * grid_s
    return found


def window(random: Random, odd: bool) -> dict[str, Any]:
    titles = ["(3) Inbox", "● main.py - editor", "game FPS: 59.2 x", "Größe ✓", "", "a;b # )]}\"'", "* x"]
    data: dict[str, Any] = {"app": random.choice(["Firefox", "firefox.exe", "vim", "Slack", "Orion"])}
    data["title"] = random.choice(titles)
    if odd and random.random() < 0.1:
        data["title"] = random.choice([7, None, ["x"]])
    if odd and random.random() < 0.1:
        del data["title"]
    return data


def tab(random: Random) -> dict[str, Any]:
    urls = [
        "https://www.example.org/a/b;p?q=1&r=2#part",
        "http://user@www.www.example.com:8080/",
        "file:///home/x",
        "about:blank",
        "//host/x",
        "",
        "https://EXAMPLE.org",
    ]
    return {
        "url": random.choice(urls),
        "title": random.choice("abc"),
        "audible": random.random() < 0.4,
        "incognito": False,
    }


def source_file(random: Random) -> dict[str, Any]:
    return {"file": random.choice("xyz"), "project": random.choice("pq"), "language": random.choice(["py", "c"])}


def anything(random: Random) -> dict[str, Any]:
    values: list[Any] = [
        0,
        1,
        1.0,
        2.5,
        True,
        False,
        "1",
        "",
        None,
        [1],
        [True],
        ["Work", "Code"],
        {"a": 1},
        {"a": 1.0},
    ]
    return {key: random.choice(values) for key in "kmn" if random.random() < 0.7}


# Programs: trees of calls, written nested for awlog and one call a statement for aw-core.


class Part(NamedTuple):
    """An expression in both texts; `keys` are in the data of all its events, so that few programs end in an error."""

    nested: str
    flat: str
    keys: frozenset[str] = frozenset()


KEYS = {
    "aw-watcher-window_": frozenset({"app", "title"}),
    "aw-watcher-afk_": frozenset({"status"}),
    "aw-watcher-web-firefox_": frozenset({"url", "title", "audible"}),
    "aw-watcher-vim_": frozenset({"file", "project", "language"}),
    "odd_": frozenset[str](),
}


class Program:
    """A random program. `nested` is awlog's text, `flat` aw-core's; they mean the same.

    aw-core loses arguments of a call with brackets inside it ("a bracketed argument that is not the last"), so there every
    call and every list stands in a statement of its own.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._nested: list[str] = []
        self._flat: list[str] = []
        self._temporaries = 0
        self._named: list[Part] = []
        self.functions: set[str] = set()
        for number in range(random.randint(0, 4)):
            part = self._events(depth=3)
            self._assign(f"v{number}", part)
            self._named.append(Part(f"v{number}", f"v{number}", part.keys))
        self._assign("RETURN", self._answer())

    @property
    def nested(self) -> str:
        return "\n".join(self._nested)

    @property
    def flat(self) -> str:
        return "".join(self._flat)  # "elements of query": aw-core joins with nothing

    def _assign(self, name: str, part: Part) -> None:
        blank = self._random.choice(["", " ", "\n", " # a ; comment )\n"])
        self._nested.append(f"{name}{blank}={blank}{part.nested};")
        self._flat.append(f"{name}={part.flat};")

    def _apart(self, flat: str) -> str:
        """A statement of its own in aw-core's text; gives the variable."""
        self._temporaries += 1
        name = f"t{self._temporaries}_"
        self._flat.append(f"{name}={flat};")
        return name

    def _call(self, function: str, *arguments: Part, keys: frozenset[str] = frozenset()) -> Part:
        self.functions.add(function)
        separator = self._random.choice([",", ", ", " ,\n "])
        nested = f"{function}({separator.join(part.nested for part in arguments)})"
        flat = f"{function}({','.join(part.flat for part in arguments)})"
        return Part(nested, self._apart(flat), keys)

    def _literal(self, value: Any) -> Part:
        text = json.dumps(value, ensure_ascii=self._random.random() < 0.5).replace("\\\\", "\\")  # as clients do
        return Part(text, self._apart(text) if isinstance(value, list | dict) else text)

    def _answer(self) -> Part:
        random = self._random
        match random.randrange(6):
            case 0:
                return self._call("sum_durations", self._events(depth=3))
            case 1:
                return self._call("query_bucket_eventcount", self._bucket())
            case 2:
                parts = [self._events(depth=2), self._call("nop"), Part("true", "true"), self._events(depth=1)]
                return Part(
                    f"[{' , '.join(part.nested for part in parts)} ]", f"[{','.join(part.flat for part in parts)}]"
                )
            case 3:
                one, other = self._events(depth=3), self._call("sum_durations", self._events(depth=2))
                return Part(f'{{"a;": {one.nested}, "b" :{other.nested} }}', f'{{"a;":{one.flat},"b":{other.flat}}}')
        return self._events(depth=4)

    def _bucket(self) -> Part:
        name = self._random.choice(["aw-watcher-window_", *KEYS])
        if self._random.random() < 0.3:
            host = [self._literal("desk")] if self._random.random() < 0.5 else []
            return self._call("find_bucket", self._literal(name), *host, keys=KEYS[name])
        return self._literal(name + "desk")._replace(keys=KEYS[name])

    def _events(self, depth: int) -> Part:
        random = self._random
        if depth == 0 or random.random() < 0.12:
            if self._named and random.random() < 0.5:
                return random.choice(self._named)
            if random.random() < 0.04:
                return Part("[ ]", self._apart("[]"))
            bucket = self._bucket()
            return self._call("query_bucket", bucket, keys=bucket.keys)
        name = random.choice(_ONE_LIST + _TWO_LISTS)
        events = self._events(depth - 1)
        lists = [events, self._events(depth - 1)] if name in _TWO_LISTS else [events]
        rest = self._rest(name, events.keys)
        keys = events.keys
        match name:
            case "concat" | "union_no_overlap":
                keys &= lists[1].keys
            case "period_union":
                keys = frozenset()
            case "merge_events_by_keys":
                keys &= set(rest[0] or keys)
            case "chunk_events_by_key":
                keys = frozenset({rest[0], "subevents"})
            case "categorize":
                keys |= {"$category"}
            case "split_url_events" if "url" in keys:
                keys |= {"$domain", "$path", "$options"}
        return self._call(name, *lists, *map(self._literal, rest), keys=keys)

    def _rest(self, name: str, keys: frozenset[str]) -> list[Any]:
        """The arguments that are no events."""
        random = self._random
        any_key = random.choice(["app", "title", "status", "url", "$domain", "file", "$category", "k", "audible"])
        good_key = random.choice(sorted(keys)) if keys and random.random() < 0.97 else any_key
        match name:
            case "flood":
                return random.choice([[], [random.randrange(0, 70)]])
            case "limit_events":
                return [random.randrange(0, 12)]
            case "filter_keyvals" | "exclude_keyvals":
                values: list[Any] = [
                    "vim",
                    "Firefox",
                    "afk",
                    "not-afk",
                    "",
                    "a",
                    1,
                    ["Work"],
                    [1],
                    {"a": 1},
                    "(3) Inbox",
                ]
                return [random.choice([good_key, any_key]), random.sample(values, random.randrange(0, 6))]
            case "filter_keyvals_regex":
                return [random.choice(["app", "title", "status", "url"]), random.choice(_REGEXES)]
            case "merge_events_by_keys":
                some = random.sample(sorted(keys), random.randrange(0, len(keys) + 1))
                return [random.choice([some, some, [any_key], ["status", "title"]])]
            case "simplify_window_titles" if keys & {"title", "app", "url", "status", "file"}:
                return [random.choice(sorted(keys & {"title", "app", "url", "status", "file"}))]
            case "chunk_events_by_key" | "simplify_window_titles":
                return [good_key]
            case "merge_subwatcher_fields":
                some = random.sample(["url", "title", "file", "k", "status", "audible"], random.randrange(0, 4))
                return [some, *random.choice([[], ["base_wins"], ["sub_wins"]])]
            case "categorize":
                return [self._rules([["Work"], ["Work", "Code"], ["Media"], [], ["Ünter", "a", "b"]])]
            case "tag":
                return [self._rules(["one", "two", "Größe", ""])]
        return []

    def _rules(self, names: list[Any]) -> list[Any]:
        random = self._random
        rules = []
        for _ in range(random.randrange(0, 5)):
            # "rule type": aw-core ignores it, so `none` stands here only where there is no regex.
            specs: list[dict[str, Any]] = [{"type": "none"}, {"regex": random.choice(_REGEXES)}, {"type": "regex"}, {}]
            spec = random.choice([*specs, *[{"type": "regex", "regex": random.choice([*_REGEXES, ""])}] * 6])
            if random.random() < 0.3:
                spec["ignore_case"] = random.random() < 0.7
            if random.random() < 0.3:
                spec["select_keys"] = random.sample(["app", "title", "url", "$domain", "k"], random.randrange(0, 3))
            if random.random() < 0.3:
                spec[random.choice(["priority", "weight"])] = random.randrange(0, 40)
            rules.append([random.choice(names), spec])
        return rules


_ONE_LIST = [
    "flood", "flood", "sort_by_timestamp", "sort_by_duration", "limit_events", "filter_keyvals", "exclude_keyvals",
    "filter_keyvals_regex", "merge_events_by_keys", "chunk_events_by_key", "split_url_events", "simplify_window_titles",
    "categorize", "tag",
]  # fmt: skip
_TWO_LISTS = ["filter_period_intersect", "period_union", "union_no_overlap", "concat", "merge_subwatcher_fields"]
_REGEXES = [
    "vim", "(?i)^FIREFOX", "[Ff]irefox|Slack", r"\w+\.py", r"^\S", r"^\W", "ö", "", "(a;b) #",
    r"FPS:\s+\d+", "GRÖSSE", r"\bx$", "'\""
]  # fmt: skip


# The comparison


PERIODS = [
    "2024-05-01T00:00:00+00:00/2024-05-02T00:00:00+00:00",
    "2024-05-01T10:00:03+00:00/2024-05-01T10:00:20+00:00",
    "2024-05-01T12:00:01.250+02:00/2024-05-01T12:01:00.055+02:00",
    "2024-05-01T10:00:05+00:00/2024-05-01T10:00:05+00:00",
]


def assert_same(ours: Any, theirs: Any, where: str = "RETURN") -> None:
    """Deep, kinds included; durations and sums as floats to a microsecond, because aw-core adds floats."""
    if isinstance(ours, float) and isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=1.5e-6, rel=0), where
        return
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{where}[{row}]")
    else:
        assert ours == theirs, where


def ours_and_theirs(nested: str, flat: str, period: Period, buckets: World, name: str = "") -> None:
    """Runs both and compares; an error on one side must be the same error on the other. Raises Differs."""
    store = datastore(buckets)
    try:
        theirs: Any = reference_answer(flat, period, store, name=name)
    except QueryException as error:
        theirs = type(error).__name__
    try:
        (ours,) = answers(nested, Snapshot(buckets), f"{period.start_text}/{period.end_text}", name=name)
    except QueryError as error:
        ours = type(error).__name__
    assert_same(ours, theirs)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_random_programs_answer_as_aw_core(seed: int) -> None:
    """Ten programs on one set of buckets."""
    random = Random(seed)
    buckets = world(random)
    for _ in range(PROGRAMS_PER_WORLD):
        program = Program(random)
        period = parse_period(random.choice(PERIODS))
        try:
            ours_and_theirs(program.nested, program.flat, period, buckets)
        except Differs as ruling:
            SKIPPED[str(ruling)] += 1
        except AssertionError as error:
            error.add_note(f"{seed=} {period}\nours:\n{program.nested}\ntheirs:\n{program.flat}")
            raise
        else:
            COMPARED.update(program.functions)


SKIPPED: Counter[str] = Counter()
COMPARED: Counter[str] = Counter()


def test_the_random_programs_use_every_function_of_aw_core() -> None:
    """Each in many programs that were compared; the rulings take out less than a third."""
    if not COMPARED:
        pytest.skip("needs the test above")
    assert COMPARED.keys() == aw_functions.keys()
    assert min(COMPARED.values()) >= 5 * EXAMPLES, COMPARED
    assert SKIPPED.total() < WORLDS * PROGRAMS_PER_WORLD / 3, SKIPPED


# What real clients send (section 8)

CLASSES: list[Any] = [
    [["Work"], {"type": "regex", "regex": "editor|Slack", "ignore_case": True}],
    [["Work", "Programming"], {"type": "regex", "regex": r"\w+\.py"}],
    [["Work", "Größe"], {"type": "regex", "regex": r"^Größe\s"}],
    [["Media"], {"type": "regex", "regex": r"example\.(org|com)", "select_keys": ["title"]}],
    [["Uncategorized"], {"type": "none"}],
]


def working_day(random: Random) -> World:
    """As watchers write it: starts in whole milliseconds, events one after the other, gaps of a poll time or of hours."""

    def run_of(count: int, lasts_s: float, data: Any) -> list[Event]:
        at = random.uniform(0, 60)
        found = []
        for seq in range(1, count + 1):
            duration_s = round(random.expovariate(1 / lasts_s), random.choice([0, 3, 6]))
            found.append(stored(seq, round(at, 3), duration_s, data()))
            at += duration_s + random.choice([0, 0.95, 1.003, 4.9, 5, 5.001, 7, 600])
        return found

    return {
        "aw-watcher-window_desk": run_of(150, 40, lambda: window(random, odd=False)),
        "aw-watcher-afk_desk": run_of(30, 300, lambda: {"status": random.choice(["afk", "not-afk"])}),
        "aw-watcher-web-firefox_desk": run_of(80, 60, lambda: tab(random)),
        "aw-watcher-vim_desk": run_of(60, 50, lambda: source_file(random)),
        "aw-watcher-window_laptop": run_of(40, 90, lambda: window(random, odd=False)),
        "aw-watcher-afk_laptop": run_of(10, 600, lambda: {"status": random.choice(["afk", "not-afk"])}),
        "aw-stopwatch": run_of(6, 300, lambda: {"label": random.choice("xy"), "running": False}),
    }


def rules_as_the_web_ui_writes_them(classes: list[Any]) -> str:
    return json.dumps(classes, ensure_ascii=False, separators=(",", ":")).replace("\\\\", "\\")


def first_part(host: str, *, always_active: str = "", audible: bool = False, stopwatch: bool = False) -> str:
    """Events and not_afk of one device, put together as section 8 says."""
    text = f"""
        events = flood(query_bucket("aw-watcher-window_{host}"));
        not_afk = flood(query_bucket("aw-watcher-afk_{host}"));
        not_afk = filter_keyvals(not_afk, "status", ["not-afk"]);
        browser_events = [];
    """
    for key in ["app", "title"] if always_active else []:
        text += f"""
            active = filter_keyvals_regex(events, "{key}", "{always_active}");
            not_afk = period_union(not_afk, active);
        """
    if host == "desk":
        text += r"""
            tabs = flood(query_bucket("aw-watcher-web-firefox_desk"));
            windows = filter_keyvals(events, "app", ["org.mozilla.firefox","Firefox"]);
            by_name = filter_keyvals_regex(events, "app", "(?i)(firefox|nightly)(\.exe)?$");
            windows = sort_by_timestamp(concat(windows, by_name));
            tabs = filter_period_intersect(tabs, windows);
            tabs = split_url_events(tabs);
            browser_events = concat(browser_events, tabs);
            browser_events = sort_by_timestamp(browser_events);
        """
    if audible:
        text += """
            heard = filter_keyvals(browser_events, "audible", [true]);
            not_afk = period_union(not_afk, heard);
        """
    text += "events = filter_period_intersect(events, not_afk);"
    if stopwatch:
        text += 'watched = query_bucket("aw-stopwatch"); events = union_no_overlap(watched, events);'
    return text + f"events = categorize(events, {rules_as_the_web_ui_writes_them(CLASSES)});"


DAY_VIEW_END = """
    titles = sort_by_duration(merge_events_by_keys(events, ["app", "title"]));
    apps = sort_by_duration(merge_events_by_keys(titles, ["app"]));
    categories = sort_by_duration(merge_events_by_keys(events, ["$category"]));
    apps = limit_events(apps, 100); titles = limit_events(titles, 100);
    duration = sum_durations(events);
    browser_events = split_url_events(browser_events);
    urls = limit_events(sort_by_duration(merge_events_by_keys(browser_events, ["url"])), 100);
    domains = merge_events_by_keys(browser_events, ["$domain"]); domains = sort_by_duration(domains);
    tab_titles = merge_events_by_keys(browser_events, ["title"]); tab_titles = sort_by_duration(tab_titles);
    RETURN = {
        "window": {"apps": apps, "titles": titles, "categories": categories, "active": not_afk, "duration": duration},
        "browser": {"urls": urls, "domains": domains, "titles": tab_titles, "duration": 0}, "events": events
    };
"""

SENT: dict[str, str] = {
    "web UI, a day": first_part("desk") + DAY_VIEW_END,
    "web UI, a day, always active": first_part("desk", always_active="Slack|vim") + DAY_VIEW_END,
    "web UI, a day, audible tabs": first_part("desk", audible=True) + DAY_VIEW_END,
    "web UI, a day, stopwatch": first_part("desk", audible=True, stopwatch=True) + DAY_VIEW_END,
    "web UI, category time line": first_part("desk")
    + """
        events = filter_keyvals(events, "$category", [["Work"],["Work","Programming"]]);
        RETURN = sort_by_duration(merge_events_by_keys(events, ["$category"]));
    """,
    "web UI, several devices": first_part("desk")
    + "events_desk = events;"
    + first_part("laptop")
    + """
        events_laptop = events; events = [];
        events = union_no_overlap(events, events_desk);
        events = union_no_overlap(events, events_laptop);
        RETURN = {"events": events, "duration": sum_durations(events)};
    """,
    "web UI, Android": """
        events = flood(query_bucket("aw-watcher-window_desk"));
        events = merge_events_by_keys(events, ["app"]);
        RETURN = sort_by_duration(events);
    """,
    "web UI, editors": """
        events = concat(flood(query_bucket("aw-watcher-vim_desk")), []);
        RETURN = {
            "files": limit_events(sort_by_duration(merge_events_by_keys(events, ["file", "language"])), 100),
            "languages": sort_by_duration(merge_events_by_keys(events, ["language"])),
            "projects": sort_by_duration(merge_events_by_keys(events, ["project"]))
        };
    """,
    "web UI, active time": """
        desk = query_bucket("aw-watcher-afk_desk");
        desk = filter_keyvals(desk, "status", ["not-afk"]);
        laptop = query_bucket("aw-watcher-afk_laptop");
        laptop = filter_keyvals(laptop, "status", ["not-afk"]);
        both = union_no_overlap(desk, laptop);
        RETURN = merge_events_by_keys(both, ["status"]);
    """,
    "aw-client": fullDesktopQuery(
        DesktopQueryParams(
            bid_window="aw-watcher-window_desk",
            bid_afk="aw-watcher-afk_",
            bid_browsers=["aw-watcher-web-firefox_desk"],
            classes=[tuple(rule) for rule in CLASSES],
            filter_classes=[["Work"], ["Work", "Größe"], ["Uncategorized"]],
        )
    ),
    "aw-client, Android": canonicalEvents(
        AndroidQueryParams(bid_android="aw-watcher-window_", classes=[tuple(rule) for rule in CLASSES])
    )
    + "RETURN = events;",
}

# Hours, and one period that begins and ends within events.
HOURS = [f"2024-05-01T{hour}:00:00+00:00/2024-05-01T{hour + 1}:00:00+00:00" for hour in range(10, 13)]
SENT_PERIODS = [PERIODS[0], "2024-05-01T10:07:31.503+00:00/2024-05-01T11:20:00.007+00:00", *HOURS]


@pytest.mark.parametrize("sent", SENT)
def test_programs_of_real_clients_answer_as_aw_core(sent: str) -> None:
    """On some working days, for the day, for hours, and for a period with edges inside events."""
    for seed in range(3 * EXAMPLES):
        buckets = working_day(Random(seed))
        for text in SENT_PERIODS:
            ours_and_theirs(SENT[sent], SENT[sent].replace("\n", ""), parse_period(text), buckets)


# Reading


@pytest.fixture
def with_any_peewee(monkeypatch: pytest.MonkeyPatch) -> None:
    """aw-core was written for a peewee that gives times as texts; newer ones parse them themselves."""
    parse_date = iso8601.parse_date
    parse_any = lambda time: time if isinstance(time, datetime) else parse_date(time)  # noqa: E731
    monkeypatch.setattr("aw_datastore.storages.peewee.iso8601.parse_date", parse_any)


@pytest.mark.usefixtures("with_any_peewee")
def test_reading_answers_as_a_live_server_does(tmp_path: Path) -> None:
    """The storage of aw-server, unchanged: cut at both edges.

    Starts are distinct ("equal starts"), nothing begins in the millisecond after the end ("period's end", which also makes
    an event that is cut there 1 ms longer), and no event is a day long ("events over 24 h").
    """
    random = Random(0)
    for number in range(4 * EXAMPLES):
        seqs = range(1, 80)
        starts_s = random.sample(range(300), len(seqs))
        buckets = {
            "b_": [
                stored(seq, start_s, random.choice([0, 1.5, 7.000_301, 60]), {"n": seq})
                for seq, start_s in zip(seqs, starts_s, strict=True)
            ]
        }
        store = datastore(buckets, PeeweeStorage, filepath=str(tmp_path / f"{number}.db"))
        for _ in range(10):
            start_ms, end_ms = sorted(random.sample(range(0, 300_000, 250), 2))
            period = f"{at(start_ms + 1)}/{at(end_ms + 1)}"
            text = 'RETURN = query_bucket("b_");'
            (ours,) = answers(text, Snapshot(buckets), period)
            theirs = reference_answer(text, parse_period(period), store)
            assert [event["timestamp"] for event in ours] == [event["timestamp"] for event in theirs]
            assert [event["data"] for event in ours] == [event["data"] for event in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert one["duration"] == pytest.approx(other["duration"], abs=0.001_001)


def at(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"2024-05-01T10:{seconds // 60:02}:{seconds % 60:02}.{rest:03}+00:00"


# Errors: where both refuse, the types are the same.


@pytest.mark.parametrize(
    "text",
    [
        "a = nop();",
        "RETURN = a;",
        "RETURN = flood;",
        "RETURN = nothing();",
        "1 = 2;",
        "a = ;RETURN = 1;",
        "RETURN = nop(1);",
        "RETURN = nop(1, 2);",
        'RETURN = query_bucket("no");',
        "RETURN = query_bucket(1);",
        'RETURN = find_bucket("no_");',
        'RETURN = find_bucket("aw-watcher-window_", "other");',
        "RETURN = flood(1);",
        'RETURN = flood("x");',
        "RETURN = filter_keyvals([], 1, 2);",
        'RETURN = filter_keyvals([], "a", 2);',
        'RETURN = merge_events_by_keys([], "a");',
        'RETURN = limit_events([], "a");',
        'x = ["k"]; RETURN = merge_subwatcher_fields([], [], x, "both_win");',
        'STARTTIME = "tomorrow"; RETURN = query_bucket("aw-watcher-window_desk");',
        "RETURN = [1, ?];",
        "RETURN = 1 2;",
        'RETURN = "x;',
    ],
)
def test_errors_are_of_the_type_that_aw_core_gives(text: str) -> None:
    """One cause at a time; only errors that aw-core answers with status 400."""
    store = datastore({"aw-watcher-window_desk": []})
    with pytest.raises(QueryError) as ours:
        answers(text, Snapshot({"aw-watcher-window_desk": []}))
    assert type(ours.value).__name__ == reference_error(text, parse_period(PERIODS[0]), store)


def test_variables_are_those_of_aw_core() -> None:
    """NAME, the ends of the period as they were sent, and assignments to them that move the range."""
    buckets: World = {"b_": [stored(seq, 10.0 * seq, 5, {}) for seq in range(1, 9)]}
    text = (
        'RETURN=[NAME,STARTTIME,ENDTIME,true,False];STARTTIME="2024-05-01T10:00:35+00:00";a=query_bucket("b_");'
        'ENDTIME="2024-05-01T12:01:00+02:00";b=query_bucket("b_");c=query_bucket_eventcount("b_");RETURN=[RETURN,a,b,c];'
    )
    ours_and_theirs(text, text, parse_period(PERIODS[0]), buckets, name="my query")
