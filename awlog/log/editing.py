"""Edits of many events -> facts: what was found by a look at the store is checked, and what came since is judged. Pure.

A segment with another revision than the one that was looked at is another segment: it is left as it is, and the answer says
so. Recent events are judged again as they are now, because heartbeats go on meanwhile.
"""

from __future__ import annotations

from awlog.log.columns import columns_of
from awlog.log.decision import Decision, given
from awlog.log.edits import judge_of, seq_count, seq_ranges
from awlog.log.mirror import require_own
from awlog.log.state import BucketState, State
from awlog.model.commands import EditEvents
from awlog.model.edits import BucketEdit, Edited, Erase, EventPart, Expire, SeqRange
from awlog.model.event import Event, Seq
from awlog.model.facts import EventAppended, EventsDeleted, EventsReplaced, Fact


def decide_edits(state: State, command: EditEvents) -> Decision:
    """The answer is an `Edited` for each bucket; if the command is to be done as a whole and one is stale, nothing is done.
    Raises MirroredBucket if time is to be erased that a device records.

    O(events that change, and recent ones that came since).
    """
    facts: list[Fact] = []
    answer: list[Edited] = []
    for edit in command.edits:
        bucket = state.numbered(edit.bucket_number)
        if bucket is None:  # deleted meanwhile, with all its events
            answer.append(Edited())
            continue
        if isinstance(edit.edit, Erase):
            require_own(
                bucket
            )  # a part behind the erased time would be a new event, and the seqs are the device's to give
        if command.whole and bucket.next_revision != edit.revision:
            return Decision([], [Edited(stale=True)])
        more, edited = _decide_edit(bucket, edit)
        facts += more
        answer.append(edited)
    return Decision(facts, answer)


def _decide_edit(bucket: BucketState, edit: BucketEdit) -> tuple[list[Fact], Edited]:
    deleted: list[SeqRange] = []
    changed: list[Event] = []
    parts: list[EventPart] = []
    stale = False
    for segment in edit.segments:
        entry = bucket.index.get(segment.first_seq)
        if entry is None or entry.revision != segment.revision:
            stale = True
            continue
        deleted += segment.deleted
        changed += segment.changed
        parts += segment.parts
    recent, missing = _recent(bucket, edit)
    if recent:
        outcome = judge_of(edit.edit, edit.bucket_id).judged(columns_of(recent))
        deleted += seq_ranges(sorted(recent[row].seq for row in outcome.deleted.tolist()))
        changed += outcome.changed
        parts += outcome.parts
    facts: list[Fact] = []
    if changed:
        facts.append(EventsReplaced(bucket.number, changed))
    if deleted:
        facts.append(EventsDeleted(bucket.number, sorted(deleted)))
    for seq, part in enumerate(parts, start=bucket.next_seq):
        event = Event(given(Seq(seq)), part.start_us, part.duration_us, part.payload)
        facts.append(EventAppended(bucket.number, event))
    return facts, Edited(seq_count(deleted), len(changed), stale or missing)


def _recent(bucket: BucketState, edit: BucketEdit) -> tuple[list[Event], bool]:
    """The recent events to judge, each once; and whether some that were seen are recent no more."""
    spared = bucket.tail if isinstance(edit.edit, Expire) else None
    found = [bucket.recent(seq) for seq in edit.recent]
    missing = None in found
    if edit.next_seq is not None:
        if bucket.next_seq - edit.next_seq > len(bucket.head):  # much came, and most of it is in segments at once
            found += [event for event in bucket.head if event.seq >= edit.next_seq]
        else:
            found += [bucket.head.get(Seq(seq)) for seq in range(edit.next_seq, bucket.next_seq)]
        if bucket.tail is not None and bucket.tail.seq not in edit.recent:
            found.append(bucket.tail)
    return [event for event in found if event is not None and event is not spared], missing
