"""S11 and O5: no input makes a 5xx, and the server outlives its clients.

Two fuzzers with a fixed seed. The first sends well-formed HTTP with any method, path, query, headers and body, built so
that most requests come close to something meaningful. The second sends bytes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import given as given_cases
from hypothesis import strategies as st

from awlog.api.routes import ROUTES
from tests.contract.wire import ERROR_WORDS, LEAKS, WATCHER, Api, Wire, event, strict_json
from tests.server import Server

FUZZ = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
Asked = tuple[str, str, bytes | None]  # method, path below the host, body
BUCKETS = ["b", "c", "new", "a/b", "ü", "..", "no such bucket"]


@dataclass
class Target:
    """A server that the fuzzers have for themselves, and one connection to it that is opened again when it is closed."""

    server: Server
    connection: http.client.HTTPConnection | None = None
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)

    def send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        for _ in range(2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
            try:
                self.connection.request(method, path, body=body, headers=headers)
                response = self.connection.getresponse()
                answer = response, response.read()
            except TimeoutError:
                self.connection = None
                raise AssertionError(f"no answer in time to {method} {path!r} {headers} {body!r}") from None
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection = None  # an answer before this one closed the connection
            else:
                self.requests += 1
                self.statuses[response.status] += 1
                if response.status == 200 and method in {"POST", "PUT", "DELETE"}:
                    self.taken[f"{method} {path.partition('?')[0].rstrip('/').rpartition('/')[2]}"] += 1
                return answer
        raise AssertionError(f"no answer to {method} {path!r} {headers} {body!r}")

    def check_alive(self) -> None:
        """Info answers and a heartbeat works, whatever came before."""
        api = Api(self.server)
        assert api.get("/info")["testing"] is True
        api.call("POST", "/buckets/alive", WATCHER)
        assert api.beat("alive", event("10:00:00"))["timestamp"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Server(tmp_path_factory.mktemp("fuzz") / "data", "--max-import-bytes", "200000") as server:
        yield Target(server)
        assert server.process is not None
        assert server.process.poll() is None
        server.stop()
        log = server.log_text()
        assert "InternalError" not in log


# --- well-formed HTTP

texts = st.text(max_size=8)
plain = st.sampled_from(["", "a", "title", "\ud83d\ude00", "\x00", "2024-05-01", "true", "1"])
numbers = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30]),
    st.floats(allow_nan=True, allow_infinity=True),
)
timestamps = st.one_of(
    st.sampled_from(
        ["0001-01-01", "9999-12-31T23:59:59.999999Z", "2024-05-01T10:00:00+02", "1969-12-31 23:59Z", "2024-02-30"]
    ),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.integers(0, 59).map(lambda second: f"2024-05-01T10:00:{second:02}Z"),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, plain, timestamps),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | plain, inner, max_size=3),
    max_leaves=8,
)
data = st.one_of(st.sampled_from([{}, {"s": 1}, {"s": 2}]), st.dictionaries(plain | texts, values, max_size=3), values)


def often(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Five times out of six the first. (`one_of` would not count a strategy that is named twice.)"""
    return st.integers(0, 5).flatmap(lambda chance: usual if chance else rare)


def loosely(
    required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    """An object of the right shape, in which one field may be anything."""
    right = st.fixed_dictionaries(required, optional=optional)
    spoilt = st.tuples(right, st.sampled_from([*required, *optional]), values).map(
        lambda made: {**made[0], made[1]: made[2]}
    )
    return often(right, spoilt)


ids = st.one_of(
    st.integers(1, 2).flatmap(lambda bucket: st.integers(1, 20).map(lambda seq: bucket << 32 | seq)), numbers
)
durations = st.one_of(st.integers(-1, 70), st.floats(0, 1e6), numbers)
events = loosely({"timestamp": timestamps}, {"duration": durations, "data": data, "id": ids})
fields = {"type": texts, "client": texts, "hostname": st.sampled_from(["desk", "!local", ""])}
more_fields = {"name": texts, "data": data, "created": timestamps, "id": st.sampled_from(BUCKETS) | texts}
buckets = loosely(fields, more_fields)
exported = loosely(fields, {**more_fields, "events": st.lists(events, max_size=4)})
imports = loosely(
    {"buckets": st.dictionaries(st.sampled_from(BUCKETS) | texts, exported, max_size=3)}, {"version": values}
)


def written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=len(str(value)) % 2 == 0).encode("utf-8", "surrogatepass")


def spoil(made: tuple[bytes, int, bytes]) -> bytes:
    """A body with some bytes of it exchanged for others."""
    body, position, patch = made
    position %= len(body) + 1
    return body[:position] + patch + body[position + len(patch) :]


def form(document: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + document + b"\r\n--x--\r\n"


documents = st.one_of(events, st.lists(events, max_size=4), buckets, imports, values).map(written)
bodies = st.one_of(
    st.none(),
    documents,
    st.tuples(documents, st.integers(0, 2000), st.binary(max_size=4)).map(spoil),
    st.binary(max_size=40),
    st.sampled_from(
        [b"", b"null", b"[" * 3000, b'{"a":' * 3000, b'"\\ud83d"', b"1e400", b"9" * 5000, b"\xef\xbb\xbf{}", b"NaN"]
    ),
    documents.map(form),
    st.binary(max_size=60).map(lambda noise: b"--x\r\n" + noise + b"\r\n\r\n{}\r\n--x--"),
)
JSON_TYPES = ["application/json"] * 24
content_types = st.sampled_from(
    [
        *JSON_TYPES,
        *["application/x-ndjson"] * 4,
        "application/json; charset=utf-8",
        "application/x+json",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        'multipart/form-data; boundary="',
        "multipart/mixed; boundary=x",
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=none",
        ";;",
        None,
    ]
)
names = often(st.sampled_from(["b", "b", "b", "c", *BUCKETS]), texts).map(
    lambda text: quote(text.encode("utf-8", "replace"), safe="")
)
numerals = st.one_of(
    ids.map(str),
    st.sampled_from(
        ["", "-1", "0", "1e3", "nan", "inf", "-inf", "1_0", "%00", "9" * 400, "1e999", "٣", "%FF", "+", "1 2"]
    ),
    texts,
).map(lambda text: quote(text.encode("utf-8", "replace"), safe="%"))
query_keys = st.sampled_from(
    ["start", "end", "limit", "pulsetime", "force", "starttime", "endtime", "name", "cache", "", "%FF"]
)
query_values = st.one_of(numerals, timestamps.map(lambda text: quote(text, safe=":+")), names)
queries = st.lists(st.tuples(query_keys, query_values).map("=".join), max_size=4).map(
    lambda pairs: "?" + "&".join(pairs) if pairs else ""
)
segments = st.sampled_from(
    ["api", "0", "buckets", "events", "count", "info", "..", "%2e%2e", "%2F", "%", "%zz", "", "pages", ".", "%00"]
)


def route(
    paths: st.SearchStrategy[str], *likely: tuple[str, st.SearchStrategy[bytes | None]]
) -> st.SearchStrategy[Asked]:
    """Requests for these paths: mostly with a method and a body that belong together, else with any."""
    nothing: st.SearchStrategy[bytes | None] = st.none()
    right = [st.tuples(st.just(method), paths, body) for method, body in likely or [("GET", nothing)]]
    return often(st.one_of(*right), st.tuples(methods, paths, bodies))


methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
lines = loosely({"bucket": st.sampled_from(["b", "c"]), "event": events, "pulsetime": durations}, {"producer": texts})
streams = st.lists(lines.map(written) | st.sampled_from([b"", b"{", b"\xff"]), max_size=8).map(b"\n".join)
event_bodies = (events | st.lists(events, max_size=4)).map(written)
# Every route there is, but those whose answer never ends, and those that shut the fuzzer out.
UNFUZZED = re.compile("0/(changes|stream|tokens|admin)")
every_path = st.sampled_from([route.path for route in ROUTES if not UNFUZZED.match(route.path)])
every_route = st.builds(
    lambda path, name: "/api/" + re.sub(r"\{\w+\}", name.replace("\\", r"\\"), path), every_path, names
)
asked: st.SearchStrategy[Asked] = st.one_of(
    route(every_route, ("POST", values.map(written)), ("PUT", values.map(written)), ("DELETE", st.none())),
    route(st.sampled_from(["/info", "/buckets", "/export", "/settings", "/log", "/query/"]).map("/api/0{}".format)),
    route(st.just("/api/0/import"), ("POST", imports.map(written)), ("POST", imports.map(written).map(form))),
    route(
        names.map("/api/0/buckets/{}".format),
        ("POST", buckets.map(written)),
        ("PUT", buckets.map(written)),
        ("DELETE", st.none()),
    ),
    route(
        names.map("/api/0/buckets/{}/events".format), ("POST", event_bodies), ("POST", event_bodies), ("GET", st.none())
    ),
    route(names.map("/api/0/buckets/{}/heartbeat?pulsetime=10".format), ("POST", events.map(written))),
    route(names.map("/api/0/buckets/{}/heartbeat".format), ("POST", events.map(written))),
    route(names.map("/api/0/buckets/{}/heartbeats?pulsetime=10".format), ("POST", st.lists(events).map(written))),
    route(st.sampled_from(["/api/0/heartbeats", "/api/0/heartbeats?acks=chunk", "/api/0/stream"]), ("POST", streams)),
    route(names.map("/api/0/buckets/{}/events/count".format)),
    route(
        st.tuples(names, numerals).map(lambda pair: f"/api/0/buckets/{pair[0]}/events/{pair[1]}"),
        ("GET", st.none()),
        ("DELETE", st.none()),
    ),
    route(names.map("/api/0/buckets/{}/export".format)),
    route(
        (names | st.just("privacy_filters")).map("/api/0/settings/{}".format),
        ("POST", values.map(written)),
        ("DELETE", st.none()),
    ),
    route(st.sampled_from(["/api/", "/", "/pages/", "/pages/x"])),
    route(st.lists(segments | names, max_size=6).map(lambda parts: "/" + "/".join(parts))),
)
slashes = st.sampled_from([*[""] * 8, "/", "/", "//"])
extra_headers: st.SearchStrategy[dict[str, str]] = often(
    st.just({}),
    st.dictionaries(
        st.sampled_from(
            [
                "Origin",
                "If-None-Match",
                "If-Modified-Since",
                "Range",
                "Accept-Encoding",
                "Accept",
                "Cookie",
                "X-HTTP-Method",
                "Awlog-Producer",
                "Awlog-Sequence",
                "Upgrade",
            ]
        )
        | st.sampled_from(
            ["Access-Control-Request-Method", "Access-Control-Request-Headers", "Content-Encoding", "Authorization"]
        ),
        st.sampled_from(
            [
                "null",
                "*",
                "GET",
                "http://localhost:27180",
                "gzip",
                "identity",
                "bytes=0-1",
                "bytes=9-1",
                "a=b; c",
                '"',
                "é",
            ]
        )
        | st.text(string.printable.strip(), max_size=8),
        max_size=2,
    ),
)


def test_no_request_makes_the_server_fail(target: Target) -> None:
    """No 5xx; every 4xx below /api/ has `type` and `message`; all JSON is strict; nothing tells of the inside."""
    api = Api(target.server)

    @settings(FUZZ, max_examples=1600)
    @given_cases(asked, slashes, queries, content_types, extra_headers)
    def ask(
        made: Asked,
        slash: str,
        query: str,
        content_type: str | None,
        headers: dict[str, str],
    ) -> None:
        method, path, body = made
        if target.requests % 20 == 0:
            target.check_alive()
            api.call("POST", "/buckets/b", WATCHER)
        where = path + slash + query if "?" not in path else path + query.replace("?", "&", 1)
        sent = {**headers, "Content-Type": content_type} if content_type is not None else headers
        response, answer = target.send(method, where, body, sent)
        assert response.status < 500, answer
        is_json = response.headers.get_content_type() == "application/json"
        if response.status >= 400 and where.startswith("/api/") and method != "HEAD":
            assert is_json, answer
            error = strict_json(answer)
            assert isinstance(error["message"], str)
            assert ERROR_WORDS[error["type"]] == response.status
            assert not LEAKS.search(error["message"])
        elif is_json and method != "HEAD" and response.status < 300:
            strict_json(answer)

    ask()
    # A fuzzer that is refused at the door proves nothing: all these came up, and writes were taken.
    assert {200, 304, 400, 403, 404, 405, 415} <= target.statuses.keys()
    assert (
        min(target.taken[write] for write in ("POST events", "POST heartbeat", "POST import", "PUT b", "POST b")) > 0
    ), target.taken
    assert target.taken["POST heartbeats"] > 5, "lists and streams, too"


def test_all_that_the_fuzzer_left_behind_can_be_read(target: Target) -> None:
    """C7, and once more after a crash."""
    api = Api(target.server)
    before = api.everything()
    api.get("/export")
    target.server.kill()
    target.server.start()
    target.connection = None
    assert api.everything() == before


# --- bytes

requests = st.one_of(
    st.binary(max_size=200),
    st.tuples(
        st.sampled_from([b"GET", b"POST", b"PUT", b"G\x00T", b"", b"PRI"]),
        st.sampled_from(
            [
                b"/api/0/info",
                b"/api/0/buckets/b/events",
                b"*",
                b"http://localhost/",
                b"//",
                b"/%",
                b"/\xff",
                b"\\",
                b"?",
            ]
        ),
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 x", b"", b"http/1.1"]),
        st.lists(
            st.sampled_from(
                [
                    b"Host: localhost",
                    b"Host: localhost",
                    b"Host: evil.example",
                    b"Content-Type: application/json",
                    b"Content-Length: 2",
                    b"Content-Length: 3",
                    b"Content-Length: +2",
                    b"Content-Length: 99999999999999999999",
                    b"Transfer-Encoding: chunked",
                    b"Transfer-Encoding: gzip, chunked",
                    b"Transfer-Encoding: identity",
                    b"Content-Encoding: gzip",
                    b"Content-Encoding: br",
                    b"Expect: 100-continue",
                    b"Expect: x",
                    b"Connection: upgrade",
                    b"Upgrade: websocket",
                    b" folded: x",
                    b"no colon",
                    b"\xff: \xfe",
                    b"X: " + b"x" * 9000,
                ]
            ),
            max_size=5,
        ).map(b"\r\n".join),
        st.sampled_from(
            [
                b"",
                b"{}",
                b"[]",
                b"2\r\n{}\r\n0\r\n\r\n",
                b"zz\r\n",
                b"ffffffffffffffff\r\n",
                b"\x1f\x8b\x08\x00",
                b"\r\n\r\n",
            ]
        ),
        st.sampled_from([b"\r\n", b"\n", b"\r"]),
    ).map(lambda made: made[0] + b" " + made[1] + b" " + made[2] + made[5] + made[3] + made[5] * 2 + made[4]),
)


@settings(FUZZ, max_examples=300)
@given_cases(st.lists(requests, min_size=1, max_size=3))
def test_no_bytes_make_the_server_fail(target: Target, sent: list[bytes]) -> None:
    """Half requests, no requests, two requests in one: what is answered is no 5xx, and then the connection ends."""
    with Wire(target.server) as wire:
        wire.send(*sent)
        received = wire.finish()
    for status in (b"500", b"501", b"502", b"503", b"504", b"505"):
        assert b"HTTP/1.1 " + status not in received
    assert not LEAKS.search(received.decode("latin-1"))


def test_the_server_goes_on_after_all_of_it(target: Target) -> None:
    """Also after two hundred connections that were dropped without a word."""
    for _ in range(200):
        with contextlib.suppress(OSError), Wire(target.server) as wire:
            wire.send(b"POST /api/0/buckets/alive/heartbeat?pulsetime=1 HTTP/1.1\r\nHost: loc")
    target.check_alive()
