"""The engine: one object that takes commands and answers reads.

Commands are decided against the staged state, in the order of their arrival, and answered when they are durable. Reads are
answered from the durable state and an LMDB snapshot of the same moment. Everything here runs on the loop; only commits,
and the encoding of segments, run in threads.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from awlog.engine.access import AccessRules, Admission, Door, new_token
from awlog.engine.backups import BackupPlan, Backups
from awlog.engine.bulk import shown
from awlog.engine.clock import Clock, system_clock
from awlog.engine.committer import Committer, Outcome, Reply, into_future
from awlog.engine.compaction import Compaction
from awlog.engine.editor import Editor
from awlog.engine.feed import Feed
from awlog.engine.figures import Counts, EngineFigures, Readiness
from awlog.engine.forwarder import Behind, Forwarder, ForwardPlan
from awlog.engine.jobs import JOBS_WAITING_MAX, Jobs
from awlog.engine.reader_process import DocumentRequest, Opened, Part, ReadRequest, TimelineRequest
from awlog.engine.readers import QueryAnswer, QueryLimits, Readers
from awlog.engine.retention import Retention
from awlog.engine.status import BucketStatus, ServerStatus, Statuses, room
from awlog.engine.upkeep import Upkeep
from awlog.engine.webhooks import WebhookPlan, Webhooks
from awlog.formats.encoders import Wanted, check_installed
from awlog.formats.json_document import bucket_head
from awlog.log.apply import apply
from awlog.log.columns import Columns, columns_of
from awlog.log.decide import BULK_EVENTS, decide, is_bulk
from awlog.log.decision import Appended, Decision, Stored
from awlog.log.filtering import filtered_import, filtered_insert
from awlog.log.filters import filters_of
from awlog.log.heartbeats import decide_heartbeats
from awlog.log.history import count_events, events_newest_first, fingerprint, first_page, page_newest_first
from awlog.log.mirror import cursors, id_here, ids_here
from awlog.log.retention import SETTING as RETENTION_SETTING
from awlog.log.sealing import oldest_records, records_to_seal, seal, seal_new, sealed_if_new
from awlog.log.segment import SEGMENT_EVENTS, ZSTD_LEVEL, ZSTD_LEVEL_SOON, decode_segment
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState, LoadSegment, State
from awlog.log.write_set import WriteSet
from awlog.model.access import Access, Grant, Token
from awlog.model.bucket import BucketMeta
from awlog.model.commands import (
    Command,
    CreateBucket,
    CreateToken,
    DeleteBucket,
    DeleteEvent,
    EditEvents,
    ImportBuckets,
    InsertEvents,
    NewEvent,
    NoteTokenUses,
    SealedBeforehand,
    SendHeartbeat,
    SendHeartbeats,
    Taken,
)
from awlog.model.edits import Edited
from awlog.model.errors import AwlogError, Busy, Damaged, InsufficientStorage, NoSuchEvent, Unavailable
from awlog.model.event import BucketNumber, Event, seq_in_bucket
from awlog.model.facts import Fact, RecordsSealed
from awlog.model.forms import Form
from awlog.model.page import Page
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.query.render import AnswerStarts, render_event, render_events
from awlog.storage.compaction import Compacted
from awlog.storage.damaged import DamagedEnvironment
from awlog.storage.environment import READERS_MAX, Environment
from awlog.storage.recovery import recover
from awlog.storage.room import Reserve
from awlog.storage.segment_cache import SegmentCache
from awlog.storage.sizes import record_bytes
from awlog.storage.snapshot import Snapshot, open_snapshot
from awlog.storage.writer import Writer

_log: Final = structlog.get_logger(part="engine")

# Decoded segments kept: about 300 of them, more than a million events.
CACHE_BYTES: Final = 64 << 20
# Events rendered in one turn of the loop: about 1.5 ms.
_STEP_EVENTS: Final = 1024
# And no more text than this, as far as the average payload tells: a client that does not read keeps it in memory.
_STEP_BYTES: Final = 256 << 10
# With less room on its disk the server is not ready: a commit needs some, and so does the next one.
_FREE_BYTES_MIN: Final = 16 << 20
# Buckets whose status is told in one turn of the loop: 50 µs each when nothing is known of them.
_STEP_BUCKETS: Final = 32
# Segments whose size is asked for in one turn of the loop.
_STEP_ENTRIES: Final = 500
# A store that could not be read again after a failed write is tried at most this often.
_RETRY_S: Final = 1.0
# Streams that are open at one time. The other slots of LMDB's reader table are for writes that look into history, and
# for reader processes: those never wait for a client that does not read.
_SNAPSHOTS_MAX: Final = READERS_MAX - 64
# More than this is read in another process: here it would be 15 ms of the loop's time, in ten steps.
_LONG_READ_EVENTS: Final = 20_000
# A payload that no filter has seen takes some microseconds.
_FILTERED_HERE_MAX: Final = 200
_RESERVE_RETRY_S: Final = 30.0
# Commands that give room back.
_FREEING: Final = (DeleteBucket, DeleteEvent, EditEvents)
_GROW_POLL_S: Final = 0.005
_QUERY_LIMITS: Final = QueryLimits()
_NO_BACKUPS: Final = BackupPlan()
_ACCESS_RULES: Final = AccessRules()
# When tokens were used is written down at most this often.
_NOTE_USES_S: Final = 60.0


class BucketView(Struct, frozen=True):
    """A bucket as it is now: its metadata, and the span of the events it holds; both ends None when it is empty."""

    meta: BucketMeta
    start_us: Micros | None
    end_us: Micros | None


class ExportedBucket(Struct, frozen=True):
    """One bucket of an export. `head`: its fields as JSON, up to `"events":[`; `events` gives chunks of JSON events joined
    by commas, without ids.
    """

    meta: BucketMeta
    head: bytes
    events: AsyncIterator[bytes]


class Engine:
    """Opens on a prepared environment; owns the committer, the upkeep and the segment cache until `close`."""

    def __init__(
        self,
        environment: Environment,
        *,
        clock: Clock = system_clock,
        cache_bytes: int = CACHE_BYTES,
        query_limits: QueryLimits = _QUERY_LIMITS,
        backup_plan: BackupPlan = _NO_BACKUPS,
        reserve_bytes: int = 0,
        access_rules: AccessRules = _ACCESS_RULES,
        forward_plan: ForwardPlan | None = None,
        jobs_waiting_max: int = JOBS_WAITING_MAX,
        webhook_plan: WebhookPlan | None = None,
        open_writer: Callable[[Environment], Writer] = Writer,
    ) -> None:
        """Recovers the state. Call it on the running loop. Raises DataDamaged. O(records that are not sealed)."""
        self.clock = clock
        # A file that was put back by hand gives its change numbers once more: fingerprints of an earlier start say nothing.
        self._start = secrets.token_bytes(4)
        self._environment = environment
        self._open_writer = open_writer
        self._writer = open_writer(environment)
        self._cache = SegmentCache(cache_bytes)
        self._answer_starts = AnswerStarts()
        self._staged = State()
        self._durable = State()
        self._durable_txn_id = 0
        self.on_erased: Callable[[], None] = lambda: None
        """Called when stored events were erased; whoever remembers payloads lets go of them."""
        self._broken: Busy | None = None
        self._reserve = Reserve(environment.data_dir, reserve_bytes)
        self._reserve_tried_at_s = -_RESERVE_RETRY_S
        self._reserve.take()
        self.read_only = _read_only(environment)
        """Why nothing is written; None in a store that is whole."""
        self._tried_at_s = 0.0
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._turns_without_snapshots = 0
        self._snapshot_turns = asyncio.Semaphore(_SNAPSHOTS_MAX)
        self._import_turn = asyncio.Lock()
        self._statuses = Statuses()
        self._counts = Counts()
        self.readiness = Readiness()
        """Other parts add checks of their own."""
        self.readiness.add("store", self._why_not_written)
        self.readiness.add("disk", self._why_disk_is_full)
        self._began_s = asyncio.get_running_loop().time()
        self._committed_us: Micros | None = None
        self._streamed_count = 0
        self._door = Door(access_rules)
        self._note_uses_timer: asyncio.TimerHandle | None = None
        self.feed = Feed(lambda request: self._readers.feed_page(request))
        self._recover()
        self._readers = Readers(
            environment.data_dir, query_limits, environment.reap_readers, damaged=self.read_only is not None
        )
        self._committer = Committer(
            lambda writes: self._writer.commit(writes),
            on_durable=self._take_durable,
            on_failed=self._start_over,
            on_map_full=self._grow,
            before_commit=self._grow_in_time,
            counts=self._counts,
        )
        self._upkeep = Upkeep(self._seal_oldest, self._empty_heads)
        can_tell = self.read_only is None
        self.forwarder = Forwarder(environment.data_dir, forward_plan, clock) if forward_plan and can_tell else None
        if self.forwarder is not None:
            self.readiness.add("forward", self.forwarder.why_warned, only_warns=True)
        self.webhooks = Webhooks(environment.data_dir, webhook_plan) if webhook_plan and can_tell else None
        self.backups = Backups(environment.data_dir, backup_plan, clock)
        self._compaction = Compaction(
            environment, self._committer, without_snapshots=self._without_snapshots, on_swapped=self._take_new_file
        )
        self.jobs = Jobs(clock, waiting_max=jobs_waiting_max)
        self.editor = Editor(
            buckets=lambda: self._durable.buckets(),
            submit=self._submit_edits,
            look=self._readers.look,
            forget_texts=self._forget_texts,
        )
        self.retention = Retention(self.editor, self.jobs, clock, lambda: self._durable.settings.get(RETENTION_SETTING))
        for bucket in self._durable.buckets():
            self._upkeep.note(bucket.number, bucket.head)

    async def close(self) -> None:
        """Commits what is open, marks the store clean, ends the thread. The environment stays the caller's."""
        self.feed.close()
        await self.backups.close()
        await self._compaction.close()
        await self.retention.close()
        await self.jobs.close()
        await self._readers.close()
        await self._upkeep.close()
        if self._note_uses_timer is not None:
            self._note_uses_timer.cancel()
            self.note_uses()
        await self._committer.close()
        # Now that all is durable.
        await asyncio.gather(*(each.close() for each in (self.forwarder, self.webhooks) if each is not None))
        if self._broken is None and self.read_only is None:
            self._writer.mark_clean()

    # Commands

    def submit(self, command: Command) -> asyncio.Future[Any]:
        """Decides the command now; the future gives its answer, or raises its refusal, when that is durable.

        The future raises Refused, Busy, Damaged; cancelling it does not take the command back.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(command, into_future(future))
        return future

    def send(self, command: Command, reply: Reply) -> None:
        """As `submit`, without a future: `reply` is told the answer, or the AwlogError that refuses the command.

        O(1) for a heartbeat. Raises what is neither, a mistake of ours; then nothing of the command was kept.
        """
        if self._reserve.is_held and isinstance(command, _FREEING):
            reply = self._with_the_reserve(command, reply)
        refusal = self._refusal()
        if refusal is not None:
            self._committer.join(refusal, reply)
            return
        try:
            decision = decide(self._staged, command, self._load_staged)
        except AwlogError as refusal:
            self._committer.join(refusal, reply)
            return
        if type(command) is SendHeartbeat:
            self._counts.heartbeat(decision.facts)
        self._stage(decision, reply)

    def _with_the_reserve(self, command: Command, reply: Reply) -> Reply:
        """A reply that tries a deletion once more, with the room that is kept for it, if there is no other."""

        def told(outcome: Outcome) -> None:
            if isinstance(outcome, InsufficientStorage) and self._reserve.is_held:
                _log.warning("the disk is full: the reserve is used to delete")
                self._reserve.let_go()
                self.send(command, reply)
            else:
                reply(outcome)

        return told

    async def insert(self, command: InsertEvents) -> Stored | Appended:
        """As `submit`, for any number of events: a long list is filtered, and laid out in segments, off the loop."""
        text = self._filters_text()
        if text is not None and len(command.events) > _FILTERED_HERE_MAX:
            command = await asyncio.to_thread(lambda: filtered_insert(filters_of(text), command))
        if is_bulk(command.events):
            command = replace(command, sealed=await asyncio.to_thread(sealed_if_new, command.events))
        await self.room()
        stored: Stored | Appended = await self.submit(command)
        return stored

    @property
    def is_full(self) -> bool:
        """Do the records that are not sealed take so much memory that `room` would wait?"""
        return self._upkeep.is_full

    async def room(self) -> None:
        """For what comes in bulk: waits, when heads are full, until some are sealed. Heartbeats do not ask."""
        await self._upkeep.room()

    def _filters_text(self) -> bytes | None:
        """The setting as commands see it; None if nothing is filtered."""
        filters = self._staged.filters()
        return None if filters is None else filters.text

    async def import_buckets(self, buckets: list[tuple[CreateBucket, list[NewEvent]]]) -> None:
        """As `submit(ImportBuckets(...))`; large new buckets are laid out beforehand. One import at a time."""
        async with self._import_turn:
            command = ImportBuckets([(create, events, None) for create, events in buckets])
            text = self._filters_text()
            if text is not None:
                command = await asyncio.to_thread(lambda: filtered_import(filters_of(text), command))
            prepared: list[tuple[CreateBucket, list[NewEvent], SealedBeforehand | None]] = []
            for create, events, _ in command.buckets:
                sealed = await asyncio.to_thread(seal_new, events) if is_bulk(events) else None
                prepared.append((create, events, sealed))
            await self.submit(ImportBuckets(prepared, command.filtered_by))

    def submit_heartbeats(self, command: SendHeartbeats) -> asyncio.Future[Taken]:
        """As `submit`, for many heartbeats at once: each as if it came alone, all of them in one commit.

        What is refused is named in the answer and does not stop the others. About 1 µs for one that merges. A failure is
        told at once: whoever sends the next command must know that this one is not taken.
        """
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        taken = self._take(command)
        if isinstance(taken, AwlogError):
            future.set_exception(taken)
        self._committer.join(
            taken, into_future(future)
        )  # also then: what was decided before it failed is to be committed
        return future

    def _take(self, command: SendHeartbeats) -> Taken | AwlogError:
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        taken = Taken(end=command.begin)
        while taken.end < len(command.lines):
            try:
                facts, more = decide_heartbeats(self._staged, replace(command, begin=taken.end), self._load_staged)
            except Unavailable as failure_to_read:
                return failure_to_read
            failure = self._apply(facts)
            if failure is not None:
                return failure
            taken.add(more)
        self._counts.merged += taken.merged
        self._counts.inserted += taken.inserted
        self._streamed_count += taken.end - command.begin
        return taken

    def push_cursors(self, device_id: str) -> dict[str, tuple[int, int]]:
        """How far a device's buckets were pushed here: epoch and change, by their ids there. O(buckets)."""
        return cursors(self._durable, device_id)

    def pushed_to(self, device_id: str, bucket_id: str) -> str:
        """The id here of a device's bucket, whether it was pushed yet or not. O(buckets)."""
        return id_here(self._durable, device_id, bucket_id)

    def pushed_ids(self, device_id: str, bucket_ids: list[str]) -> Iterator[tuple[str, str]]:
        """As `pushed_to`, for many, each with its id here; lazy, so that the caller may give way to others."""
        return ids_here(self._durable, device_id, bucket_ids)

    def last_sequence(self, producer_id: str) -> int:
        """How far a producer's stream is durable; 0 if nothing is known of it."""
        known = self._durable.producers.get(producer_id)
        return 0 if known is None else known.last_sequence

    async def _submit_edits(self, command: EditEvents) -> list[Edited]:
        edited: list[Edited] = await self.submit(command)
        return edited

    def _forget_texts(self) -> None:
        """Lets go of all payloads that are remembered beside the data: what was erased is not to live on in memory."""
        self._cache.clear()
        self._answer_starts = AnswerStarts()
        self._statuses = Statuses()
        filters = self._staged.filters()
        if filters is not None:
            filters.forget()
        self.on_erased()
        self._readers.renew()

    def _stage(self, decision: Decision, reply: Reply) -> None:
        failure = self._apply(decision.facts)
        self._committer.join(decision.answer if failure is None else failure, reply)

    def _apply(self, facts: list[Fact]) -> AwlogError | None:
        """Takes facts into the staged state and the open batch; gives the refusal if they cannot be taken."""
        writes = self._committer.writes
        try:
            for fact in facts:
                apply(self._staged, fact, writes, self._load_staged)
        except Exception as failure:
            # The staged state may hold some of the facts, and the open batch was decided on it: both are made anew.
            _log.error("a write could not be applied", error=type(failure).__name__)
            self._staged = self._durable.copy()
            in_flight = self._committer.in_flight_writes()
            if in_flight is not None:
                self._staged.absorb(in_flight)
            self._committer.fail_open(Unavailable("Another write failed and took this one along; retry."))
            if isinstance(failure, AwlogError):
                return failure
            raise
        return None

    async def _seal_oldest(self, bucket_number: BucketNumber) -> None:
        """Moves the oldest records of a bucket into a segment, which is encoded off the loop. Durable when it returns."""
        bucket = self._durable.numbered(bucket_number)
        await self._seal([] if bucket is None else [(bucket_number, records_to_seal(bucket.head))], ZSTD_LEVEL)

    async def _empty_heads(self, bucket_numbers: list[BucketNumber], soon: bool) -> None:
        """Moves the records of these buckets into a segment each, many in a commit. Durable when it returns."""
        chosen: list[tuple[BucketNumber, list[Event]]] = []
        record_count = 0
        for bucket_number in bucket_numbers:
            bucket = self._durable.numbered(bucket_number)
            if bucket is not None:
                chosen.append((bucket_number, oldest_records(bucket.head)))
                record_count += len(chosen[-1][1])
            if record_count >= SEGMENT_EVENTS or bucket_number == bucket_numbers[-1]:
                await self._seal(chosen, ZSTD_LEVEL_SOON if soon else ZSTD_LEVEL)
                chosen, record_count = [], 0

    async def _seal(self, chosen: list[tuple[BucketNumber, list[Event]]], level: int) -> None:
        """Moves records of some buckets into a segment each, in one commit. Durable when it returns."""
        chosen = [(bucket_number, events) for bucket_number, events in chosen if events]
        if not chosen or self._refusal() is not None:
            return
        runs = await asyncio.to_thread(lambda: [seal(events, level) for _, events in chosen])
        if self._is_broken():
            return
        facts: list[Fact] = []
        for (bucket_number, events), run in zip(chosen, runs, strict=True):
            staged = self._staged.numbered(bucket_number)
            if staged is None or any(staged.head.get(event.seq) is not event for event in events):
                continue  # an edit came in between; the next commit of this bucket asks again
            facts.append(RecordsSealed(bucket_number, [event.seq for event in events], run))
        if facts:
            durable: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._stage(Decision(facts, None), into_future(durable))
            await durable

    # Who may do what

    def admit(self, authorization: Sequence[str]) -> Admission:
        """Who asks with these `Authorization` headers. 2 µs. Raises Unauthorized."""
        admission = self._door.admit(authorization, self.clock())
        if admission.access.token_id is not None and self._note_uses_timer is None:
            self._note_uses_timer = asyncio.get_running_loop().call_later(_NOTE_USES_S, self.note_uses)
        return admission

    def check_admitted(self, access: Access) -> None:
        """For what lasts, now and then: raises Unauthorized if who was admitted would not be admitted now. O(1)."""
        self._door.check(access, self.clock())

    def on_access_changed(self, call: Callable[[], None]) -> None:
        """`call`: whenever somebody who was admitted may not be any more."""
        self._door.on_changed = call

    async def create_token(self, name: str, grants: Sequence[Grant], expires_us: Micros | None) -> tuple[str, Token]:
        """The secret, which nobody can read again, and the token. From now on tokens are required. Raises BadRequest."""
        secret, token = new_token(name, grants, created_us=self.clock(), expires_us=expires_us)
        await self.submit(CreateToken(token))
        return secret, token

    def tokens(self) -> list[Token]:
        """Oldest first, those that have expired too."""
        return sorted(self._durable.tokens.values(), key=lambda token: (token.created_us, token.id))

    @property
    def requires_tokens(self) -> bool:
        return self._door.requires_tokens

    @property
    def access_is_set_up(self) -> bool:
        """Did somebody say that tokens are required, by making one or by a setting?"""
        return self._door.is_set_up

    def note_uses(self) -> None:
        """Writes down when tokens were used. It happens by itself, at most once a minute, and at the end."""
        self._note_uses_timer = None
        used_us = self._door.unwritten_uses()
        if used_us:
            self.send(NoteTokenUses(used_us), lambda _outcome: None)

    # The durable state

    def _recover(self) -> None:
        environment = self._environment
        recovered = environment.recovered if isinstance(environment, DamagedEnvironment) else recover(environment)
        self._staged, self._durable = State(), State()
        self._staged.absorb(recovered.writes)
        self._durable.absorb(recovered.writes)
        self._staged.damage = self._durable.damage = recovered.damage
        self._durable_txn_id = recovered.txn_id
        self._cache.clear()
        self._door.take(self._durable.tokens, required=self._durable.tokens_required)
        self.feed.restart(self._durable.head_change)

    def _take_durable(self, writes: WriteSet, txn_id: int) -> None:
        self._durable.absorb(writes)
        self._durable_txn_id = txn_id
        self._compaction.note(writes)
        self.feed.settle(writes, self._durable)
        self._committed_us = self.clock()
        if not self._reserve.is_held:
            self._take_reserve()
        if writes.tokens or writes.tokens_required is not None:
            self._door.take(self._durable.tokens, required=self._durable.tokens_required)
        for number in writes.records:
            bucket = self._durable.numbered(number)
            if bucket is not None:
                self._upkeep.note(number, bucket.head)
        for number, meta in writes.buckets.items():
            if meta is None:
                self._upkeep.forget(number)

    def _take_reserve(self) -> None:
        """Now and then, until there is room for it."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._reserve_tried_at_s >= _RESERVE_RETRY_S:
            self._reserve_tried_at_s = loop.time()
            loop.run_in_executor(None, self._reserve.take)

    def _start_over(self) -> None:
        """After a failed commit: only the disk says what is durable. Raises Unavailable, and tries again later."""
        self._broken = Unavailable("The store cannot be read after a failed write; it is tried again. See the log.")
        self._tried_at_s = asyncio.get_running_loop().time()
        try:
            self._environment.start_over()
            self._writer = self._open_writer(self._environment)
            self._recover()
        except (Busy, Damaged) as error:
            _log.error("the store cannot be read again", error=str(error))
            raise self._broken from error
        self._broken = None

    def _why_not_written(self) -> str | None:
        reason = self.read_only or self._broken
        return None if reason is None else str(reason)

    def _refusal(self) -> Busy | None:
        """Why nothing can be written now."""
        if self.read_only is not None:
            return self.read_only
        return self._broken if self._is_broken() else None

    def _is_broken(self) -> bool:
        """Is the store unreadable after a failed write? If so it is tried again, at most once a second."""
        if self._broken is not None and asyncio.get_running_loop().time() - self._tried_at_s >= _RETRY_S:
            with suppress(Busy):
                self._start_over()
        return self._broken is not None

    def _grow_in_time(self) -> None:
        """Doubles the map when it is half full and nobody is reading, so that nobody has to wait for it later."""
        if self._environment.reader_count == 0 and self._environment.wants_growth():
            with suppress(InsufficientStorage):  # there is room yet; when there is none, the commit says so
                self._environment.grow()

    async def _grow(self) -> None:
        """Doubles LMDB's map when no snapshot is open; new ones wait."""
        async with self._without_snapshots():
            self._environment.grow()

    @asynccontextmanager
    async def _without_snapshots(self) -> AsyncIterator[None]:
        """A time in which no snapshot is open and none is opened. Rare: once for every doubling of the data."""
        self._turns_without_snapshots += 1
        self._may_read.clear()
        try:
            while self._environment.reader_count:  # noqa: ASYNC110
                await asyncio.sleep(_GROW_POLL_S)
            yield
        finally:
            self._turns_without_snapshots -= 1
            if not self._turns_without_snapshots:
                self._may_read.set()

    async def compact(self) -> Compacted:
        """Writes the store anew, without the room of what is gone; writes wait for some hundredths of a second.

        Raises DataDamaged, InsufficientStorage, Unavailable; then everything is as it was.
        """
        if self.read_only is not None:
            raise self.read_only
        return await self._compaction.run()

    def _take_new_file(self) -> None:
        self._durable_txn_id = self._environment.last_txn_id()
        self._writer = self._open_writer(self._environment)
        self._readers.renew()

    # Reads

    def buckets(self) -> list[BucketView]:
        """All buckets, oldest first. O(buckets)."""
        self._durable.damage.require_all_buckets()
        return [_view(bucket) for bucket in self._durable.buckets()]

    def bucket(self, bucket_id: str) -> BucketView:
        """Raises NoSuchBucket."""
        return _view(self._durable.bucket(bucket_id))

    async def bucket_statuses(self) -> list[BucketStatus]:
        """Oldest first. O(buckets); gives way to others in between."""
        statuses = []
        for status in self._statuses.of_buckets(self._durable.buckets(), self.clock()):
            statuses.append(status)
            if len(statuses) % _STEP_BUCKETS == 0:
                await asyncio.sleep(0)
        return statuses

    def status(self) -> ServerStatus:
        """About the server itself."""
        file_bytes, free_bytes = room(self._environment.data_dir)
        return ServerStatus(
            asyncio.get_running_loop().time() - self._began_s,
            self._committer.answered_count + self._streamed_count,
            self._counts.merged,
            self._counts.inserted,
            self._counts.unchanged,
            self._committer.commit_count,
            self._committed_us,
            self._committer.commit_s,
            self._broken is None,
            file_bytes,
            free_bytes,
        )

    async def figures(self) -> EngineFigures:
        """For those who watch the server. O(buckets); gives way to others in between."""
        event_count = 0
        for at, bucket in enumerate(self._durable.buckets(), 1):
            event_count += bucket.event_count()
            if at % _STEP_BUCKETS == 0:
                await asyncio.sleep(0)
        file_bytes, free_bytes = room(self._environment.data_dir)
        running, waiting = self._readers.query_counts()
        return EngineFigures(
            counts=self._counts,
            bucket_count=len(self._durable.buckets()),
            event_count=event_count,
            snapshot_count=self._environment.reader_count,
            reader_count=self._readers.process_count,
            follower_count=self.feed.follower_count,
            queries_running=running,
            queries_waiting=waiting,
            file_bytes=file_bytes,
            free_bytes=free_bytes,
            behind=Behind() if self.forwarder is None else self.forwarder.behind(),
        )

    def _why_disk_is_full(self) -> str | None:
        free_bytes = room(self._environment.data_dir)[1]
        if free_bytes >= _FREE_BYTES_MIN:
            return None
        return f"There are {free_bytes} bytes left on the disk: writes may be refused. Reads go on."

    async def sizes_bytes(self) -> dict[str, int]:
        """By bucket id, the room that it takes on the disk. 2 µs a segment; gives way to others in between."""
        sizes: dict[str, int] = {}
        async with self._moment() as snapshot:
            for bucket in self._durable.buckets():
                sizes[bucket.meta.id] = record_bytes(bucket)
                for at, entry in enumerate(list(bucket.index), 1):
                    sizes[bucket.meta.id] += snapshot.segment_bytes(bucket, entry)
                    if at % _STEP_ENTRIES == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(0)
        return sizes

    async def timeline(
        self, bucket_ids: list[str] | None, start_us: Micros, end_us: Micros, *, bin_count: int, events_max: int
    ) -> list[bytes]:
        """A picture of each of these buckets, or of all: JSON, `{id: picture}` in parts. In a reader process.

        Raises NoSuchBucket, DataDamaged, Unavailable.
        """
        request = TimelineRequest(bucket_ids, start_us, end_us, bin_count, events_max)
        return await self._readers.timeline(request)

    def setting(self, key: str) -> bytes | None:
        """JSON text, None if it is not set."""
        if key not in self._durable.settings:
            self._durable.damage.require_settings()
        return self._durable.settings.get(key)

    def settings(self) -> dict[str, bytes]:
        self._durable.damage.require_settings()
        return dict(self._durable.settings)

    def render(self, stored: Stored) -> bytes:
        """The answer to a command that wrote one event; `null` if a privacy filter dropped it."""
        if stored.bucket_number is not None and len(stored.events) == 1:
            return self._answer_starts.render(stored.bucket_number, stored.events[0])
        return render_events(columns_of(stored.events), stored.bucket_number) if stored.events else b"null"

    async def shown(self, stored: Stored | Appended) -> bytes:
        """The answer to `insert`: a JSON list; a long one is written off the loop."""
        return shown(stored) if len(stored.events) < BULK_EVENTS else await asyncio.to_thread(shown, stored)

    async def event_json(self, bucket_id: str, wire_id: int) -> bytes:
        """The stored event. Raises NoSuchBucket, NoSuchEvent, DataDamaged."""
        async with self._snapshot() as load:
            bucket = self._durable.bucket(bucket_id)
            seq = seq_in_bucket(bucket.number, wire_id)
            event = None if seq is None else bucket.find(seq, load)
            if event is None:
                raise NoSuchEvent(bucket_id, str(wire_id))
            return render_event(bucket.number, event)

    async def count(self, bucket_id: str, start_us: Micros, end_us: Micros) -> int:
        """How many events meet [start_us, end_us]. Loads only the segments at its edges. Raises NoSuchBucket."""
        async with self._snapshot() as load:
            return count_events(self._durable.bucket(bucket_id), start_us, end_us, load)

    async def read_json(
        self, bucket_id: str, start_us: Micros, end_us: Micros, *, count_max: int | None
    ) -> AsyncGenerator[bytes]:
        """The events that meet [start_us, end_us], cut to it, newest first: chunks of JSON joined by commas.

        The bucket is looked up at the first step, which raises NoSuchBucket. Flat memory; gives way to others between
        chunks of a millisecond or two. Raises DataDamaged when it comes to a damaged segment.
        """
        if count_max is None and self._is_long(self._durable.bucket(bucket_id), start_us, end_us):
            request = ReadRequest(bucket_id, start_us, end_us, None, with_ids=True)
            async with aclosing(self._readers.stream(request)) as frames:
                async for frame in frames:
                    if isinstance(frame, Part):
                        yield frame.value
            return
        async with self._snapshot() as load:
            bucket = self._durable.bucket(bucket_id)
            chunks = events_newest_first(bucket, start_us, end_us, count_max, load)
            async for columns in _in_small_steps(chunks):
                yield render_events(columns.clipped(start_us, end_us), bucket.number)

    def fingerprint(self, bucket_id: str, start_us: Micros, end_us: Micros) -> bytes | None:
        """Another one when a read of this closed range may give something else; None if the range is still growing.

        Good until the server stops. Raises NoSuchBucket.
        """
        found = fingerprint(self._durable.bucket(bucket_id), start_us, end_us)
        return None if found is None else self._start + found

    def first_page(self, bucket_id: str, start_us: Micros, end_us: Micros) -> Page:
        """Where to begin with `read_page`. Raises NoSuchBucket."""
        return first_page(self._durable.bucket(bucket_id), start_us, end_us)

    async def read_page(self, bucket_id: str, page: Page, *, count_max: int) -> tuple[bytes, Page | None]:
        """The next events of a range read, as `read_json` gives them, and where to go on. Raises as `read_json`."""
        async with self._snapshot() as load:
            bucket = self._durable.bucket(bucket_id)
            columns, following = page_newest_first(bucket, page, count_max, load)
            return render_events(columns.clipped(page.start_us, page.end_us), bucket.number), following

    async def query(
        self, lines: list[str], periods: list[str], *, name: str, explain: bool, prefixes: tuple[str, ...] = ("",)
    ) -> QueryAnswer:
        """Runs a program once for each period, all on one snapshot, in a reader process.

        To the program there are only the buckets whose ids begin with one of `prefixes`.

        Raises QueryError, BadRequest for a bad period, DataDamaged, Busy. Cancel it to end the query; call `let_go` when
        the answer is sent.
        """
        return await self._readers.query(lines, periods, name=name, explain=explain, prefixes=prefixes)

    def let_go(self, answer: QueryAnswer) -> None:
        """Nobody holds the answer any more: there is room for another."""
        self._readers.let_go(answer)

    async def start_reader(self) -> None:
        """Has a reader process ready for the first query."""
        await self._readers.start_ahead()

    @asynccontextmanager
    async def export(self, bucket_id: str | None) -> AsyncIterator[list[ExportedBucket]]:
        """One bucket, or all, as of one moment; to be read one after the other while the context is open.

        Raises NoSuchBucket.
        """
        named = self._every_bucket() if bucket_id is None else [self._durable.bucket(bucket_id)]
        if any(self._is_long(bucket, TIME_MIN_US, TIME_MAX_US) for bucket in named):
            request = ReadRequest(bucket_id, TIME_MIN_US, TIME_MAX_US, None, with_ids=False)
            async with aclosing(self._readers.stream(request)) as frames:
                opened = await anext(frames)
                assert isinstance(opened, Opened), "a read begins with its buckets"
                parts = _Parts(frames)
                yield [ExportedBucket(meta, bucket_head(meta), parts.of_bucket(meta.number)) for meta in opened.buckets]
            return
        async with self._snapshot() as load:
            chosen = self._every_bucket() if bucket_id is None else [self._durable.bucket(bucket_id)]
            yield [
                ExportedBucket(
                    bucket.meta,
                    bucket_head(bucket.meta),
                    _without_ids(events_newest_first(bucket, TIME_MIN_US, TIME_MAX_US, None, load)),
                )
                for bucket in chosen
            ]

    async def document(
        self,
        form: Form,
        bucket_id: str | None,
        start_us: Micros = TIME_MIN_US,
        end_us: Micros = TIME_MAX_US,
        *,
        count_max: int | None = None,
        with_ids: bool = False,
        for_spreadsheets: bool = False,
    ) -> AsyncGenerator[bytes]:
        """The events of a bucket, or of all, that meet the range and are cut to it, as one document, in flat memory.

        Made in a reader process. Raises NoSuchBucket, BadRequest for a form that needs a package which is not installed,
        DataDamaged, Unavailable.
        """
        check_installed(form)
        if bucket_id is not None:
            self._durable.bucket(bucket_id)
        wanted = Wanted(
            form.name,
            start_us,
            end_us,
            count_max,
            with_ids=with_ids,
            with_buckets=bucket_id is None,
            for_spreadsheets=for_spreadsheets,
        )
        async with aclosing(self._readers.document(DocumentRequest(bucket_id, wanted))) as pieces:
            async for piece in pieces:
                yield piece

    def _every_bucket(self) -> list[BucketState]:
        """Raises DataDamaged if some are not known or not complete."""
        self._durable.damage.require_all_buckets()
        return self._durable.buckets()

    def _is_long(self, bucket: BucketState, start_us: Micros, end_us: Micros) -> bool:
        """Is the read one for a reader process, and is there one? Else it is done here, in small steps."""
        if self._is_broken() or not self._readers.may_stream():
            return False
        return sum(entry.count for entry in bucket.index.meeting(start_us, end_us)) > _LONG_READ_EVENTS

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[LoadSegment]:
        """A loader of segments as of the durable state at this moment, which the caller takes before it awaits."""
        async with self._moment() as snapshot:
            yield lambda number, entry: self._load(number, entry, snapshot)

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[Snapshot]:
        """A snapshot of the durable state at this moment."""
        if self._is_broken():
            assert self._broken is not None
            raise self._broken
        async with self._snapshot_turns:
            await self._may_read.wait()
            with open_snapshot(self._environment) as snapshot:
                # A commit is visible to new snapshots shortly before it settles in memory.
                while snapshot.txn_id() != self._durable_txn_id:
                    await self._committer.settled()
                yield snapshot

    def _load(self, number: BucketNumber, entry: SegmentEntry, snapshot: Snapshot) -> Columns:
        columns = self._cache.get(number, entry)
        if columns is None:
            columns = snapshot.segment(number, entry)
            self._cache.put(number, entry, columns)
        return columns

    def _load_staged(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        """A segment as commands see it: perhaps not on the disk yet."""
        for writes in self._committer.pending_writes():
            segment = writes.segments.get(number, {}).get(entry.first_seq)
            if segment is not None and segment.entry == entry:
                if segment.columns is not None:
                    return segment.columns
                assert segment.sealed is not None, "a segment to write has its bytes or its columns"
                return decode_segment(segment.sealed, entry.first_seq, entry.min_change, "A segment that was just made")
        with open_snapshot(self._environment) as snapshot:
            return self._load(number, entry, snapshot)


def _read_only(environment: Environment) -> Unavailable | None:
    if not isinstance(environment, DamagedEnvironment):
        return None
    # Heartbeats too, which stock clients do not send again: in a damaged file a write may land on what is still whole, and
    # what was recorded is worth more than what is being recorded.
    return Unavailable(
        "The store is damaged and served read-only. Stop the server, run `awlog repair`, and start it on what that makes; "
        "or restore a backup."
    )


def _view(bucket: BucketState) -> BucketView:
    return BucketView(bucket.meta, bucket.start_us(), bucket.end_us())


async def _in_small_steps(chunks: Iterator[Columns]) -> AsyncIterator[Columns]:
    """The chunks in slices that take a millisecond or two to render; others get their turn in between."""
    for columns in chunks:
        payload_bytes = sum(map(len, columns.payloads)) // max(1, len(columns.payloads))
        step = max(1, min(_STEP_EVENTS, _STEP_BYTES // max(1, payload_bytes)))
        for at in range(0, len(columns), step):
            yield columns if len(columns) <= step else columns.take(slice(at, at + step))
            await asyncio.sleep(0)


class _Parts:
    """The parts of a read of many buckets, to be taken bucket by bucket in their order."""

    def __init__(self, frames: AsyncIterator[Opened | Part]) -> None:
        self._frames = frames
        self._next: Part | None = None

    async def of_bucket(self, number: BucketNumber) -> AsyncIterator[bytes]:
        while True:
            if self._next is None:
                frame = await anext(self._frames, None)
                if not isinstance(frame, Part):
                    return
                self._next = frame
            if self._next.bucket_number != number:
                return
            part, self._next = self._next, None
            yield part.value


async def _without_ids(chunks: Iterator[Columns]) -> AsyncIterator[bytes]:
    async for columns in _in_small_steps(chunks):
        yield render_events(columns, None)
