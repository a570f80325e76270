"""F1 to F6: a full disk refuses writes in words and nothing else; reads and deletions go on; with room again, all does.

On a small file system (tmpfs, ext4 on a loop device), under a limit on the length of files, and under a quota. Mounting
needs root. The quota is strace's: the file may not grow, and what it has may be written, as with the quotas of ext4 and XFS.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.faults.conftest import awlog, digest, verify
from tests.faults.straced import Attached
from tests.server import Server

FIELDS = {"type": "t", "client": "c", "hostname": "h"}
EVENTS = "/api/0/buckets/b/events"
FULL = (507, "InsufficientStorage")
DISK_BYTES = 16 << 20


def event(number: int, size: int = 0) -> dict[str, Any]:
    stamp = f"2024-05-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return {"timestamp": stamp, "duration": 1, "data": {"n": number, "noise": os.urandom(size).hex()}}


MOUNTS = [
    pytest.param("tmpfs", marks=pytest.mark.needs("leave to mount a tmpfs")),
    pytest.param("ext4", marks=pytest.mark.needs("leave to mount a file")),
]


@pytest.fixture(params=MOUNTS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "tmpfs":
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    else:
        image = tmp_path / "image"
        image.touch()
        os.truncate(image, DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        mount = ["mount", "-o", "loop", str(image), str(folder)]
    subprocess.run(mount, check=True)
    (folder / "filler").write_bytes(bytes(1 << 20))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(server: Server) -> list[int]:
    """Writes until the disk is full. The numbers of the events that were acknowledged."""
    kept: list[int] = []
    for first in range(0, 100_000, 50):
        reply = server.request("POST", EVENTS, [event(n, 500) for n in range(first, first + 50)])
        if reply.status != 200:
            assert (reply.status, reply.json()["type"]) == FULL, reply
            return kept
        kept += range(first, first + 50)
    raise AssertionError("the disk is never full")


def fill_by_heartbeats(server: Server) -> list[int]:
    """One by one, until the last free page is used. The numbers of those that were acknowledged."""
    kept: list[int] = []
    for number in range(200_000, 202_000):
        reply = server.request("POST", "/api/0/buckets/b/heartbeat?pulsetime=0", event(number, 1000))
        if reply.status != 200:
            assert (reply.status, reply.json()["type"]) == FULL, reply
            return kept
        kept.append(number)
    raise AssertionError("the disk is never full")


def held(server: Server, bucket: str = "b") -> list[int]:
    return sorted(e["data"]["n"] for e in server.request("GET", f"/api/0/buckets/{bucket}/events").json())


def last_blocks(folder: Path) -> Path:
    """Takes what is left on the disk, to the last block. Removing the file gives it back, and what it held before."""
    filler = folder / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)
    return filler


class Narrow(Protocol):
    """What leaves a server too little room."""

    data_dir: Path
    wrapper: tuple[str, ...]
    """Goes before the command of a server that is to start without room."""

    def take_room(self, server: Server) -> list[int]:
        """Gives the numbers of the events that were acknowledged meanwhile."""
        ...

    def give_room(self) -> None: ...


class FullDisk:
    wrapper = ()

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._folder = folder

    def take_room(self, server: Server) -> list[int]:
        kept = fill(server)
        last_blocks(self._folder)
        return kept

    def give_room(self) -> None:
        (self._folder / "filler").unlink()


class LimitedLength:
    """RLIMIT_FSIZE, which can be raised while the server runs."""

    limit_bytes = 8 << 20
    wrapper = ("prlimit", f"--fsize={limit_bytes}:unlimited")

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._process = 0

    def take_room(self, server: Server) -> list[int]:
        self._process = server.pid
        resource.prlimit(self._process, resource.RLIMIT_FSIZE, (self.limit_bytes, resource.RLIM_INFINITY))
        return fill(server)

    def give_room(self) -> None:
        resource.prlimit(self._process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Quota:
    wrapper = ("strace", "-D", "-f", "-o", "/dev/null", "-e", "inject=fallocate:error=EDQUOT")

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._tracer = contextlib.ExitStack()

    def take_room(self, server: Server) -> list[int]:
        record = self.data_dir.parent / "record"
        file = self.data_dir / "data.mdb"
        self._tracer.enter_context(Attached(server.pid, record, file, "fallocate:error=EDQUOT"))
        return fill(server)

    def give_room(self) -> None:
        self._tracer.close()


@pytest.fixture
def full_disk(disk: Path) -> FullDisk:
    return FullDisk(disk)


@pytest.fixture(params=[LimitedLength, pytest.param(Quota, marks=pytest.mark.needs("strace"))])
def narrow(request: pytest.FixtureRequest, tmp_path: Path) -> Narrow:
    narrow: Narrow = request.param(tmp_path)
    return narrow


def begin(server: Server) -> None:
    """Events to delete, of each way to do that; rules of retention for one of the buckets."""
    for name in ("b", "old", "aged", "small"):
        assert server.request("POST", f"/api/0/buckets/{name}", FIELDS).status == 200
    for name, count in (("old", 2000), ("aged", 300)):
        for first in range(0, count, 100):
            events = [event(n, 500) for n in range(first, first + 100)]
            assert server.request("POST", f"/api/0/buckets/{name}/events", events).status == 200
    assert server.request("POST", "/api/0/buckets/long", FIELDS).status == 200
    long = {**event(0, 200_000), "duration": 600}
    assert server.request("POST", "/api/0/buckets/long/events", [long, event(700)]).status == 200
    rules = [{"bucket_prefix": "aged", "max_events": 1}]
    assert server.request("POST", "/api/0/settings/retention", rules).status == 200


def refuses_what_adds(server: Server, kept: list[int]) -> None:
    """F1, F2, F3: writes that add are refused, and what is there is read; what only makes an event longer is taken."""
    assert held(server) == kept
    assert server.request("GET", "/api/0/info").status == 200
    query = {"query": ['RETURN = query_bucket_eventcount("old");'], "timeperiods": ["2024-01-01/2025-01-01"]}
    assert server.request("POST", "/api/0/query/", query).json() == [2000]
    for method, path, body in (
        ("POST", "/api/0/buckets/more", FIELDS),
        ("POST", "/api/0/settings/more", "x" * 20_000),
        ("POST", "/api/0/tokens", {"name": "more", "scopes": ["read"]}),
        ("POST", "/api/0/import", {"buckets": {"more": {"id": "more", **FIELDS, "events": [event(1, 500)]}}}),
    ):
        reply = server.request(method, path, body)
        assert (reply.status, reply.json()["type"]) == FULL, (path, reply)
    assert server.request("GET", "/readyz").status == 503
    newest = server.request("GET", "/api/0/buckets/aged/events?limit=1").json()[0]
    merged = server.request("POST", "/api/0/buckets/aged/heartbeat?pulsetime=9", {**newest, "duration": 7})
    assert (merged.status, merged.json()["duration"]) == (200, 7)


def deletes(server: Server) -> None:
    """F5: out of the middle of an event, which makes two large ones of it; one event; a stretch; by retention; a bucket."""
    middle = {"start": "2024-05-01T00:04:00Z", "end": "2024-05-01T00:05:00Z"}
    reply = server.request("POST", "/api/0/buckets/long/delete", middle)
    assert (reply.status, reply.json().get("cut")) == (200, 1), reply
    assert len(held(server, "long")) == 3
    one = server.request("GET", "/api/0/buckets/old/events?limit=1").json()[0]["id"]
    assert server.request("DELETE", f"/api/0/buckets/old/events/{one}").status == 200
    stretch = {"start": "2024-05-01T00:00:00Z", "end": "2024-05-01T00:04:00Z"}
    reply = server.request("POST", "/api/0/buckets/old/delete", stretch)
    assert (reply.status, reply.json()["deleted"]) == (200, 240), reply
    assert server.request("POST", "/api/0/retention/run", {}).status == 202
    deadline = time.monotonic() + 30
    while len(held(server, "aged")) > 1:
        assert time.monotonic() < deadline, server.request("GET", "/api/0/jobs").json()
        time.sleep(0.02)
    assert server.request("DELETE", "/api/0/buckets/old?force=1").status == 200


def test_a_full_disk_refuses_writes_and_nothing_else(full_disk: FullDisk):
    """Refused is not kept, acknowledged is not lost; then room is made by deleting; then somebody makes some outside."""
    with Server(full_disk.data_dir, testing=False) as server:
        begin(server)
        kept = full_disk.take_room(server)
        kept += fill_by_heartbeats(server)
        refuses_what_adds(server, kept)
        # S11: whoever asks learns that there is no room, and no path of the machine.
        refused = server.request("POST", "/api/0/admin/compact")
        assert (refused.status, refused.json()["type"]) == FULL, refused
        assert str(full_disk.data_dir).encode() not in refused.body
        deletes(server)
        # What it gave back is used, though the disk is as full as before.
        assert server.request("POST", EVENTS, [event(100_001)]).status == 200
        # F4
        full_disk.give_room()
        assert server.request("POST", EVENTS, [event(n, 500) for n in range(100_002, 100_052)]).status == 200
        kept = sorted([*kept, *range(100_001, 100_052)])
        assert held(server) == kept
        server.kill()
        verify(server.data_dir)
        # F6: LMDB's lock file too finds room, after something that removes it.
        (server.data_dir / "lock.mdb").unlink()
        last_blocks(server.data_dir.parent)
        server.start()
        assert held(server) == kept
        assert server.stop() == 0
        full_disk.give_room()
        before = (server.data_dir / "data.mdb").stat().st_size
        right = digest(server.data_dir)
        done = awlog("compact", "--data-dir", str(server.data_dir))
        if done.returncode:  # there is no room for a second file: nothing changes
            assert "Nothing was compacted" in done.stderr
        else:
            assert (server.data_dir / "data.mdb").stat().st_size < before
        assert digest(server.data_dir) == right


def test_a_file_that_may_not_grow_is_a_full_disk(narrow: Narrow):
    """A limit on the length of files, and a quota: as above, and compacting gives room, as there is some elsewhere."""
    with Server(narrow.data_dir, testing=False) as server:
        begin(server)
        kept = narrow.take_room(server)
        kept += fill_by_heartbeats(server)
        refuses_what_adds(server, kept)
        deletes(server)
        assert server.request("POST", EVENTS, [event(100_001)]).status == 200
        before = (server.data_dir / "data.mdb").stat().st_size
        assert server.request("POST", "/api/0/admin/compact").status == 200
        assert (server.data_dir / "data.mdb").stat().st_size <= before
        assert held(server) == sorted([*kept, 100_001])
        narrow.give_room()
        assert server.request("POST", EVENTS, [event(n, 500) for n in range(100_002, 100_502)]).status == 200
        kept = sorted([*kept, *range(100_001, 100_502)])
        assert held(server) == kept
        server.kill()
        verify(server.data_dir)
        server.wrapper = narrow.wrapper
        server.start()
        assert held(server) == kept
        kept += fill(server)
        assert held(server) == sorted(kept)
        assert server.request("DELETE", "/api/0/buckets/aged?force=1").status == 200
        assert server.stop() == 0
        verify(server.data_dir)


def test_heartbeats_that_have_no_room_do_not_keep_others_waiting(tmp_path: Path):
    """A start without a reserve, on a full disk: each heartbeat is refused, and the store is not read anew for each."""
    with Server(tmp_path / "data", "--reserve-bytes", "0", testing=False) as server:
        assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        assert server.request("POST", EVENTS, [event(n, 500) for n in range(1000)]).status == 200
        assert server.stop() == 0
        size_bytes = (server.data_dir / "data.mdb").stat().st_size
        server.args, server.wrapper = (), ("prlimit", f"--fsize={size_bytes}:unlimited")
        server.start()
        newest = server.request("GET", "/api/0/buckets/b/events?limit=1").json()[0]
        for duration in range(3, 9):
            beat = {**newest, "duration": duration}
            reply = server.request("POST", "/api/0/buckets/b/heartbeat?pulsetime=9", beat)
            assert (reply.status, reply.json()["type"]) == FULL, reply
        assert held(server) == list(range(1000))
        assert b"\nawlog_failed_commits_total 2.0\n" in server.request("GET", "/metrics").body
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert server.request("POST", "/api/0/buckets/b/heartbeat?pulsetime=9", beat).json()["duration"] == 8


def test_a_first_start_on_a_full_disk_says_so(disk: Path):
    """Exit status 3, one message; with room it starts."""
    filler = last_blocks(disk)
    server = Server(disk / "data")
    server.log_path = disk.parent / "server.log"
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(30) == 3
    assert "Traceback" not in server.log_text()
    assert "No space left on device" in server.log_text()
    filler.unlink()
    server.start()
    assert server.stop() == 0


def test_a_backup_to_a_full_disk_leaves_the_last_one(tmp_path: Path, disk: Path):
    """And nothing half made."""
    with Server(tmp_path / "data") as server:
        assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        file = disk / "one.mdb"
        assert awlog("backup", str(file), "--data-dir", str(server.data_dir)).returncode == 0
        good = file.read_bytes()
        last_blocks(disk)
        done = awlog("backup", str(file), "--data-dir", str(server.data_dir))
        assert done.returncode == 3
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr
        assert file.read_bytes() == good
        assert sorted(path.name for path in disk.iterdir() if path.name != "lost+found") == ["filler", "one.mdb"]
