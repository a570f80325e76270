"""Many writers at once, each the only owner of what it writes, so that its history is sequential.

When the server dies, at most the last request of each writer is undecided, and the state of the server must be the
writer's world with or without that request: `Writer.check` says so. Some buckets are shared by all writers; for these
`Shared` knows which events must be there (inserts: a set) and which instants must be covered (heartbeats).
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

from tests.faults.model import (
    Answer,
    Bucket,
    ChangeSetting,
    CreateBucket,
    DeleteBucket,
    DeleteEvent,
    Event,
    Heartbeat,
    Ids,
    Import,
    Insert,
    Operation,
    UpdateBucket,
    World,
    canonical,
    difference,
    observed_bucket,
    received,
)
from tests.server import Server

FIRST_US = 1_714_557_600_000_000  # 2024-05-01T10:00:00Z
SECOND_US = 1_000_000
SHARED_INSERTS = "shared inserts"
SHARED_BEATS = "shared heartbeats"
# A bucket with more unsealed records than this gets its oldest sealed into a segment.
SEALED_ABOVE = 8_192
PREFILL_EVENTS = 3_000
BIG_BUCKET_EVENTS_MAX = 25_000


class Connection:
    """One kept connection to a server. `port` is its own end: the record of the server names it."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._connection.auto_open = 0  # one connection: it is never made anew in silence

    def connect(self) -> None:
        self._connection.connect()

    @property
    def port(self) -> int:
        return int(self._connection.sock.getsockname()[1])

    def send(self, method: str, path: str, body: Any = ...) -> Answer:
        """`bytes` are lines of a stream. Raises OSError or HTTPException when the connection ends before the answer."""
        payload = None if body is ... else body if isinstance(body, bytes) else json.dumps(body)
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        headers = {} if payload is None else {"Content-Type": kind}
        self._connection.request(method, f"/api/0{path}", body=payload, headers=headers)
        response = self._connection.getresponse()
        content = response.read()
        lines = [json.loads(line) for line in content.splitlines()]
        return Answer(response.status, lines[-1] if lines else None)

    def get(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status == 200, f"GET {path}: {answer}"
        return answer.value

    def close(self) -> None:
        self._connection.close()


BROKEN = (OSError, http.client.HTTPException)


@dataclass
class Shared:
    """What the writers did to the buckets that belong to all of them."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    inserted: dict[int, Event] = field(default_factory=dict)
    undecided_batches: list[list[Event]] = field(default_factory=list)
    beats_sent: Counter[Event] = field(default_factory=Counter)  # less those that were refused
    beats_acknowledged: list[Event] = field(default_factory=list)
    beats_answered: dict[int, Event] = field(default_factory=dict)  # id -> the longest that an answer showed
    counter: int = 0

    def next_number(self) -> int:
        with self.lock:
            self.counter += 1
            return self.counter

    def insert_answered(self, events: tuple[Event, ...], answer: Answer, ids: Ids) -> None:
        assert answer.status == 200, answer
        stored = [received(value) for value in answer.value]
        assert [event for _, event in stored] == list(events), answer
        ids.learn([event_id for event_id, _ in stored], SHARED_INSERTS)
        with self.lock:
            self.inserted |= dict(stored)

    def beat_answered(self, beat: Event, answer: Answer, ids: Ids) -> None:
        assert answer.status == 200, answer
        event_id, event = received(answer.value)
        with self.lock:
            self.beats_acknowledged.append(beat)
            if event_id not in self.beats_answered:
                ids.learn([event_id], SHARED_BEATS)
            longest = self.beats_answered.setdefault(event_id, event)
            assert (longest.start_us, longest.data) == (event.start_us, event.data), f"event {event_id} changed"
            if event.duration_us > longest.duration_us:
                self.beats_answered[event_id] = event

    def check(self, inserts: Bucket, beats: Bucket, ids: Ids) -> None:
        """Raises AssertionError if something acknowledged is missing, or something is there that was never sent."""
        for event_id, event in self.inserted.items():
            assert inserts.events.get(event_id) == event, f"{event_id}: {inserts.events.get(event_id)}, not {event}"
        extra = Counter(event for event_id, event in inserts.events.items() if event_id not in self.inserted)
        for batch in self.undecided_batches:
            found = [event in extra for event in batch]
            assert all(found) or not any(found), f"half of a batch is there: {batch} {found}"
            extra -= Counter(batch)
        assert not extra, f"never sent, or there twice: {list(extra)[:3]}"
        ids.learn(inserts.events.keys() - self.inserted.keys(), SHARED_INSERTS)
        self.inserted = dict(inserts.events)
        self.undecided_batches = []

        events = beats.events
        for event_id, shown in self.beats_answered.items():
            now = events.get(event_id)
            assert now is not None, f"the acknowledged heartbeat {event_id} {shown} is gone"
            assert (now.start_us, now.data) == (shown.start_us, shown.data), f"{event_id} is {now}, was {shown}"
            assert now.end_us >= shown.end_us, f"{event_id} ends at {now.end_us}, was acknowledged to {shown.end_us}"
        by_data: dict[str, list[Event]] = {}
        for event in events.values():
            by_data.setdefault(event.data, []).append(event)
        for beat in self.beats_acknowledged:
            around = by_data.get(beat.data, [])
            covered = any(e.start_us <= beat.start_us and e.end_us >= beat.end_us for e in around)
            assert covered, f"the acknowledged heartbeat {beat} is not covered"
        starts = {(beat.start_us, beat.data) for beat in +self.beats_sent}
        ends = {(beat.end_us, beat.data) for beat in +self.beats_sent}
        for event in events.values():
            assert (event.start_us, event.data) in starts, f"nothing that begins as {event} was sent"
            assert (event.end_us, event.data) in ends, f"nothing that ends as {event} was sent"
        ids.learn(events.keys() - self.beats_answered.keys(), SHARED_BEATS)
        self.beats_answered |= events
        self.beats_acknowledged = []


@dataclass(frozen=True)
class SharedInsert(Operation):
    """A batch into the bucket that all writers insert into; each event is unlike all others."""

    events: tuple[Event, ...]

    def request(self) -> tuple[str, str, Any]:
        return "POST", f"/buckets/{quote(SHARED_INSERTS)}/events", [event.on_the_wire() for event in self.events]


@dataclass(frozen=True)
class SharedBeat(Operation):
    beat: Event

    def request(self) -> tuple[str, str, Any]:
        return "POST", f"/buckets/{quote(SHARED_BEATS)}/heartbeat?pulsetime=1.5", self.beat.on_the_wire()


@dataclass(frozen=True)
class Sent:
    """One request of a writer and its answer; `learned` are buckets whose ids it told."""

    operation: Operation | None  # None: a read
    answer: Answer | None
    learned: dict[str, Bucket] = field(default_factory=dict)


class Writer:
    """One client with buckets and settings of its own. `run` works until the connection ends or `stopping` is set."""

    def __init__(self, name: str, seed: int, shared: Shared, ids: Ids, *, big: bool = False) -> None:
        self.name = name
        self.random = Random(f"{seed} {name}")
        self.world = World()
        self.shared, self.ids = shared, ids
        self.small = [f"{name} a", f"{name} ü/b"]
        self.big = f"{name} big" if big else None
        self.now_us = FIRST_US
        self.undecided: Operation | None = None
        self.repeatable: Heartbeat | None = None  # what was undecided until the last check
        self.stopping = False  # no further request
        self.crash_expected = False  # goes on, but an end of the connection is no surprise
        self.failure: BaseException | None = None
        self.ended_early: str = ""
        self.acknowledged = 0
        self.refused: Counter[tuple[int, str]] = Counter()
        self.log: list[Sent] | None = None
        self.port = 0
        self._counter = 0

    # What to do next

    def _data(self) -> str:
        choices = ({"app": "vim"}, {"app": "mail", "n": [1, 2.5, None]}, {"title": "Ä 🙂 \u2028"})
        return canonical(self.random.choice(choices))

    def _unique(self) -> str:
        self._counter += 1
        return canonical({"by": self.name, "number": self._counter})

    def _event(self, data: str | None = None) -> Event:
        self.now_us += self.random.choice((0, 1, 250_000, SECOND_US, 7 * SECOND_US))
        duration_us = self.random.choice((0, 0, 1, 500_000, 3 * SECOND_US))
        return Event(self.now_us, duration_us, data or self._data())

    def _fields(self) -> dict[str, Any]:
        data = self.random.choice(({}, {"device": "π", "n": self.random.randint(0, 9)}))
        made_us = FIRST_US + self.random.randint(0, 10**9)
        name = self.random.choice((None, "a name"))
        return {"type": "test", "client": self.name, "hostname": "h", "name": name, "data": data, "created": made_us}

    def choose(self) -> Operation:
        """The next request: depends on the seed and on the world alone."""
        random = self.random
        if self.big is not None and random.random() < 0.35:
            return self._choose_big(self.big)
        bucket = random.choice(self.small)
        kind = random.choices(
            ("beat", "insert", "batch", "replace", "delete", "update", "drop", "setting", "import", "set", "cover"),
            (30, 8, 8, 9, 8, 4, 2, 6, 4, 6, 12),
        )[0]
        if kind == "setting":
            value = random.choice((None, ..., False, 0, "", {"a": [1, {}]}, "x" * 5000, self._counter))
            return ChangeSetting(f"{self.name} {random.randint(0, 2)}", value)
        if kind == "import":
            return self._import()
        if kind == "set":
            return SharedInsert(tuple(self._event(self._unique()) for _ in range(random.randint(1, 4))))
        if kind == "cover":
            number = self.shared.next_number()
            late = random.choice((0, 0, 0, 5, 60))
            start_us = FIRST_US + (number - late) * SECOND_US // 2
            return SharedBeat(Event(start_us, random.choice((0, SECOND_US)), self._data()))
        there = self.world.buckets.get(bucket)
        if there is None:
            if random.random() < 0.1:
                return Insert(bucket, ((None, self._event()),))  # into a bucket that is not there
            return CreateBucket(bucket, self._fields())
        if kind == "update":
            return UpdateBucket(bucket, {"type": f"t{random.randint(0, 9)}", "data": {"v": random.randint(0, 9)}})
        if kind == "drop":
            return random.choice((DeleteBucket(bucket), DeleteBucket(bucket), CreateBucket(bucket, self._fields())))
        return self._edit(bucket, there, kind)

    def _edit(self, name: str, bucket: Bucket, kind: str) -> Operation:
        random = self.random
        some_ids = list(bucket.events) if len(bucket.events) < 200 else random.sample(list(bucket.events), 50)
        if kind == "delete":
            return DeleteEvent(name, random.choice([*some_ids, self._foreign_id()]))
        if kind == "replace":
            ids = random.sample([*some_ids, self._foreign_id()], k=min(len(some_ids) + 1, random.choice((1, 1, 5))))
            old = Event(FIRST_US + random.randint(0, 10**10), SECOND_US, self._unique())
            events = [(event_id, self._event(old.data)) for event_id in ids] + [(None, old)]
            return Insert(name, tuple(events[:1] if random.random() < 0.5 else events))
        if kind == "insert":
            return Insert(name, ((None, self._event()),), single=random.random() < 0.5)
        if kind == "batch":
            return Insert(name, tuple((None, self._event()) for _ in range(random.randint(0, 30))))
        return self._beat(name, bucket)

    def _beat(self, name: str, bucket: Bucket) -> Operation:
        tail, random = bucket.tail(), self.random
        kind = random.random()
        if tail is None or kind < 0.3:
            return Heartbeat(name, self._event(), random.choice((0, 5 * SECOND_US, -SECOND_US)))
        event = tail[1]
        if kind < 0.85:  # goes on
            start_us = event.end_us + random.choice((0, 1, SECOND_US))
            self.now_us = max(self.now_us, start_us)
            return Heartbeat(name, Event(start_us, random.choice((0, SECOND_US)), event.data), SECOND_US)
        if kind < 0.95:  # older than the tail record
            start_us = event.start_us - random.randint(1, 100) * SECOND_US
            return Heartbeat(name, Event(start_us, SECOND_US, event.data), SECOND_US)
        return Heartbeat(name, event, 0)  # sent again

    def _import(self) -> Operation:
        documents = []
        for name in self.random.sample(self.small, k=self.random.randint(1, len(self.small))):
            events = [self._event() for _ in range(self.random.randint(0, 20))]
            there = self.world.buckets.get(name)
            if there is not None and there.events:
                events += self.random.choices(list(there.events.values()), k=3)  # which are to be skipped
            documents.append((name, self._fields(), tuple(events)))
        return Import(tuple(documents))

    def _choose_big(self, name: str) -> Operation:
        bucket = self.world.buckets.get(name)
        if bucket is None:
            return CreateBucket(name, self._fields())
        if len(bucket.events) > BIG_BUCKET_EVENTS_MAX:
            return DeleteBucket(name)
        if len(bucket.events) <= SEALED_ABOVE or self.random.random() < 0.15:
            return Insert(name, tuple((None, self._event()) for _ in range(PREFILL_EVENTS)))
        return self._edit(name, bucket, self.random.choice(("delete", "replace", "replace", "batch", "beat", "beat")))

    def _foreign_id(self) -> int:
        """An id that names no event of this writer: of a deleted event, of another bucket, or out of range."""
        given = self.ids.given
        some = [self.random.choice(given) for _ in range(3 if given else 0)]
        return self.random.choice([event_id for event_id in (*some, 2**52 + 1, 1) if not self.world.holds(event_id)])

    # Doing it

    def run(self, host: str, port: int) -> None:
        """Connects (waiting for a server that starts), then sends one request after the other. For a thread."""
        connection = Connection(host, port)
        try:
            if not self._connect(connection):
                return
            while not self.stopping:
                self.step(connection)
        except BROKEN as error:
            if not self.crash_expected:
                self.ended_early = f"{self.name}: {type(error).__name__}: {error} at {self.undecided}"[:500]
        except BaseException as error:  # noqa: BLE001 (shown by the test that joins the thread)
            self.failure = error
        finally:
            connection.close()

    def _connect(self, connection: Connection) -> bool:
        deadline = time.monotonic() + 60
        while not self.stopping and not self.crash_expected:
            try:
                connection.connect()
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "the server does not listen"
                time.sleep(0.005)
            else:
                self.port = connection.port
                return True
        return False

    def step(self, connection: Connection) -> None:
        """One request and what follows from its answer."""
        if any(bucket.has_stand_ins for bucket in self.world.buckets.values()):
            self._learn_imported(connection)
        operation = self.choose()
        self.undecided = operation
        if isinstance(operation, SharedBeat):
            with self.shared.lock:
                self.shared.beats_sent[operation.beat] += 1
        answer = connection.send(*operation.request())
        self._note(Sent(operation, answer))
        self.undecided = None
        if answer.status in (503, 507):  # refused: not visible, now or ever
            self.refused[answer.status, answer.value["type"]] += 1
            if isinstance(operation, SharedBeat):
                with self.shared.lock:
                    self.shared.beats_sent[operation.beat] -= 1
            return
        try:
            self.happen(operation, answer)
        except AssertionError as error:
            raise AssertionError(f"{self.name}: {str(operation)[:800]}: {error}") from error
        self.acknowledged += 1

    def happen(self, operation: Operation, answer: Answer) -> None:
        if isinstance(operation, SharedInsert):
            self.shared.insert_answered(operation.events, answer, self.ids)
        elif isinstance(operation, SharedBeat):
            self.shared.beat_answered(operation.beat, answer, self.ids)
        else:
            operation.happen(self.world, answer)
            for name, fresh in self.world.take_fresh().items():
                self.ids.learn(fresh, name)

    def _learn_imported(self, connection: Connection) -> None:
        """An import does not tell ids: they are read."""
        observed = World(dict(self.world.buckets), self.world.settings)
        for name, bucket in self.world.buckets.items():
            if bucket.has_stand_ins:
                path = f"/buckets/{quote(name, safe='')}"
                value = connection.get(path)
                self._note(Sent(None, None))
                events = connection.get(f"{path}/events")
                observed.buckets[name] = observed_bucket(value, events)
                self._note(Sent(None, None, {name: observed.buckets[name].copy()}))
        self.accept(observed)

    def _note(self, sent: Sent) -> None:
        if self.log is not None:
            self.log.append(sent)

    def rewound(self, count: int, shared: Shared, ids: Ids) -> Writer:
        """This writer as it was when the first `count` requests of its log had been answered, and the next was sent."""
        assert self.log is not None
        before = Writer(self.name, 0, shared, ids, big=self.big is not None)
        for sent in self.log[:count]:
            before.replay(sent)
        if count < len(self.log):
            before.undecided = self.log[count].operation
        elif count == len(self.log):
            before.undecided = self.undecided
        if isinstance(before.undecided, SharedBeat):
            shared.beats_sent[before.undecided.beat] += 1
        return before

    def replay(self, sent: Sent) -> None:
        """Takes in what was sent and answered once more."""
        operation, answer = sent.operation, sent.answer
        if operation is not None and answer is not None and answer.status not in (503, 507):
            if isinstance(operation, SharedBeat):
                self.shared.beats_sent[operation.beat] += 1
            self.happen(operation, answer)
            self.acknowledged += 1
        if sent.learned:
            self.accept(World(self.world.buckets | {n: b.copy() for n, b in sent.learned.items()}, self.world.settings))

    # Looking at what became of it

    def observe(self, connection: Connection, listed: dict[str, Any], settings: dict[str, Any]) -> World:
        """What the server holds of this writer, from the list of all buckets and settings."""
        mine = {name: value for name, value in listed.items() if name in {*self.small, self.big}}
        world = World(settings={key: value for key, value in settings.items() if key.startswith(f"{self.name} ")})
        for name, value in mine.items():
            events = connection.get(f"/buckets/{quote(name, safe='')}/events")
            world.buckets[name] = observed_bucket(value, events)
        return world

    def check(self, observed: World) -> str:
        """Raises AssertionError unless `observed` is the world with or without the undecided request. Says which."""
        operation, self.undecided = self.undecided, None
        self.repeatable = operation if isinstance(operation, Heartbeat) else None
        without = difference(self.world, observed)
        if not without:
            self.accept(observed)
            return "without" if operation else "decided"
        if operation is None or isinstance(operation, SharedInsert | SharedBeat):
            raise AssertionError(f"{self.name}: {without}")
        self.world = after = self.world.copy()
        operation.happen(after, None)
        with_it = difference(after, observed)
        assert not with_it, f"{self.name}: neither without {str(operation)[:800]} ({without}) nor with it ({with_it})"
        self.accept(observed)
        return "with"

    def accept(self, observed: World) -> None:
        """Takes over the ids of `observed`, equal but for stand-ins. Raises AssertionError if one is not new."""
        wrong = difference(self.world, observed)
        assert not wrong, f"{self.name}: {wrong}"
        for name, bucket in observed.buckets.items():
            if bucket is not self.world.buckets[name]:
                self.ids.learn(bucket.events.keys() - self.world.buckets[name].events.keys(), name)
        self.world = observed


def read_on_and_on(host: str, port: int, writers: list[Writer]) -> None:
    """An analyst: exports and queries until the connection or the writers end. For a thread."""
    connection = Connection(host, port)
    try:
        connection.connect()
        while not all(writer.stopping for writer in writers):
            for writer in writers:
                lines = [f"RETURN = query_bucket({json.dumps(writer.small[0])});"]
                body = {"query": lines, "timeperiods": ["2024-01-01T00:00:00Z/2025-01-01T00:00:00Z"]}
                answer = connection.send("POST", "/query/", body)
                if answer.status not in (200, 400, 503):  # 400: the bucket is not there
                    writer.failure = AssertionError(f"query: {answer}")
            connection.get("/export")
            time.sleep(0.05)
    except BROKEN:  # the writers tell whether that is a surprise
        return
    finally:
        connection.close()


class Load:
    """All writers, the shared buckets, all ids ever seen: what outlives the crashes."""

    def __init__(self, seed: int, *, writers: int = 8, big: int = 2, analyst: bool = False) -> None:
        self.analyst = analyst
        self.shared, self.ids = Shared(), Ids()
        self.writers = [Writer(f"w{n}", seed, self.shared, self.ids, big=n < big) for n in range(writers)]
        self._threads: list[threading.Thread] = []

    def prepare(self, server: Server) -> None:
        """Makes the shared buckets."""
        for name in (SHARED_INSERTS, SHARED_BEATS):
            fields = {"type": "shared", "client": "all", "hostname": "h"}
            reply = server.request("POST", f"/api/0/buckets/{quote(name)}", fields)
            assert reply.status == 200, reply

    def start(self, server: Server, *, crash_expected: bool = False) -> None:
        for writer in self.writers:
            writer.stopping, writer.crash_expected, writer.ended_early = False, crash_expected, ""
        self._threads = [threading.Thread(target=w.run, args=(server.host, server.port)) for w in self.writers]
        if self.analyst:
            threading.Thread(target=read_on_and_on, args=(server.host, server.port, self.writers), daemon=True).start()
        for thread in self._threads:
            thread.start()

    def repeat_heartbeats(self, server: Server) -> int:
        """Sends each undecided heartbeat again, whatever became of it: it must be there once. Gives their number."""
        connection = Connection(server.host, server.port)
        connection.connect()
        count = 0
        for writer in self.writers:
            beat, writer.repeatable = writer.repeatable, None
            if beat is not None:
                writer.happen(beat, connection.send(*beat.request()))
                count += 1
        connection.close()
        return count

    def wait_for(self, count: int, *, refused: bool = False) -> None:
        """Returns when that many more writes have been acknowledged (or refused), or a writer has ended."""

        def done() -> int:
            return self.refused.total() if refused else self.acknowledged

        goal = done() + count
        deadline = time.monotonic() + 60
        while done() < goal and all(thread.is_alive() for thread in self._threads):
            assert time.monotonic() < deadline, f"only {done()} of {goal} writes in 60 s"
            time.sleep(0.01)

    def stop(self) -> None:
        """Lets each writer finish its request, and send no more."""
        for writer in self.writers:
            writer.stopping = True

    def expect_crash(self) -> None:
        """From now on a connection may end at any moment."""
        for writer in self.writers:
            writer.crash_expected = True

    def join(self) -> None:
        """Waits for the writers. Raises what went wrong in one of them: a wrong answer, a connection lost too early."""
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a writer still waits for its answer"
        for writer in self.writers:
            if writer.failure is not None:
                raise writer.failure
            assert not writer.ended_early, writer.ended_early
        self._note_undecided()

    def _note_undecided(self) -> None:
        undecided = [w.undecided.events for w in self.writers if isinstance(w.undecided, SharedInsert)]
        self.shared.undecided_batches += [list(events) for events in undecided]

    def keep_logs(self) -> None:
        """Each writer notes every request of its connection from now on, so that the load can be rewound."""
        for writer in self.writers:
            writer.log = []

    def rewound(self, answers: dict[int, int]) -> Load:
        """The load as it was when each connection, named by its port, had got that many answers."""
        before = Load(0, writers=0)
        before.writers = [w.rewound(answers.get(w.port, 0), before.shared, before.ids) for w in self.writers]
        before._note_undecided()
        return before

    def check(self, server: Server) -> Counter[str]:
        """The whole state of the server against the whole model. Raises AssertionError where they differ."""
        connection = Connection(server.host, server.port)
        connection.connect()
        listed = connection.get("/buckets/")
        names = {name for writer in self.writers for name in (*writer.small, writer.big)}
        assert listed.keys() - names <= {SHARED_INSERTS, SHARED_BEATS}, f"buckets that nobody made: {listed.keys()}"
        outcomes = Counter(w.check(world) for w, world in zip(self.writers, self.observed(server), strict=True))
        inserts, beats = (
            observed_bucket(listed[name], connection.get(f"/buckets/{quote(name)}/events"))
            for name in (SHARED_INSERTS, SHARED_BEATS)
        )
        self.shared.check(inserts, beats, self.ids)
        connection.close()
        return outcomes

    def observed(self, server: Server) -> list[World]:
        """What the server holds of each writer."""
        connection = Connection(server.host, server.port)
        connection.connect()
        listed, settings = connection.get("/buckets/"), connection.get("/settings")
        worlds = [writer.observe(connection, listed, settings) for writer in self.writers]
        connection.close()
        return worlds

    @property
    def acknowledged(self) -> int:
        return sum(writer.acknowledged for writer in self.writers)

    @property
    def refused(self) -> Counter[tuple[int, str]]:
        """How many writes were refused, by status and type."""
        return sum((writer.refused for writer in self.writers), Counter[tuple[int, str]]())
