"""B: backups of a server under load are each one moment of it; one that is killed half-way harms nothing.

AWLOG_TEST_BACKUPS sets how many backups are made under load (default 2).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Note, awlog, digest
from tests.faults.load import Load, Shared, SharedBeat, SharedInsert, Writer
from tests.faults.model import Ids, World, difference
from tests.server import Server

BACKUPS = int(os.environ.get("AWLOG_TEST_BACKUPS") or 2)
FIELDS = {"type": "t", "client": "c", "hostname": "h"}


def back_up(data_dir: Path, file: Path) -> None:
    done = awlog("backup", str(file), "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr


def restored(file: Path, data_dir: Path) -> Server:
    done = awlog("restore", str(file), "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr
    return Server(data_dir).start()


def answered_counts(load: Load) -> list[int]:
    """How many requests of each writer have been answered. One more may be in the store, its answer on the way."""
    return [len(writer.log or []) for writer in load.writers]


def moment_of(load: Load, server: Server, before: list[int], after: list[int]) -> Load:
    """The load as it was when the backup was made: for each writer the first moment, between the two ends of the backup,
    at which its world is what the server holds. Raises AssertionError if there is none.
    """
    moment = Load(0, writers=0)
    for writer, least, most, world in zip(load.writers, before, after, load.observed(server), strict=True):
        count = moment_of_one(writer, least, most, world)
        assert count is not None, f"{writer.name} was never, from {least} to {most}, as the backup has it"
        moment.writers.append(writer.rewound(count, moment.shared, moment.ids))
        # Requests to the buckets of all leave no trace in a writer's own: each of these may be there, as a whole.
        for sent in (writer.log or [])[count : most + 1]:
            if isinstance(sent.operation, SharedInsert):
                moment.shared.undecided_batches.append(list(sent.operation.events))
            elif isinstance(sent.operation, SharedBeat):
                moment.shared.beats_sent[sent.operation.beat] += 1
    moment.join()
    return moment


def moment_of_one(writer: Writer, least: int, most: int, world: World) -> int | None:
    """After how many requests, of at least `least` and at most `most`, the writer's world was this one."""
    assert writer.log is not None
    replayed = writer.rewound(least, Shared(), Ids())
    for count in range(least, most + 1):
        if not difference(replayed.world, world):
            return count
        if count < len(writer.log):
            replayed.replay(writer.log[count])
    return None


def test_backups_under_load_are_each_one_moment(tmp_path: Path, seed: int, note: Note):
    """Restored and started, each holds all that was acknowledged before it began, and whole requests only."""
    load = Load(seed, writers=6, big=1)
    made = []
    with Server(tmp_path / "data") as server:
        load.prepare(server)
        load.keep_logs()
        load.start(server)
        for number in range(BACKUPS):
            load.wait_for(150)
            before = answered_counts(load)
            back_up(server.data_dir, tmp_path / f"{number}.mdb")
            made.append((tmp_path / f"{number}.mdb", before, [count + 1 for count in answered_counts(load)]))
        load.wait_for(50)
        load.stop()
        load.join()
    assert not load.refused, "a backup is in nobody's way"
    for file, before, after in made:
        with restored(file, tmp_path / f"from {file.stem}") as server:
            moment = moment_of(load, server, before, after)
            moment.check(server)
            note(
                f"{file.stat().st_size:,} bytes, {moment.acknowledged} of {load.acknowledged} acknowledged writes in it"
            )


# Where a backup dies: as it writes the copy, syncs it, and renames it to its place.
MOMENTS = {"writev": "1", "fdatasync": "1", "fsync": "1", "rename": "1+"}


@pytest.mark.needs("strace")
def test_a_backup_that_is_killed_half_way_leaves_the_last_one(tmp_path: Path):
    """And the next one removes what it left."""
    file = tmp_path / "folder" / "one.mdb"
    file.parent.mkdir()
    with Server(tmp_path / "data") as server:
        assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        back_up(server.data_dir, file)
        good = file.read_bytes()
        events = [{"timestamp": f"2024-05-01T10:{n // 60 % 60:02}:{n % 60:02}Z", "data": {"n": n}} for n in range(9000)]
        assert server.request("POST", "/api/0/buckets/b/events", events).status == 200
        command = [sys.executable, "-m", "awlog", "backup", str(file), "--data-dir", str(server.data_dir)]
        for call, when in MOMENTS.items():
            inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"]
            strace = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", *inject]
            killed = subprocess.run([*strace, *command], capture_output=True, check=False)
            assert b"SIGKILL" in killed.stderr or killed.returncode in (-signal.SIGKILL, 137), (call, killed.stderr)
            assert file.read_bytes() == good
        back_up(server.data_dir, file)
        assert [path.name for path in file.parent.iterdir()] == ["one.mdb"]
        right = digest(server.data_dir)
    with restored(file, tmp_path / "restored") as server:
        assert digest(server.data_dir) == right


def test_the_server_makes_backups_where_it_is_told_to(tmp_path: Path):
    """By the clock and on demand; names lead nowhere else; the newest few are kept."""
    folder = tmp_path / "backups"
    flags = ("--backup-dir", str(folder), "--backup-interval-s", "0.2", "--backup-keep", "2")
    with Server(tmp_path / "data", *flags) as server:
        assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        asked = server.request("POST", "/api/0/admin/backup", {"name": "mine.mdb"})
        assert asked.status == 200, asked
        assert asked.json() | {"made": "", "bytes": 0} == {
            "file": "mine.mdb", "bytes": 0, "buckets": 1, "events": 0, "digest": digest(server.data_dir), "made": "",
        }  # fmt: skip
        for name in ("../out", "/tmp/out", ".hidden", "a/b", "", "x" * 101, 5):
            refused = server.request("POST", "/api/0/admin/backup", {"name": name})
            assert refused.status == 400, (name, refused)
        seen: set[str] = set()
        while len(seen) < 3:  # one a second at most, for each has its time for a name
            seen |= {path.name for path in folder.glob("awlog-*.mdb")}
        assert server.stop() == 0
    assert len(list(folder.glob("awlog-*Z.mdb"))) <= 3, "two are kept, beside the one that was being made"
    assert (folder / "mine.mdb").exists(), "what somebody asked for is not removed"
    with restored(sorted(folder.glob("awlog-*Z.mdb"))[0], tmp_path / "restored") as again:
        assert list(again.request("GET", "/api/0/buckets/").json()) == ["b"]


def test_without_a_backup_directory_the_refusal_names_the_setting(tmp_path: Path):
    with Server(tmp_path / "data") as server:
        refused = server.request("POST", "/api/0/admin/backup")
        assert refused.status == 400
        assert "backup_dir" in refused.json()["message"]


def test_a_backup_that_fails_tells_no_path_of_the_machine(tmp_path: Path):
    """S11: the answer names the setting, and the log the directory."""
    (tmp_path / "canary").write_text("a file, not a directory")
    with Server(tmp_path / "data", "--backup-dir", str(tmp_path / "canary" / "backups")) as server:
        refused = server.request("POST", "/api/0/admin/backup")
        assert (refused.status, refused.json()["type"]) == (503, "Unavailable")
        assert "backup_dir" in refused.json()["message"]
        assert "canary" not in refused.json()["message"]
        assert "canary" in server.log_text()


def test_what_a_client_keeps_of_before_a_restore_is_not_said_to_be_unchanged(tmp_path: Path):
    """C1: a restored store gives the change numbers behind its backup once more, to other events."""
    span = "/api/0/buckets/b/events?start=2024-05-01T10:00:00Z&end=2024-05-01T10:30:00Z"

    def write(server: Server, at: str, title: str) -> None:
        event = {"timestamp": f"2024-05-01T{at}:00Z", "duration": 1, "data": {"title": title}}
        assert server.request("POST", "/api/0/buckets/b/events", event).status == 200

    with Server(tmp_path / "data") as server:
        assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        write(server, "11:00", "the newest")
        back_up(server.data_dir, tmp_path / "backup.mdb")
        write(server, "10:10", "before")
        tag = server.request("GET", span).headers["ETag"]
        assert server.request("GET", span, headers={"If-None-Match": tag}).status == 304
    with restored(tmp_path / "backup.mdb", tmp_path / "restored") as server:
        write(server, "10:10", "after")
        answer = server.request("GET", span, headers={"If-None-Match": tag})
        assert answer.status == 200
        assert answer.json()[0]["data"] == {"title": "after"}
