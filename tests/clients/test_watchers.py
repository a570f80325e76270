"""Stock watchers from PyPI, unmodified, in processes of their own: what they record arrives.

They need `tmux` on the path, and nothing from outside this machine.
"""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aw_client import ActivityWatchClient

from tests.clients.test_aw_client import wait_for
from tests.server import Server, free_port


def write_settings(program: str, settings: str) -> None:
    """Where the ActivityWatch libraries look for them."""
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "activitywatch" / program
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{program}.toml").write_text(settings)


def point_to(server: Server, commit_interval: float) -> ActivityWatchClient:
    """Settings that name the server for all that is started from now on, and a client that has read them."""
    client = f"[client-testing]\ncommit_interval = {commit_interval}\n"
    write_settings("aw-client", f'[server-testing]\nport = "{server.port}"\n{client}')
    return ActivityWatchClient("looks", testing=True)


@contextlib.contextmanager
def running(home: Path, program: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The installed program in testing mode, until the end of the block."""
    command = Path(sys.executable).with_name(program)
    with (home / f"{program}.log").open("wb") as log:
        process = subprocess.Popen([command, "--testing"], stdout=log, stderr=log, env={**os.environ, **env})
    try:
        yield process
        assert process.poll() is None, (home / f"{program}.log").read_text()
    finally:
        process.kill()
        process.wait()


def recorded(client: ActivityWatchClient, bucket: str) -> list[dict[str, Any]]:
    """The data of the events in the order they were recorded; none while there is no bucket."""
    return [one.data for one in reversed(client.get_events(bucket))] if bucket in client.get_buckets() else []


def test_aw_watcher_netstatus_records_when_the_network_was_there(home: Path, server: Server) -> None:
    """It looks whether a port answers: here one that is opened, closed, and opened again. One event for each time."""
    watched, port = point_to(server, commit_interval=0.3), free_port()
    settings = f"poll_time = 0.1\nhost = 127.0.0.1\nport = {port}\n"
    write_settings("aw-watcher-netstatus", f"[aw-watcher-netstatus-testing]\n{settings}")
    bucket = f"aw-watcher-netstatus_{socket.gethostname()}"
    online, offline = {"status": "online"}, {"status": "offline"}
    with running(home, "aw-watcher-netstatus"):
        wait_for(lambda: recorded(watched, bucket) == [offline])
        with socket.create_server(("127.0.0.1", port), backlog=1000):
            wait_for(lambda: recorded(watched, bucket) == [offline, online])
        wait_for(lambda: recorded(watched, bucket) == [offline, online, offline])
        wait_for(lambda: watched.get_events(bucket, limit=1)[0].duration.total_seconds() > 1)
    value = watched.get_buckets()[bucket]
    assert (value["type"], value["client"]) == ("networkstatus", "aw-watcher-netstatus")
    newest, *older = watched.get_events(bucket)
    for one in older:
        assert one.timestamp + one.duration <= newest.timestamp
        newest = one


@pytest.mark.needs("tmux")
def test_aw_watcher_tmux_attached_records_the_session(home: Path, server: Server) -> None:
    """A real tmux with one attached session and one that is not. The watcher looks every ten seconds."""
    watched = point_to(server, commit_interval=0)
    tmux = shutil.which("tmux")
    assert tmux, "this test needs tmux, a package of the same name"
    bucket = f"tmux-attached_{socket.gethostname()}"
    sockets = tempfile.mkdtemp(prefix="tmux")  # a short path: the name of a socket has at most 107 bytes
    env = {"TMUX_TMPDIR": sockets, "LC_ALL": "C.UTF-8", "TERM": "xterm"}
    clean = {key: value for key, value in os.environ.items() if key not in {"TMUX", "TMUX_PANE"}} | env
    controller, terminal = pty.openpty()
    for session in ("work", "idle"):
        subprocess.run(
            [tmux, "-f", "/dev/null", "new-session", "-d", "-s", session, "sleep 600"], check=True, env=clean
        )
    attached = subprocess.Popen(
        [tmux, "attach-session", "-t", "work"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=clean,
        start_new_session=True,
    )
    try:
        counts = [tmux, "list-sessions", "-F", "#{session_name} #{session_attached}"]
        wait_for(lambda: b"work 1" in subprocess.run(counts, check=True, capture_output=True, env=clean).stdout)
        with running(home, "aw-watcher-tmux-attached", **env):
            wait_for(lambda: recorded(watched, bucket) != [])
    finally:
        attached.kill()
        attached.wait()
        subprocess.run([tmux, "kill-server"], check=True, env=clean)
        shutil.rmtree(sockets)
        os.close(controller)
        os.close(terminal)
    (one,) = watched.get_events(bucket)
    assert one.data == {"title": "work", "sessions": ["work"]}
    assert one.duration.total_seconds() > 0
    value = watched.get_buckets()[bucket]
    assert (value["type"], value["client"]) == ("tmux.sessions.attached", "tmux-attached")
