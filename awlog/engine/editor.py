"""Edits of many stored events: what they would do, done as one command if that is small, else by a job in steps.

look     reader process   judges segments and recent events, in one snapshot               some ms a segment
decide   loop             checks that what was seen is still so, judges what came since    O(events that change)
commit   thread           rewrites each segment that changes once                          10 ms a segment

A job does one segment a command and rests as long as each took, so heartbeats find the disk free half of the time. It may
stop at any moment and be run again: what is done is not found any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Final

from msgspec import Struct, field

from awlog.engine.jobs import Job
from awlog.engine.looking import FoundPart, Looked, LookRequest
from awlog.log.edits import Extent, judge_of
from awlog.log.look import dropped_whole
from awlog.log.retention import RetentionAt
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState
from awlog.model.commands import EditEvents
from awlog.model.edits import BucketEdit, Edit, Edited, SegmentEdit
from awlog.model.errors import Unavailable
from awlog.model.event import SEQ_MAX, BucketNumber, Payload, Seq

# What one command may do, so that it holds the loop for some milliseconds and the disk for some tens.
REWRITTEN_AT_ONCE_MAX: Final = 4
DROPPED_AT_ONCE_MAX: Final = 256
PIECES_AT_ONCE_MAX: Final = 8192  # recent events, events that change, runs of seqs that go
# The same for one step of a job.
_RECENT_IN_STEP: Final = 256
# Segments that a reader looks at in one snapshot, which must not stay open for long: the file would grow meanwhile.
_LOOKED_AT_ONCE: Final = 8
_BEHIND_ALL: Final = Seq(SEQ_MAX + 1)
# Something else changes what was looked at: looked at again, so many times.
_ROUNDS_MAX: Final = 5


class BucketPreview(Struct):
    """What an edit would do in one bucket. `hits`: events by privacy rule."""

    bucket_id: str
    edit: Edit
    deleted: int = 0
    changed: int = 0
    hits: dict[int, int] = field(default_factory=dict)
    samples: dict[int, list[Payload]] = field(default_factory=dict)


class Editor:
    """Loop only. `buckets` gives the durable ones; `submit` a command, durable when it returns; `look` asks a reader."""

    def __init__(
        self,
        *,
        buckets: Callable[[], list[BucketState]],
        submit: Callable[[EditEvents], Awaitable[list[Edited]]],
        look: Callable[[LookRequest], AsyncGenerator[Looked | FoundPart]],
        forget_texts: Callable[[], None],
    ) -> None:
        """`forget_texts` lets go of what is remembered of payloads: it may be what was just erased."""
        self._buckets = buckets
        self._submit = submit
        self._look = look
        self._forget_texts = forget_texts

    async def preview(
        self, edit: Edit | RetentionAt, numbers: list[BucketNumber] | None, *, samples_max: int = 0
    ) -> list[BucketPreview]:
        """What the edit would do, as of one moment; nothing is changed. Raises BadRequest, DataDamaged, Unavailable."""
        request = LookRequest(numbers, edit, with_edits=False, samples_max=samples_max)
        previews: list[BucketPreview] = []
        async with aclosing(self._look(request)) as frames:
            async for frame in frames:
                if isinstance(frame, Looked):
                    previews.append(BucketPreview(frame.bucket_id, frame.edit))
                else:
                    _add(previews[-1], frame, samples_max)
        return previews

    async def at_once(self, edit: Edit, numbers: list[BucketNumber] | None) -> dict[str, Edited] | None:
        """Does the edit by one command, whole or not at all; None, and nothing done, if it is too large for that.

        The counts are by bucket id, of buckets in which something changed.
        """
        for _ in range(_ROUNDS_MAX):
            edits = await self._found(LookRequest(numbers, edit))
            if edits is None:
                return None
            answers = await self._submit(EditEvents(edits, whole=True))
            if not any(answer.stale for answer in answers):
                self._forget_texts()
                named = zip(edits, answers, strict=True)
                return {each.bucket_id: answer for each, answer in named if answer.deleted or answer.changed}
        raise Unavailable("The events change all the time; nothing was done, try again in a moment")

    async def _found(self, request: LookRequest) -> list[BucketEdit] | None:
        """What is to be done in each bucket; None if it is more than one command may do."""
        edits: list[BucketEdit] = []
        rewritten = dropped = pieces = 0
        async with aclosing(self._look(request)) as frames:
            async for frame in frames:
                if isinstance(frame, Looked):
                    edits.append(_edit_of(frame))
                    continue
                segment = frame.found.segment
                if segment is None:
                    pieces += len(frame.found.recent)
                    edits[-1].recent.extend(frame.found.recent)
                else:
                    edits[-1].segments.append(segment)
                    pieces += len(segment.deleted) + len(segment.changed) + len(segment.parts)
                    is_dropped = frame.found.deleted == _count_of(self._entry(edits[-1], segment))
                    dropped, rewritten = dropped + is_dropped, rewritten + (not is_dropped)
                if rewritten > REWRITTEN_AT_ONCE_MAX or dropped > DROPPED_AT_ONCE_MAX or pieces > PIECES_AT_ONCE_MAX:
                    return None
        return edits

    def _entry(self, edit: BucketEdit, segment: SegmentEdit) -> SegmentEntry | None:
        bucket = self._bucket(edit.bucket_number)
        return None if bucket is None else bucket.index.get(segment.first_seq)

    def _bucket(self, number: BucketNumber) -> BucketState | None:
        return next((bucket for bucket in self._buckets() if bucket.number == number), None)

    async def in_steps(
        self, edit: Edit | RetentionAt, numbers: list[BucketNumber] | None, job: Job
    ) -> dict[str, Edited]:
        """Does the edit bucket by bucket, in steps. The counts are by bucket id, of buckets in which something changed."""
        chosen = [bucket.number for bucket in self._buckets() if numbers is None or bucket.number in numbers]
        job.total += len(chosen)
        told: dict[str, Edited] = {}
        try:
            for number in chosen:
                found = await self._found_recent(edit, number)
                job.done += 1
                if found is None:
                    continue
                edited = await self._edit_bucket(found, job)
                if edited.deleted or edited.changed:
                    told[found.bucket_id] = edited
        finally:  # also of what was done before it was cut off
            if any(job.counts.values()) and not isinstance(edit, RetentionAt):
                self._forget_texts()
        return told

    async def _found_recent(self, edit: Edit | RetentionAt, number: BucketNumber) -> BucketEdit | None:
        """The edit of the bucket's recent events; None if there is nothing to do in the bucket."""
        found: BucketEdit | None = None
        async with aclosing(self._look(LookRequest([number], edit, first_seqs=[]))) as frames:
            async for frame in frames:
                if isinstance(frame, Looked):
                    found = _edit_of(frame)
                elif found is not None:
                    found.recent.extend(frame.found.recent)
        return found

    async def _edit_bucket(self, found: BucketEdit, job: Job) -> Edited:
        edited = Edited()
        judge = judge_of(found.edit, found.bucket_id)
        for at in range(0, max(1, len(found.recent)), _RECENT_IN_STEP):
            # What came since is judged with the first.
            recent = found.recent[at : at + _RECENT_IN_STEP]
            edited += await self._step(found, job, recent=recent, next_seq=found.next_seq if at == 0 else None)
        seen: set[tuple[Seq, int]] = set()
        for _ in range(_ROUNDS_MAX):
            bucket = self._bucket(found.bucket_number)
            entries = [] if bucket is None else [e for e in bucket.index if (e.first_seq, e.revision) not in seen]
            left = [entry for entry in entries if judge.extent(entry) is not Extent.NOTHING]
            if not left:
                break
            job.total += len(left)
            seen.update((entry.first_seq, entry.revision) for entry in left)
            edited += await self._edit_segments(found, left, job)
        # Where the tail record went, its heir came out of a segment, perhaps before that was looked at.
        while (heir := await self._step(found, job, next_seq=_BEHIND_ALL)).deleted:
            edited += heir
        return edited + heir

    async def _edit_segments(self, found: BucketEdit, entries: list[SegmentEntry], job: Job) -> Edited:
        edited = Edited()
        judge = judge_of(found.edit, found.bucket_id)
        whole = [dropped_whole(entry) for entry in entries if judge.extent(entry) is Extent.ALL]
        dropped = [segment for segment in whole if segment is not None]
        for at in range(0, len(dropped), DROPPED_AT_ONCE_MAX):
            edited += await self._step(found, job, segments=dropped[at : at + DROPPED_AT_ONCE_MAX])
        known = {segment.first_seq for segment in dropped}
        job.done += len(known)
        others = [entry.first_seq for entry in entries if entry.first_seq not in known]
        for at in range(0, len(others), _LOOKED_AT_ONCE):
            seqs = others[at : at + _LOOKED_AT_ONCE]
            segments = await self._found_segments(found, seqs)
            for segment in segments:
                edited += await self._step(found, job, segments=[segment])
            job.done += len(seqs)
        return edited

    async def _found_segments(self, found: BucketEdit, seqs: list[Seq]) -> list[SegmentEdit]:
        request = LookRequest([found.bucket_number], found.edit, first_seqs=seqs, with_recent=False)
        async with aclosing(self._look(request)) as frames:
            return [
                frame.found.segment
                async for frame in frames
                if isinstance(frame, FoundPart) and frame.found.segment is not None
            ]

    async def _step(
        self,
        found: BucketEdit,
        job: Job,
        *,
        segments: Iterable[SegmentEdit] = (),
        recent: Iterable[Seq] = (),
        next_seq: Seq | None = None,
    ) -> Edited:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        edit = BucketEdit(
            found.bucket_number,
            found.bucket_id,
            found.edit,
            next_seq,
            found.revision,
            list(segments),
            list(recent),
        )
        (edited,) = await self._submit(EditEvents([edit], whole=False))
        job.counts["deleted"] = job.counts.get("deleted", 0) + edited.deleted
        job.counts["changed"] = job.counts.get("changed", 0) + edited.changed
        if edited.deleted or edited.changed:
            await asyncio.sleep(loop.time() - began_s)
        return edited


def _edit_of(looked: Looked) -> BucketEdit:
    return BucketEdit(
        looked.bucket_number, looked.bucket_id, looked.edit, looked.next_seq, looked.revision, segments=[], recent=[]
    )


def _count_of(entry: SegmentEntry | None) -> int:
    return -1 if entry is None else entry.count


def _add(preview: BucketPreview, part: FoundPart, samples_max: int) -> None:
    found = part.found
    preview.deleted += found.deleted
    preview.changed += found.changed
    for hit in found.hits:
        preview.hits[hit.rule] = preview.hits.get(hit.rule, 0) + hit.events
        kept = preview.samples.setdefault(hit.rule, [])
        kept += [sample for sample in hit.samples if sample not in kept][: samples_max - len(kept)]
