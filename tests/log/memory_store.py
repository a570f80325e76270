"""A store without a disk: what the tests of decide, apply and history work on."""

from __future__ import annotations

from collections.abc import Iterable

from awlog.log.apply import apply
from awlog.log.columns import Columns
from awlog.log.decide import decide
from awlog.log.decision import Decision
from awlog.log.sealing import seal
from awlog.log.segment import decode_segment, encode_segment
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState, State
from awlog.log.write_set import WriteSet
from awlog.model.bucket import BucketMeta
from awlog.model.commands import Command
from awlog.model.event import BucketNumber, Event, Seq
from awlog.model.facts import BucketCreated, EventAppended, Fact, RecordsSealed
from awlog.model.times import Micros
from tests.log.events import youngest

NUMBER = BucketNumber(1)


class MemoryStore:
    """The staged state, the durable one that follows it by write sets, and segments as bytes in a dict.

    `check` holds after every step; `loaded` lists the segments that were asked for.
    """

    def __init__(self) -> None:
        self.staged, self.durable = State(), State()
        self.segments: dict[tuple[BucketNumber, Seq], bytes] = {}
        self.loaded: list[SegmentEntry] = []
        self.facts: list[Fact] = []
        self._open = WriteSet()

    @property
    def bucket(self) -> BucketState:
        """The first bucket."""
        found = self.staged.numbered(NUMBER)
        assert found is not None
        return found

    def load(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        """A segment as the open write set has it, else as it was committed."""
        self.loaded.append(entry)
        open_segments = self._open.segments.get(number, {})
        if entry.first_seq in open_segments:
            write = open_segments[entry.first_seq]
            assert write is not None, "a segment that is gone is not asked for"
            assert write.entry == entry, "the index and the write set speak of the same segment"
            if write.columns is not None:
                return write.columns
            assert write.sealed is not None
            return decode_segment(write.sealed, entry.first_seq, entry.min_change, "an open segment")
        return decode_segment(self.segments[number, entry.first_seq], entry.first_seq, entry.min_change, "a segment")

    def apply(self, *facts: Fact) -> WriteSet:
        """The facts as one commit; gives what the disk would be told."""
        writes = self._open = WriteSet()
        for fact in facts:
            self.facts.append(fact)
            apply(self.staged, fact, writes, self.load)
        self._commit(writes)
        self._open = WriteSet()
        self.check()
        return writes

    def send(self, command: Command) -> Decision:
        """Decides the command and makes its facts durable."""
        decision = decide(self.staged, command, self.load)
        self.apply(*decision.facts)
        return decision

    def seal(self, seqs: Iterable[int]) -> WriteSet:
        """Moves these records of the first bucket's head into one segment."""
        chosen = [Seq(seq) for seq in sorted(seqs)]
        return self.apply(RecordsSealed(NUMBER, chosen, seal([_held(self.bucket.head.get(seq)) for seq in chosen])))

    def events(self, number: BucketNumber = NUMBER) -> list[Event]:
        """All events of a bucket, in the order of their seqs. Asserts that each lives in one place."""
        bucket = self.staged.numbered(number)
        assert bucket is not None
        found = [*bucket.head, *([] if bucket.tail is None else [bucket.tail])]
        for entry in bucket.index:
            found += self.load(number, entry).events()
        assert len({one.seq for one in found}) == len(found), "each event lives in one place"
        return sorted(found, key=lambda one: one.seq)

    def check(self) -> None:
        """Asserts the invariants of `BucketState`, and that the durable state has become what the staged one is."""
        before = len(self.loaded)
        assert contents_of(self.durable) == contents_of(self.staged)
        assert self.durable.next_change == self.staged.next_change
        keys = {(bucket.number, entry.first_seq) for bucket in self.staged.buckets() for entry in bucket.index}
        assert set(self.segments) == keys
        for bucket in self.staged.buckets():
            events = self.events(bucket.number)
            assert bucket.tail == youngest(events)
            assert all(1 <= one.seq < bucket.next_seq for one in events)
            assert bucket.event_count() == len(events)
            assert bucket.start_us() == min((one.start_us for one in events), default=None)
            assert bucket.end_us() == max((one.end_us for one in events), default=None)
            revisions = [entry.revision for entry in bucket.index]
            assert len(set(revisions)) == len(revisions)
            assert all(revision < bucket.next_revision for revision in revisions)
            for entry in bucket.index:
                held = self.load(bucket.number, entry).events()
                assert _described(held, entry.revision) == entry
        del self.loaded[before:]

    def _commit(self, writes: WriteSet) -> None:
        self.durable.absorb(writes)
        for number, meta in writes.buckets.items():
            if meta is None:
                self.segments = {key: sealed for key, sealed in self.segments.items() if key[0] != number}
        for number, segments in writes.segments.items():
            for first_seq, write in segments.items():
                if write is None:
                    self.segments.pop((number, first_seq), None)
                elif write.columns is not None:
                    self.segments[number, first_seq] = encode_segment(write.columns, first_seq)
                else:
                    assert write.sealed is not None
                    self.segments[number, first_seq] = write.sealed


def store_with(events: Iterable[Event] = (), *sealed: Iterable[int]) -> MemoryStore:
    """A store with one bucket that holds the events, whose seqs count from 1; `sealed` are the seqs of its segments."""
    store = MemoryStore()
    store.apply(BucketCreated(BucketMeta(NUMBER, "notes", "note", "test", "desk", Micros(0))))
    store.apply(*(EventAppended(NUMBER, one) for one in events))
    for seqs in sealed:
        store.seal(seqs)
    store.loaded.clear()
    return store


def _held(event: Event | None) -> Event:
    assert event is not None, "only a record of the head can be sealed"
    return event


def _described(events: list[Event], revision: int) -> SegmentEntry:
    """The index entry of a segment that holds these."""
    return SegmentEntry(
        first_seq=min(one.seq for one in events),
        last_seq=max(one.seq for one in events),
        count=len(events),
        min_start_us=min(one.start_us for one in events),
        max_start_us=max(one.start_us for one in events),
        max_end_us=max(one.end_us for one in events),
        min_change=min(one.change for one in events),
        max_change=max(one.change for one in events),
        revision=revision,
    )


def contents_of(state: State) -> object:
    """All that a state holds, to compare two."""
    return (
        state.next_bucket_number,
        dict(state.settings),
        list(state.producers.items()),
        [
            (
                bucket.meta,
                bucket.next_seq,
                bucket.tail,
                sorted(bucket.head, key=lambda one: one.seq),
                list(bucket.index),
            )
            for bucket in state.buckets()
        ],
    )


def contents(store: MemoryStore) -> object:
    """All that a store holds, its segments to the byte."""
    return contents_of(store.staged), store.segments
