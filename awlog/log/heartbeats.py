"""Heartbeats: one, by the rules in their order; and many, decided as if they came one by one.

A long run of heartbeats mostly repeats itself, so a batch is decided on the tail record in local variables, and one fact
tells the outcome of all that merged. What must look into history waits until the facts before it are applied.
"""

from __future__ import annotations

from awlog.log.decision import Decision, Stored, given
from awlog.log.state import BucketState, LoadSegment, State
from awlog.log.tail import covers, merged_duration_us
from awlog.model.commands import SendHeartbeat, SendHeartbeats, Taken
from awlog.model.errors import AwlogError, MirroredBucket, NoSuchBucket, Unavailable
from awlog.model.event import Event, Payload, Seq
from awlog.model.facts import EventAppended, Fact, ProducerAdvanced, TailExtended
from awlog.model.times import Micros


def decide_heartbeat(bucket: BucketState, beat: SendHeartbeat, load: LoadSegment) -> Decision:
    """The rules of a heartbeat, in their order. O(1) unless it is older than the tail record. Raises DataDamaged."""
    tail = bucket.tail
    if tail is not None:
        duration_us = merged_duration_us(tail, beat)
        if duration_us is not None:
            if duration_us == tail.duration_us:
                return Decision([], Stored(bucket.number, [tail]))
            longer = Event(tail.seq, tail.start_us, duration_us, tail.payload)
            return Decision([TailExtended(bucket.number, tail.seq, duration_us)], Stored(bucket.number, [longer]))
        if beat.start_us <= tail.start_us:
            known = _covering(bucket, beat, load)
            if known is not None:
                return Decision([], Stored(bucket.number, [known]))
    event = Event(given(bucket.next_seq), beat.start_us, beat.duration_us, beat.payload)
    return Decision([EventAppended(bucket.number, event)], Stored(bucket.number, [event]))


def with_payload(beat: SendHeartbeat, payload: Payload) -> SendHeartbeat:
    """The heartbeat with other data."""
    return SendHeartbeat(beat.bucket_id, beat.start_us, beat.duration_us, payload, beat.pulsetime_us)


def _covering(bucket: BucketState, beat: SendHeartbeat, load: LoadSegment) -> Event | None:
    """A stored event that says already all that a late heartbeat says. Looks only where one can be."""
    if bucket.tail is not None and covers(bucket.tail, beat):
        return bucket.tail
    for event in bucket.head.newest_first(beat.start_us, beat.start_us):
        if covers(event, beat):
            return event
    for entry in bucket.index.meeting(beat.start_us, beat.start_us):
        columns = load(bucket.number, entry)
        if beat.payload in columns.payloads:
            code = columns.payloads.index(beat.payload)
            hits = (
                (columns.start_us <= beat.start_us) & (columns.end_us >= beat.end_us) & (columns.payload_code == code)
            )
            if hits.any():
                return columns.event(int(hits.argmax()))
    return None


def decide_heartbeats(state: State, command: SendHeartbeats, load: LoadSegment) -> tuple[list[Fact], Taken]:
    """The outcome of many heartbeats, or of the first of them: `Taken.end` says where to go on once the facts are
    applied. That is the end, or a late heartbeat behind many new events.

    About 0.5 µs for one that merges. What is refused is named in the answer; raises only Unavailable, because a line that
    would be taken later must not count as decided.
    """
    lines = command.lines
    taken = Taken()
    begin = command.begin
    if command.producer is not None:
        known = state.producers.get(command.producer.id)
        if known is not None:
            unknown_from = known.last_sequence - command.producer.first_sequence + 1
            begin = max(begin, min(unknown_from, len(lines)))
            taken.duplicates = begin - command.begin
    runs: dict[str, _Run] = {}
    filters = state.filters()
    merged = inserted = 0
    end = begin
    while end < len(lines):
        beat = lines[end]
        if not isinstance(beat, SendHeartbeat):
            if beat is not None:
                taken.refused.append((end, beat))
            end += 1
            continue
        try:
            run = runs.get(beat.bucket_id)
            if run is None:
                bucket = state.find_bucket(beat.bucket_id)
                if bucket is None:
                    raise NoSuchBucket(beat.bucket_id)
                if bucket.meta.origin is not None:
                    raise MirroredBucket(beat.bucket_id, bucket.meta.origin.device_id)
                run = runs[beat.bucket_id] = _Run(bucket)
            if filters is not None:
                kept = filters.kept(beat.bucket_id, beat.payload)
                if kept is None:
                    taken.dropped += 1
                    end += 1
                    continue
                if kept is not beat.payload:
                    beat = with_payload(beat, kept)
            # The rules of `decide_heartbeat`, on the run's own tail record.
            start_us = beat.start_us
            if start_us >= run.start_us and beat.payload == run.payload and start_us <= run.end_us + beat.pulsetime_us:
                end_us = start_us + beat.duration_us
                if end_us > run.end_us:
                    run.end_us = end_us
                merged += 1
            elif start_us > run.start_us:
                run.append(beat)
                inserted += 1
            elif run.is_long():
                break
            elif run.append_late(beat, load):
                inserted += 1
            else:
                merged += 1
        except Unavailable:
            raise
        except AwlogError as refusal:
            taken.refused.append((end, refusal))
        end += 1
    taken.merged, taken.inserted, taken.end = merged, inserted, end
    facts = [fact for run in runs.values() for fact in run.facts()]
    if command.producer is not None and end > begin:
        facts.append(ProducerAdvanced(command.producer.id, command.producer.first_sequence + end - 1))
    return facts, taken


# New events that a late heartbeat is compared with one by one, in 10 µs. Deciding it alone takes 35 µs and more.
_LATE_AMONG_MAX = 128

# The start of the tail record of an empty bucket: before every instant, so that what comes is younger.
_NEVER_US = -(1 << 63)


class _Run:
    """One bucket in the middle of a batch: its tail record, in parts, and the events that are new."""

    __slots__ = ("_appended", "_bucket", "_next_seq", "_old_end_us", "_tail_place", "end_us", "payload", "start_us")

    def __init__(self, bucket: BucketState) -> None:
        self._bucket = bucket
        self._next_seq = bucket.next_seq
        self._appended: list[Event] = []
        # Where among them the tail record is; -1 while it is the one that the bucket has.
        self._tail_place = -1
        self.start_us: int = _NEVER_US
        self.end_us: int = _NEVER_US
        self._old_end_us: int = _NEVER_US
        self.payload = b""  # equal to no payload
        if bucket.tail is not None:
            self.start_us, self.end_us, self.payload = bucket.tail.start_us, bucket.tail.end_us, bucket.tail.payload

    def append(self, beat: SendHeartbeat) -> None:
        """A new event that is younger than the tail record. Raises InsufficientStorage."""
        event = Event(given(self._next_seq), beat.start_us, beat.duration_us, beat.payload)
        self._put(event)
        self._become_tail(event)

    def append_late(self, beat: SendHeartbeat, load: LoadSegment) -> bool:
        """What is not younger than the tail record: is it a new event? Raises DataDamaged, InsufficientStorage."""
        if self._covers(beat) or _covering(self._bucket, beat, load) is not None:
            return False
        event = Event(given(self._next_seq), beat.start_us, beat.duration_us, beat.payload)
        self._put(event)
        if event.start_us == self.start_us:  # of equal starts the last is the youngest
            self._become_tail(event)
        return True

    def _covers(self, beat: SendHeartbeat) -> bool:
        """Does one of the new events, or the old tail record as it is now, say already all that a late one says?"""
        self._settle_tail()
        tail = self._bucket.tail
        reaches = tail is not None and tail.start_us <= beat.start_us and beat.end_us <= self._old_end_us
        if reaches and tail is not None and beat.payload == tail.payload:
            return True
        return any(covers(event, beat) for event in self._appended)

    def is_long(self) -> bool:
        """Are there so many new events that a late heartbeat is better decided when they have their places?"""
        return len(self._appended) >= _LATE_AMONG_MAX

    def facts(self) -> list[Fact]:
        """The outcome: how long the old tail record has become, then each new event as it is at the end."""
        facts: list[Fact] = []
        self._settle_tail()
        tail = self._bucket.tail
        if tail is not None and self._old_end_us > tail.end_us:
            facts.append(TailExtended(self._bucket.number, tail.seq, Micros(self._old_end_us - tail.start_us)))
        facts += [EventAppended(self._bucket.number, event) for event in self._appended]
        return facts

    def _put(self, event: Event) -> None:
        self._appended.append(event)
        self._next_seq = Seq(event.seq + 1)

    def _become_tail(self, event: Event) -> None:
        self._settle_tail()
        self._tail_place = len(self._appended) - 1
        self.start_us, self.end_us, self.payload = event.start_us, event.end_us, event.payload

    def _settle_tail(self) -> None:
        """Writes down how long the tail record has become, before another takes its place."""
        if self._tail_place < 0:
            self._old_end_us = self.end_us
            return
        event = self._appended[self._tail_place]
        if self.end_us != event.end_us:
            longer_us = Micros(self.end_us - event.start_us)
            self._appended[self._tail_place] = Event(event.seq, event.start_us, longer_us, event.payload)
