"""The whole engine, on real files, against the model: any order of requests, failures, crashes and restarts.

Each run draws some dozens of steps. After every one of them all that can be read is what the model says; at the end the
files are proved, and the facts of the run are replayed into an empty state. AWLOG_TEST_EXAMPLES draws that many runs,
new ones each time; without it the same ones are drawn again.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace as struct_replace

from awlog.engine.editor import Editor
from awlog.engine.feed_page import PageEnd, read_page
from awlog.engine.jobs import Job
from awlog.engine.looking import FoundPart, Looked, LookRequest, look_at
from awlog.engine.upkeep import HEADS_BYTES_MAX
from awlog.log.columns import columns_of_new
from awlog.log.decision import Appended
from awlog.log.decision import Stored as EngineStored
from awlog.log.head import RECORD_BYTES
from awlog.model import commands
from awlog.model.access import Access, Grant, Scope
from awlog.model.edits import Edit, Edited, Erase, FieldMatch, Obey
from awlog.model.errors import Busy, InsufficientStorage, NoSuchBucket, NoSuchEvent, Refused, Unauthorized, Unavailable
from awlog.model.event import Change, Payload, event_id
from awlog.model.facts import RecordsSealed
from awlog.model.feed import FeedFilter, FeedRequest
from awlog.model.payload import canonical_object, canonical_value
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.query.render import render_events
from awlog.storage.check import check
from awlog.storage.environment import Environment, create_if_new
from awlog.storage.live_view import LiveView
from tests.engine.harness import Store, decoded, picture, small_segments
from tests.properties.model import (
    Beat,
    Create,
    DeleteBucket,
    DeleteEvent,
    Fields,
    Insert,
    JsonObject,
    Model,
    Refusal,
    Request,
    Sent,
    Setting,
    Stored,
    Update,
    on_the_wire,
)
from tests.properties.replay import Replay

EXAMPLES: Final = os.environ.get("AWLOG_TEST_EXAMPLES")
T = TypeVar("T")

# Requests before their ids are known: an id is drawn as a place to look for one.


@dataclass(frozen=True)
class Pick:
    """Which id: of the tail record, of the first event, of any, of one that was given once, or of another bucket."""

    place: str
    n: int


@dataclass(frozen=True)
class Near:
    """By the edge of a stored event, where the rules of sections 6 to 8 part."""

    pick: Pick
    from_end: bool
    offset_us: int


@dataclass(frozen=True)
class InsertDraft:
    """Events, some with the id of a stored one, some moved near a stored one."""

    bucket: str
    sent: tuple[tuple[Sent, Pick | None, Near | None], ...]


@dataclass(frozen=True)
class DeleteDraft:
    bucket: str
    pick: Pick


@dataclass(frozen=True)
class BeatNear:
    """A heartbeat near a stored event, perhaps with its data."""

    bucket: str
    near: Near
    duration_us: int | None
    """None: as long as the event reaches from here."""
    other_data: JsonObject | None
    pulsetime_us: int


Range = tuple[Near | int, Near | int, bool]
"""Its ends, and whether the earlier one comes first."""
Draft = Request | InsertDraft | DeleteDraft | BeatNear

# Few values, so that they meet: equal starts, equal data, gaps of exactly a pulsetime.

SECOND_US: Final = 1_000_000
DATA: Final[list[JsonObject]] = [
    {"a": 1},
    {"a": 1},
    {"a": 1},
    {"a": True},
    {"a": "1"},
    {},
    {"b": {"x": [1, None], "y": -2.5}, "c": ""},
    {"c": "", "b": {"y": -2.5, "x": [1, None]}},
    {"title": 'käse "窓" \\ \u0000 \n', "big": 10**30},
]
# What privacy filters drop, and what they redact.
TEXT, TITLED = DATA[4], DATA[8]
FILTERS: Final = [
    {"enabled": True, "pattern": "^1$", "action": "drop", "field": "a"},
    {"enabled": True, "pattern": "käse", "action": "redact", "field": "title", "replacement": "hidden"},
]


def _instant(seconds: int, jitter_us: int) -> int:
    return seconds * SECOND_US + jitter_us


def _sent(start_us: int, duration_us: int, data: JsonObject) -> Sent:
    return Sent(start_us, min(duration_us, TIME_MAX_US - start_us), data)


names = st.sampled_from(["a", "a", "a", "a", "b", "ü /b"])
instants = st.builds(_instant, st.integers(0, 20), st.sampled_from([0, 0, 0, 1, -1]))
durations = st.sampled_from([0, 0, 1, SECOND_US, SECOND_US, 5 * SECOND_US, 30 * SECOND_US])
data = st.sampled_from(DATA)
sent_events = st.builds(_sent, instants, durations, data)
pulsetimes = st.sampled_from([0, 1, SECOND_US, 5 * SECOND_US, 5 * SECOND_US, -1, -2 * SECOND_US, 10**17])
picks = st.builds(
    Pick, st.sampled_from(["tail", "tail", "first", "any", "any", "gone", "elsewhere"]), st.integers(0, 99)
)
ends_of_time = st.sampled_from([TIME_MIN_US, TIME_MIN_US + 1, -1, TIME_MAX_US - 1, TIME_MAX_US])
far_events = st.builds(_sent, ends_of_time, durations | st.just(TIME_MAX_US - TIME_MIN_US), data)
texts = st.sampled_from(["", "t", "ü"])
fields = st.builds(Fields, texts, texts, texts, instants, st.none() | texts, data)
changes = st.fixed_dictionaries(
    {}, optional={"type": texts, "client": texts, "hostname": texts, "name": texts, "data": data}
)

creates = st.builds(Create, names, fields)
updates = st.builds(Update, names, changes)
beats = st.builds(Beat, names, sent_events, pulsetimes)
inserts = st.builds(Insert, names, st.lists(sent_events, max_size=8).map(tuple))
nears = st.builds(
    Near, picks, st.booleans(), st.sampled_from([0, 0, 1, -1, SECOND_US, 5 * SECOND_US, 5 * SECOND_US + 1, -SECOND_US])
)
inserts_with_ids = st.builds(
    InsertDraft,
    names,
    st.lists(st.tuples(sent_events, st.none() | picks, st.none() | nears), min_size=1, max_size=6).map(tuple),
)
deletes = st.builds(DeleteDraft, names, picks)
settings_changed = st.builds(
    Setting, st.sampled_from(["k", "ü"]), st.sampled_from([None, False, 0, "", [], {}, {"b": 1, "a": [None]}])
)
bucket_deletes = st.builds(DeleteBucket, st.sampled_from(["b", "ü /b"]))
beats_near = st.builds(BeatNear, names, nears, st.none() | durations, st.none() | st.none() | data, pulsetimes)
ordinary = beats_near | beats | inserts | inserts_with_ids | deletes
drafts = st.one_of(ordinary, ordinary, ordinary, creates, updates, settings_changed, bucket_deletes)
failures = st.sampled_from([Unavailable("The disk refused this write"), InsufficientStorage("The disk is full")])
moments = st.one_of(nears, nears, instants, ends_of_time)
ranges = st.tuples(moments, moments, st.sampled_from([True, True, True, False]))
limits = st.none() | st.integers(0, 6)
documents = st.lists(st.tuples(names, fields, st.lists(sent_events, max_size=12), st.integers(0, 5)), max_size=3)


def payload(value: JsonObject) -> Payload:
    """As the edge makes it."""
    return canonical_object(json.dumps(value).encode())


def command_of(request: Request) -> commands.Command:
    """The request in the engine's words."""
    match request:
        case Create():
            return create_of(request.bucket, request.fields)
        case Update():
            given = {"type": None, "client": None, "hostname": None, "name": None, "data": None} | request.changes
            if given["data"] is not None:
                given["data"] = payload(given["data"])
            return commands.UpdateBucket(request.bucket, **given)
        case DeleteBucket():
            return commands.DeleteBucket(request.bucket)
        case Beat():
            sent = request.sent
            return commands.SendHeartbeat(
                request.bucket,
                Micros(sent.start_us),
                Micros(sent.duration_us),
                payload(sent.data),
                Micros(request.pulsetime_us),
            )
        case Insert():
            return commands.InsertEvents(request.bucket, [new_event(sent) for sent in request.sent])
        case DeleteEvent():
            return commands.DeleteEvent(request.bucket, request.id)
        case Setting():
            value = None if request.value is None else canonical_value(json.dumps(request.value).encode())
            return commands.ChangeSetting(request.key, value)


def create_of(name: str, made: Fields) -> commands.CreateBucket:
    return commands.CreateBucket(
        name, made.type, made.client, made.hostname, Micros(made.created_us), made.name, payload(made.data)
    )


def new_event(sent: Sent) -> commands.NewEvent:
    return commands.NewEvent(Micros(sent.start_us), Micros(sent.duration_us), payload(sent.data), sent.id)


def answer_of(answer: object) -> object:
    """What the engine said, in the model's words."""
    if isinstance(answer, Refused):
        return Refusal(type(answer).__name__)
    if isinstance(answer, BaseException):
        raise answer
    if isinstance(answer, Appended):
        answer = EngineStored(answer.bucket_number, columns_of_new(answer.events, answer.first_seq).events())
    if isinstance(answer, EngineStored):
        assert answer.bucket_number is not None, "without privacy filters everything is stored"
        return [
            Stored(
                event_id(answer.bucket_number, event.seq),
                event.start_us,
                event.duration_us,
                json.loads(event.payload),
            )
            for event in answer.events
        ]
    return answer


class Follower:
    """What somebody knows who is told changes and nothing else."""

    def __init__(self) -> None:
        self.known = Change(0)
        self.buckets: set[str] = set()
        self.events: dict[str, dict[int, JsonObject]] = {}
        self.settings: dict[str, Any] = {}

    def take(self, told: dict[str, Any]) -> None:
        assert told["change"] > self.known
        self.known = Change(told["change"])
        name = told.get("bucket", "")
        held = self.events.setdefault(name, {})
        match told["kind"]:
            case "bucket":
                self.buckets.add(name)
            case "bucket_deleted":
                self.buckets.discard(name)
                held.clear()
            case "event":
                held[told["event"]["id"]] = told["event"]
            case "event_deleted":
                held.pop(told["id"], None)
            case "events_deleted":
                for event_id in [each for each in held if told["first_id"] <= each <= told["last_id"]]:
                    del held[event_id]
            case "setting" if told["value"] is None:
                self.settings.pop(told["key"], None)
            case "setting":
                self.settings[told["key"]] = told["value"]
            case kind:
                raise AssertionError(kind)


class EngineAgainstModel(RuleBasedStateMachine):
    """One store over many starts; `model` holds what was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self._streamed: list[Beat] = []
        self._secrets: dict[str, str] = {}
        self._requires_tokens = False
        self._opened = ExitStack()
        self._opened.enter_context(small_segments())
        self._directory = Path(self._opened.enter_context(TemporaryDirectory()))
        self._runner = self._opened.enter_context(asyncio.Runner(loop_factory=_loop_factory))
        shutil.copytree(_new_store(), self._directory / "data")
        # A small cache, so that segments are read again and again.
        self._store = Store(self._directory / "data", cache_bytes=2000)
        self._engine = self._run(self._store.open())
        self._view = self._kept_view()
        self._follower = Follower()

    def _kept_view(self) -> LiveView:
        """What a reader process keeps of the store, brought up to date at each look."""
        return LiveView(self._engine.environment, cache_bytes=2000)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def teardown(self) -> None:
        """The files are whole; the facts alone give the same state and digest."""
        try:
            self._run(self._engine.quiet())
            digest = self._engine.digest()
            self._run(self._store.close())
            facts = self._store.facts
            assert picture(Replay(facts).state) == picture(self._engine.durable_state)
            told = [fact for fact in facts if not isinstance(fact, RecordsSealed)]
            replayed = shutil.copytree(_new_store(), self._directory / "replayed")
            assert Replay(told).digest(replayed) == digest
        finally:
            self._opened.close()

    # Requests

    @initialize(fields=fields, sent=st.lists(sent_events, max_size=20))
    def begin(self, fields: Fields, sent: list[Sent]) -> None:
        """A bucket with enough in it that some of it is sealed."""
        self._ask([Create("a", fields), Create("b", fields), *(Insert("a", (each,)) for each in sent)])

    @rule(draft=drafts)
    def ask_one(self, draft: Draft) -> None:
        self._ask([draft])

    @rule(asked=st.lists(drafts, min_size=2, max_size=10))
    def ask_several_in_one_turn(self, asked: list[Draft]) -> None:
        """They share a commit, or two."""
        self._ask(asked)

    @rule(
        name=names,
        steps_us=st.lists(st.sampled_from([0, SECOND_US, 5 * SECOND_US, 6 * SECOND_US]), min_size=1, max_size=15),
        titles=st.lists(data, min_size=1, max_size=3),
        pulsetime_us=pulsetimes,
        waits=st.booleans(),
    )
    def watch_a_while(
        self, name: str, steps_us: list[int], titles: list[JsonObject], pulsetime_us: int, waits: bool
    ) -> None:
        """A watcher: beats in order after the tail record, the title changing now and then."""
        bucket = self.model.buckets.get(name)
        tail = None if bucket is None else bucket.tail()
        at_us = 0 if tail is None else min(tail.end_us, TIME_MAX_US)
        beats = []
        for n, step_us in enumerate(steps_us):
            at_us = min(at_us + step_us, TIME_MAX_US)
            beats.append(Beat(name, Sent(at_us, 0, titles[n * len(titles) // len(steps_us)]), pulsetime_us))
        for asked in [[beat] for beat in beats] if waits else [beats]:
            self._ask(asked)

    @rule(asked=st.lists(beats_near | beats, max_size=12), resent_count=st.integers(0, 5))
    def stream(self, asked: list[BeatNear | Beat], resent_count: int) -> None:
        """A producer that sends on, and some of its last lines again: what it comes to is what its new beats come to."""
        assert self._engine.reads.last_sequence("phone") == len(self._streamed)
        new = [resolved for draft in asked if isinstance(resolved := self._resolved(draft), Beat)]
        resent = self._streamed[-resent_count:] if resent_count else []
        lines = [command for beat in [*resent, *new] if isinstance(command := command_of(beat), commands.SendHeartbeat)]
        producer = commands.Producer("phone", len(self._streamed) - len(resent) + 1)
        known = {name: set(bucket.events) for name, bucket in self.model.buckets.items()}

        async def send() -> tuple[commands.Taken, dict[str, list[int]]]:
            taken = await self._engine.submit_heartbeats(commands.SendHeartbeats(lines, producer))
            return taken, {name: sorted(set(await self._engine.ids(name)) - ids) for name, ids in known.items()}

        taken, new_ids = self._run(send())
        self._streamed += new
        assert taken.duplicates == len(resent)
        assert (taken.merged, taken.inserted, len(taken.refused)) == self.model.take_stream(new, new_ids)

    @rule(name=names, anew=st.none() | fields)
    def delete_a_bucket(self, name: str, anew: Fields | None) -> None:
        self._ask([DeleteBucket(name), *([] if anew is None else [Create(name, anew)])])

    @rule(
        name=names,
        sent=st.lists(sent_events, min_size=8, max_size=20),
        near=st.none() | nears,
    )
    def insert_in_bulk(self, name: str, sent: list[Sent], near: Near | None) -> None:
        """Laid out in segments beforehand; or all of them begin at one moment near a stored event."""
        if near is not None:
            start_us = self._moment(name, near)
            sent = [_sent(start_us, each.duration_us, each.data) for each in sent]
        request = Insert(name, tuple(sent))
        command = commands.InsertEvents(name, [new_event(each) for each in sent])

        async def insert() -> object:
            return (await asyncio.gather(self._engine.insert(command), return_exceptions=True))[0]

        self.model.take(request, answer_of(self._run(insert())))

    @rule(sent=st.lists(far_events, min_size=1, max_size=3))
    def go_to_the_ends_of_time(self, sent: list[Sent]) -> None:
        """In a bucket of their own: whatever comes after them there is late."""
        self._ask(
            [Create("far", Fields()), *(Beat("far", each, SECOND_US) for each in sent), Insert("far", tuple(sent))]
        )

    @rule(name=names, count=st.integers(1, 12))
    def delete_from_the_end(self, name: str, count: int) -> None:
        """The tail record, then the event that became it, and so on, down into what is sealed."""
        for _ in range(count):
            self._ask([DeleteDraft(name, Pick("tail", 0))])

    @rule(documents=documents)
    def import_documents(self, documents: list[tuple[str, Fields, list[Sent], int]]) -> None:
        """Each with some events that its bucket holds already."""
        imported = [(name, made, [*sent, *self._held(name, count)]) for name, made, sent, count in documents]
        asked = [(create_of(name, made), [new_event(each) for each in sent]) for name, made, sent in imported]
        known = {name: set(bucket.events) for name, bucket in self.model.buckets.items()}

        async def carry_out() -> dict[str, list[int]]:
            await self._engine.import_buckets(asked)
            return {name: sorted(set(await self._engine.ids(name)) - known.get(name, set())) for name, _, _ in imported}

        self.model.take_import(imported, self._run(carry_out()))

    def _held(self, name: str, count: int) -> list[Sent]:
        bucket = self.model.buckets.get(name)
        events = [] if bucket is None else list(bucket.events.values())[:count]
        return [Sent(event.start_us, event.duration_us, event.data) for event in events]

    @rule(name=names, drawn=ranges, texts_only=st.booleans(), in_steps=st.booleans())
    def erase(self, name: str, drawn: Range, texts_only: bool, in_steps: bool) -> None:
        """A range of time, of all events or of those with a text: as one command, or as a job does it."""
        if name not in self.model.buckets:
            return
        start_us, end_us = sorted(self._range(name, drawn))
        match = FieldMatch("a", equals=b'"1"') if texts_only else None
        told = self._run(self._edited(Erase(Micros(start_us), Micros(end_us), match), name, in_steps=in_steps))
        data = TEXT if texts_only else None
        assert told == self.model.take_erasure(name, start_us, end_us, data, self._stored(name))

    @rule(name=names, in_steps=st.booleans())
    def apply_privacy_filters(self, name: str, in_steps: bool) -> None:
        if name not in self.model.buckets:
            return
        told = self._run(self._edited(Obey(json.dumps(FILTERS).encode()), name, in_steps=in_steps))
        assert told == self.model.take_filters(name, TEXT, TITLED, {**TITLED, "title": "hidden"})

    async def _edited(self, edit: Edit, name: str, *, in_steps: bool) -> tuple[int, int]:
        """How many events are deleted and changed. A view of this process looks at the store, as a reader does."""
        engine = self._engine

        async def look(request: LookRequest) -> AsyncGenerator[Looked | FoundPart]:
            with self._view.now() as store:
                for each in look_at(store, request):
                    yield each

        editor = Editor(
            buckets=lambda: engine.durable_state.buckets(), submit=engine.submit, look=look, forget_texts=lambda: None
        )
        numbers = [engine.reads.bucket(name).meta.number]
        told = None if in_steps else await editor.at_once(edit, numbers)
        if told is None:  # or too large for one command
            told = await editor.in_steps(edit, numbers, Job(1, "test", Micros(0)))
        edited = told.get(name, Edited())
        return edited.deleted, edited.changed

    def _stored(self, name: str) -> list[Stored]:
        """What the bucket holds now."""
        number = self._engine.reads.bucket(name).meta.number
        with self._view.now() as store:
            events = store.events(number, TIME_MIN_US, TIME_MAX_US).events()
        return [Stored(event_id(number, e.seq), e.start_us, e.duration_us, json.loads(e.payload)) for e in events]

    # Tokens

    @rule(
        expires_us=st.none() | st.integers(1, 10**15), scope=st.sampled_from(Scope), prefix=st.sampled_from(["", "a"])
    )
    def make_a_token(self, expires_us: int | None, scope: Scope, prefix: str) -> None:
        """It lets its owner in, from the answer on."""
        expires = None if expires_us is None else Micros(self._engine.clock() + expires_us)
        secret, token = self._run(self._engine.tokens.create("n", [Grant(scope, prefix)], expires))
        assert self._admitted(secret).grants == (Grant(scope, prefix),)
        self._secrets[token.id] = secret
        self._requires_tokens = True

    @rule(n=st.integers(0, 9))
    def revoke_a_token(self, n: int) -> None:
        if self._secrets:
            token_id = list(self._secrets)[n % len(self._secrets)]
            secret = self._secrets.pop(token_id)
            self._ask_plainly(commands.RevokeToken(token_id))
            if self._requires_tokens:
                with pytest.raises(Unauthorized):
                    self._admitted(secret)

    @rule(required=st.booleans())
    def say_whether_tokens_are_required(self, required: bool) -> None:
        self._ask_plainly(commands.RequireTokens(required))
        self._requires_tokens = required

    @rule(n=st.integers(0, 9), ago_us=st.integers(0, 10**9))
    def note_uses_of_tokens(self, n: int, ago_us: int) -> None:
        """Also of one that is gone meanwhile."""
        known = [*self._secrets, "0" * 12]
        self._ask_plainly(commands.NoteTokenUses({known[n % len(known)]: Micros(self._engine.clock() - ago_us)}))

    def _admitted(self, secret: str) -> Access:
        async def admit() -> Access:
            access = self._engine.tokens.admit([f"Bearer {secret}"]).access
            self._engine.tokens.note_uses()
            await self._engine.quiet()
            return access

        return self._run(admit())

    def _ask_plainly(self, command: commands.Command) -> None:
        async def ask() -> None:
            await self._engine.submit(command)

        self._run(ask())

    @invariant()
    def tokens_are_what_was_made_and_not_revoked(self) -> None:
        """Whether they are required is what was said last, however many there are."""
        assert {token.id for token in self._engine.tokens.all()} == self._secrets.keys()
        assert self._engine.tokens.are_required == self._requires_tokens

    # Reads

    @rule(name=names, spans=st.lists(st.tuples(ranges, limits), min_size=1, max_size=8))
    def read_ranges(self, name: str, spans: list[tuple[Range, int | None]]) -> None:
        """Both ends inside, cut to the range, the first of the order; the count is of all of them."""
        for drawn, limit in spans:
            start_us, end_us = self._range(name, drawn)

            async def read(
                start_us: int = start_us, end_us: int = end_us, limit: int | None = limit
            ) -> tuple[list[JsonObject], int]:
                events = await self._engine.events(name, start_us, end_us, count_max=limit)
                return events, await self._engine.reads.count(name, Micros(start_us), Micros(end_us))

            bucket = self.model.buckets.get(name)
            if bucket is None:
                with pytest.raises(NoSuchBucket):
                    self._run(read())
                continue
            events, count = self._run(read())
            assert events == [on_the_wire(event) for event in bucket.read(start_us, end_us, limit)]
            assert count == len(bucket.read(start_us, end_us, None))

    @rule(name=names, pick=picks)
    def read_one(self, name: str, pick: Pick) -> None:
        wire_id = self._id(name, pick)
        bucket = self.model.buckets.get(name)
        if bucket is None or wire_id not in bucket.events:
            with pytest.raises((NoSuchBucket, NoSuchEvent)):
                self._run(self._engine.reads.event_json(name, wire_id))
            return
        assert json.loads(self._run(self._engine.reads.event_json(name, wire_id))) == on_the_wire(
            bucket.events[wire_id]
        )

    @rule(drawn=ranges, asked=st.lists(drafts, min_size=1, max_size=6), chunks_before=st.integers(1, 3))
    def read_across_writes(self, drawn: Range, asked: list[Draft], chunks_before: int) -> None:
        """A read is of the moment of its first step, whatever is written before its last."""
        if "a" not in self.model.buckets:
            return
        span = self._range("a", drawn)
        expected = [on_the_wire(event) for event in self.model.buckets["a"].read(*span, None)]
        chunks = self._engine.reads.range_json("a", Micros(span[0]), Micros(span[1]), count_max=None)

        async def step() -> list[bytes]:
            return [chunk async for chunk in _at_most(chunks, chunks_before)]

        async def rest() -> list[bytes]:
            return [chunk async for chunk in chunks]

        read = self._run(step())
        self._ask(asked)
        assert decoded(read + self._run(rest())) == expected

    @rule()
    def export(self) -> None:
        """All buckets, all events, uncut, without ids."""

        async def read() -> dict[str, list[JsonObject]]:
            async with self._engine.reads.export(None) as buckets:
                return {b.meta.id: decoded([chunk async for chunk in b.events]) for b in buckets}

        assert self._run(read()) == {
            name: [
                {key: value for key, value in on_the_wire(event).items() if key != "id"}
                for event in bucket.read(TIME_MIN_US, TIME_MAX_US, None)
            ]
            for name, bucket in self.model.buckets.items()
        }

    @rule()
    def look_with_a_kept_view(self) -> None:
        """A reader process sees what the engine sees, whatever happened since it looked last."""
        found = {}
        with self._view.now() as store:
            for meta in store.buckets():
                columns = store.events(meta.number, TIME_MIN_US, TIME_MAX_US)
                assert store.count(meta.number, TIME_MIN_US, TIME_MAX_US) == len(columns)
                found[meta.id] = decoded([render_events(columns, meta.number)] if len(columns) else [])
        assert found == {
            name: [on_the_wire(event) for event in bucket.read(TIME_MIN_US, TIME_MAX_US, None)]
            for name, bucket in self.model.buckets.items()
        }

    # What goes on below

    @rule()
    def let_upkeep_seal(self) -> None:
        """What a failed commit put off is asked for by the next write."""
        for bucket in self._engine.durable_state.buckets():
            if len(bucket.head) > 8 or self._engine.heads_are_over():
                self._ask([Insert(bucket.meta.id, (Sent(0, 0, {}),))])
        self._run(self._engine.upkept())

    @rule(size_bytes=st.sampled_from([0, 1500, 1500, 6000, HEADS_BYTES_MAX]))
    def leave_little_memory_to_heads(self, size_bytes: int) -> None:
        """Few records are sealed early, and small segments become part of the next ones."""
        self._engine.limit_heads(size_bytes)

    @rule()
    def restart(self) -> None:
        """C5: the digest is the same."""
        self._run(self._engine.quiet())
        digest = self._engine.digest()
        self._engine = self._run(self._store.restart())
        self._view = self._kept_view()
        assert self._engine.digest() == digest

    @rule()
    def crash(self) -> None:
        """D2: nothing that was acknowledged is lost, though nothing was marked clean."""

        async def crash() -> None:
            await self._engine.quiet()
            digest = self._engine.digest()
            self._engine = await self._store.crash()
            self._view = self._kept_view()
            assert self._engine.digest() == digest

        self._run(crash())

    @rule(asked=st.lists(drafts, min_size=1, max_size=6))
    def crash_before_the_commit(self, asked: list[Draft]) -> None:
        """C2, D4: what waits for its commit is in no read, and after a crash it was never there."""
        requests = [self._resolved(draft) for draft in asked]

        async def wait_at_the_gate() -> list[asyncio.Future[Any]]:
            await self._engine.quiet()
            self._store.disk.before_commit.hold()
            futures = [self._engine.submit(command_of(request)) for request in requests]
            if not all(future.done() for future in futures):
                await self._store.disk.before_commit.reached()
            return futures

        futures = self._run(wait_at_the_gate())
        decided = [future for future in futures if future.done()]
        assert decided == futures[: len(decided)], "what comes behind a write waits for it"
        for request, future in zip(requests, decided, strict=False):
            self.model.take(request, answer_of(future.exception() or future.result()))
        self.everything_is_as_the_model_says()

        async def crash() -> None:
            self._engine = await self._store.crash()
            self._view = self._kept_view()
            await asyncio.gather(*futures, return_exceptions=True)

        self._run(crash())

    @rule(asked=st.lists(drafts, min_size=1, max_size=6), error=failures)
    def fail_the_commit(self, asked: list[Draft], error: Busy) -> None:
        """D5: what was refused is nowhere; what waited behind it is refused with it."""
        requests = [self._resolved(draft) for draft in asked]

        async def ask() -> list[object]:
            await self._engine.quiet()
            self._store.disk.fail_next(error)
            futures = [self._engine.submit(command_of(request)) for request in requests]
            answers = await asyncio.gather(*futures, return_exceptions=True)
            self._store.disk.heal()
            return list(answers)

        refused = False
        for request, answer in zip(requests, self._run(ask()), strict=True):
            if isinstance(answer, Busy):
                assert type(answer) is type(error)
                refused = True
            else:
                assert not refused, "nothing that came later may be carried out"
                self.model.take(request, answer_of(answer))

    # After every step

    @invariant()
    def what_heads_take_is_known(self) -> None:
        """Else they would be sealed too early or too late, for ever."""
        self._run(self._engine.quiet())
        for state in (self._engine.durable_state, self._engine.staged_state):
            for bucket in state.buckets():
                held = list(bucket.head)
                assert bucket.head.size_bytes == sum(RECORD_BYTES + len(event.payload) for event in held)
                assert bucket.head.count_from(0) == sum(event.start_us >= 0 for event in held)
        assert self._engine.noted_bytes() == self._engine.heads_bytes()

    @invariant()
    def the_files_are_whole(self) -> None:
        assert check(self._engine.environment).problems == []

    @invariant()
    def a_follower_of_the_changes_knows_what_there_is(self) -> None:
        """From the beginning on it is told what is new: each number is greater than all before, and it adds up."""
        request = FeedRequest(self._follower.known, self._engine.durable_state.head_change, FeedFilter(), 7, 1 << 20)
        more = True
        while more:
            with self._view.now() as store:
                for told in read_page(store, struct_replace(request, after=self._follower.known)):
                    if isinstance(told, PageEnd):
                        more = told.more
                    else:
                        self._follower.take(json.loads(told.line))
        events = {name: held for name, held in self._follower.events.items() if held}
        assert events == {
            name: {event.id: on_the_wire(event) for event in bucket.events.values()}
            for name, bucket in self.model.buckets.items()
            if bucket.events
        }
        assert self._follower.buckets == self.model.buckets.keys()
        assert self._follower.settings == self.model.settings

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        """Buckets, metadata, events with their ids, counts, settings."""

        async def read() -> dict[str, tuple[list[JsonObject], int]]:
            return {
                bucket.meta.id: (
                    await self._engine.events(bucket.meta.id),
                    await self._engine.reads.count(bucket.meta.id, TIME_MIN_US, TIME_MAX_US),
                )
                for bucket in self._engine.reads.buckets()
            }

        found = self._run(read())
        assert found == {
            name: ([on_the_wire(event) for event in bucket.read(TIME_MIN_US, TIME_MAX_US, None)], len(bucket.events))
            for name, bucket in self.model.buckets.items()
        }
        for view in self._engine.reads.buckets():
            bucket = self.model.buckets[view.meta.id]
            meta = view.meta
            told = Fields(meta.type, meta.client, meta.hostname, meta.created_us, meta.name, json.loads(meta.data))
            assert told == bucket.fields
            assert (view.start_us, view.end_us) == (bucket.start_us(), bucket.end_us())
        assert {key: json.loads(value) for key, value in self._engine.reads.settings().items()} == self.model.settings

    def _ask(self, asked: Sequence[Draft]) -> None:
        """Sends all of them before the first is answered; the model takes them in their order."""
        requests = [self._resolved(draft) for draft in asked]

        async def submit() -> list[object]:
            futures = [self._engine.submit(command_of(request)) for request in requests]
            return list(await asyncio.gather(*futures, return_exceptions=True))

        for request, answer in zip(requests, self._run(submit()), strict=True):
            self.model.take(request, answer_of(answer))

    def _resolved(self, draft: Draft) -> Request:
        match draft:
            case InsertDraft():
                return Insert(draft.bucket, tuple(self._resolved_event(draft.bucket, *each) for each in draft.sent))
            case DeleteDraft():
                return DeleteEvent(draft.bucket, self._id(draft.bucket, draft.pick))
            case BeatNear():
                return Beat(draft.bucket, self._near(draft), draft.pulsetime_us)
            case _:
                return draft

    def _resolved_event(self, name: str, sent: Sent, pick: Pick | None, near: Near | None) -> Sent:
        start_us = sent.start_us if near is None else self._moment(name, near)
        wire_id = None if pick is None else self._id(name, pick)
        return replace(_sent(start_us, sent.duration_us, sent.data), id=wire_id)

    def _near(self, beat: BeatNear) -> Sent:
        event = self._event(beat.bucket, beat.near.pick)
        start_us = self._moment(beat.bucket, beat.near)
        duration_us = max(0, event.end_us - start_us) if beat.duration_us is None else beat.duration_us
        return _sent(start_us, duration_us, event.data if beat.other_data is None else beat.other_data)

    def _range(self, name: str, drawn: Range) -> tuple[int, int]:
        start, end, ordered = drawn
        edges = [each if isinstance(each, int) else self._moment(name, each) for each in (start, end)]
        return (min(edges), max(edges)) if ordered else (edges[0], edges[1])

    def _moment(self, name: str, near: Near) -> int:
        event = self._event(name, near.pick)
        moment_us = (event.end_us if near.from_end else event.start_us) + near.offset_us
        return max(TIME_MIN_US, min(moment_us, TIME_MAX_US))

    def _event(self, name: str, pick: Pick) -> Stored:
        """The stored event, or a made-up one where there is none."""
        bucket = self.model.buckets.get(name)
        event = None if bucket is None else bucket.events.get(self._id(name, pick))
        return event or Stored(0, 0, SECOND_US, {})

    def _id(self, name: str, pick: Pick) -> int:
        bucket = self.model.buckets.get(name)
        here = sorted(bucket.events) if bucket is not None else []
        given = sorted(self.model.ids_given)
        match pick.place:
            case "tail" if bucket is not None and (tail := bucket.tail()) is not None:
                return tail.id
            case "first" if here:
                return here[0]
            case "any" if here:
                return here[pick.n % len(here)]
            case "gone" if gone := [each for each in given if each not in here and each >> 32 == _number(here, each)]:
                return gone[pick.n % len(gone)]
            case "elsewhere" if others := sorted(
                each for other in self.model.buckets.values() if other is not bucket for each in other.events
            ):
                return others[pick.n % len(others)]
        return [0, -1, 1, 2**53, (1 << 32) + 500][pick.n % 5]


def _number(here: list[int], wire_id: int) -> int:
    """The number of the bucket that is here, or of the id's own where the bucket is empty or gone."""
    return (here[0] if here else wire_id) >> 32


@cache
def _new_store() -> Path:
    """A store in which nothing was ever written, made once: its many syncs are not what is tested here."""
    directory = TemporaryDirectory()
    atexit.register(directory.cleanup)
    create_if_new(Path(directory.name))
    Environment(Path(directory.name)).close()
    return Path(directory.name)


def _loop_factory() -> asyncio.AbstractEventLoop:
    """As `awlog serve` runs."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def _at_most(chunks: Any, count: int) -> Any:
    for _ in range(count):
        chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk


def test_the_engine_does_what_the_model_says():
    """Any order of requests, failures, crashes and restarts."""
    run_state_machine_as_test(
        EngineAgainstModel,
        settings=settings(
            max_examples=int(EXAMPLES or 60),
            stateful_step_count=30,
            derandomize=EXAMPLES is None,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
