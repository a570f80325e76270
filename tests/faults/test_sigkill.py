"""D2, D4, D5, D6, C6: SIGKILL at random moments, under load and during the start, loses nothing and invents nothing.

AWLOG_TEST_KILL_ROUNDS sets the number of rounds (default 20): hours of them find what minutes do not.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections import Counter
from random import Random

import pytest

from tests.faults.conftest import StartTimes, digest, segment_count, verify
from tests.faults.load import Load
from tests.server import Server

ROUNDS = int(os.environ.get("AWLOG_TEST_KILL_ROUNDS") or 20)
ROUNDS_ON_ONE_STORE = 15
# A kill during the start comes after a part of the usual time to start.
USUAL_START_S = 0.8


def kill_during_start(server: Server, random: Random) -> None:
    server.start(wait=False)
    time.sleep(random.uniform(0, USUAL_START_S))
    server.kill()


def killed_at_a_call(random: Random) -> tuple[str, ...]:
    """A wrapper that kills the server as it enters a call: in the steps of a commit, or to send what it committed."""
    call = random.choice(("pwrite64", "fdatasync", "write", "write"))
    # Not before the state has been compared, which takes some hundred writes of answers.
    when = random.randint(800, 2000) if call == "write" else random.randint(40, 200)
    return "strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", f"inject={call}:signal=SIGKILL:when={when}"


def wait_for_end_of(server: Server, most_s: float) -> None:
    assert server.process is not None
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(most_s)


@pytest.mark.needs("strace")
def test_a_kill_at_any_moment_loses_nothing(tmp_path, seed, note):
    """Each round: start, compare everything, work for a random time, kill. Now and then also a kill during the start."""
    random = Random(seed)
    starts, outcomes = StartTimes(), Counter[str]()
    acknowledged = repeated = kills = segments = 0
    try:
        for number in range(ROUNDS):
            if number % ROUNDS_ON_ONE_STORE == 0:
                data_dir = tmp_path / f"store{number}"
                server = Server(data_dir)
                load = Load(random.randrange(10**9), analyst=True)
                kill_during_start(server, random)
                kills += 1
                starts.measure(server.start)
                load.prepare(server)
            load.start(server, crash_expected=bool(server.wrapper))  # it dies by itself, at a call; or else here
            wait_for_end_of(server, 4.0 if server.wrapper else random.uniform(0.05, 1.2))
            load.expect_crash()
            server.kill()
            kills += 1
            load.join()
            if random.random() < 0.3:
                kill_during_start(server, random)
                kills += 1
            verify(data_dir)
            server.wrapper = random.choice(((), (), killed_at_a_call(random)))
            starts.measure(server.start)
            outcomes += load.check(server)
            repeated += load.repeat_heartbeats(server)
            if (number + 1) % ROUNDS_ON_ONE_STORE == 0 or number + 1 == ROUNDS:
                server.kill()
                acknowledged += load.acknowledged
                segments += segment_count(data_dir)
    finally:
        server.kill()
        load.stop()
    note(f"{ROUNDS} rounds, {kills} kills, {acknowledged} acknowledged writes, {segments} segments, {starts}")
    note(f"undecided requests: {outcomes['with']} kept, {outcomes['without']} gone; {repeated} heartbeats sent again")
    assert acknowledged > 20 * ROUNDS, "too few writes to mean anything"
    assert segments or ROUNDS < 10, "nothing was sealed"


def test_without_a_kill_the_state_is_the_model(tmp_path, seed, note):
    """Tells faults of the logic from faults of the recovery: the same load, a clean stop, everything decided."""
    load = Load(seed, analyst=True)
    with Server(tmp_path / "store") as server:
        load.prepare(server)
        load.start(server)
        time.sleep(4)
        load.stop()
        load.join()
        assert load.check(server)["decided"] == len(load.writers)
        running = digest(server.data_dir)
        assert server.stop() == 0
        verify(server.data_dir)
        server.start()
        assert load.check(server)["decided"] == len(load.writers)
        assert digest(server.data_dir) == running
    note(f"{load.acknowledged} acknowledged writes, {len(load.ids.given)} ids")
    assert not load.refused


def test_a_kill_during_the_first_start_leaves_a_directory_that_starts(tmp_path, seed, note):
    """Nothing was answered yet, so there is nothing to lose; but the next start must not take it for a lost store."""
    random = Random(seed)
    starts = StartTimes()
    for number in range(5):
        server = Server(tmp_path / f"store{number}")
        for _ in range(random.randint(1, 2)):
            kill_during_start(server, random)
        starts.measure(server.start)
        try:
            device_id = server.request("GET", "/api/0/info").json()["device_id"]
        finally:
            server.kill()
        server.start()
        assert server.request("GET", "/api/0/info").json()["device_id"] == device_id
        assert server.stop() == 0
    note(str(starts))
