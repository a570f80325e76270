"""F1 to F6: a full disk refuses writes in words and nothing else; reads and deletions go on; with room again, all does.

On a small file system (tmpfs, ext4 on a loop device), and under a limit on the length of files. Mounting needs root.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import awlog, digest, verify
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


def test_a_full_disk_refuses_writes_and_nothing_else(disk: Path):
    """Refused is not kept, acknowledged is not lost; then room is made by deleting; then somebody makes some outside."""
    with Server(disk / "data", testing=False) as server:
        for name in ("b", "old", "small"):
            assert server.request("POST", f"/api/0/buckets/{name}", FIELDS).status == 200
        for first in range(0, 2000, 100):
            events = [event(n, 500) for n in range(first, first + 100)]
            assert server.request("POST", "/api/0/buckets/old/events", events).status == 200
        kept = fill(server)
        filler = last_blocks(disk)
        # F1, F3: heartbeats too, when the free pages of the file are used up.
        kept += fill_by_heartbeats(server)
        # F2
        assert held(server) == kept
        assert server.request("GET", "/api/0/info").status == 200
        query = {"query": ['RETURN = query_bucket_eventcount("old");'], "timeperiods": ["2024-01-01/2025-01-01"]}
        assert server.request("POST", "/api/0/query/", query).json() == [2000]
        # S11: whoever asks learns that there is no room, and no path of the machine.
        refused = server.request("POST", "/api/0/admin/compact")
        assert (refused.status, refused.json()["type"]) == FULL, refused
        assert str(disk).encode() not in refused.body
        # F5
        one = server.request("GET", "/api/0/buckets/old/events?limit=1").json()[0]["id"]
        assert server.request("DELETE", f"/api/0/buckets/old/events/{one}").status == 200
        assert server.request("DELETE", "/api/0/buckets/old?force=1").status == 200
        # What it gave back is used, though the disk is as full as before.
        assert server.request("POST", EVENTS, [event(100_001)]).status == 200
        # F4
        filler.unlink()
        assert server.request("POST", EVENTS, [event(n, 500) for n in range(100_002, 100_052)]).status == 200
        kept = sorted([*kept, *range(100_001, 100_052)])
        assert held(server) == kept
        server.kill()
        verify(server.data_dir)
        # F6
        (disk / "filler").write_bytes(bytes(4096))
        last_blocks(disk)
        server.start()
        assert held(server) == kept
        assert server.stop() == 0
        (disk / "filler").unlink()
        before = (server.data_dir / "data.mdb").stat().st_size
        right = digest(server.data_dir)
        done = awlog("compact", "--data-dir", str(server.data_dir))
        if done.returncode:  # there is no room for a second file: nothing changes
            assert "Nothing was compacted" in done.stderr
        else:
            assert (server.data_dir / "data.mdb").stat().st_size < before
        assert digest(server.data_dir) == right


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


def test_a_limit_on_the_length_of_files_is_a_full_disk(tmp_path: Path):
    """RLIMIT_FSIZE: raised while the server runs, writes go on."""
    with Server(tmp_path / "data") as server:
        assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        assert server.request("POST", "/api/0/buckets/gone", FIELDS).status == 200
        events = [event(n, 500) for n in range(500)]
        assert server.request("POST", "/api/0/buckets/gone/events", events).status == 200
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (6 << 20, resource.RLIM_INFINITY))
        kept = fill(server)
        assert held(server) == kept
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert server.request("POST", EVENTS, [event(n, 500) for n in range(100_002, 100_502)]).status == 200
        assert held(server) == [*kept, *range(100_002, 100_502)]
        server.kill()
        verify(server.data_dir)
