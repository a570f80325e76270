"""The engine: the one object that takes commands, and that holds the parts of a running store together.

Commands are decided against the staged state, in the order of their arrival, and answered when they are durable; then the
durable state, which `store` owns, has taken them in, and reads see them. Everything here runs on the loop; only commits, and
the encoding of segments, run in threads.

reads       `reading.py`    what is stored: events, buckets, settings, exports
readers     `readers.py`    processes for queries and long reads
status      `status.py`     how the server and each bucket are
tokens      `tokens.py`     who may do what
feed        `feed.py`       what changed, to followers
editor      `editor.py`     edits of many events; large ones are `jobs`; `retention` makes them by itself
backups, forwarder, webhooks    processes beside this one
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from msgspec.structs import replace

from awlog.engine.access import AccessRules
from awlog.engine.backups import BackupPlan, Backups
from awlog.engine.bulk import shown
from awlog.engine.clock import Clock, Doubt, system_clock
from awlog.engine.committer import Committer, Reply, into_future
from awlog.engine.compaction import Compaction
from awlog.engine.editor import Editor
from awlog.engine.feed import Feed
from awlog.engine.figures import Counts, Readiness
from awlog.engine.forwarder import Forwarder, ForwardPlan
from awlog.engine.full_disk import FREEING
from awlog.engine.jobs import JOBS_WAITING_MAX, Jobs
from awlog.engine.readers import QueryLimits, Readers
from awlog.engine.reading import Reads
from awlog.engine.retention import Retention
from awlog.engine.sealing import Sealing
from awlog.engine.status import Status
from awlog.engine.store import CACHE_BYTES, OpenWriter, Store
from awlog.engine.tokens import Tokens
from awlog.engine.upkeep import Upkeep
from awlog.engine.webhooks import WebhookPlan, Webhooks
from awlog.log.apply import apply
from awlog.log.columns import Columns, columns_of
from awlog.log.decide import BULK_EVENTS, decide, is_bulk
from awlog.log.decision import Appended, Decision, Stored
from awlog.log.filtering import filtered_import, filtered_insert
from awlog.log.filters import filters_of
from awlog.log.heartbeats import decide_heartbeats
from awlog.log.retention import SETTING as RETENTION_SETTING
from awlog.log.sealing import seal_new, sealed_if_new
from awlog.log.segment import decode_segment
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import State
from awlog.log.write_set import WriteSet
from awlog.model.commands import (
    Command,
    CreateBucket,
    EditEvents,
    ImportBuckets,
    InsertEvents,
    NewEvent,
    SealedBeforehand,
    SendHeartbeat,
    SendHeartbeats,
    Taken,
)
from awlog.model.edits import Edited
from awlog.model.errors import AwlogError, Busy, Unavailable
from awlog.model.event import BucketNumber
from awlog.model.facts import Fact
from awlog.query.render import AnswerStarts, render_events
from awlog.storage.compaction import Compacted
from awlog.storage.damaged import DamagedEnvironment
from awlog.storage.environment import Environment
from awlog.storage.writer import Writer

_log: Final = structlog.get_logger(part="engine")

# A payload that no filter has seen takes some microseconds.
_FILTERED_HERE_MAX: Final = 200
_QUERY_LIMITS: Final = QueryLimits()
_NO_BACKUPS: Final = BackupPlan()
_ACCESS_RULES: Final = AccessRules()


class Engine:
    """Opens on a prepared environment; owns all that runs on it until `close`."""

    def __init__(
        self,
        environment: Environment,
        *,
        clock: Clock = system_clock,
        cache_bytes: int = CACHE_BYTES,
        query_limits: QueryLimits = _QUERY_LIMITS,
        backup_plan: BackupPlan = _NO_BACKUPS,
        access_rules: AccessRules = _ACCESS_RULES,
        forward_plan: ForwardPlan | None = None,
        jobs_waiting_max: int = JOBS_WAITING_MAX,
        webhook_plan: WebhookPlan | None = None,
        open_writer: OpenWriter = Writer,
    ) -> None:
        """Recovers the state. Call it on the running loop. Raises DataDamaged. O(records that are not sealed)."""
        self.clock = clock
        self.on_erased: Callable[[], None] = lambda: None
        """Called when stored events were erased; whoever remembers payloads lets go of them."""
        data_dir = environment.data_dir
        self._import_turn = asyncio.Lock()
        self._answer_starts = AnswerStarts()
        self._counts = Counts()
        self._staged = State()

        self._store = store = Store(
            environment,
            clock=clock,
            cache_bytes=cache_bytes,
            open_writer=open_writer,
            settled=lambda: self._committer.settled(),
            on_started_over=self._start_over,
        )
        self.readers = Readers(
            data_dir, query_limits, environment.reap_readers, damaged=isinstance(environment, DamagedEnvironment)
        )
        store.on_writable = lambda: self.readers.renew(at_once=True)
        self.feed = Feed(self.readers.feed_page)
        self.tokens = Tokens(access_rules, clock, self.send)
        self._start_from_durable()
        self._committer = Committer(
            store.commit,
            on_durable=self._take_durable,
            on_failed=store.start_over,
            on_map_full=store.grow,
            before_commit=store.grow_in_time,
            counts=self._counts,
        )
        self._compaction = Compaction(
            environment,
            self._committer,
            without_snapshots=store.without_snapshots,
            on_swapped=self._take_new_file,
        )
        sealing = Sealing(store, staged=lambda: self._staged, submit=self._stage_alone)
        self._upkeep = Upkeep(sealing.oldest, sealing.all_of)
        for bucket in store.durable.buckets():
            self._upkeep.note(bucket.number, bucket.head)

        self.reads = Reads(store, self.readers)
        self.jobs = Jobs(clock, waiting_max=jobs_waiting_max)
        self.editor = Editor(
            buckets=lambda: store.durable.buckets(),
            submit=self._submit_edits,
            look=self.readers.look,
            forget_texts=self._forget_texts,
        )
        newest_us = max((bucket.tail.start_us for bucket in store.durable.buckets() if bucket.tail), default=None)
        self.retention = Retention(
            self.editor,
            self.jobs,
            clock,
            lambda: store.durable.settings.get(RETENTION_SETTING),
            Doubt(clock, newest_us),
        )
        self.backups = Backups(data_dir, backup_plan, clock)
        can_tell = store.read_only is None
        self.forwarder = Forwarder(data_dir, forward_plan, clock) if forward_plan and can_tell else None
        self.webhooks = Webhooks(data_dir, webhook_plan) if webhook_plan and can_tell else None

        self.status = Status(
            clock,
            store,
            self._committer,
            self._counts,
            readers=self.readers,
            feed=self.feed,
            forwarder=self.forwarder,
        )
        self.readiness = Readiness()
        """Other parts add checks of their own."""
        self.readiness.add("store", store.why_not_written)
        self.readiness.add("disk", lambda: store.full_disk.why() or self.status.why_disk_is_full())
        if self.forwarder is not None:
            self.readiness.add("forward", self.forwarder.why_warned, only_warns=True)

    async def close(self) -> None:
        """Commits what is open, marks the store clean, ends the thread. The environment stays the caller's."""
        self.feed.close()
        await self.backups.close()
        await self._compaction.close()
        await self.retention.close()
        await self.jobs.close()
        await self.readers.close()
        await self._upkeep.close()
        self.tokens.close()
        await self._committer.close()
        # Now that all is durable.
        await asyncio.gather(*(each.close() for each in (self.forwarder, self.webhooks) if each is not None))
        self._store.mark_clean()

    @property
    def read_only(self) -> Busy | None:
        """Why nothing is written; None in a store that is whole, on a file system that is writable."""
        return self._store.read_only

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
        refusal = self._store.refusal()
        if refusal is not None:
            self._committer.join(refusal, reply)
            return
        try:
            decision = decide(self._staged, command, self._load_staged)
        except AwlogError as refusal:
            self._committer.join(refusal, reply)
            return
        if type(command) in FREEING:
            reply = self._store.full_disk.reply_to_deletion(command, reply, self._committer.writes, self.send)
        elif self._store.full_disk.is_full:
            full = self._store.full_disk.refusal(decision.facts, self._committer.writes)
            if full is not None:
                self._committer.join(full, reply)
                return
        if type(command) is SendHeartbeat:
            self._counts.heartbeat(decision.facts)
        self._stage(decision, reply)

    def submit_heartbeats(self, command: SendHeartbeats) -> asyncio.Future[Taken]:
        """As `submit`, for many heartbeats at once: each as if it came alone, all of them in one commit.

        What is refused is named in the answer and does not stop the others. About 1 µs for one that merges. A failure is
        told at once: whoever sends the next command must know that this one is not taken.
        """
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        taken = self._take(command)
        if isinstance(taken, AwlogError):
            future.set_exception(taken)
        # Also then: what was decided before it failed is to be committed.
        self._committer.join(taken, into_future(future))
        return future

    def _take(self, command: SendHeartbeats) -> Taken | AwlogError:
        refusal = self._store.refusal()
        if refusal is not None:
            return refusal
        taken = Taken(end=command.begin)
        while taken.end < len(command.lines):
            try:
                facts, more = decide_heartbeats(self._staged, replace(command, begin=taken.end), self._load_staged)
            except Unavailable as failure_to_read:
                return failure_to_read
            full = self._store.full_disk.refusal(facts, self._committer.writes)
            if full is not None:
                return full
            failure = self._apply(facts)
            if failure is not None:
                return failure
            taken.add(more)
        self._counts.merged += taken.merged
        self._counts.inserted += taken.inserted
        self._counts.streamed += taken.end - command.begin
        self._counts.busiest.add(taken.end - command.begin, time.perf_counter())
        return taken

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
            await self.room()
            await self.submit(ImportBuckets(prepared, command.filtered_by))

    async def _submit_edits(self, command: EditEvents) -> list[Edited]:
        edited: list[Edited] = await self.submit(command)
        return edited

    async def compact(self) -> Compacted:
        """Writes the store anew, without the room of what is gone; writes wait for some hundredths of a second.

        Raises DataDamaged, InsufficientStorage, Unavailable; then everything is as it was.
        """
        refusal = self._store.refusal()
        if refusal is not None:
            raise refusal
        return await self._compaction.run()

    # What writers are answered

    def render(self, stored: Stored) -> bytes:
        """The answer to a command that wrote one event; `null` if a privacy filter dropped it."""
        if stored.bucket_number is not None and len(stored.events) == 1:
            return self._answer_starts.render(stored.bucket_number, stored.events[0])
        return render_events(columns_of(stored.events), stored.bucket_number) if stored.events else b"null"

    async def shown(self, stored: Stored | Appended) -> bytes:
        """The answer to `insert`: a JSON list; a long one is written off the loop."""
        return shown(stored) if len(stored.events) < BULK_EVENTS else await asyncio.to_thread(shown, stored)

    # The staged state

    def _stage(self, decision: Decision, reply: Reply) -> None:
        failure = self._apply(decision.facts)
        self._committer.join(decision.answer if failure is None else failure, reply)

    def _stage_alone(self, facts: list[Fact]) -> asyncio.Future[Any]:
        """Facts that nobody asked for."""
        durable: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stage(Decision(facts, None), into_future(durable))
        return durable

    def _apply(self, facts: list[Fact]) -> AwlogError | None:
        """Takes facts into the staged state and the open batch; gives the refusal if they cannot be taken."""
        writes = self._committer.writes
        try:
            for fact in facts:
                apply(self._staged, fact, writes, self._load_staged)
        except Exception as failure:
            # The staged state may hold some of the facts, and the open batch was decided on it: both are made anew.
            _log.error("a write could not be applied", error=type(failure).__name__)
            self._staged = self._store.durable.copy()
            in_flight = self._committer.in_flight_writes()
            if in_flight is not None:
                self._staged.absorb(in_flight)
            self._committer.fail_open(Unavailable("Another write failed and took this one along; retry."))
            if isinstance(failure, AwlogError):
                return failure
            raise
        return None

    def _load_staged(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        """A segment as commands see it: perhaps not on the disk yet."""
        for writes in self._committer.pending_writes():
            segment = writes.segments.get(number, {}).get(entry.first_seq)
            if segment is not None and segment.entry == entry:
                if segment.columns is not None:
                    return segment.columns
                assert segment.sealed is not None, "a segment to write has its bytes or its columns"
                return decode_segment(segment.sealed, entry.first_seq, entry.min_change, "A segment that was just made")
        return self._store.segment_now(number, entry)

    def _start_from_durable(self) -> None:
        """What was staged and is not durable never was."""
        durable = self._store.durable
        self._staged = durable.copy()
        self.tokens.take(durable)
        self.feed.restart(durable.head_change)

    def _start_over(self) -> None:
        self._start_from_durable()
        self._upkeep.recount(self._store.durable.buckets())

    # When something became durable

    def _take_durable(self, writes: WriteSet, txn_id: int) -> None:
        self._store.take(writes, txn_id)
        self._compaction.note(writes)
        self.feed.settle(writes, self._store.durable)
        self.status.committed_us = self.clock()
        if writes.tokens or writes.tokens_required is not None:
            self.tokens.take(self._store.durable)
        for number in writes.records:
            bucket = self._store.durable.numbered(number)
            if bucket is not None:
                self._upkeep.note(number, bucket.head)
        for number, meta in writes.buckets.items():
            if meta is None:
                self._upkeep.forget(number)

    def _forget_texts(self) -> None:
        """Lets go of all payloads that are remembered beside the data: what was erased is not to live on in memory."""
        self._store.cache.clear()
        self._answer_starts = AnswerStarts()
        self.status.forget()
        filters = self._staged.filters()
        if filters is not None:
            filters.forget()
        self.on_erased()
        self.readers.renew()

    def _take_new_file(self) -> None:
        self._store.take_new_file()
        self.readers.renew()
