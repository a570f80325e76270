"""What the contract tests speak with: a client that takes nothing on trust, and a bare socket that mends nothing."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import select
import socket
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tests.server import Reply, Server

ERROR_WORDS = {
    "BadRequest": 400,
    "HostNotAllowed": 400,
    "QueryParseException": 400,
    "QueryInterpretException": 400,
    "QueryFunctionException": 400,
    "QueryLimitExceeded": 400,
    "Unauthorized": 401,
    "DeleteBucketUnauthorized": 401,
    "Forbidden": 403,
    "OriginNotAllowed": 403,
    "NoSuchBucket": 404,
    "NoSuchEvent": 404,
    "NoSuchJob": 404,
    "NotFound": 404,
    "NoSuchToken": 404,
    "MethodNotAllowed": 405,
    "PayloadTooLarge": 413,
    "UnsupportedMediaType": 415,
}
# Signs of a stack trace or of a path on the server's machine, which no answer may hold (S11).
LEAKS = re.compile(r"Traceback|site-packages|\.py\b|, line \d+|/tmp/|/home/|/root/")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00")
WATCHER = {"type": "test", "client": "contract", "hostname": "desk"}


def _refuse_constant(text: str) -> Any:
    raise AssertionError(f"{text} is not JSON")


def strict_json(body: bytes) -> Any:
    """The value of a strict JSON document. AssertionError for NaN, Infinity, a lone surrogate; ValueError for no JSON."""
    value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # raises if an escape in the document was half a character
    return value


def same(left: Any, right: Any) -> bool:
    """Deep equality of JSON values. To Python `True == 1`; here it is not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def at(clock: str) -> str:
    """`10:00:07` -> that moment of one day in May, as the server writes it."""
    return f"2024-05-01T{clock}+00:00"


def event(clock: str, duration: float = 0, data: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"timestamp": at(clock), "duration": duration, "data": {"s": 1} if data is None else data}


def q(text: str) -> str:
    """Text as one segment of a path."""
    return quote(text, safe="")


def encoded(value: Any) -> bytes:
    """`bytes` as they are, else the value as JSON."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def check_error(answer: Reply, status: int, word: str | None = None) -> dict[str, Any]:
    """The body of a refusal under `/api/`, after a look at everything section 3 says of it."""
    assert answer.status == status, f"{answer.status} instead of {status}: {answer.body[:300]!r}"
    assert answer.headers.get_content_type() == "application/json"
    error = strict_json(answer.body)
    assert isinstance(error, dict)
    assert ERROR_WORDS[error["type"]] == status
    assert word in {None, error["type"]}, f"{error['type']} instead of {word}"
    assert isinstance(error["message"], str)
    assert error["message"].strip()
    assert not LEAKS.search(error["message"])
    return error


class Api:
    """The API of one server. Paths begin below `/api/0`, with their segments percent-encoded by the caller.

    Each thread keeps its connection for the next request, as the browsers and most clients do.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._kept = threading.local()

    def _connection(self) -> http.client.HTTPConnection:
        """The connection of this thread; a new one if the server has closed it meanwhile."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is None or (kept.sock is not None and select.select([kept.sock], [], [], 0)[0]):
            if kept is not None:
                kept.close()
            kept = http.client.HTTPConnection(self.server.host, self.server.port, timeout=30)
            self._kept.connection = kept
        return kept

    def call(
        self,
        method: str,
        path: str,
        *body: Any,
        content_type: str | None = "application/json",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Reply:
        """One request. A body is sent if one is given: `bytes` as they are, else as JSON (`None` is `null`)."""
        sent = dict(headers or {})
        if body and content_type is not None:
            sent["Content-Type"] = content_type
        if query:
            path = f"{path}?{urlencode(query)}"
        raw = encoded(body[0]) if body else None
        connection = self._connection()
        try:
            connection.request(method, f"/api/0{path}", body=raw, headers=sent)
            response = connection.getresponse()
            answer = Reply(response.status, response.headers, response.read())
        except BaseException:
            connection.close()
            raise
        assert answer.status < 500, f"{method} {path}: {answer.status} {answer.body[:300]!r}"
        is_plain_json = (
            answer.headers.get_content_type() == "application/json" and "Content-Encoding" not in answer.headers
        )
        if is_plain_json and method != "HEAD" and answer.status != 304:
            strict_json(answer.body)
        return answer

    def ok(self, method: str, path: str, *body: Any, status: int = 200, **options: Any) -> Any:
        """The JSON value of an answer that has to be a 200, or another good one."""
        answer = self.call(method, path, *body, **options)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.body[:300]!r}"
        assert answer.headers.get_content_type() == "application/json"
        return strict_json(answer.body)

    def get(self, path: str, **query: Any) -> Any:
        return self.ok("GET", path, **query)

    def post(self, path: str, body: Any, **options: Any) -> Any:
        return self.ok("POST", path, body, **options)

    def refused(
        self, method: str, path: str, *body: Any, status: int = 400, word: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """The error object of a request that has to be refused, with any word of section 3 if none is given."""
        return check_error(self.call(method, path, *body, **options), status, word)

    def create(self, bucket: str, **fields: Any) -> str:
        assert self.post(f"/buckets/{q(bucket)}", {**WATCHER, **fields}) == {}
        return bucket

    def bucket(self, bucket: str) -> dict[str, Any]:
        value = self.get(f"/buckets/{q(bucket)}")
        assert isinstance(value, dict)
        return value

    def insert(self, bucket: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
        """The events as stored, in the order given."""
        value = self.post(f"/buckets/{q(bucket)}/events", list(events))
        assert isinstance(value, list)
        assert len(value) == len(events)
        return value

    def events(self, bucket: str, **query: Any) -> list[dict[str, Any]]:
        value = self.get(f"/buckets/{q(bucket)}/events", **query)
        assert isinstance(value, list)
        return value

    def count(self, bucket: str, **query: Any) -> int:
        value = self.get(f"/buckets/{q(bucket)}/events/count", **query)
        assert type(value) is int
        return value

    def beat(self, bucket: str, heartbeat: Any, pulsetime: float | str = 10) -> dict[str, Any]:
        value = self.post(f"/buckets/{q(bucket)}/heartbeat", heartbeat, pulsetime=pulsetime)
        assert isinstance(value, dict)
        return value

    def delete_event(self, bucket: str, event_id: Any) -> bool:
        value = self.ok("DELETE", f"/buckets/{q(bucket)}/events/{event_id}")
        assert value.keys() == {"success"}
        assert isinstance(value["success"], bool)
        return value["success"]

    def everything(self) -> Any:
        """All that the server holds, to compare before and after a request that must change nothing."""
        buckets = self.get("/buckets/")
        return buckets, {bucket: self.events(bucket) for bucket in buckets}, self.get("/settings")


@dataclass
class Wire:
    """One connection of bare bytes. Reads answers one after the other and keeps what comes behind them."""

    server: Server
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        self.socket = socket.create_connection((self.server.host, self.server.port), timeout=self.timeout_s)
        self.received = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Sends all of it, or as much as the server waits for before it refuses and closes."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(b"".join(parts))

    def finish(self) -> bytes:
        """Sends no more, and returns everything until the server closes the connection."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        while self._more():
            pass
        return self.received

    def _more(self) -> bool:
        """False at the end of the stream."""
        try:
            chunk = self.socket.recv(65536)
        except ConnectionResetError:
            chunk = b""
        self.received += chunk
        return bool(chunk)

    def until(self, mark: bytes) -> bytes:
        """What comes next, up to and with the mark."""
        while mark not in self.received:
            assert self._more(), f"the connection ended after {self.received!r}"
        head, _, self.received = self.received.partition(mark)
        return head + mark

    def _exactly(self, count: int) -> bytes:
        while len(self.received) < count:
            assert self._more(), f"the connection ended after {self.received!r}"
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def answer(self, *, to: str = "GET") -> Reply:
        """The next answer, without the interim ones (1xx). `to` is the method of the request: HEAD has no body."""
        head = self.until(b"\r\n\r\n")
        line, _, fields = head.partition(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.[01] (\d{3})( .*)?", line)
        assert match, f"no status line: {line!r}"
        status = int(match[1])
        if status < 200:
            return self.answer(to=to)
        headers = http.client.parse_headers(io.BytesIO(fields))
        body = b""
        if to == "HEAD" or status in {204, 304}:
            pass
        elif headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self.until(b"\r\n") == b"\r\n"
        elif "Content-Length" in headers:
            body = self._exactly(int(headers["Content-Length"]))
        else:
            while self._more():
                pass
            body, self.received = self.received, b""
        return Reply(status, headers, body)


def request_bytes(
    method: str, target: str | bytes, *headers: str, body: bytes | None = None, host: str | None = "localhost"
) -> bytes:
    """A request exactly as written. No header is added but `Host` and, with a body, `Content-Length`."""
    lines = [f"Host: {host}"] if host is not None else []
    lines += headers
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    raw_target = target if isinstance(target, bytes) else target.encode("latin-1")
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    return method.encode() + b" " + raw_target + b" HTTP/1.1\r\n" + head + b"\r\n" + (body or b"")


def exchange(
    server: Server,
    method: str,
    target: str | bytes,
    *headers: str,
    body: bytes | None = None,
    host: str | None = "localhost",
) -> Reply:
    """One bare request on a connection of its own."""
    with Wire(server) as wire:
        wire.send(request_bytes(method, target, *headers, body=body, host=host))
        return wire.answer(to=method)
