"""Workload `dashboard`: what somebody who looks at it waits for, in a real Chromium without a window.

A page shows a bucket of a million events: how soon is it painted, on a server that was just started and again, what does a
frame of a zoom or pan cost the page's thread, how large is the largest answer? And Now: how soon does it show a heartbeat?
Needs `chromium`, `chromedriver` and selenium; without them it says so.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final, TypedDict
from urllib.parse import urlencode

from benchmarks import large_store
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.progress import say
from benchmarks.rest import ask, bucket_path, create_bucket
from benchmarks.servers import Awlog, CannotMeasure, OwnProcess
from benchmarks.settings import Settings
from benchmarks.times import iso

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_PROGRAMS: Final = ("chromium", "chromedriver")
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1280,900",
)
_PATIENCE_S: Final = 60
_PAINTS: Final = 5
_STARTS: Final = 5
# The server has its reader process ready then, which it starts half a second after it answers; it has read no event yet.
_READY_S: Final = 1.0
_BEATS: Final = 10
_BEATS_APART_S: Final = 0.7
_FRAMES: Final = 90
_BUCKET: Final = "awlog-benchmark-beats"

# Done when the bucket's picture is in the canvas; gives ms since the navigation began.
_PAINTED: Final = """
const done = arguments[arguments.length - 1];
const look = () => {
  const rows = document.querySelector(".view-timeline")?.timeline.rows ?? [];
  const isThere = rows.some((row) => row.bucket.id === arguments[0] && row.pictures.length);
  requestAnimationFrame(isThere ? () => done(performance.now()) : look);
};
look();
"""
_MOVED: Final = """
const done = arguments[arguments.length - 1];
const {timeline} = document.querySelector(".view-timeline");
timeline.frames.length = 0;
let turns = arguments[0];
const turn = () => {
  if (turns % 3) timeline.pan(0.05); else timeline.zoom(turns > arguments[0] / 2 ? 0.8 : 1.25);
  turns -= 1;
  if (turns) requestAnimationFrame(turn); else setTimeout(() => done(timeline.frames), 1000);
};
turn();
"""
# Done when the text stands on the page; gives the time of day in ms.
_SEEN: Final = """
const done = arguments[arguments.length - 1];
const isThere = () => document.body.textContent.includes(arguments[0]);
if (isThere()) done(Date.now());
else new MutationObserver((_, watching) => {
  if (!isThere()) return;
  watching.disconnect();
  done(Date.now());
}).observe(document.body, {subtree: true, childList: true, characterData: true});
"""


class Dashboard(TypedDict):
    """Times in ms. `frames_ms` is the page's own work in each frame; bytes are those on the wire, with headers."""

    events: int
    first_paints_ms: list[float]
    paints_ms: list[float]
    frames_ms: list[float]
    seen_ms: list[float]
    first_load_bytes: int
    largest_answer_bytes: int
    browser: str


def _reason_not_here() -> str | None:
    """Why it cannot be measured on this machine."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    try:
        import selenium  # noqa: F401  # one of the extra `dev`
    except ImportError:
        return "selenium is not installed: pip install 'awlog[dev]'"
    return None


def measure(awlog: Awlog, settings: Settings) -> Dashboard:
    """Raises CannotMeasure if there is no browser here, or the page does not show what is there."""
    reason = _reason_not_here()
    if reason is not None:
        raise CannotMeasure(reason)
    count = settings.transfer_events
    say(f"dashboard: a bucket of {count:,} events in a browser")
    home = settings.scratch / "dashboard"
    store = large_store.make(awlog, home, event_count=count, seed=settings.seed)
    bucket = store.buckets[count]
    span = {"start": f"{iso(FIRST_DAY_MS).decode()}", "end": f"{iso(store.end_ms[count]).decode()}"}
    with _browser(home) as chrome:
        first_paints_ms = []
        for _ in range(_STARTS):
            server = awlog.start_on(home)
            try:
                time.sleep(_READY_S)
                first_paints_ms.append(_paint(chrome, _timeline(server, bucket, span), bucket))
            finally:
                server.stop()
        server = awlog.start_on(home)
        try:
            url = f"http://{server.address}"
            view = _timeline(server, bucket, span)
            paints_ms = [_paint(chrome, view, bucket) for _ in range(1 + _PAINTS)][1:]
            _answers(chrome)
            frames_ms = chrome.execute_async_script(_MOVED, _FRAMES)
            largest_bytes = max(_answers(chrome).values(), default=0)
            create_bucket(server.address, _BUCKET, "currentwindow")
            first_load_bytes = _first_load_bytes(chrome, url)
            seen_ms = []
            for number in range(_BEATS):
                time.sleep(_BEATS_APART_S)
                name = f"Program {number}!"
                sent_ms = time.time() * 1000
                event = {"timestamp": datetime.now(UTC).isoformat(), "duration": 0, "data": {"app": name}}
                path = f"{bucket_path(_BUCKET)}/heartbeat?pulsetime=60"
                ask(server.address, "POST", path, json.dumps(event).encode())
                seen_ms.append(chrome.execute_async_script(_SEEN, name) - sent_ms)
            browser = f"Chromium {chrome.capabilities['browserVersion']}"
        finally:
            server.stop()
    if not frames_ms:
        raise CannotMeasure("the timeline drew no frame")
    return Dashboard(
        events=count,
        first_paints_ms=first_paints_ms,
        paints_ms=paints_ms,
        frames_ms=frames_ms,
        seen_ms=seen_ms,
        first_load_bytes=first_load_bytes,
        largest_answer_bytes=largest_bytes,
        browser=browser,
    )


def lines(found: Dashboard) -> Iterator[tuple[str, ...]]:
    """Rows of a table: what, its median, its highest."""
    yield ("", "median", "highest", "n")
    for says, taken in (
        ("a heartbeat is seen on Now, ms", found["seen_ms"]),
        (f"{found['events']:,} events are painted, ms", found["paints_ms"]),
        ("the same for the first time after a start of the server, ms", found["first_paints_ms"]),
        ("work of a frame of zoom or pan, ms", found["frames_ms"]),
    ):
        yield (says, f"{median(taken):.1f}", f"{max(taken):.1f}", str(len(taken)))
    yield ("first load, bytes", f"{found['first_load_bytes']:,}", "", "1")
    yield ("largest answer while zooming, bytes", f"{found['largest_answer_bytes']:,}", "", "1")


@contextmanager
def _browser(home: Path) -> Iterator[Chrome]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    for flag in (*_FLAGS, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    # Given by name: nothing is looked for or fetched.
    options.binary_location = str(shutil.which("chromium"))
    chrome = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        chrome.set_script_timeout(_PATIENCE_S)
        yield chrome
    finally:
        chrome.quit()


def _timeline(server: OwnProcess, bucket: str, span: dict[str, str]) -> str:
    return f"http://{server.address}/#/timeline?{urlencode({'bucket': bucket, **span})}"


def _paint(chrome: Chrome, address: str, bucket: str) -> float:
    """Of a page that is loaded anew."""
    chrome.get("about:blank")
    chrome.get(address)
    return float(chrome.execute_async_script(_PAINTED, bucket))


def _first_load_bytes(chrome: Chrome, url: str) -> int:
    """All that comes until Now shows its buckets, to a browser that has kept nothing; the feed, which goes on, left out."""
    chrome.get("about:blank")
    chrome.execute_cdp_cmd("Network.clearBrowserCache", {})
    _answers(chrome)
    chrome.get(f"{url}/")
    chrome.execute_async_script(_SEEN, _BUCKET)
    time.sleep(1)
    return sum(_answers(chrome).values())


def _answers(chrome: Chrome) -> dict[str, int]:
    """Bytes of each answer that ended since this was last asked, by request."""
    ended: dict[str, int] = {}
    for entry in chrome.get_log("performance"):  # type: ignore[no-untyped-call]
        message: dict[str, Any] = json.loads(entry["message"])["message"]
        if message["method"] == "Network.loadingFinished":
            ended[message["params"]["requestId"]] = int(message["params"]["encodedDataLength"])
    return ended
