"""A look at a bucket: what an edit would make of it, segment by segment. Pure; segments come by `load`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from awlog.log.columns import Columns, columns_of
from awlog.log.edits import Extent, FilterJudge, Judge, seq_count, seq_ranges
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState
from awlog.model.edits import SegmentEdit
from awlog.model.event import Payload, Seq


class Hit(Struct, frozen=True):
    """How many events one privacy rule applies to, and a few of the payloads that it would change."""

    rule: int
    events: int
    samples: list[Payload]


class Found(Struct, frozen=True):
    """What an edit makes of one segment; or of the recent events of a bucket, named in `recent`, when there is none."""

    segment: SegmentEdit | None
    recent: list[Seq]
    deleted: int
    changed: int
    hits: list[Hit]


def look(
    bucket: BucketState,
    judge: Judge,
    load: Callable[[SegmentEntry], Columns],
    *,
    entries: list[SegmentEntry],
    with_recent: bool,
    samples_max: int,
) -> Iterator[Found]:
    """What the edit makes of these segments, and of the recent events. What it leaves as it is is passed over."""
    if with_recent:
        events = sorted(bucket.head, key=lambda event: event.seq)
        if bucket.tail is not None and not judge.spares_tail:
            events.append(bucket.tail)
        if events:
            columns = columns_of(events)
            outcome = judge.judged(columns)
            seqs = {events[row].seq for row in outcome.deleted.tolist()} | {event.seq for event in outcome.changed}
            if bucket.tail is not None and not judge.spares_tail:
                seqs.add(bucket.tail.seq)  # a heartbeat may make more of it before the edit is decided
            hits = _hits(judge, columns, samples_max)
            yield Found(None, sorted(seqs), len(outcome.deleted), len(outcome.changed), hits)
    for entry in entries:
        found = _of_segment(judge, entry, load, samples_max)
        if found is not None:
            yield found


def dropped_whole(entry: SegmentEntry) -> SegmentEdit | None:
    """The edit that leaves nothing of a segment, as far as its index entry tells its seqs: if they have no gaps."""
    if entry.last_seq - entry.first_seq + 1 != entry.count:
        return None
    return SegmentEdit(entry.first_seq, entry.revision, [(entry.first_seq, entry.last_seq)], [], [])


def _of_segment(
    judge: Judge, entry: SegmentEntry, load: Callable[[SegmentEntry], Columns], samples_max: int
) -> Found | None:
    extent = judge.extent(entry)
    if extent is Extent.NOTHING:
        return None
    whole = dropped_whole(entry) if extent is Extent.ALL else None
    if whole is not None:
        return Found(whole, [], entry.count, 0, [])
    columns = load(entry)
    outcome = judge.judged(columns)
    if outcome.is_nothing:
        return None
    deleted = seq_ranges(columns.seq[outcome.deleted].tolist())
    edit = SegmentEdit(entry.first_seq, entry.revision, deleted, outcome.changed, outcome.parts)
    return Found(edit, [], seq_count(deleted), len(outcome.changed), _hits(judge, columns, samples_max))


def _hits(judge: Judge, columns: Columns, samples_max: int) -> list[Hit]:
    """Of privacy rules: what each applies to, in their order."""
    if not isinstance(judge, FilterJudge):
        return []
    events: dict[int, int] = {}
    samples: dict[int, list[Payload]] = {}
    counts = columns.payload_counts()
    for payload, judgement, count in zip(columns.payloads, judge.judgements(columns), counts, strict=True):
        if not count or judgement.kept == payload:
            continue
        for rule in judgement.hits:
            events[rule] = events.get(rule, 0) + count
            if len(samples.setdefault(rule, [])) < samples_max:
                samples[rule].append(payload)
    return [Hit(rule, events[rule], samples[rule]) for rule in sorted(events)]
