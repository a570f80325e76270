"""U1, U2, U3: a store of an older format is upgraded by the server that meets it, or is as it was, whenever that is killed.

The newer awlog is this one with a step of the tests' in its table (`tests/next_format`), in every process that it starts.
AWLOG_TEST_UPGRADE_KILLS sets how often it is killed (default 20).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from awlog.storage import layout
from awlog.storage.environment import DATA_FILE, stored_format
from awlog.storage.pages import PageFile
from awlog.storage.upgrade import SNAPSHOTS_FOLDER, rows_digest
from tests.faults.conftest import Note, awlog, digest, verify
from tests.server import Server

KILLS = int(os.environ.get("AWLOG_TEST_UPGRADE_KILLS") or 20)
OLD, NEW = layout.FORMAT_VERSION, layout.FORMAT_VERSION + 1
NEWER_AWLOG = {"PYTHONPATH": str(Path(__file__).parents[1] / "next_format")}
FIELDS = {"type": "t", "client": "c", "hostname": "h"}
EVENTS = 17_003
PAGE_BYTES = 4096
# Of the calls of an upgrade those around the moment at which the new file takes its place.
LAST = 6
# What changes files and names: between any two of these calls the disk is as it will be found.
CALLS = ("pwrite64", "pwritev", "write", "fsync", "fdatasync", "mkdir", "rename", "unlink", "ftruncate")


def events(count: int) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": f"2024-05-{1 + n // 86400:02}T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z",
            "duration": 0.5,
            "data": {"app": f"app {n % 7}", "title": f"title {n % 301}"},
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sealed segments, heads and tail records, a setting, a tombstone and a token, of today's format."""
    data_dir = tmp_path_factory.mktemp("old") / "data"
    with Server(data_dir, "--reserve-bytes", "0") as server:
        for bucket in ("a", "b", "gone"):
            assert server.request("POST", f"/api/0/buckets/{bucket}", FIELDS).status == 200
        for bucket in ("a", "b"):
            assert server.request("POST", f"/api/0/buckets/{bucket}/events", events(17_000)).status == 200
            for n in range(20):
                beat = {"timestamp": f"2024-06-01T10:00:{n:02}Z", "duration": 0, "data": {"n": n // 7}}
                path = f"/api/0/buckets/{bucket}/heartbeat?pulsetime=5"
                assert server.request("POST", path, beat).status == 200
        assert server.request("DELETE", "/api/0/buckets/gone?force=1").status == 200
        assert server.request("POST", "/api/0/settings/theme", "dark").status == 200
        made = server.request("POST", "/api/0/tokens", {"scopes": ["admin"]}).json()
        data_dir.with_name("secret").write_text(made["secret"])
        assert server.stop() == 0
    return data_dir


@pytest.fixture(scope="module")
def token(old_store: Path) -> dict[str, str]:
    """The header of whoever made the old store."""
    return {"Authorization": f"Bearer {old_store.with_name('secret').read_text()}"}


@pytest.fixture
def data_dir(tmp_path: Path, old_store: Path) -> Path:
    """A copy of the old store."""
    return shutil.copytree(old_store, tmp_path / "data")


def newer_server(data_dir: Path, *args: str, **env: str) -> Server:
    return Server(data_dir, "--reserve-bytes", "0", *args, env={**NEWER_AWLOG, **env})


def newer_awlog(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "awlog", *args]
    env = {**os.environ, **NEWER_AWLOG, **env}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


def newer_digest(data_dir: Path) -> str:
    """Of the whole logical state: the same for the same content, whichever format it is in."""
    done = newer_awlog("verify", "--digest", "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def snapshots(data_dir: Path) -> list[Path]:
    return sorted((data_dir / SNAPSHOTS_FOLDER).iterdir()) if (data_dir / SNAPSHOTS_FOLDER).exists() else []


def refusal(data_dir: Path, **env: str) -> str:
    """What a newer server says that refuses to start."""
    server = newer_server(data_dir, **env).start(wait=False)
    assert server.process is not None
    assert server.process.wait(30) == 3, server.log_text()
    assert "Traceback" not in server.log_text()
    return server.log_text()


def test_a_server_upgrades_an_older_store_and_keeps_a_snapshot(
    data_dir: Path, tmp_path: Path, old_store: Path, token: dict[str, str]
):
    """Every event is there, found and counted; the log names the snapshot, which the older awlog restores as it was."""
    with newer_server(data_dir) as server:
        assert stored_format(data_dir) == NEW
        assert server.request("GET", "/api/0/buckets/a/events/count", headers=token).json() == EVENTS
        held = server.request("GET", "/api/0/buckets/b/events", headers=token).json()
        assert [event["data"] for event in held[::-1][:-3]] == [event["data"] for event in events(17_000)]
        beat = {"timestamp": "2024-06-01T10:00:21Z", "duration": 0, "data": {"n": 2}}
        grown = server.request("POST", "/api/0/buckets/a/heartbeat?pulsetime=5", beat, headers=token)
        assert grown.json()["duration"] == 7
        [snapshot] = snapshots(data_dir)
        assert str(snapshot) in server.log_text()
        assert server.stop() == 0
    assert rows_digest(snapshot) == rows_digest(old_store / DATA_FILE)
    assert awlog("restore", str(snapshot), "--data-dir", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back") == digest(old_store)


def test_a_backup_of_an_older_format_is_restored(tmp_path: Path, old_store: Path):
    assert awlog("backup", str(tmp_path / "backup"), "--data-dir", str(old_store)).returncode == 0
    restored = newer_awlog("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "data"))
    assert restored.returncode == 0, restored.stderr
    assert stored_format(tmp_path / "data") == NEW
    assert newer_digest(tmp_path / "data") == digest(old_store)


@pytest.mark.parametrize(
    "command",
    ["verify", "export", "token create --scope read", "backup new"],
)
def test_other_commands_say_what_to_do_with_an_older_format(data_dir: Path, command: str, monkeypatch, tmp_path: Path):
    """They touch nothing: only a server upgrades."""
    monkeypatch.chdir(tmp_path)
    before = (data_dir / DATA_FILE).read_bytes()
    done = newer_awlog(*command.split(), "--data-dir", str(data_dir))
    assert done.returncode == 3, done.stdout
    assert re.fullmatch(rf"awlog cannot start: .*format {OLD}\b.*format {NEW}\b.*`awlog serve`.*\n", done.stderr)
    assert (data_dir / DATA_FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("mistake", ["raises", "loses"])
def test_a_step_that_fails_leaves_the_old_store(data_dir: Path, mistake: str):
    """Half of the segments were rewritten, in a copy; or it lost one and said nothing."""
    before = (data_dir / DATA_FILE).read_bytes()
    assert f"format {OLD}, and cannot be upgraded to format {NEW}" in refusal(data_dir, AWLOG_TEST_STEP=mistake)
    assert (data_dir / DATA_FILE).read_bytes() == before
    verify(data_dir)
    assert not list(data_dir.glob(".*making*"))


@pytest.mark.parametrize("damage", ["a flipped bit in a segment", "a page of zeros"])
def test_a_damaged_store_is_not_upgraded(data_dir: Path, damage: str):
    """Neither what fails its checksum nor what ends the process that reads it."""
    pages = PageFile(data_dir / DATA_FILE)
    root = pages.tables(lambda _page: None)[layout.SEGMENTS]
    segment = pages.value(next(pages.nodes(root, lambda _page: None)))
    pages.close()
    file = bytearray((data_dir / DATA_FILE).read_bytes())
    if damage == "a page of zeros":
        file[root * PAGE_BYTES : (root + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
    else:
        file[file.index(segment) + 100] ^= 1
    (data_dir / DATA_FILE).write_bytes(file)
    said = refusal(data_dir)
    assert re.search(
        rf"format {OLD}, and cannot be upgraded to format {NEW}: .*It is as it was\. .*`awlog repair`", said
    )
    assert (data_dir / DATA_FILE).read_bytes() == bytes(file)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 640 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_an_upgrade_that_may_not_keep_a_snapshot_says_why(data_dir: Path):
    """It is no question of room."""
    (data_dir / SNAPSHOTS_FOLDER).write_text("somebody's file")
    before = (data_dir / DATA_FILE).read_bytes()
    said = refusal(data_dir)
    assert f"is not possible: {data_dir / SNAPSHOTS_FOLDER}: File exists. Nothing was changed. Mend that" in said
    assert "room" not in said
    assert (data_dir / DATA_FILE).read_bytes() == before


@pytest.mark.needs("leave to mount a tmpfs")
@pytest.mark.parametrize("free_bytes", [16_384, 100_000])
def test_a_full_disk_refuses_the_upgrade_and_touches_nothing(small_disk: Path, old_store: Path, free_bytes: int):
    """Whether not even the snapshot has room, or what is made of it has none; with more room the next start does it."""
    data_dir = shutil.copytree(old_store, small_disk / "data")
    before = (data_dir / DATA_FILE).read_bytes()
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(free - free_bytes))
    said = refusal(data_dir)
    assert f"format {OLD} and must be upgraded to format {NEW}" in said
    assert "No space left on device. Nothing was changed. Make room there" in said
    assert (data_dir / DATA_FILE).read_bytes() == before
    (small_disk / "filler").unlink()
    with newer_server(data_dir):
        assert stored_format(data_dir) == NEW


@pytest.mark.needs("strace")
def test_an_upgrade_that_is_killed_leaves_the_old_store_or_the_new_one(
    tmp_path: Path, old_store: Path, seed: int, note: Note
):
    """Killed as it enters a call that changes the disk, at every stage; then started again."""
    random = Random(seed)
    data_dir = shutil.copytree(old_store, tmp_path / "whole")
    old_rows = rows_digest(data_dir / DATA_FILE)
    moments = _calls_of_an_upgrade(data_dir)
    new_rows = rows_digest(data_dir / DATA_FILE)
    content = newer_digest(data_dir)
    assert content == digest(old_store)
    assert new_rows != old_rows
    last = len(moments) - LAST
    killed: list[Path] = []
    for at in [*sorted(random.sample(range(last), KILLS - LAST)), *range(last, len(moments))]:
        call, when = moments[at]
        data_dir = shutil.copytree(old_store, tmp_path / f"killed {at}")
        server = newer_server(data_dir)
        server.wrapper = _strace(f"inject={call}:signal=SIGKILL:when={when}")
        server.start(wait=False)
        assert server.process is not None
        assert server.process.wait(30) == -9, server.log_text()
        found = stored_format(data_dir)
        assert rows_digest(data_dir / DATA_FILE) == (new_rows if found == NEW else old_rows), moments[at]
        killed.append(data_dir)
    formats = [stored_format(data_dir) for data_dir in killed]
    note(
        f"{KILLS} kills at {len(moments)} calls: {formats.count(OLD)} times the old store, {formats.count(NEW)} the new"
    )
    assert set(formats) == {OLD, NEW}
    for data_dir in (killed[KILLS // 4], killed[KILLS // 2], killed[formats.index(NEW)]):
        with newer_server(data_dir) as server:
            assert server.stop() == 0
        assert newer_digest(data_dir) == content
        assert len(snapshots(data_dir)) == 1
        assert f'"format_version":{NEW},' in (data_dir / "identity.json").read_text()
        assert not [path for path in data_dir.rglob("*") if "making" in path.name]


def _strace(expression: str, trace: str = "/dev/null") -> tuple[str, ...]:
    # Not its children: they read. And strace is the child, so that the server is ours to wait for.
    return "strace", "-D", "--seccomp-bpf", "-o", trace, "-e", expression


def _calls_of_an_upgrade(data_dir: Path) -> list[tuple[str, int]]:
    """Upgrades a store, and gives each call on the way that changes the disk: its name, and which of that name it is."""
    trace = data_dir.parent / "trace"
    server = newer_server(data_dir)
    server.wrapper = _strace("trace=" + ",".join(CALLS), str(trace))
    with server:
        assert server.stop() == 0
    counts = Counter[str]()
    calls: list[tuple[str, int]] = []
    begun = False
    for line in trace.read_text().splitlines():
        call = line.partition("(")[0]
        counts[call] += 1
        begun = begun or (call == "mkdir" and SNAPSHOTS_FOLDER in line)
        if begun:
            calls.append((call, counts[call]))
        if call == "rename" and f'"{data_dir}/identity.json"' in line:
            break
    return calls
