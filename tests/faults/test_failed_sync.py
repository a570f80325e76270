"""D7, and D2 and D5 beside it: the disk refuses a write or a sync, under load, and the server believes it.

strace makes the calls on data.mdb fail: for a time while it is attached, or now and then all along.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.faults.conftest import Note, verify
from tests.faults.disk import read_in, write_out
from tests.faults.load import Load
from tests.faults.straced import WHOLE_PAYLOADS, Attached, recorded, wait_for_end
from tests.faults.test_power_cut import Recorded
from tests.faults.trace import read_record
from tests.server import Server

pytestmark = pytest.mark.needs("strace")

UNAVAILABLE, FULL = (503, "Unavailable"), (507, "InsufficientStorage")
# What fails, and what the client is told. LMDB writes single pages with pwrite64, runs of pages with writev, the meta
# page with pwrite64 again.
FAULTS = [
    (["fdatasync:error=EIO"], UNAVAILABLE),
    (["fdatasync:error=ENOSPC"], FULL),
    (["fdatasync:error=EDQUOT"], FULL),
    (["pwrite64:error=EIO"], UNAVAILABLE),
    (["pwrite64:error=EIO", "writev:error=EIO", "pwritev:error=EIO"], UNAVAILABLE),
    (["pwrite64:error=ENOSPC", "writev:error=ENOSPC", "pwritev:error=ENOSPC"], FULL),
    (["pwrite64:error=EDQUOT", "writev:error=EDQUOT", "pwritev:error=EDQUOT"], FULL),
]
SOME_WRITES = 40


@pytest.mark.parametrize(("faults", "told"), FAULTS, ids=["+".join(faults) for faults, _ in FAULTS])
def test_writes_are_refused_while_the_disk_fails_and_work_again_after(tmp_path, seed, note, faults, told):
    """Refused with a JSON error, not visible; what was acknowledged stays; nobody restarts anything."""
    server = Server(tmp_path / "data").start()
    try:
        load = Load(seed, writers=6, big=1)
        load.prepare(server)
        load.start(server)
        load.wait_for(SOME_WRITES)
        with Attached(server.pid, tmp_path / "record", server.data_dir / "data.mdb", *faults):
            load.wait_for(SOME_WRITES, refused=True)
            load.stop()
            load.join()
            assert load.check(server)["decided"] == len(load.writers), "reads during the fault"
        assert load.refused.keys() == {told}
        load.start(server)
        load.wait_for(SOME_WRITES)
        load.stop()
        load.join()
        refused = load.refused.total()
        assert load.check(server)["decided"] == len(load.writers)
        server.kill()
        verify(server.data_dir)
        server.start()
        assert load.check(server)["decided"] == len(load.writers)
        note(f"{refused} refused, {load.acknowledged} acknowledged")
    finally:
        load.stop()
        server.kill()


@pytest.mark.parametrize("faults", [["fdatasync:error=EIO:when=3+4"], ["pwrite64:error=EIO:when=3+4"]])
def test_a_kill_while_the_disk_fails_loses_nothing(tmp_path, seed, note, faults):
    """Every fourth call fails: acknowledged and refused writes alternate, then SIGKILL in the middle of it."""
    server = Server(tmp_path / "data").start()
    try:
        load = Load(seed, writers=6, big=1)
        load.prepare(server)
        load.start(server)
        load.wait_for(SOME_WRITES)
        with Attached(server.pid, tmp_path / "record", server.data_dir / "data.mdb", *faults):
            load.wait_for(2 * SOME_WRITES, refused=True)
            load.expect_crash()
            server.kill()
            load.join()
        verify(server.data_dir)
        server.start()
        outcomes = load.check(server)
        note(f"{load.refused.total()} refused, {load.acknowledged} acknowledged, undecided: {dict(outcomes)}")
    finally:
        load.stop()
        server.kill()


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The record of a server whose every fifth fdatasync fails, from its second start on."""
    root = tmp_path_factory.mktemp("failing")
    record, data_dir = root / "record", root / "data"
    server = Server(data_dir).start()
    load = Load(Random().randrange(10**9), writers=4, big=1)
    load.prepare(server)
    assert server.stop() == 0
    before = read_in(root)
    server.wrapper = recorded(record, "fdatasync:error=EIO:when=5+5", payload_bytes=WHOLE_PAYLOADS)
    server.start()
    try:
        load.keep_logs()
        load.start(server)
        load.wait_for(3 * SOME_WRITES)
        load.stop()
        load.join()
        process = server.pid
        assert server.stop() == 0
    finally:
        server.kill()
    wait_for_end(record, process)
    return Recorded(root, data_dir, server.port, load, read_record(record), before)


def test_a_second_sync_that_succeeds_proves_nothing(failing: Recorded, tmp_path, seed: int, note: Note):
    """The kernel drops what it could not write: rebuilt so, each disk holds all that was acknowledged before."""
    random = Random(seed)
    answers = sorted(line for lines in failing.answers().values() for line in lines)
    checked = 0
    for number, line in enumerate(random.sample(answers, k=6)):
        kept = None if number % 2 == 0 else Random(f"{seed} {line}")
        folder = tmp_path / str(number)
        write_out(failing.disk_at(line, kept), folder)
        server = Server(folder / "data")
        try:
            verify(server.data_dir)
            server.start()
            load = failing.load_at(line)
            load.check(server)
            checked += load.acknowledged
        finally:
            server.kill()
    note(f"{checked} acknowledged writes looked for; {failing.load.refused.total()} had been refused")
