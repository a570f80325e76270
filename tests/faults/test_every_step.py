"""D2, D5, D7 at every step of a commit: each call by which a write reaches the disk fails once, for each kind of write.

First the calls of one such write are counted, then each of them is made to fail in turn: the write is refused and nothing of
it is kept, or it is acknowledged and kept; the same write is good a moment later; a crash at the end changes nothing. By
default two of them, each with one of the errors; AWLOG_TEST_EVERY_STEP=1 takes all of them, with all errors.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.conftest import Note, digest, verify
from tests.faults.straced import Attached
from tests.faults.test_full_disk import FIELDS, event
from tests.faults.trace import read_record
from tests.server import Reply, Server

pytestmark = pytest.mark.needs("strace")

EVERY_STEP = bool(os.environ.get("AWLOG_TEST_EVERY_STEP"))
# All that writes or syncs a file, or changes a name; the server writes to its connections by others.
CALLS = ("pwrite64", "pwritev", "writev", "fdatasync", "fsync", "ftruncate", "rename", "unlink")
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS")
NEVER = "when=65535"
REFUSALS = {503: "Unavailable", 507: "InsufficientStorage"}
KEY = "a key that is long enough"


@dataclass
class Subject:
    """A server with something of everything in it, and the number of the next write: no two are equal."""

    server: Server
    number: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        return self.server.request(method, f"/api/0{path}", body, headers={"Authorization": f"Bearer {KEY}"})

    def state(self) -> list[Any]:
        """All that a write can change, but ids."""
        return [self.ask("GET", path).json() for path in ("/export", "/settings", "/tokens")]

    def bucket(self, number: int, count: int) -> str:
        """A new one with so many events."""
        assert self.ask("POST", f"/buckets/d{number}", FIELDS).status == 200
        assert self.ask("POST", f"/buckets/d{number}/events", [at(n) for n in range(count)]).status == 200
        return f"d{number}"

    def token(self, number: int) -> str:
        made = self.ask("POST", "/tokens", {"name": f"r{number}", "scopes": ["read"]})
        assert made.status == 200, made
        return str(made.json()["token"]["id"])

    def tidy(self) -> None:
        """What was made on the way goes, so that the state stays small."""
        for bucket in self.ask("GET", "/buckets/").json().keys() - set(BUCKETS):
            assert self.ask("DELETE", f"/buckets/{bucket}?force=1").status == 200

    def newest_id(self, bucket: str) -> int:
        return int(self.ask("GET", f"/buckets/{bucket}/events?limit=1").json()[0]["id"])


BUCKETS = ("b", "merged", "old")
Write = Callable[[Subject, int], tuple[str, str, Any]]


def at(number: int, **more: Any) -> dict[str, Any]:
    return {**event(number, 20), **more}


def range_of(number: int) -> dict[str, str]:
    return {"start": at(number)["timestamp"], "end": at(number + 5)["timestamp"]}


def imported(number: int) -> dict[str, Any]:
    return {"buckets": {f"i{number}": {"id": f"i{number}", **FIELDS, "events": [at(n) for n in range(20)]}}}


KINDS: dict[str, Write] = {
    "heartbeat that is new": lambda _, n: ("POST", "/buckets/b/heartbeat?pulsetime=0", at(50_000 + n)),
    "heartbeat that merges": lambda _, n: (
        "POST", "/buckets/merged/heartbeat?pulsetime=60", {**at(n), "duration": 1, "data": {}}
    ),
    "insert": lambda _, n: ("POST", "/buckets/b/events", [at(100 * n + k) for k in range(50)]),
    "insert in segments": lambda s, n: (
        "POST", f"/buckets/{s.bucket(n, 1)}/events", [at(n + k) for k in range(8_200)]
    ),
    # Of two commits: the records that are too many are sealed by themselves.
    "insert that has records sealed": lambda s, n: (
        "POST", f"/buckets/{s.bucket(n, 8_190)}/events", [at(n + k) for k in range(10)]
    ),
    "replace": lambda s, n: ("POST", "/buckets/b/events", [at(n, id=s.newest_id("b"))]),
    "delete an event": lambda s, _: ("DELETE", f"/buckets/b/events/{s.newest_id('b')}", None),
    "erase a range": lambda _, n: ("POST", "/buckets/old/delete", range_of(6 * n)),
    "create a bucket": lambda _, n: ("POST", f"/buckets/n{n}", FIELDS),
    "update a bucket": lambda _, n: ("PUT", "/buckets/b", {"client": f"c{n}"}),
    "delete a bucket": lambda s, n: ("DELETE", f"/buckets/{s.bucket(n, 500)}?force=1", None),
    "import": lambda _, n: ("POST", "/import", imported(n)),
    "set a setting": lambda _, n: ("POST", f"/settings/s{n}", {"n": n}),
    "create a token": lambda _, n: ("POST", "/tokens", {"name": f"t{n}", "scopes": ["read"]}),
    "revoke a token": lambda s, n: ("DELETE", f"/tokens/{s.token(n)}", None),
    "compact": lambda _s, _n: ("POST", "/admin/compact", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    server = Server(tmp_path_factory.mktemp("steps") / "data", "--api-key", KEY)
    with server:
        subject = Subject(server)
        for bucket in BUCKETS:
            assert subject.ask("POST", f"/buckets/{bucket}", FIELDS).status == 200
        for bucket in ("b", "old"):
            assert subject.ask("POST", f"/buckets/{bucket}/events", [at(n) for n in range(3_000)]).status == 200
        yield subject


def calls_of(subject: Subject, write: Write, record: Path) -> dict[str, int]:
    """How often a thread makes each call in such a write."""
    asked = write(subject, subject.number)
    with Attached(subject.server.pid, record, None, *(f"{call}:error=EIO:{NEVER}" for call in CALLS)):
        assert subject.ask(*asked).status == 200
    subject.number += 1
    counted = Counter((call.name, call.thread) for call in read_record(record))
    return {name: max(count for (one, _), count in counted.items() if one == name) for name, _ in counted}


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails_refuses_the_write_and_nothing_else(
    subject: Subject, kind: str, tmp_path: Path, seed: int, note: Note
):
    write, server, random = KINDS[kind], subject.server, Random(seed)
    counts = calls_of(subject, write, tmp_path / "record")
    assert counts.keys() & {"fdatasync", "fsync"}, counts
    outcomes: Counter[str] = Counter()
    for call in sorted(counts) if EVERY_STEP else random.sample(sorted(counts), min(2, len(counts))):
        count = counts[call]
        steps = range(1, count + 1) if EVERY_STEP else [random.randint(1, count)]
        for step in steps:
            for error in ERRORS if EVERY_STEP else [random.choice(ERRORS)]:
                outcomes[one_fault(subject, write, f"{call}:error={error}:when={step}", tmp_path)] += 1
                subject.tidy()
    note(f"{counts}: {dict(outcomes)}")
    subject.outcomes.update(outcomes)
    left = [path.name for path in server.data_dir.iterdir() if "making" in path.name]
    assert not left, left
    if EVERY_STEP:
        crash(subject)


def test_a_crash_after_all_these_changes_nothing(subject: Subject):
    """What was refused is not there now either."""
    assert subject.outcomes["refused"] >= len(KINDS) // 2, subject.outcomes
    crash(subject)


def crash(subject: Subject) -> None:
    server, state = subject.server, subject.state()
    right = digest(server.data_dir)
    server.kill()
    verify(server.data_dir)
    server.start()
    assert (digest(server.data_dir), subject.state()) == (right, state)


def one_fault(subject: Subject, write: Write, fault: str, tmp_path: Path) -> str:
    asked = write(subject, subject.number)
    before = subject.state()
    subject.number += 1
    reply = None
    with Attached(subject.server.pid, tmp_path / "record", None, fault), contextlib.suppress(OSError):
        reply = subject.ask(*asked)
    if reply is None:
        return started_again(subject, before, fault)
    if (
        reply.status == 200
    ):  # a deletion that found no room was tried again by itself, a file that has no name is nobody's
        is_met = any("INJECTED" in call.returned for call in read_record(tmp_path / "record"))
        return "acknowledged" if is_met else "not met"
    assert reply.json()["type"] == REFUSALS.get(reply.status), (fault, reply)
    assert subject.state() == before, f"{fault}: refused and kept"
    again = subject.ask(*asked)
    assert again.status == 200, (fault, again)
    return "refused"


def started_again(subject: Subject, before: list[Any], fault: str) -> str:
    """Only whoever cannot know which of two files a power cut would leave may end."""
    server = subject.server
    assert server.process is not None
    assert server.process.wait(30) == 1, fault
    assert "stopping" in server.log_text()
    server.start()
    assert subject.state() == before, fault
    return "ended"
