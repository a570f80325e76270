"""A look at the store: what an edit would make of it, bucket by bucket and segment by segment."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from awlog.log.edits import judge_of
from awlog.log.look import Found, look
from awlog.log.retention import RetentionAt, expiry, rule_for
from awlog.model.edits import Edit
from awlog.model.event import BucketNumber, Seq
from awlog.storage.live_view import ViewAtOnce


class LookRequest(Struct, frozen=True, tag="look"):
    """What would this edit, or these rules of retention at this moment, make of these buckets? Of all if there are none.

    `first_seqs` names the segments to look at, None for all. Without `with_edits` the answer only counts.
    """

    bucket_numbers: list[BucketNumber] | None
    edit: Edit | RetentionAt
    first_seqs: list[Seq] | None = None
    with_recent: bool = True
    with_edits: bool = True
    samples_max: int = 0


class Looked(Struct, frozen=True, tag="looked"):
    """A bucket is looked at, as it is in the snapshot; `edit` is what the rules of retention mean for it."""

    bucket_number: BucketNumber
    bucket_id: str
    edit: Edit
    next_seq: Seq
    revision: int


class FoundPart(Struct, frozen=True, tag="found"):
    """What the edit makes of a segment, or of the recent events, of the bucket that was told last."""

    found: Found


def look_at(store: ViewAtOnce, request: LookRequest) -> Iterator[Looked | FoundPart]:
    """Flat memory, but for verdicts on payloads, which end with the look. Raises BadRequest, DataDamaged."""
    wanted = request.bucket_numbers
    for meta in store.buckets():
        if wanted is not None and meta.number not in wanted:
            continue
        bucket = store.bucket(meta.number)
        load = partial(store.segment, meta.number)
        edit = request.edit
        if isinstance(edit, RetentionAt):
            rule = rule_for(edit.rules, meta.id)
            if rule is None:
                continue
            edit = expiry(rule, edit.now_us, bucket, partial(store.segment_bytes, bucket), load)
        yield Looked(meta.number, meta.id, edit, bucket.next_seq, bucket.next_revision)
        seqs = request.first_seqs
        entries = list(bucket.index) if seqs is None else [e for e in map(bucket.index.get, seqs) if e is not None]
        found = look(
            bucket,
            judge_of(edit, meta.id),
            load,
            entries=entries,
            with_recent=request.with_recent,
            samples_max=request.samples_max,
        )
        for each in found:
            yield FoundPart(each if request.with_edits else replace(each, segment=None, recent=[]))
