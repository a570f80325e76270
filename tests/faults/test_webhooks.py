"""Webhooks against a receiver that refuses, redirects and is away; and which addresses they never go to."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from awlog.engine.webhook import NotDelivered, Webhook, check_url, deliver, may_reach, signature
from awlog.model.errors import BadRequest
from tests.faults.test_followers import FIELDS
from tests.server import Server

SECRET = "s3cret"


class Receiver:
    """Takes deliveries, or answers with the next of `refusals`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.attempts: list[str] = []
        self.redirected = 0
        self.refusals: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self, body)

            def do_GET(self) -> None:
                receiver.redirected += 1
                self.send_error(500)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        timestamp, signed = request.headers["Awlog-Signature"].removeprefix("t=").split(",v1=")
        expected = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(signed, expected)
        assert abs(int(timestamp) - time.time()) < 60
        self.attempts.append(request.headers["Awlog-Delivery"])
        if self.refusals:
            status = self.refusals.pop(0)
            request.send_response(status)
            if status == 302:
                request.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
        else:
            self.bodies.append(json.loads(body))
            request.send_response(204)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def told(self) -> list[dict[str, Any]]:
        return [change for body in self.bodies for change in body["changes"]]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def eventually(holds: Any, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_what_changes_is_delivered_signed_again_until_taken_and_on_after_a_crash(tmp_path: Path):
    """A refusal and a redirect are tried again under the same id; nothing is skipped, and nothing follows a redirect."""
    receiver = Receiver()
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    url = f"http://127.0.0.1:{receiver.port}/services/hidden-in-a-path?key=hidden"
    args = ("--webhook-url", url, "--webhook-secret-file", str(secret), "--webhook-interval-s", "0.1")
    server = Server(tmp_path / "data", *args, "--webhook-allow-private", "--webhook-prefix", "notes")
    with server:
        ask = server.request
        positions = server.data_dir / "webhooks.json"
        eventually(positions.exists)
        ask("POST", "/api/0/buckets/other", FIELDS)
        receiver.refusals = [500, 302]
        ask("POST", "/api/0/buckets/notes", FIELDS)
        eventually(lambda: receiver.told())
        assert len(receiver.attempts) == 3
        assert len(set(receiver.attempts)) == 1
        event = {"timestamp": "2026-01-01T12:00:00Z", "data": {"canary": "tea"}}
        stored = ask("POST", "/api/0/buckets/notes/events", event).json()
        eventually(lambda: len(receiver.told()) == 2)
        before = json.loads(positions.read_text())
        server.kill()
        server.start()
        ask("DELETE", f"/api/0/buckets/notes/events/{stored['id']}")
        eventually(lambda: len(receiver.told()) >= 3)
        assert [change["kind"] for change in receiver.told()] == ["bucket", "event", "event_deleted"]
        assert {change["bucket"] for change in receiver.told()} == {"notes"}
        assert next(iter(json.loads(positions.read_text()).values())) >= next(iter(before.values()))
        assert positions.stat().st_mode & 0o777 == 0o600
        eventually(lambda: ask("GET", "/api/0/webhooks/deliveries").json())
        shown = ask("GET", "/api/0/webhooks/deliveries").body.decode()
        assert json.loads(shown)[0]["status"] == 204
        assert json.loads(shown)[0]["url"].startswith(f"http://127.0.0.1:{receiver.port}/…")
        for hidden in ("canary", "hidden", SECRET):
            assert hidden not in shown
            assert hidden not in server.log_text()
        assert receiver.redirected == 0
        assert server.stop() == 0
    receiver.close()


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.9",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *("::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "::", "ff02::1"),
        *("::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "fec0::1"),
    ],
)
def test_addresses_that_are_not_public_are_never_reached(address: str):
    """In any spelling."""
    assert not may_reach(address)


def test_public_addresses_may_be_reached():
    assert may_reach("93.184.216.34")
    assert may_reach("2606:2800:220:1::1")
    assert may_reach("64:ff9b::93.184.216.34")


def test_a_name_is_resolved_once_and_the_connection_goes_where_that_said(monkeypatch: pytest.MonkeyPatch):
    """A name that points to this machine a moment later is not asked again; one that points here at once is refused."""
    receiver = Receiver()
    answers = ["127.0.0.1", "127.0.0.2"]
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(None, None, None, "", (answers[len(asked) - 1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"http://rebinding.example:{receiver.port}/"
    with pytest.raises(NotDelivered, match="webhook_allow_private"):
        deliver(Webhook(url, SECRET), b"{}", delivery_id="1", timestamp_s=int(time.time()))
    asked.clear()
    # The connection is made to the address that was looked at: by number, so nothing asks for the name again.
    hook = Webhook(url, SECRET, allows_private=True)
    monkeypatch.setattr(socket, "create_connection", _to_number(asked))
    assert deliver(hook, b'{"changes":[]}', delivery_id="1", timestamp_s=int(time.time())) == 204
    assert asked == ["rebinding.example", "127.0.0.1"]
    receiver.close()


def _to_number(asked: list[str]) -> Any:
    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address[0])
        made = socket.socket()
        made.settimeout(timeout)
        made.connect(address)
        return made

    return connect


@pytest.mark.parametrize("url", ["", "ftp://a/", "http://", "https://user:word@a/", "http://a:99999/", "//a"])
def test_what_is_no_url_of_a_webhook_is_refused(url: str):
    with pytest.raises(BadRequest):
        check_url(url)


def test_the_signature_is_what_the_documentation_says():
    assert signature("key", b"body", 7) == "t=7,v1=" + hmac.new(b"key", b"7.body", hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "begins", [b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"]
)
def test_a_receiver_that_drips_its_answer_is_cut_off_at_the_deadline(begins: bytes):
    """A byte now and then keeps every step within its own time, so that all others would wait for this one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=_drip, args=(listening, begins), daemon=True)
        dripping.start()
        hook = Webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/", SECRET, allows_private=True)
        with pytest.raises(NotDelivered, match=r"not complete within 0\.3 s"):
            deliver(hook, b"{}", delivery_id="1", timestamp_s=0, deadline_s=0.3)
        dripping.join(10)
        assert not dripping.is_alive(), "it was hung up on"


def test_a_receiver_that_drips_its_handshake_is_cut_off_at_the_deadline():
    """Before there is TLS there is a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        record_of_8k = b"\x16\x03\x03\x20\x00"
        dripping = threading.Thread(target=_drip, args=(listening, record_of_8k), daemon=True)
        dripping.start()
        hook = Webhook(f"https://127.0.0.1:{listening.getsockname()[1]}/", SECRET, allows_private=True)
        with pytest.raises(NotDelivered, match=r"not complete within 0\.3 s"):
            deliver(hook, b"{}", delivery_id="1", timestamp_s=0, deadline_s=0.3)
        dripping.join(10)
        assert not dripping.is_alive(), "it was hung up on"


def _drip(listening: socket.socket, begins: bytes) -> None:
    """Takes one connection, and ends when that is closed."""
    connection, _ = listening.accept()
    with connection:
        try:
            connection.sendall(begins)
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            return
