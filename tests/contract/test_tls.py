"""TLS, Unix socket, base path and proxies, on running servers; certificates are made here."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from awlog.client import Client, Event, RequestRefused
from tests.contract.wire import WATCHER, Wire
from tests.server import Reply, Server

KEY = "an-api-key"
BEAT = {"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {}}
PATIENCE_S = 20.0


class Encrypted(Server):
    """A server with a certificate for `localhost`; `client` is what whoever asks it uses."""

    def __init__(self, data_dir: Path, *args: str) -> None:
        self.files = data_dir.parent
        self.authority = trustme.CA()
        self.renew()
        super().__init__(data_dir, "--tls-cert", str(self.files / "cert.pem"), "--api-key", KEY, *args)

    def renew(self) -> None:
        """Another certificate in the place of the one in use."""
        made = self.authority.issue_cert("localhost", "127.0.0.1")
        made.private_key_and_cert_chain_pem.write_to_path(str(self.files / "cert.pem"))

    def context(self, **versions: ssl.TLSVersion) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        for name, version in versions.items():
            setattr(context, name, version)
        return context

    def ask(self, method: str, path: str, body: Any = None, *, context: ssl.SSLContext | None = None) -> Reply:
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=PATIENCE_S, context=context or self.context()
        )
        try:
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def request(self, method: str, path: str, body: Any = None, **_options: Any) -> Reply:
        return self.ask(method, path, body)

    def serial(self) -> bytes:
        """Of the certificate that a new connection is shown."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as plain,
            self.context().wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            shown = encrypted.getpeercert(binary_form=True)
            assert shown is not None
            return shown

    def hang_up(self, *, says: str) -> None:
        """SIGHUP; returns when the log says so."""
        count = self.log_text().count(says)
        os.kill(self.pid, signal.SIGHUP)
        until_s = time.monotonic() + PATIENCE_S
        while self.log_text().count(says) == count:
            assert time.monotonic() < until_s, self.log_text()
            time.sleep(0.01)


@pytest.fixture(scope="module", params=[(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def encrypted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    with Encrypted(tmp_path_factory.mktemp("tls") / "data", *request.param) as server:
        yield server  # type: ignore[misc]


def test_everything_goes_encrypted(encrypted: Encrypted) -> None:
    """By the lane and by aiohttp, on one connection as well."""
    assert encrypted.ask("POST", "/api/0/buckets/b", WATCHER).status in (200, 304)
    connection = http.client.HTTPSConnection(
        "localhost", encrypted.port, timeout=PATIENCE_S, context=encrypted.context()
    )
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    for path in ("/api/0/buckets/b/heartbeat?pulsetime=5", "/api/0/query", "/api/0/buckets/b/heartbeat?pulsetime=5"):
        connection.request("POST", path, json.dumps(BEAT), headers)
        response = connection.getresponse()
        assert response.status == (400 if path.endswith("query") else 200)
        response.read()
    large = [{**BEAT, "data": {"n": n, "text": "x" * 500}} for n in range(2000)]
    assert encrypted.ask("POST", "/api/0/buckets/b/events", large).status == 200
    assert len(encrypted.ask("GET", "/api/0/buckets/b/events").json()) >= 2000
    connection.close()


def test_plain_http_is_closed_and_the_server_lives(encrypted: Encrypted) -> None:
    """No answer in the clear; nothing of what was sent in the log; and those that fail are not counted as open."""
    for sent in (b"GET /canary-path HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 100):
        with Wire(encrypted) as wire:
            wire.send(sent)
            assert b"HTTP/1.1 200" not in wire.finish()
    assert encrypted.ask("GET", "/api/0/info").status == 200
    assert "canary-path" not in encrypted.log_text()
    assert "Traceback" not in encrypted.log_text()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_of_tls_are_not_spoken(encrypted: Encrypted) -> None:
    """1.2 is, by default."""
    v12 = encrypted.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    assert encrypted.ask("GET", "/api/0/info", context=v12).status == 200
    v11 = encrypted.context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    v11.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        encrypted.ask("GET", "/api/0/info", context=v11)


def test_certificates_are_read_again_on_sighup(encrypted: Encrypted) -> None:
    """For new connections; one that is open goes on. A bad file changes nothing, and is said."""
    first = encrypted.serial()
    connection = http.client.HTTPSConnection(
        "localhost", encrypted.port, timeout=PATIENCE_S, context=encrypted.context()
    )
    connection.request("GET", "/api/0/info")
    assert connection.getresponse().read()
    encrypted.renew()
    encrypted.hang_up(says="certificates read again")
    second = encrypted.serial()
    assert second != first
    connection.request("GET", "/api/0/info")
    assert connection.getresponse().read()
    connection.close()
    (encrypted.files / "cert.pem").write_text("no certificate")
    encrypted.hang_up(says="the certificates in use stay")
    assert encrypted.serial() == second
    encrypted.renew()
    encrypted.hang_up(says="certificates read again")
    assert encrypted.serial() != second


def test_clients_need_a_certificate_where_an_authority_is_named(tmp_path: Path) -> None:
    """TLS 1.3 only, too: each setting counts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    server = Encrypted(tmp_path / "data", "--tls-client-ca", str(tmp_path / "clients.pem"), "--tls-min-version", "1.3")
    known, stranger = server.context(), server.context()
    authority.issue_cert("me@example.org").configure_cert(known)
    trustme.CA().issue_cert("me@example.org").configure_cert(stranger)
    server.context = lambda **_versions: known  # type: ignore[method-assign]
    with server:
        assert server.ask("GET", "/api/0/info", context=known).status == 200
        for context in (stranger, ssl.create_default_context()):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                server.ask("GET", "/api/0/info", context=context)


class UnixConnection(http.client.HTTPConnection):
    """By a Unix socket instead of TCP."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(self._path))


def test_a_unix_socket_below_a_base_path_behind_a_proxy(tmp_path: Path) -> None:
    """The same API with the same tokens. What the proxy says of its client's host is believed there, and only there."""
    path = tmp_path / "awlog.socket"
    args = (
        "--unix-socket",
        str(path),
        "--unix-socket-mode",
        "660",
        "--trusted-proxy",
        "unix",
        "--base-path",
        "/aw/log",
    )
    with Server(tmp_path / "data", *args, "--allow-host", "aw.example", "--api-key", KEY).start(wait=False) as server:
        until_s = time.monotonic() + PATIENCE_S
        while "serving" not in server.log_text():
            assert time.monotonic() < until_s, server.log_text()
            time.sleep(0.01)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660

        def ask(method: str, target: str, body: Any = None, **headers: str) -> tuple[int, http.client.HTTPMessage]:
            connection = UnixConnection(path)
            sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            sent |= {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request(method, target, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            response.read()
            connection.close()
            return response.status, response.headers

        assert ask("POST", "/aw/log/api/0/buckets/b", WATCHER)[0] == 200
        for target, status in [
            ("/aw/log/api/0/buckets/b", 200),
            ("/api/0/buckets/b", 404),
            ("/aw/api/0/buckets/b", 404),
        ]:
            assert ask("GET", target)[0] == status
        assert ask("GET", "/aw/log/")[0] == 200
        assert ask("GET", "/aw/log")[1]["Location"] == "/aw/log/"
        beat = "/aw/log/api/0/buckets/b/heartbeat?pulsetime=5"
        page = {"Origin": "https://aw.example"}
        assert ask("POST", beat, BEAT)[0] == 200
        assert ask("POST", beat, BEAT, X_Forwarded_Host="aw.example")[0] == 200
        assert ask("POST", beat, BEAT, X_Forwarded_Host="aw.example", **page)[0] == 200
        assert ask("POST", beat, BEAT, **page)[0] == 403
        assert ask("POST", beat, BEAT, X_Forwarded_Host="evil.example")[0] == 400
        by_tcp = {"Authorization": f"Bearer {KEY}", "X-Forwarded-Host": "aw.example", **page}
        assert server.request("POST", beat, BEAT, headers=by_tcp).status == 403
        assert server.request("GET", "/aw/log/api/0/buckets").status == 401
    assert not path.exists()


def test_our_own_client_speaks_tls_with_a_token_and_keeps_what_is_refused(encrypted: Encrypted, tmp_path: Path) -> None:
    """With a wrong token its queue stays as it is; with the right one it arrives."""

    def client(token: str) -> Client:
        return Client(
            port=encrypted.port, protocol="https", token=token, tls=encrypted.context(), queue_path=tmp_path / "queue"
        )

    with client("wrong") as stranger:
        stranger.create_bucket("queued", "t", queued=True)
        stranger.heartbeat("queued", Event(datetime(2024, 5, 1, tzinfo=UTC), data={"a": 1}), pulsetime=5, queued=True)
        with pytest.raises(RequestRefused, match="Unauthorized"):
            stranger.flush()
    with client(KEY) as known:
        known.flush()
        assert known.get_eventcount("queued") == 1
