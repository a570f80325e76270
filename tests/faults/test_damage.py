"""R3, R4, R5: a damaged store is refused in words, or served as far as it is whole; never garbage, never a death by signal.

For each kind of damage the server is started on a spoilt copy of one store. If it starts, everything is read, something
is written, everything is read again: each answer is right, or is an error that says DataDamaged, or Unavailable after a
write that damage made fail, or is broken off. Then the copy is repaired: what is in the new store was in the old one.
"""

from __future__ import annotations

import http.client
import itertools
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from awlog.cli.local_socket import SOCKET_FILE
from awlog.model.errors import CannotStart
from awlog.storage.repair import repair as repair_store
from tests.faults.conftest import Note
from tests.faults.pages import PAGE_BYTES, newest_meta, pages_by_class, value_spans
from tests.server import Reply, Server
from tests.storage.test_repair import Events, events_of

CANNOT_START = 3
UNAUTHORIZED = 401
FIELDS = {"type": "t", "client": "c", "hostname": "h"}
PAGES_OF_EACH_CLASS = int(os.environ.get("AWLOG_TEST_SPOILT_PAGES") or 1)

Spoil = Callable[[bytearray], None]


@dataclass(frozen=True)
class Whole:
    """A store with sealed and unsealed history, and the answers to every read of it."""

    data_dir: Path
    answers: dict[str, Any]
    events: Events


READS = ["/buckets/", "/settings", "/export"]
BUCKETS = [f"b{number}" for number in range(12)]
LAST_BUCKET_NUMBER = 13  # one was made twice; behind it are those of the tests


def paths() -> list[str]:
    return READS + [f"/buckets/{name}/events{rest}" for name in BUCKETS for rest in ("", "/count", "?limit=1")]


def event(number: int, bucket: str) -> dict[str, Any]:
    hour, minute, second = number // 3600 % 24, number // 60 % 60, number % 60
    title = f"{bucket} {number % 97} {'long ' * (number % 40)}"
    return {"timestamp": f"2024-05-01T{hour:02}:{minute:02}:{second:02}Z", "duration": 1, "data": {"title": title}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    data_dir = tmp_path_factory.mktemp("whole") / "data"
    with Server(data_dir, "--reserve-bytes", "0") as server:
        for number, name in enumerate(BUCKETS):
            assert server.request("POST", f"/api/0/buckets/{name}", FIELDS).status == 200
            count = 13_000 if number < 2 else 300
            for first in range(0, count, 6_500):
                events = [event(n, name) for n in range(first, min(first + 6_500, count))]
                assert server.request("POST", f"/api/0/buckets/{name}/events", events).status == 200
            assert server.request("POST", f"/api/0/settings/{name}", {"list": list(range(100))}).status == 200
        assert server.request("DELETE", f"/api/0/buckets/{BUCKETS[5]}?force=1").status == 200  # free pages
        assert server.request("POST", f"/api/0/buckets/{BUCKETS[5]}", FIELDS).status == 200
        answers = {path: server.request("GET", f"/api/0{path}").json() for path in paths()}
        assert server.stop() == 0
    return Whole(data_dir, answers, events_of(data_dir))


def outcome(whole: Whole, folder: Path, spoil: Spoil, name: str = "data.mdb") -> str:
    """ "whole", "refused", "damaged: what" for reads or writes that said so. Raises AssertionError for anything else."""
    data_dir = folder / "data"
    shutil.copytree(whole.data_dir, data_dir, ignore=shutil.ignore_patterns(SOCKET_FILE))
    content = bytearray((data_dir / name).read_bytes())
    spoil(content)
    (data_dir / name).write_bytes(content)
    server = Server(data_dir)
    try:
        server.start(wait=False)
        if not starts(server):
            return "refused"
        damaged = read_everything(whole, server)
        damaged |= write_something(server)
        damaged |= read_everything(whole, server)
        alive(server)
        if not damaged:
            return "whole"
        server.kill()
        read_only = "THE STORE IS DAMAGED" in server.log_text()
        repair(whole, data_dir)
        return f"{'read-only' if read_only else 'damaged'}: {' '.join(sorted(damaged))}"
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def repair(whole: Whole, data_dir: Path) -> None:
    """Raises AssertionError unless what is in the new store was in the old one, and what is missing is told."""
    target = data_dir.with_name("repaired")
    try:
        report = repair_store(data_dir, target)
    except CannotStart:  # nothing can be read; what that says has its own test
        return
    left = {key: event for key, event in events_of(target).items() if key[0] <= LAST_BUCKET_NUMBER}
    assert left.items() <= whole.events.items(), "garbage"
    assert len(left) == len(whole.events) or report.lost, "what is lost is told"


def starts(server: Server) -> bool:
    """False if it ends as it should when it cannot start. Raises AssertionError if it hangs or dies."""
    assert server.process is not None
    try:
        server.wait_until_ready()
    except AssertionError:
        status = server.process.poll()
        said = server.log_text()
        assert status == CANNOT_START, f"exit status {status}:\n{said}"
        assert "Traceback" not in said, said
        assert said.count("awlog cannot start: ") == 1, said
        assert "awlog verify" in said or "backup" in said, said
        return False
    return True


def alive(server: Server) -> None:
    assert server.process is not None
    assert server.process.poll() is None, f"it died with {server.process.returncode}:\n{server.log_text()}"


def ask(server: Server, *request: Any) -> Reply | None:
    """None if the answer was broken off."""
    try:
        return server.request(*request)
    except (http.client.HTTPException, OSError):
        alive(server)
        return None


def read_everything(whole: Whole, server: Server) -> set[str]:
    """The reads that did not give an answer but said why. Raises AssertionError if an answer is wrong."""
    damaged = set()
    for path, right in whole.answers.items():
        reply = ask(server, "GET", f"/api/0{path}")
        if reply is not None and reply.status == UNAUTHORIZED:  # whether tokens are required was on a damaged page
            assert reply.json()["type"] == "Unauthorized"
            damaged.add(path)
            continue
        if reply is None or reply.status in (500, 503):
            assert reply is None or reply.json()["type"] == ("DataDamaged" if reply.status == 500 else "Unavailable")
            damaged.add(path)
            continue
        assert reply.status == 200, f"GET {path}: {reply.status} {reply.body[:200]!r}"
        found = reply.json()
        if path == "/buckets/":
            found = {name: bucket for name, bucket in found.items() if name != "new"}
        elif path == "/settings":
            found = {key: value for key, value in found.items() if key != "new"}
        elif path == "/export":
            found["buckets"] = {name: bucket for name, bucket in found["buckets"].items() if name != "new"}
        if found != right:
            raise AssertionError(f"GET {path} is wrong: {first_difference(found, right)}")
    return damaged


def first_difference(found: Any, right: Any, where: str = "") -> str:
    """Where two JSON values differ first, in a few words."""
    if isinstance(found, dict) and isinstance(right, dict):
        for key in sorted(found.keys() | right.keys()):
            if key not in found or key not in right:
                return f"{where}.{key} is {'missing' if key in right else 'not expected'}"
            if found[key] != right[key]:
                return first_difference(found[key], right[key], f"{where}.{key}")
    if isinstance(found, list) and isinstance(right, list):
        for index, (one, other) in enumerate(zip(found, right, strict=False)):
            if one != other:
                return first_difference(one, other, f"{where}[{index}] of {len(found)}, should be {len(right)}")
        return f"{where} has {len(found)} entries, should have {len(right)}"
    return f"{where} is {str(found)[:200]}, should be {str(right)[:200]}"


def write_something(server: Server) -> set[str]:
    """The writes that were refused. What is acknowledged can be read."""
    refused = set()
    bucket = "/api/0/buckets/new"
    for method, path, body in [
        ("POST", bucket, FIELDS),
        *[("POST", f"{bucket}/events", [event(n, "new") for n in range(200)]) for _ in range(3)],
        ("POST", "/api/0/settings/new", {"a": "x" * 9000}),
    ]:
        reply = ask(server, method, path, body)
        if reply is None or reply.status >= 500 or reply.status in (404, UNAUTHORIZED):
            types = {"Unavailable", "DataDamaged", "NoSuchBucket", "Unauthorized"}
            assert reply is None or reply.json()["type"] in types, reply
            refused.add(f"{method} {path}")
        else:
            assert reply.status == 200, f"{method} {path}: {reply}"
    if not refused:
        assert server.request("GET", f"{bucket}/events/count").json() == 600
    return refused


def cut_to(length: int) -> Spoil:
    def spoil(content: bytearray) -> None:
        del content[length if length >= 0 else len(content) + length :]

    return spoil


def page(number: int, new: bytes) -> Spoil:
    def spoil(content: bytearray) -> None:
        content[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = new

    return spoil


ZEROS = bytes(PAGE_BYTES)


def both(*spoils: Spoil) -> Spoil:
    def spoil(content: bytearray) -> None:
        for one in spoils:
            one(content)

    return spoil


def halved(content: bytearray) -> None:
    del content[len(content) // 2 :]


def spoil_newest_meta(new: Callable[[bytes], bytes]) -> Spoil:
    def spoil(content: bytearray) -> None:
        number = newest_meta(content)
        page(number, new(bytes(content[number * PAGE_BYTES : (number + 1) * PAGE_BYTES])))(content)

    return spoil


def noise_behind_the_magic(old: bytes) -> bytes:
    return old[:24] + Random(0).randbytes(PAGE_BYTES - 24)


@pytest.mark.parametrize(
    "spoil",
    [
        cut_to(PAGE_BYTES),
        cut_to(2 * PAGE_BYTES),
        cut_to(10 * PAGE_BYTES + 1),
        halved,
        cut_to(-1),
        cut_to(-PAGE_BYTES),
        both(page(0, ZEROS), page(1, ZEROS)),
        spoil_newest_meta(lambda _: ZEROS),
        both(page(0, Random(1).randbytes(PAGE_BYTES)), page(1, Random(2).randbytes(PAGE_BYTES))),
        spoil_newest_meta(noise_behind_the_magic),
    ],
    ids=[
        "one page left",
        "two pages left",
        "ten pages and a byte left",
        "half left",
        "last byte gone",
        "last page gone",
        "meta pages zeroed",
        "newest meta page zeroed",
        "noise in the meta pages",
        "noise in the newest meta page",
    ],
)
def test_a_store_that_lost_its_ends_is_refused(whole, tmp_path, spoil, request):
    """The last page may be a free one: then nothing is lost, and every answer is compared to show it."""
    allowed = {"refused", "whole", "read-only"} if "[last " in request.node.name else {"refused", "read-only"}
    assert outcome(whole, tmp_path / "spoilt", spoil).partition(":")[0] in allowed


CLASSES = [
    "free list leaf",
    "main leaf",
    "meta leaf",
    "buckets leaf",
    "changes leaf",
    "tails leaf",
    "log branch",
    "log leaf",
    "segments leaf",
    "segments overflow",
    "segment_index leaf",
    "settings leaf",
]


def zeroed(content: bytearray, number: int, _random: Random) -> None:
    page(number, ZEROS)(content)


def noise(content: bytearray, number: int, random: Random) -> None:
    page(number, random.randbytes(PAGE_BYTES))(content)


def bits_flipped(content: bytearray, number: int, random: Random) -> None:
    """In the values, which checksums cover; a page without values is left as it is."""
    spans = value_spans(content, number)
    for start, end in random.choices(spans, k=50 if spans else 0):
        content[random.randrange(start, end)] ^= 1 << random.randrange(8)


KINDS = [zeroed, noise, bits_flipped]


def test_the_store_has_pages_of_every_class(whole):
    found = pages_by_class(bytearray((whole.data_dir / "data.mdb").read_bytes()))
    # How long the free list is depends on which commits met.
    assert set(CLASSES) <= set(found) <= {*CLASSES, "free list branch"}


@pytest.mark.parametrize("name", CLASSES)
def test_a_spoilt_page_is_never_served(whole: Whole, tmp_path: Path, seed: int, note: Note, name: str):
    """A page of each class: zeroed, noise, bits flipped in its values. AWLOG_TEST_SPOILT_PAGES spoils more, by the seed."""

    def spoilt(number: int, kind: Callable[[bytearray, int, Random], None]) -> str:
        random = Random(f"{name} {number}" if number < len(KINDS) else f"{seed} {name} {number}")

        def spoil(content: bytearray) -> None:
            kind(content, random.choice(pages_by_class(content)[name]), random)

        try:
            return outcome(whole, tmp_path / f"spoilt{number}", spoil).partition(":")[0]
        except AssertionError as error:
            return f"WRONG, {kind.__name__}: {str(error)[:1500]}"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(spoilt, itertools.count(), KINDS * PAGES_OF_EACH_CLASS))
    note(f"{dict(Counter(found.partition(',')[0] for found in outcomes))}")
    wrong = [found for found in outcomes if found.startswith("WRONG")]
    assert not wrong, "\n".join(wrong)


def test_an_unspoilt_copy_is_whole(whole, tmp_path):
    assert outcome(whole, tmp_path / "copy", lambda _content: None) == "whole"


def test_a_wrong_answer_would_be_found(whole, tmp_path):
    """The store of another history opens well, and is not taken for this one."""
    other = Whole(whole.data_dir, whole.answers | {"/settings": {}}, whole.events)
    with pytest.raises(AssertionError, match="GET /settings is wrong"):
        outcome(other, tmp_path / "copy", lambda _content: None)


def spoil_in_place(data_dir: Path, spoil: Spoil) -> None:
    """Under whoever has the file open: what changed is written, and the end cut off if it is gone."""
    before = (data_dir / "data.mdb").read_bytes()
    content = bytearray(before)
    spoil(content)
    with (data_dir / "data.mdb").open("r+b") as file:
        for at in range(0, len(content), PAGE_BYTES):
            if content[at : at + PAGE_BYTES] != before[at : at + PAGE_BYTES]:
                file.seek(at)
                file.write(content[at : at + PAGE_BYTES])
        file.truncate(len(content))


def in_pages_of(name: str, kind: Callable[[bytearray, int, Random], None], count: int | None = None) -> Spoil:
    def spoil(content: bytearray) -> None:
        for number in pages_by_class(content)[name][:count]:
            kind(content, number, Random(number))

    return spoil


def test_values_that_are_damaged_under_a_running_server_are_contained(whole: Whole, tmp_path: Path):
    """R3: half of the sealed history is spoilt: reads that meet it say so, the others and all writes go on."""
    data_dir = tmp_path / "data"
    shutil.copytree(whole.data_dir, data_dir, ignore=shutil.ignore_patterns(SOCKET_FILE))
    with Server(data_dir) as server:
        half = len(pages_by_class(bytearray((data_dir / "data.mdb").read_bytes()))["segments overflow"]) // 2
        spoil_in_place(data_dir, in_pages_of("segments overflow", zeroed, max(1, half)))
        damaged = read_everything(whole, server)
        assert damaged
        assert damaged <= {
            "/export",
            *(f"/buckets/b{number}/events" for number in (0, 1)),
            "/buckets/b0/events?limit=1",
        }
        assert not write_something(server)
        assert read_everything(whole, server) == damaged
        alive(server)


def half_of_the_pages(content: bytearray) -> None:
    """Not of the file, whose end is the reserve."""
    del content[max(pages_by_class(content)["segments overflow"]) // 2 * PAGE_BYTES :]


ENDS = {
    "an inner page": in_pages_of("segments leaf", zeroed),
    "the free list": in_pages_of("free list leaf", noise),
    "the end of the file": half_of_the_pages,
}


@pytest.mark.parametrize("kind", ENDS)
def test_damage_that_ends_a_running_server_is_said_at_the_next_start(whole: Whole, tmp_path: Path, kind: str):
    """LMDB ends a process that meets such a page. R4: started again it says so and serves what is whole, or ends in words:
    nothing is wrong, nothing is written, and it does not die once more.
    """
    data_dir = tmp_path / "data"
    shutil.copytree(whole.data_dir, data_dir, ignore=shutil.ignore_patterns(SOCKET_FILE))
    server = Server(data_dir).start()
    try:
        spoil_in_place(data_dir, ENDS[kind])
        for method, path, body in [
            *(("GET", f"/api/0{path}", None) for path in whole.answers),
            *(("POST", "/api/0/buckets/b3/events", [event(n, "b3")]) for n in range(3)),
        ]:
            try:
                reply = server.request(method, path, body)
            except (http.client.HTTPException, OSError):
                break
            assert reply.status in (200, 500, 503), reply
        assert server.process is not None
        server.kill()
        assert server.process.returncode in (-signal.SIGKILL, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGSEGV)
        server.start(wait=False)
        if starts(server):
            assert "THE STORE IS DAMAGED" in server.log_text()
            read_everything(whole, server)
            assert write_something(server)
            alive(server)
    finally:
        server.kill()
