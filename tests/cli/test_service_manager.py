"""What systemd hands over and is told, by a real server; the unit files that come with it."""

from __future__ import annotations

import configparser
import os
import plistlib
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from awlog.cli.main import awlog
from awlog.cli.service_manager import handed_over_sockets
from tests.server import Server

SERVICE = Path(__file__).parents[2] / "tools" / "service"
# Does what systemd does for a socket unit: the socket becomes file 3 of the program, which is told its own number.
ACTIVATE = (
    "import os, socket, sys\n"
    "os.dup2(int(sys.argv[1]), 3, inheritable=True)\n"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


def messages(listening: socket.socket, until: str) -> list[str]:
    """What was told, up to and with the message that holds `until`."""
    told: list[str] = []
    while not told or until not in told[-1]:
        told.append(listening.recv(4096).decode())
    return told


def test_a_service_manager_is_told_of_readiness_life_and_the_end(tmp_path: Path) -> None:
    """READY after it listens, signs of life as often as asked for, STOPPING at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with Server(tmp_path / "data", env=env) as server:
            assert f"port {server.port}" in messages(listening, "READY=1")[-1]
            for _ in range(3):
                messages(listening, "WATCHDOG=1")
            server.stop()
            assert messages(listening, "STOPPING=1")


def test_a_socket_that_is_handed_over_is_used_and_who_waits_in_it_is_answered(tmp_path: Path) -> None:
    """Nobody is refused before the start, nor between two runs."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        port = listening.getsockname()[1]
        listening.set_inheritable(True)
        wrapper = (sys.executable, "-c", ACTIVATE, str(listening.fileno()))
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as early:
                early.sendall(b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                server = Activated(tmp_path / "data", wrapper=wrapper)
                server.port = port
                server.start()
                assert early.recv(4096).startswith(b"HTTP/1.1 200")
                assert server.stop() == 0


class Activated(Server):
    """Starts with a file that stays open in the child."""

    def start(self, *, wait: bool = True) -> Server:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env, close_fds=False
            )
        self.wait_until_ready()
        return self


@pytest.mark.parametrize("name", ["awlog.service", "awlog.socket"])
def test_the_unit_files_can_be_read(name: str) -> None:
    """By what reads such files; the service begins `awlog serve` with flags that there are, and is told by notify."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read(SERVICE / name)
    if name == "awlog.socket":
        assert unit["Socket"]["ListenStream"] == "127.0.0.1:5600"
        return
    command = shlex.split(unit["Service"]["ExecStart"])
    assert Path(command[0]).name == "awlog"
    assert awlog.commands[command[1]].make_context(command[1], command[2:])
    assert unit["Service"]["Type"] == "notify"


def test_the_launchd_file_can_be_read() -> None:
    """And names the same program."""
    job = plistlib.loads((SERVICE / "org.awlog.server.plist").read_bytes())
    command = job["ProgramArguments"]
    assert awlog.commands[command[1]].make_context(command[1], command[2:])
    assert job["KeepAlive"] == {"SuccessfulExit": False}


def test_a_child_does_not_take_sockets_that_were_meant_for_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """LISTEN_PID names another process."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert handed_over_sockets() == []


def test_a_socket_that_other_machines_reach_needs_what_an_address_needs(tmp_path: Path) -> None:
    """Whatever the setting `host` says: the socket is what listens."""
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen(8)
        command = [sys.executable, "-c", ACTIVATE, str(listening.fileno()), sys.executable, "-m", "awlog", "--testing"]
        words = [*command, "--data-dir", str(tmp_path / "data")]
        done = subprocess.run(
            words, pass_fds=[listening.fileno()], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 3
    assert "--host 0.0.0.0 other machines reach this server" in done.stderr
