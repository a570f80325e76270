"""D2, O4: a server is compacted under load, and killed while it is: nothing acknowledged is lost, nothing is refused.

AWLOG_TEST_COMPACT_KILLS sets how often it is killed in the middle (default 4).
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from random import Random

from tests.faults.conftest import Note, awlog, verify
from tests.faults.load import BROKEN, Load
from tests.server import Server

KILLS = int(os.environ.get("AWLOG_TEST_COMPACT_KILLS") or 4)


def compact(server: Server) -> None:
    done = awlog("compact", "--data-dir", str(server.data_dir))
    assert done.returncode == 0, done.stderr


def compact_on_and_on(server: Server) -> None:
    """Until the server is gone. For a thread."""
    try:
        while server.request("POST", "/api/0/admin/compact").status in (200, 503):
            pass
    except BROKEN:
        return


def test_a_load_does_not_notice_that_the_store_is_compacted(tmp_path: Path, seed: int, note: Note):
    """No write is refused, each is there, also for the command line and after a restart."""
    load = Load(seed, writers=6, big=1, analyst=True)
    with Server(tmp_path / "data") as server:
        load.prepare(server)
        load.start(server)
        for _ in range(2):
            load.wait_for(100)
            compact(server)
            verify(server.data_dir)
        load.wait_for(50)
        load.stop()
        load.join()
        assert not load.refused
        assert load.check(server)["decided"] == len(load.writers)
        assert server.stop() == 0
        verify(server.data_dir)
        compact(server)  # nobody has it open now
        server.start()
        assert load.check(server)["decided"] == len(load.writers)
    note(f"{load.acknowledged} acknowledged writes")


def test_a_kill_in_the_middle_of_a_compaction_loses_nothing(tmp_path: Path, seed: int, note: Note):
    """The old file or the new one is there, each with all that was answered; what was half made is removed."""
    random = Random(seed)
    load = Load(seed, writers=6, big=1)
    server = Server(tmp_path / "data").start()
    try:
        load.prepare(server)
        for _ in range(KILLS):
            load.start(server)
            load.wait_for(30)
            compacting = threading.Thread(target=compact_on_and_on, args=(server,))
            compacting.start()
            time.sleep(random.uniform(0.3, 2.0))
            load.expect_crash()
            server.kill()
            load.join()
            compacting.join()
            verify(server.data_dir)
            server.start()
            load.check(server)
        compact(server)
        assert [path.name for path in server.data_dir.iterdir() if "making" in path.name] == []
        load.check(server)
    finally:
        load.stop()
        server.kill()
    note(f"{load.acknowledged} acknowledged writes")
