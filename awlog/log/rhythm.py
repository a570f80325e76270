"""How long a bucket is usually silent: what tells a watcher that stopped from one that seldom has anything to say."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Final

from awlog.log.state import BucketState
from awlog.model.times import TIME_MIN_US, Micros

# Recent events that are looked at, and the share of their gaps that counts as usual.
_EVENTS: Final = 64
_USUAL_SHARE: Final = 0.9
_GAPS_MIN: Final = 2


def usual_silence_us(bucket: BucketState) -> Micros | None:
    """Nine in ten of the latest gaps between an event's end and the next event's start are no longer than this.

    From what is held in memory: where all is sealed, the average distance of events in the newest segment. None if there
    are too few events to tell. About 40 µs.
    """
    tail = bucket.tail
    if tail is None:
        return None
    recent = [tail, *islice(bucket.head.newest_first(TIME_MIN_US, tail.start_us), _EVENTS)]
    gaps = sorted(max(0, later.start_us - earlier.end_us) for later, earlier in pairwise(recent))
    if len(gaps) >= _GAPS_MIN:
        return Micros(gaps[min(len(gaps) - 1, int(len(gaps) * _USUAL_SHARE))])
    newest = bucket.index.newest()
    return None if newest is None else Micros((newest.max_start_us - newest.min_start_us) // newest.count)
