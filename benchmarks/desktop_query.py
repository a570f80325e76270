"""The query behind a day's view of the ActivityWatch web UI: its text, the 50 rules, and what two answers must share.

Every statement ends in a semicolon: aw-server joins the elements of a query with nothing. No bracketed argument with
commas inside stands before another argument: its parser would lose one.
"""

from __future__ import annotations

import json
from typing import Any, Final

from benchmarks.generator import BucketName
from benchmarks.rest import Address, ask
from benchmarks.times import iso

BUCKETS: Final[dict[BucketName, str]] = {
    "window": "aw-watcher-window_awlog-benchmark",
    "afk": "aw-watcher-afk_awlog-benchmark",
    "web": "aw-watcher-web-firefox_awlog-benchmark",
    "editor": "aw-watcher-vim_awlog-benchmark",
}

# (category, regex, without regard to case), as people's settings look: most rules are lists of words, some know where a
# title begins or ends, and the broad ones match so much that the deeper ones have to win.
Rule = tuple[tuple[str, ...], str, bool]
RULES: Final[tuple[Rule, ...]] = (
    (("Work",), r"Google Docs|libreoffice|ReText", False),
    (("Work", "Programming"), r"GitHub|Stack Overflow|BitBucket|Gitlab|vim|Spyder|kate|Ghidra|Scite", True),
    (("Work", "Programming", "awlog"), r"\bawlog\b", True),
    (("Work", "Programming", "Editor"), r"Visual Studio Code|PyCharm|IntelliJ|Emacs", False),
    (("Work", "Programming", "Python"), r"\.py\b|Python 3 documentation|docs\.python\.org", False),
    (("Work", "Programming", "Rust"), r"\w+\.rs\b|crates\.io|rustc", False),
    (("Work", "Programming", "Web"), r"\w+\.ts\b|localhost:\d+|Dashboard", False),
    (("Work", "Programming", "Firmware"), r"firmware|datasheet|oscilloscope", True),
    (("Work", "Programming", "Configuration"), r"\w+\.toml\b|dotfiles", False),
    (("Work", "Programming", "Review"), r"^review .* GitHub|pull request", True),
    (("Work", "Programming", "Debugging"), r"debug (compiler|kernel|memory|cache)", False),
    (("Work", "Terminal"), r"Alacritty|gnome-terminal|konsole|xterm|^me@\w+:", False),
    (("Work", "Documentation"), r"README|CHANGELOG|\w+\.md\b", False),
    (("Work", "Planning"), r"roadmap|agenda|planner|Trello|Jira|Linear", True),
    (("Work", "Planning", "Calendar"), r"Calendar|Kalender|agenda.*meeting", False),
    (("Work", "Invoices"), r"invoice|Rechnung|budget", True),
    (("Work", "Contracts"), r"contract-\w+-\d+\.pdf|NDA", False),
    (("Work", "Meetings"), r"Zoom|Microsoft Teams|Google Meet|Webex", False),
    (("Work", "Interviews"), r"interview", True),
    (("Work", "Design"), r"Gimp|Inkscape|Figma|Blender", False),
    (("Work", "Translation"), r"übersetzer|translation|DeepL", True),
    (("Work", "Release"), r"\brelease\b.*\bdeploy\b|\bdeploy\b.*\brelease\b", False),
    (("Work", "Benchmarks"), r"benchmark|latency|py-?spy|perf", True),
    (("Comms",), r"Messenger|Telegram|WhatsApp|Element", False),
    (("Comms", "IM"), r"Slack|Signal|Discord|IRC", False),
    (("Comms", "IM", "Team"), r"team-\w+ - Slack$|builds.* - Slack$", False),
    (("Comms", "IM", "Family"), r"家族|Familie|Ana - Signal", False),
    (("Comms", "Email"), r"Gmail|Thunderbird|mutt|alpine|Webmail", False),
    (("Comms", "Email", "Replies"), r"^Re: ", False),
    (("Comms", "Support"), r"support.*Slack|ticket #?\d{3,}", False),
    (("Media",), r"VLC|mpv|Kodi", False),
    (("Media", "Video"), r"YouTube|Plex|Netflix|Twitch", False),
    (("Media", "Music"), r"Spotify|Deezer|Rhythmbox", True),
    (("Media", "Music", "Series"), r"No\. \d+$", False),
    (("Media", "Social Media"), r"reddit|Facebook|Twitter|Instagram|Mastodon", True),
    (("Media", "News"), r"Hacker News|LWN\.net|BBC|Guardian|Heise", False),
    (("Media", "Games"), r"Minecraft|RimWorld|Steam|Factorio", False),
    (("Reading",), r"Wikipedia|ウィキペディア", False),
    (("Reading", "Papers"), r"Evince.*|\w+-\w+-\d+\.pdf", False),
    (("Reading", "Notes"), r"Obsidian|Joplin|Notion|заметки|記録", False),
    (("Shopping",), r"Amazon|eBay|Example Shop|Etsy", False),
    (("Travel",), r"holiday|train.*(timetable|plan)|Booking\.com", True),
    (("Home", "Garden"), r"garden(ing)?|seedlings", True),
    (("Home", "Cooking"), r"recipe|Rezept|smörgåsbord", True),
    (("Home", "Photos"), r"camera|IMG_\d{4}|darktable", True),
    (("Home", "Bicycle"), r"bicycle|derailleur", True),
    (("Home", "Weather"), r"weather|прогноз|forecast", True),
    (("System",), r"Nautilus|gnome-calculator|系统设置|Settings|htop", False),
    (("Thesis",), r"thesis|résumé|citation", True),
    (("Unsorted",), r"^(Untitled|New Tab|Neuer Tab)|^\*?\s*$", False),
)
assert len(RULES) == 50, "the figures are promised for 50 rules"

PATH: Final = "/api/0/query/"
LIMIT: Final = 100
TOLERANCE_S: Final = 1.0


def text(variant: int = 0) -> list[str]:
    """The program, a statement an element. Each `variant` has a rule of its own, so none was ever asked before."""
    return [
        f'events = flood(query_bucket(find_bucket("{BUCKETS["window"]}")));',
        f'not_afk = flood(query_bucket(find_bucket("{BUCKETS["afk"]}")));',
        'not_afk = filter_keyvals(not_afk, "status", ["not-afk"]);',
        "events = filter_period_intersect(events, not_afk);",
        f"events = categorize(events, {_rules(variant)});",
        'title_events = sort_by_duration(merge_events_by_keys(events, ["app", "title"]));',
        'app_events = sort_by_duration(merge_events_by_keys(title_events, ["app"]));',
        'cat_events = sort_by_duration(merge_events_by_keys(events, ["$category"]));',
        f"title_events = limit_events(title_events, {LIMIT});",
        f"app_events = limit_events(app_events, {LIMIT});",
        f"cat_events = limit_events(cat_events, {LIMIT});",
        "duration = sum_durations(events);",
        'RETURN = {"title_events": title_events, "app_events": app_events, "cat_events": cat_events, '
        '"duration": duration};',
    ]


def body(periods: list[tuple[int, int]], variant: int = 0) -> bytes:
    """The request for `periods`, each from and to ms since the epoch."""
    texts = [f"{iso(start_ms).decode()}/{iso(end_ms).decode()}" for start_ms, end_ms in periods]
    return json.dumps({"query": text(variant), "timeperiods": texts}).encode()


def send(at: Address, request: bytes, *, timeout_s: float) -> bytes:
    """The answer. Raises UnexpectedAnswer, and OSError if there is none in time."""
    return ask(at, "POST", PATH, request, timeout_s=timeout_s)


def totals(answer: bytes) -> list[dict[str, float]]:
    """Seconds for each period: of all, of each app and of each category. Of equal durations any may come first."""
    return [_totals_of_period(period) for period in json.loads(answer)]


def difference(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> str | None:
    """What differs by more than `TOLERANCE_S`, in words; None if nothing does."""
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)} periods"
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        for name in sorted(one.keys() | other.keys()):
            if abs(one.get(name, 0.0) - other.get(name, 0.0)) > TOLERANCE_S:
                return f"period {number}, {name}: {one.get(name)} s and {other.get(name)} s"
    return None


def _totals_of_period(period: dict[str, Any]) -> dict[str, float]:
    found = {"all": float(period["duration"]), "titles": float(sum(e["duration"] for e in period["title_events"]))}
    for event in period["app_events"]:
        found[f"app {event['data']['app']}"] = event["duration"]
    for event in period["cat_events"]:
        found[f"category {' > '.join(event['data']['$category'])}"] = event["duration"]
    return found


def _rules(variant: int) -> str:
    """As the web UI writes them: JSON in which every double backslash is a single one."""
    rules = []
    for index, (category, regex, ignore_case) in enumerate(RULES):
        own = f"{regex}|unheard-of {variant}" if variant and index == len(RULES) - 1 else regex
        rules.append([category, {"type": "regex", "regex": own, "ignore_case": ignore_case}])
    return json.dumps(rules, ensure_ascii=False).replace("\\\\", "\\")
