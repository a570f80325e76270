"""D1: a write is answered after it was synced. strace records the server; the order of the calls is the proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.load import Connection
from tests.faults.straced import recorded, wait_for_end
from tests.faults.trace import Exchange, check_synced, exchanges, read_record
from tests.server import Server

pytestmark = pytest.mark.needs("strace")

BUCKET = "/buckets/b"
EVENTS = "/buckets/b/events"
BEAT = "/buckets/b/heartbeat?pulsetime=10"


def event(second: int, **more: Any) -> dict[str, Any]:
    return {"timestamp": f"2024-05-01T10:00:{second:02}Z", "duration": 1, "data": {"app": "vim"}, **more}


FIELDS = {"type": "t", "client": "c", "hostname": "h"}
IMPORTED = {"buckets": {"c": {**FIELDS, "id": "c", "events": [event(1), event(2)]}}}

LINES = b"".join(
    json.dumps({"bucket": "b", "pulsetime": 1, "event": event(second, data={"n": second // 9})}).encode() + b"\n"
    for second in range(10, 60)
)

# Each kind of write, in an order in which each one changes something. `ID` stands for the id of the first event.
ID = object()
WRITES: list[tuple[str, str, str, Any]] = [
    ("bucket create", "POST", BUCKET, FIELDS),
    ("new heartbeat", "POST", BEAT, event(0)),
    ("merged heartbeat", "POST", BEAT, event(5)),
    ("heartbeat of other data", "POST", BEAT, event(6, data={"app": "mail"})),
    ("late heartbeat", "POST", BEAT, {**event(1), "timestamp": "2024-05-01T09:00:00Z"}),
    ("list of heartbeats", "POST", f"{BUCKET}/heartbeats?pulsetime=10", [event(7), event(8), event(9, data={})]),
    ("stream of heartbeats", "POST", "/heartbeats", LINES),
    ("stream by chunk", "POST", "/heartbeats?acks=chunk", LINES.replace(b"10:00", b"10:01")),
    ("insert", "POST", EVENTS, event(10)),
    ("batch", "POST", EVENTS, [event(second) for second in range(11, 20)]),
    ("large batch", "POST", EVENTS, [event(second % 60) for second in range(9_000)]),
    ("replace", "POST", EVENTS, event(30, id=ID, data={"app": "other"})),
    ("replace and insert", "POST", EVENTS, [event(31, id=ID), event(32)]),
    ("delete event", "DELETE", f"{EVENTS}/{{id}}", ...),
    ("erase what a filter finds", "POST", f"{BUCKET}/delete", {"filter": {"field": "n", "equals": 3}}),
    ("erase a range", "POST", f"{BUCKET}/delete", {"start": "2024-05-01T10:00:40Z", "end": "2024-05-01T10:00:50Z"}),
    ("bucket update", "PUT", BUCKET, {"type": "u"}),
    ("import, new bucket", "POST", "/import", IMPORTED),
    ("import, known bucket", "POST", "/import", {"buckets": {"c": {**FIELDS, "id": "c", "events": [event(3)]}}}),
    ("setting set", "POST", "/settings/key", {"a": 1}),
    ("setting changed", "POST", "/settings/key", 0),
    ("setting removed by null", "POST", "/settings/key", None),
    ("setting set again", "POST", "/settings/key", []),
    ("setting removed", "DELETE", "/settings/key", ...),
    ("forget the last minutes", "POST", "/forget", {"minutes": 100_000_000}),
    ("bucket delete", "DELETE", f"{BUCKET}?force=1", ...),
]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exchange]:
    """Sends every kind of write, one after the other, to a server that strace records; what the record shows of each.

    Raises NotDurableError if an answer, to whatever request, leaves while something written is not synced.
    """
    tmp_path = tmp_path_factory.mktemp("recorded")
    record, data_dir = tmp_path / "record", tmp_path / "data"
    server = Server(data_dir, wrapper=recorded(record)).start()
    try:
        connection = Connection(server.host, server.port)
        connection.connect()
        first_id = 0
        for name, method, path, body in WRITES:
            sent = body
            if isinstance(body, dict | list):
                bodies = body if isinstance(body, list) else [body]
                for part in bodies:
                    if part.get("id") is ID:
                        part["id"] = first_id
            answer = connection.send(method, path.format(id=first_id), sent)
            assert answer.status == 200, (name, answer)
            if name == "new heartbeat":
                first_id = answer.value["id"]
        port, process = connection.port, server.pid
        connection.close()
        assert server.stop() == 0
    finally:
        server.kill()
    wait_for_end(record, process)
    found = [
        exchange for exchange in exchanges(read_record(record), data_dir, server.port) if exchange.client_port == port
    ]
    assert len(found) == len(WRITES)
    return dict(zip([write[0] for write in WRITES], found, strict=True))


@pytest.mark.parametrize("kind", [write[0] for write in WRITES])
def test_an_acknowledged_write_is_on_the_disk(answered, kind):
    check_synced(answered[kind])


def test_every_file_of_the_store_is_watched(tmp_path):
    """What the server keeps beside the database would need the same proof: a new file shows here."""
    with Server(tmp_path / "data") as server:
        assert {path.name for path in Path(server.data_dir).iterdir()} == {
            "awlog.lock",
            "awlog.sock",
            "data.mdb",
            "identity.json",
            "lock.mdb",
        }
