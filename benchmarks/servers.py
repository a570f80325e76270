"""The servers that are measured: how each is started on an empty home, found ready, read, and stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from benchmarks import processes
from benchmarks.rest import Address, UnexpectedAnswer, get

_ROOT: Final = Path(__file__).parents[1]
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0


class CannotMeasure(Exception):
    """A server cannot do a workload here; the text says why. Shown as n/a, never left out."""


@dataclass
class About:
    """What is compared: shown with every result."""

    name: str
    version: str
    durability: str
    packages: dict[str, str]


class Running(Protocol):
    """One server that answers at `address`. `pid` is None if it runs where its usage cannot be read."""

    address: Address
    pid: int | None

    def stop(self) -> None: ...


class Contestant(Protocol):
    """Something that can be started afresh for each case."""

    name: str

    def about(self) -> About: ...

    def start(self) -> Running:
        """Started on an empty store and answering. Raises CannotMeasure."""
        ...


class OwnProcess:
    """A server this process started, in a home of its own below `home`."""

    def __init__(self, command: list[str], address: Address, home: Path) -> None:
        self.address = address
        self._log_path = home / "server.log"
        # HOME decides where configuration, caches and data are found: nothing of the user's is read or written.
        environment = {"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
        self.started_at_s = time.perf_counter()
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=_ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid: int | None = self._process.pid
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.perf_counter() - self.started_at_s  # start of the process to its first answer

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _wait_until_ready(self) -> None:
        """Returns when GET /api/0/info is answered: a server may listen before it can answer."""
        deadline_s = self.started_at_s + START_TIMEOUT_S
        while True:
            try:
                get(self.address, "/api/0/info")
                return
            except (OSError, UnexpectedAnswer) as error:
                if self._process.poll() is not None or time.perf_counter() > deadline_s:
                    print(self._log_path.read_text(errors="replace")[-2000:], file=sys.stderr)
                    status = self._process.poll()
                    ended = "not ready in time" if status is None else f"ended with status {status}"
                    raise CannotMeasure(f"it did not start: {ended}") from error
                time.sleep(0.005)


class _InScratch:
    """A running server whose folder is removed when it stops."""

    def __init__(self, process: OwnProcess, home: Path) -> None:
        self.address = process.address
        self.pid = process.pid
        self._process = process
        self._home = home

    def stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._home, ignore_errors=True)


class Awlog:
    """The working copy, run by the interpreter that runs the benchmarks."""

    name = "awlog"

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def about(self) -> About:
        version = _run([sys.executable, "-c", "import awlog; print(awlog.__version__)"])
        packages = _versions(sys.executable, ["aiohttp", "lmdb", "msgspec", "uvloop"])
        return About(self.name, version, "answers after the sync of the commit that holds the heartbeat", packages)

    def start(self) -> Running:
        home = Path(tempfile.mkdtemp(prefix="awlog-", dir=self._scratch))
        return _InScratch(self.start_on(home), home)

    def start_on(self, home: Path) -> OwnProcess:
        """On the data directory below `home`, which is kept."""
        home.mkdir(parents=True, exist_ok=True)
        address = free_address()
        command = [sys.executable, "-m", "awlog", "serve", "--data-dir", str(data_dir(home))]
        command += ["--host", address.host, "--port", str(address.port), "--log-format", "json"]
        return OwnProcess(command, address, home)

    def stats(self, home: Path) -> dict[str, Any] | None:
        """What `awlog stats` says of the stopped store below `home`, or None if there is no such command."""
        command = [sys.executable, "-m", "awlog", "stats", "--data-dir", str(data_dir(home)), "--json"]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None


class Floor:
    """The least that a durable heartbeat costs on this machine: see `benchmarks/floor.py`. Takes heartbeats, no more."""

    name = "floor"

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def about(self) -> About:
        packages = _versions(sys.executable, ["lmdb", "msgspec", "uvloop"])
        return About(self.name, "", "group commit as awlog's; no access rules, limits, history or reads", packages)

    def start(self) -> Running:
        home = Path(tempfile.mkdtemp(prefix="floor-", dir=self._scratch))
        data_dir(home).mkdir()
        address = free_address()
        command = [sys.executable, "-m", "benchmarks.floor", str(address.port), str(data_dir(home))]
        return _InScratch(OwnProcess(command, address, home), home)


class AwServer:
    """The `aw-server` package, run by `python`, which has it installed. Without --testing, which slows it down."""

    name = "aw-server"

    def __init__(self, scratch: Path, python: str) -> None:
        self._scratch = scratch
        self._python = python

    def about(self) -> About:
        packages = _versions(self._python, ["aw-server", "aw-core", "peewee", "flask", "werkzeug"])
        return About(self.name, packages["aw-server"], "SQLite in WAL mode, a sync for each statement", packages)

    def start(self) -> Running:
        home = Path(tempfile.mkdtemp(prefix="aw-server-", dir=self._scratch))
        return _InScratch(self.start_on(home), home)

    def start_on(self, home: Path) -> OwnProcess:
        """On the database below `home`, which is kept."""
        home.mkdir(parents=True, exist_ok=True)
        address = free_address()
        command = [self._python, "-m", "aw_server", "--host", address.host, "--port", str(address.port)]
        return OwnProcess(command, address, home)

    def database(self, home: Path) -> Path:
        """The SQLite file of a server that was started on `home`. Raises CannotMeasure if there is none."""
        found = list(home.rglob("peewee-sqlite.v*.db"))
        if len(found) != 1:
            raise CannotMeasure(f"{len(found)} databases below the peer's home")
        return found[0]


class Elsewhere:
    """A server that somebody else started: a URL, with `#pid=N` if its usage can be read here. It is never emptied."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise CannotMeasure(f"not an http URL: {url}")
        self.name = parts.netloc
        self.address = Address(parts.hostname, parts.port or 80)
        given = re.fullmatch(r"pid=(\d+)", parts.fragment)
        self.pid = int(given[1]) if given else None

    def about(self) -> About:
        return About(self.name, get(self.address, "/api/0/info")["version"], "not known", {})

    def start(self) -> Running:
        return self

    def stop(self) -> None:
        """It goes on."""


def data_dir(home: Path) -> Path:
    return home / "data"


def used(server: Running) -> processes.Usage | None:
    return processes.usage(server.pid) if server.pid is not None else None


def free_address() -> Address:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", int(probe.getsockname()[1]))


def _versions(python: str, packages: list[str]) -> dict[str, str]:
    code = "import sys, importlib.metadata as m, json; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    found: dict[str, str] = json.loads(_run([python, "-c", code, *packages]))
    found["python"] = _run([python, "-c", "import platform; print(platform.python_version())"])
    return found


def _run(command: list[str]) -> str:
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True).stdout.strip()
