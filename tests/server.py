"""A real awlog server in a process of its own, for the tests: start, ask, kill, start again on the same data."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """`awlog serve` on a data directory. `wrapper` goes before the command (strace, for example)."""

    def __init__(
        self,
        data_dir: Path,
        *args: str,
        testing: bool = True,
        env: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        self.data_dir = data_dir
        self.args = args
        self.testing = testing
        self.env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self.wrapper = wrapper
        self.host = "127.0.0.1"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = data_dir.parent / f"{data_dir.name}.server.log"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        mode = ["--testing"] if self.testing else []
        where = ["--data-dir", str(self.data_dir), "--host", self.host, "--port", str(self.port)]
        return [
            *self.wrapper,
            sys.executable,
            "-m",
            "awlog",
            "serve",
            *mode,
            *where,
            "--log-format",
            "json",
            *self.args,
        ]

    def start(self, *, wait: bool = True) -> Server:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env
            )
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Returns when `GET /api/0/info` is answered; if the process ends first an AssertionError shows its log."""
        deadline = time.monotonic() + timeout_s
        while True:
            assert self.process is not None
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log_text()}"
            try:
                if self.request("GET", "/api/0/info", timeout_s=timeout_s).status == 200:
                    return
            except OSError:
                assert time.monotonic() < deadline, f"no answer in {timeout_s} s:\n{self.log_text()}"
                time.sleep(0.01)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        timeout_s: float = 30.0,
    ) -> Reply:
        """One request on a connection of its own; `body` is sent as JSON, `raw` as it is."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            sent = dict(headers or {})
            payload = raw
            if body is not None:
                payload = json.dumps(body).encode()
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, body=payload, headers=sent)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def kill(self) -> None:
        """SIGKILL: the crash that every acknowledged write must survive."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def __enter__(self) -> Server:
        return self.start() if self.process is None else self

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
