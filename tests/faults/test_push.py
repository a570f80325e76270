"""Two awlogs, one forwarding to the other through a connection that breaks at random, both killed now and then.

AWLOG_TEST_PUSH_S: how long there are writes, in seconds.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.faults.test_followers import BUCKETS, FIELDS, Writer
from tests.server import Server, free_port

WRITING_S: Final = float(os.environ.get("AWLOG_TEST_PUSH_S", "3"))
_SEQ_MASK: Final = (1 << 32) - 1


class BreakingProxy(threading.Thread):
    """Passes bytes on between two ends; each connection breaks after a random number of them, while `breaks`."""

    def __init__(self, to_port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.breaks = True
        self.broken = 0
        self._to_port = to_port
        self._random = Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def run(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                here, _ = self._listening.accept()
                threading.Thread(target=self._pass_on, args=(here,), daemon=True).start()

    def _pass_on(self, here: socket.socket) -> None:
        left = self._random.choice([0, 100, 3000, 20_000, 60_000, 200_000]) if self.breaks else 1 << 40
        try:
            there = socket.create_connection(("127.0.0.1", self._to_port), timeout=5)
        except OSError:
            here.close()
            return
        budget = [left]
        both = [threading.Thread(target=self._copy, args=(*ends, budget)) for ends in ((here, there), (there, here))]
        for each in both:
            each.start()
        for each in both:
            each.join()
        here.close()
        there.close()

    def _copy(self, source: socket.socket, target: socket.socket, budget: list[int]) -> None:
        try:
            while part := source.recv(4096):
                target.sendall(part[: max(0, budget[0])])
                budget[0] -= len(part)
                if budget[0] <= 0:
                    self.broken += 1
                    break
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def content(server: Server) -> dict[str, Any]:
    """Of each bucket its metadata and its events, by their numbers in the bucket."""
    buckets = server.request("GET", "/api/0/buckets/").json()
    found = {}
    for name, bucket in buckets.items():
        events = server.request("GET", f"/api/0/buckets/{name}/events").json()
        found[name] = (bucket, {event.pop("id") & _SEQ_MASK: event for event in events})
    return found


def test_what_is_forwarded_through_a_breaking_connection_is_equal_in_the_end(tmp_path: Path):
    """Edits, deletions and deleted buckets included; both ends killed on the way; nothing comes back round."""
    hub = Server(tmp_path / "hub")
    proxy = BreakingProxy(hub.port, seed=11)
    proxy.start()
    url = f"http://127.0.0.1:{proxy.port}"
    device = Server(tmp_path / "device", "--forward-url", url, "--forward-interval-s", "0.1")
    # The hub forwards to the device in turn: mirrored buckets must not come back.
    hub.args = ("--forward-url", f"http://127.0.0.1:{device.port}", "--forward-interval-s", "0.5")
    with hub, device:
        for name in BUCKETS:
            assert device.request("POST", f"/api/0/buckets/{name}", FIELDS).status == 200
        assert hub.request("POST", "/api/0/buckets/of-the-hub", FIELDS).status == 200
        long = [{"timestamp": f"2020-01-01T00:{n // 60 % 60:02}:{n % 60:02}Z", "data": {"n": n}} for n in range(9000)]
        device.request("POST", "/api/0/buckets/notes/events", long)
        writer = Writer(device, seed=12)
        writer.start()
        time.sleep(WRITING_S / 2)
        for each in (hub, device):
            each.kill()
            each.start()
        time.sleep(WRITING_S / 2)
        writer.stopping.set()
        writer.join(30)
        proxy.breaks = False
        words = [sys.executable, "-m", "awlog", "push", "--to", url, "--data-dir", str(device.data_dir)]
        for _ in range(3):  # beside the server, whose own push may move the cursor meanwhile
            done = subprocess.run(words, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        sent, arrived = content(device), content(hub)
        assert {name: one for name, one in arrived.items() if name != "of-the-hub"} == {
            name: one for name, one in sent.items() if name != "of-the-hub"
        }
        assert len(sent["notes"][1]) > 8000
        assert proxy.broken > 0
        # Both stop in good order: the device with one more push.
        device.request("POST", "/api/0/buckets/notes/heartbeat?pulsetime=1", {"timestamp": "2030-01-01T00:00:00Z"})
        assert device.stop() == 0
        assert content(hub)["notes"][0]["metadata"]["end"] == "2030-01-01T00:00:00+00:00"
        assert hub.stop() == 0


def test_the_status_says_what_is_behind_and_why(tmp_path: Path):
    """While the hub is away, and when it is back."""
    port = free_port()
    with Server(
        tmp_path / "device", "--forward-url", f"http://127.0.0.1:{port}", "--forward-interval-s", "0.1"
    ) as device:
        device.request("POST", "/api/0/buckets/notes", FIELDS)
        words = [sys.executable, "-m", "awlog", "push", "--status", "--data-dir", str(device.data_dir)]

        def forwarding() -> dict[str, Any]:
            forward: dict[str, Any] = device.request("GET", "/api/1/forward").json()["forward"]
            return forward

        while not forwarding()["error"]:
            time.sleep(0.05)
        said = subprocess.run(words, capture_output=True, check=True, timeout=30).stdout.decode()
        assert "Why it is behind: The hub cannot be reached" in said
        hub = Server(tmp_path / "hub")
        hub.port = port
        with hub:
            while forwarding()["error"] or not forwarding()["buckets"]:
                time.sleep(0.05)
            said = subprocess.run(words, capture_output=True, check=True, timeout=30).stdout.decode()
            assert "complete" in said.splitlines()[1]
            assert hub.request("GET", "/api/0/buckets/notes").status == 200
