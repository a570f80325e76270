"""C1 to C4: reads show what is acknowledged, nothing that a crash could take back, and all of it as of one moment."""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from tests.faults.history import (
    Query,
    Step,
    find_order,
    query_of,
    read_count,
    read_events,
    read_export,
    read_list,
    read_setting,
)
from tests.faults.load import FIRST_US, SECOND_US, Connection
from tests.faults.model import (
    ChangeSetting,
    CreateBucket,
    DeleteBucket,
    DeleteEvent,
    Event,
    Heartbeat,
    Insert,
    Operation,
    UpdateBucket,
    World,
    iso,
    micros,
)
from tests.faults.straced import recorded, wait_for_end
from tests.faults.trace import POSITIONED_WRITES, Call, Descriptors, Seen, all_seen, read_record
from tests.server import Server

FIELDS: dict[str, Any] = {"type": "t", "client": "c", "hostname": "h", "name": None, "data": {}, "created": FIRST_US}
ROUNDS, CLIENTS, REQUESTS = 12, 4, 9


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    connection = Connection(server.host, server.port)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def together(*work: Callable[[], object]) -> None:
    """Runs all at once. Raises what one of them raised."""
    failures: list[BaseException] = []

    def guarded(one: Callable[[], object]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 (raised below)
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a client still waits for an answer"
    if failures:
        raise failures[0]


# C1, C3, C4: one order explains all answers


def choose(random: Random, names: list[str], key: str, known_ids: dict[str, list[int]]) -> Operation:
    name = random.choice(names)
    event = Event(
        FIRST_US + random.randint(0, 12) * SECOND_US, random.choice((0, SECOND_US)), random.choice(('{"a": 1}', "{}"))
    )
    ids = known_ids[name]
    return random.choice(
        [
            *[Heartbeat(name, event, random.choice((0, SECOND_US, 3 * SECOND_US))) for _ in range(6)],
            Insert(name, ((None, event),), single=True),
            Insert(name, ((None, event), (random.choice([*ids, None]), event._replace(start_us=FIRST_US)))),
            DeleteEvent(name, random.choice([*ids, 1])),
            UpdateBucket(name, {"type": random.choice("uvw")}),
            random.choice((DeleteBucket(name), CreateBucket(name, FIELDS), CreateBucket(name, FIELDS))),
            ChangeSetting(key, random.choice((1, 2, None))),
            read_events(name),
            read_events(name),
            read_count(name),
            read_list(names),
            read_export(names),
            Query(name),
            read_setting(key),
        ]
    )


def one_client(server: Server, random: Random, names: list[str], key: str, history: list[Step]) -> None:
    known_ids: dict[str, list[int]] = {name: [] for name in names}
    with connected(server) as connection:
        for _ in range(REQUESTS):
            operation = choose(random, names, key, known_ids)
            sent_ns = time.monotonic_ns()
            answer = connection.send(*operation.request())
            history.append(Step(operation, answer, sent_ns, time.monotonic_ns()))
            if isinstance(operation, Heartbeat | Insert) and answer.status == 200:
                events = answer.value if isinstance(answer.value, list) else [answer.value]
                known_ids[operation.bucket] += [event["id"] for event in events]


def test_one_order_explains_the_answers_of_concurrent_clients(server, seed, note):
    """Heartbeats of many senders, edits and every kind of read: some serial order gives exactly these answers."""
    requests = overlapping = 0
    for number in range(ROUNDS):
        names, key = [f"{number} a", f"{number} b"], f"key {number}"
        history: list[Step] = []
        with connected(server) as connection:
            for name in names:
                assert connection.send(*CreateBucket(name, FIELDS).request()).status == 200
        randoms = [Random(f"{seed} {number} {client}") for client in range(CLIENTS)]
        together(*(partial(one_client, server, random, names, key, history) for random in randoms))
        with connected(server) as connection:
            for last in (*map(read_events, names), *map(Query, names), read_export(names), read_setting(key)):
                sent_ns = time.monotonic_ns()
                history.append(Step(last, connection.send(*last.request()), sent_ns, time.monotonic_ns()))
        world = World()
        for name in names:
            CreateBucket(name, FIELDS).happen(world, None)
        find_order(world, history)
        requests += len(history)
        pairs = itertools.combinations(history, 2)
        overlapping += sum(a.sent_ns < b.answered_ns and b.sent_ns < a.answered_ns for a, b in pairs)
    note(f"{requests} requests explained, {overlapping} pairs of them at the same time")
    assert overlapping > requests // 2, "the clients worked one after the other: nothing was shown"


def test_a_range_read_and_an_export_are_one_snapshot(server, note):
    """All events are replaced again and again, in one request each, in a bucket long enough to be read in steps."""
    count, versions = 3_000, 12
    seen: dict[str, set[int]] = {"events": set(), "export": set(), "both": set(), "query": set()}
    with connected(server) as writer:
        for name in ("a", "b"):
            assert writer.send(*CreateBucket(name, FIELDS).request()).status == 200

        def version_of(number: int, ids: list[int | None]) -> list[dict[str, Any]]:
            events = [Event(FIRST_US + n * SECOND_US, 0, f'{{"version": {number}}}') for n in range(count)]
            sent = [event.on_the_wire() for event in events]
            return [event if i is None else event | {"id": i} for event, i in zip(sent, ids, strict=True)]

        stored = writer.send("POST", "/buckets/a/events", version_of(0, [None] * count))
        ids = [event["id"] for event in stored.value]
        done = threading.Event()

        def write() -> None:
            try:
                for number in range(1, versions):
                    assert writer.send("POST", "/buckets/a/events", version_of(number, ids)).status == 200
                    two = {name: {**FIELDS, "created": None, "id": name} for name in ("c", "d")}
                    for one in two.values():
                        one["events"] = [{"timestamp": iso(FIRST_US + number)}]
                    assert writer.send("POST", "/import", {"buckets": two}).status == 200
            finally:
                done.set()

        def read(path: str, kind: str) -> None:
            with connected(server) as reader:
                while not done.is_set():
                    if kind == "query":  # its two periods are of one moment
                        events = list(itertools.chain(*reader.send(*query_of("a", periods=2)).value))
                    elif kind == "events":
                        events = reader.get(path)
                    else:
                        buckets = reader.get(path)["buckets"]
                        events = buckets["a"]["events"]
                        imported = [len(buckets[name]["events"]) for name in ("c", "d") if name in buckets]
                        assert imported in ([], imported[:1] * 2), f"half of an import: {imported} events"
                        seen["both"].add(imported[0] if imported else 0)
                    assert len(events) == (2 * count if kind == "query" else count)
                    versions_seen = {event["data"]["version"] for event in events}
                    assert len(versions_seen) == 1, f"{path} shows {versions_seen} at once"
                    seen[kind] |= versions_seen

        together(
            write,
            lambda: read("/buckets/a/events", "events"),
            lambda: read("/export", "export"),
            lambda: read("/query/", "query"),
        )
    note(f"versions seen: { ({kind: len(found) for kind, found in seen.items()}) } of {versions}")
    assert all(len(found) > 2 for found in seen.values()), f"nothing was read in between: {seen}"


def test_a_read_begun_after_an_answer_sees_the_write_in_a_long_history(server):
    """Each kind of read, on a connection of its own, of a bucket with sealed segments."""
    with connected(server) as writer, connected(server) as reader:
        assert writer.send(*CreateBucket("b", FIELDS).request()).status == 200
        many = [Event(FIRST_US + n * SECOND_US, 0, "{}").on_the_wire() for n in range(6_000)]
        for _ in range(3):
            assert writer.send("POST", "/buckets/b/events", many).status == 200
        held = 3 * len(many)
        for number in range(12):
            event = Event(FIRST_US + 10_000 * SECOND_US + number, 0, f'{{"n": {number}}}')
            assert writer.send(*Insert("b", ((None, event),)).request()).status == 200
            held += 1
            newest = reader.get("/buckets/b/events?limit=1")
            assert newest[0]["data"] == {"n": number}
            assert len(reader.get("/buckets/b/events")) == held
            assert reader.get("/buckets/b/events/count") == held
            assert reader.get(f"/buckets/b/events/{newest[0]['id']}")["data"] == {"n": number}
            assert micros(reader.get("/buckets/b")["last_updated"]) == event.end_us
            assert micros(reader.get("/buckets/")["b"]["last_updated"]) == event.end_us
            for path in ("/buckets/b/export", "/export"):
                assert reader.get(path)["buckets"]["b"]["events"][0]["data"] == {"n": number}
            (found,) = reader.send(*query_of("b")).value
            assert len(found) == held
            assert {"n": number} in [event["data"] for event in found]


@pytest.mark.parametrize(
    "nothing", [ChangeSetting("unset", ...), ChangeSetting("unset", None), Insert("b", ()), UpdateBucket("b", {})]
)
def test_a_write_that_changes_nothing_delays_no_read(server, nothing):
    with connected(server) as connection:
        assert connection.send(*CreateBucket("b", FIELDS).request()).status == 200
        assert connection.send(*nothing.request()).status == 200
        assert connection.get("/buckets/b/events") == []
        assert connection.get("/buckets/b/events/count") == 0
        assert set(connection.get("/export")["buckets"]) == {"b"}
        assert connection.send(*query_of("b")).value == [[]]


# C2: nothing is shown before it is durable. Order in the record of strace, which holds every commit for a while.

HOLD = "fdatasync:delay_enter=120000"
READS = ["/query/", "/buckets/b/events", "/buckets/", "/buckets/b", "/buckets/b/export", "/export"]


def commits(calls: list[Call], data_file: Path, after: int) -> list[tuple[int, int]]:
    """From the start of its sync to the end of its meta page: each commit that began behind a line of the record."""
    descriptors = Descriptors()
    found, synced = [], 0
    for call in calls:
        descriptors.follow(call)
        if call.target == str(data_file) and call.succeeded and call.ended is not None and call.started > after:
            if call.name == "fdatasync":
                synced = call.started
            elif call.name in POSITIONED_WRITES and descriptors.is_synchronous(call):
                assert synced, "a meta page without a sync before it"
                found.append((synced, call.ended))
    return found


def shown(path: str, value: Any) -> int:
    """How many writes of the series an answer shows: each made the bucket's last second later by one."""
    if path.endswith("/count"):
        return int(value)
    if path.endswith(("/events", "/export", "/query/")):
        found = {"/query/": lambda: value[0], "/buckets/b/events": lambda: value}
        events = found.get(path, lambda: value["buckets"]["b"]["events"])()
        ends = [micros(event["timestamp"]) + round(event["duration"] * 1e6) for event in events]
    else:
        bucket = value["b"] if path == "/buckets/" else value
        ends = [micros(bucket["last_updated"])] if "last_updated" in bucket else []
    return (max(ends) - FIRST_US) // SECOND_US if ends else 0


def held_writes(kind: str) -> list[Operation]:
    """The k-th write ends k seconds after the first instant: one event more, or one event a second longer."""
    if kind == "inserts":
        events = [Event(FIRST_US + number * SECOND_US, 0, "{}") for number in range(1, 11)]
        return [Insert("b", ((None, event),)) for event in events]
    return [Heartbeat("b", Event(FIRST_US, number * SECOND_US, "{}"), 0) for number in range(1, 11)]


@pytest.mark.needs("strace")
@pytest.mark.parametrize(("kind", "paths"), [("inserts", [*READS, "/buckets/b/events/count"]), ("heartbeats", READS)])
def test_no_read_shows_what_waits_behind_a_held_commit(tmp_path, note, kind, paths):
    """While commits are held before their sync, reads go on and show the state before; after the answer, the write."""
    record, data_dir, writes = tmp_path / "record", tmp_path / "data", held_writes(kind)
    server = Server(data_dir, wrapper=recorded(record, HOLD, payload_bytes=60_000)).start()
    try:
        with connected(server) as writer:
            assert writer.send(*CreateBucket("b", FIELDS).request()).status == 200
            done = threading.Event()

            def write() -> None:
                try:
                    for operation in writes:
                        assert writer.send(*operation.request()).status == 200
                finally:
                    done.set()

            def read(path: str) -> None:
                with connected(server) as reader:
                    while not done.is_set():
                        answer = reader.send(*(query_of("b") if path == "/query/" else ("GET", path)))
                        assert answer.status == 200, answer

            together(write, *(partial(read, path) for path in paths))
            port = writer.port
        process = server.pid
        assert server.stop() == 0
    finally:
        server.kill()
    wait_for_end(record, process)
    calls = read_record(record)
    seen = all_seen(calls, server.port)
    created, *answers = [one.first_sent for one in seen if one.client_port == port]
    held = commits(calls, data_dir / "data.mdb", created)[: len(writes)]
    durable = [end for _, end in held]
    assert len(answers) == len(durable) == len(writes)
    during: Counter[str] = Counter()
    for one in seen:
        if one.client_port == port or one.path not in paths:
            continue
        number = shown(one.path, one.body())
        where = f"the answer to GET {one.path} on line {one.sent} shows {number} writes"
        assert number <= bisect_left(durable, one.sent), f"{where}; not all of them were durable"
        assert number >= bisect_left(answers, one.received), f"{where}; more had been acknowledged before its request"
        during[one.path] += any(start < one.sent < end for start, end in held)
    note(f"reads answered during a held commit: {dict(during)}")
    assert all(during[path] for path in paths), f"reads waited for the commits: {during}"


EVENT = Event(FIRST_US, SECOND_US, "{}")
Request = tuple[str, str, Any]


def import_into(bucket: str) -> Request:
    fields = {"type": "t", "client": "c", "hostname": "h"}
    return "POST", "/import", {"buckets": {bucket: fields | {"events": [EVENT.on_the_wire()]}}}


# A write, and a request that by itself changes nothing once the write is there, or tells of it: on a bucket of its own.
LEANING: dict[str, tuple[Callable[[str], Request], Callable[[str], Request], int]] = {
    "heartbeat sent again": (
        lambda b: Heartbeat(b, EVENT, 0).request(),
        lambda b: Heartbeat(b, EVENT, 0).request(),
        200,
    ),
    "bucket there already": (
        lambda b: CreateBucket(f"{b} new", FIELDS).request(),
        lambda b: CreateBucket(f"{b} new", FIELDS).request(),
        304,
    ),
    "bucket deleted already": (
        lambda b: DeleteBucket(b).request(),
        lambda b: DeleteBucket(b).request(),
        404,
    ),
    "write into a bucket just deleted": (
        lambda b: DeleteBucket(b).request(),
        lambda b: Insert(b, ((None, EVENT),)).request(),
        404,
    ),
    "event deleted already": (
        lambda b: ("DELETE", f"/buckets/{quote(b)}/events/{{first}}", ...),
        lambda b: ("DELETE", f"/buckets/{quote(b)}/events/{{first}}", ...),
        200,
    ),
    "imported already": (import_into, import_into, 200),
}


@dataclass(frozen=True)
class Leaning:
    write: Seen
    leant: Seen
    durable: int  # the line on which the write was on the disk


@pytest.fixture(scope="module")
def leaning(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Leaning]:
    """Each pair of requests, the second sent while the commit of the first is held; what the record shows of them."""
    tmp_path = tmp_path_factory.mktemp("leaning")
    record, data_dir = tmp_path / "record", tmp_path / "data"
    first_ids: dict[str, int] = {}
    server = Server(data_dir).start()
    with connected(server) as connection:
        for name in LEANING:
            assert connection.send(*CreateBucket(name, FIELDS).request()).status == 200
            other = EVENT._replace(data='{"other": 1}')
            first_ids[name] = connection.send(*Heartbeat(name, other, 0).request()).value["id"]
    assert server.stop() == 0
    server.wrapper = recorded(record, "fdatasync:delay_enter=300000", payload_bytes=10_000)
    server.start()
    try:
        ports = {}
        for name, (write, leant, status) in LEANING.items():
            with connected(server) as first, connected(server) as second:
                (method, path, body), (method2, path2, body2) = write(name), leant(name)
                writing = threading.Thread(target=first.send, args=(method, path.format(first=first_ids[name]), body))
                writing.start()
                wait_until_received(record, first.port)
                assert second.send(method2, path2.format(first=first_ids[name]), body2).status == status, name
                writing.join()
                ports[name] = first.port, second.port
        process = server.pid
        assert server.stop() == 0
    finally:
        server.kill()
    wait_for_end(record, process)
    calls = read_record(record)
    by_port = {one.client_port: one for one in all_seen(calls, server.port)}
    found = {}
    for name, (first_port, second_port) in ports.items():
        written = by_port[first_port]
        found[name] = Leaning(
            written, by_port[second_port], commits(calls, data_dir / "data.mdb", written.received)[0][1]
        )
    return found


@pytest.mark.needs("strace")
@pytest.mark.parametrize("name", LEANING)
def test_an_answer_that_tells_of_a_waiting_write_waits_with_it(leaning, name):
    """Also a 304, a 404 and "no such event" must not tell what a crash could take back."""
    pair = leaning[name]
    assert pair.write.received < pair.leant.received < pair.durable, "the second came too late to prove anything"
    assert pair.durable < pair.leant.first_sent, f"{pair.leant.answer[:40]!r} left before the write was durable"


def wait_until_received(record: Path, client: int) -> None:
    """Returns when the record shows that the server has read a request of this connection."""
    deadline = time.monotonic() + 30
    while not shows_a_read_from(record.read_text(errors="surrogateescape").splitlines(), client):
        assert time.monotonic() < deadline, "the request does not arrive"
        time.sleep(0.01)


def shows_a_read_from(lines: list[str], client: int) -> bool:
    """As text, not as calls: the record grows while a commit is held for a moment. A call may stand there in two parts."""
    socket, waiting = f"->127.0.0.1:{client}]>", set[str]()
    for line in lines:
        thread = line.partition(" ")[0]
        if " read(" in line and socket in line:
            if f'{socket}, "\\x' in line:
                return True
            if line.endswith("<unfinished ...>"):
                waiting.add(thread)
        elif thread in waiting and "<... read resumed>" in line:
            if '<... read resumed>"\\x' in line:
                return True
            waiting.discard(thread)
    return False
