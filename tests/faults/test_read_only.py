"""F on a read-only file system, from the start or of a sudden: what is there is served, what is to be written refused.

Mounting needs root; so does breaking a file system, which is how one becomes read-only under a server that writes.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import awlog, digest, verify
from tests.faults.test_full_disk import EVENTS, FIELDS, FULL, event, held
from tests.server import Reply, Server, free_port

COUNT = 200
QUERY = {"query": ['RETURN = query_bucket_eventcount("b");'], "timeperiods": ["2024-01-01/2025-01-01"]}
REFUSED_WRITES = [
    ("POST", EVENTS, [event(1)]),
    ("POST", "/api/0/buckets/b/heartbeat?pulsetime=60", event(COUNT)),
    ("POST", "/api/0/settings/new", 1),
    ("DELETE", "/api/0/buckets/b?force=1", None),
    ("POST", "/api/0/admin/compact", None),
]


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def begin(server: Server) -> None:
    assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
    assert server.request("POST", EVENTS, [event(n, 50) for n in range(COUNT)]).status == 200


def reads_only(server: Server) -> None:
    """All is read, also by a reader process; every write is refused with the cause, and nothing of it is kept."""
    for method, path, body in REFUSED_WRITES:
        reply = server.request(method, path, body)
        assert (reply.status, reply.json()["type"]) == FULL, (path, reply)
        assert "read-only" in reply.json()["message"].lower()
    assert held(server) == list(range(COUNT))
    assert server.request("POST", "/api/0/query/", QUERY).json() == [COUNT]
    ready = server.request("GET", "/readyz")
    assert ready.status == 503
    assert b"read-only" in ready.body


def when_writable(server: Server) -> Reply:
    deadline = time.monotonic() + 20
    while (reply := server.request("POST", EVENTS, [event(COUNT)])).status != 200:
        assert time.monotonic() < deadline, reply
        time.sleep(0.05)
    return reply


@pytest.mark.needs("leave to mount a tmpfs")
def test_a_start_on_a_read_only_file_system_serves_reads_and_records_when_it_can(memory_disk: Path, tmp_path: Path):
    """F6, F4: the commands that only read work there too, a second server is refused, and nobody restarts anything."""
    server = Server(memory_disk / "data", testing=False)
    server.log_path = tmp_path / "server.log"
    with server:
        begin(server)
        server.kill()  # and its socket stays where it is
    whole = digest(server.data_dir)
    remount(memory_disk, "ro")
    where = ["--data-dir", str(server.data_dir)]
    verify(server.data_dir)
    for command in (["export", "-o", str(tmp_path / "all.json")], ["backup", str(tmp_path / "all.mdb")]):
        done = awlog(*command, *where)
        assert done.returncode == 0, done.stderr
    done = awlog("compact", *where)
    assert done.returncode == 3
    assert "Read-only file system" in done.stderr
    with server.start():
        assert "THE FILE SYSTEM IS READ-ONLY" in server.log_text()
        reads_only(server)
        assert digest(server.data_dir) == whole
        second = awlog("serve", *where, "--port", str(free_port()))
        assert second.returncode == 3
        assert "Another awlog server" in second.stderr
        remount(memory_disk, "rw")
        when_writable(server)
        assert server.request("GET", "/readyz").status == 200
        assert held(server) == list(range(COUNT + 1))
        assert server.request("POST", "/api/0/query/", QUERY).json() == [COUNT + 1], (
            "by a process that takes a slot now"
        )
        server.kill()
    verify(server.data_dir)
    with server.start():
        assert held(server) == list(range(COUNT + 1))


@pytest.fixture
def fragile_disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An ext4 that becomes read-only at the first error, and the file that makes one."""
    folder, image = tmp_path / "disk", tmp_path / "image"
    folder.mkdir()
    image.touch()
    os.truncate(image, 64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(folder)], check=True)
    device = subprocess.run(
        ["findmnt", "-no", "SOURCE", str(folder)], capture_output=True, text=True, check=True
    ).stdout
    yield folder, Path("/sys/fs/ext4") / Path(device.strip()).name / "trigger_fs_error"
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs("leave to break a file system")
def test_a_file_system_that_becomes_read_only_stops_writes_and_nothing_else(
    fragile_disk: tuple[Path, Path], tmp_path: Path
):
    """F1 to F3: what was acknowledged is there when the file system was looked after; a stop is a clean one."""
    folder, trigger = fragile_disk
    server = Server(folder / "data", testing=False)
    server.log_path = tmp_path / "server.log"
    with server:
        begin(server)
        trigger.write_text("on purpose")
        for _ in range(2):
            reads_only(server)
        assert server.stop() == 0
        assert "Traceback" not in server.log_text()
        subprocess.run(["umount", str(folder)], check=True)
        subprocess.run(["e2fsck", "-fy", str(tmp_path / "image")], capture_output=True, check=False)
        subprocess.run(["mount", "-o", "loop", str(tmp_path / "image"), str(folder)], check=True)
        verify(server.data_dir)
        server.start()
        assert held(server) == list(range(COUNT))
        assert when_writable(server).status == 200
