"""What an edit makes of events: judged by arrays, and by each distinct payload once. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never

import numpy as np
from msgspec import Struct

from awlog.log.columns import Columns
from awlog.log.filters import Filters, Judgement, compile_pattern
from awlog.log.segment_index import SegmentEntry
from awlog.model.edits import Edit, Erase, EventPart, Expire, FieldMatch, Obey, SeqRange
from awlog.model.errors import BadRequest
from awlog.model.event import Event, Payload, Seq
from awlog.model.payload import decoded, encoded_value
from awlog.model.times import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Verdicts kept by payload: of the largest history most, in flat memory.
_KNOWN_BYTES_MAX: Final = 32 << 20
_KNOWN_OVERHEAD_BYTES: Final = 200


class Outcome(Struct, frozen=True, eq=False):
    """What becomes of some events. `deleted` are rows; `changed` events keep their seqs; `parts` are new ones."""

    deleted: NDArray[np.intp]
    changed: list[Event]
    parts: list[EventPart]

    @property
    def is_nothing(self) -> bool:
        return not (len(self.deleted) or self.changed or self.parts)


class Extent(Enum):
    """How much of a segment an edit deletes, as far as its index entry tells."""

    NOTHING = 0
    ALL = 1
    UNKNOWN = 2


class Judge(ABC):
    """One edit in one bucket."""

    spares_tail = False

    @abstractmethod
    def extent(self, entry: SegmentEntry) -> Extent:
        """What is known without a look into the segment."""

    @abstractmethod
    def judged(self, columns: Columns) -> Outcome:
        """What becomes of these events. O(n), and each distinct payload once."""


def judge_of(edit: Edit, bucket_id: str) -> Judge:
    """Raises BadRequest for filters, or a pattern, that cannot be obeyed."""
    match edit:
        case Erase():
            return _Eraser(edit)
        case Obey():
            return FilterJudge(Filters(edit.filters), bucket_id)
        case Expire():
            return _Expirer(edit)
        case _:
            assert_never(edit)


class _Eraser(Judge):
    def __init__(self, edit: Erase) -> None:
        self._edit = edit
        self._matches = None if edit.match is None else _by_payload(matcher_of(edit.match))

    def extent(self, entry: SegmentEntry) -> Extent:
        edit = self._edit
        if entry.max_end_us < edit.start_us or entry.min_start_us > edit.end_us:
            return Extent.NOTHING
        inside = entry.min_start_us >= edit.start_us and entry.max_end_us <= edit.end_us
        return Extent.ALL if inside and self._matches is None else Extent.UNKNOWN

    def judged(self, columns: Columns) -> Outcome:
        first_us, last_us = self._edit.start_us, self._edit.end_us
        start_us, end_us = columns.start_us, columns.end_us
        inside = (start_us >= first_us) & (end_us <= last_us)
        # An event that only touches the range has no time in it.
        reaches_in = ~inside & (end_us > first_us) & (start_us < last_us)
        rows = np.flatnonzero(inside | reaches_in)
        if self._matches is not None and len(rows):
            rows = rows[_of_payloads(columns, rows, self._matches)]
        changed, parts = [], []
        for row in rows[reaches_in[rows]].tolist():
            event = columns.event(row)
            behind_us = Micros(event.end_us - last_us)
            if event.start_us < first_us:
                before_us = Micros(first_us - event.start_us)
                changed.append(Event(event.seq, event.start_us, before_us, event.payload))
                if behind_us > 0:
                    parts.append(EventPart(last_us, behind_us, event.payload))
            else:
                changed.append(Event(event.seq, last_us, behind_us, event.payload))
        return Outcome(rows[inside[rows]], changed, parts)


class FilterJudge(Judge):
    """Privacy filters on stored events. Remembers verdicts on payloads, for as long as it lives."""

    def __init__(self, filters: Filters, bucket_id: str) -> None:
        self._extent = Extent.UNKNOWN if filters.apply_in(bucket_id) else Extent.NOTHING
        self._judgement = _by_payload(lambda payload: filters.judged(bucket_id, payload))

    def extent(self, entry: SegmentEntry) -> Extent:  # noqa: ARG002 - only payloads count
        return self._extent

    def judged(self, columns: Columns) -> Outcome:
        judgements = self.judgements(columns)
        dropped = np.fromiter((each.kept is None for each in judgements), np.bool_, len(judgements))
        redacted = np.fromiter(
            (each.kept is not None and bool(each.hits) for each in judgements), np.bool_, len(judgements)
        )
        changed = []
        for row in np.flatnonzero(redacted[columns.payload_code]).tolist():
            event, kept = columns.event(row), judgements[columns.payload_code[row]].kept
            assert kept is not None, "redacted"
            if kept != event.payload:  # redacted before
                changed.append(Event(event.seq, event.start_us, event.duration_us, kept))
        return Outcome(np.flatnonzero(dropped[columns.payload_code]), changed, [])

    def judgements(self, columns: Columns) -> list[Judgement]:
        """Of each payload, by its code."""
        return [self._judgement(payload) for payload in columns.payloads]


class _Expirer(Judge):
    spares_tail = True

    def __init__(self, edit: Expire) -> None:
        # An instant before all others, and a length below all others, for what is not asked.
        self._ended_before_us = _NEVER_US if edit.ended_before_us is None else edit.ended_before_us
        self._started_before_us = _NEVER_US if edit.started_before_us is None else edit.started_before_us
        self._shorter_than_us = 0 if edit.shorter_than_us is None else edit.shorter_than_us

    def extent(self, entry: SegmentEntry) -> Extent:
        if entry.max_end_us < self._ended_before_us or entry.max_start_us < self._started_before_us:
            return Extent.ALL
        reached = entry.min_start_us < max(self._ended_before_us, self._started_before_us)
        return Extent.UNKNOWN if reached or self._shorter_than_us else Extent.NOTHING

    def judged(self, columns: Columns) -> Outcome:
        gone = (
            (columns.end_us < self._ended_before_us)
            | (columns.start_us < self._started_before_us)
            | (columns.duration_us < self._shorter_than_us)
        )
        return Outcome(np.flatnonzero(gone), [], [])


_NEVER_US: Final = -(1 << 62)


def matcher_of(match: FieldMatch) -> Callable[[Payload], bool]:
    """Raises BadRequest for a pattern that RE2 does not take, or if there is not one of `equals` and `pattern`."""
    if not match.field:
        raise BadRequest("`filter`: `field` is empty; it names a value in `data`")
    if (match.equals is None) == (match.pattern is None):
        raise BadRequest("`filter` needs one of `equals` and `pattern`")
    *parents, last = match.field.split(".")
    search = None if match.pattern is None else compile_pattern(match.pattern).search

    def matches(payload: Payload) -> bool:
        holder: Any = decoded(payload)
        for part in parents:
            holder = holder.get(part)
            if not isinstance(holder, dict):
                return False
        if last not in holder:
            return False
        value = holder[last]
        if search is None:
            return encoded_value(value) == match.equals
        return isinstance(value, str) and search(value) is not None

    return matches


_T = TypeVar("_T")


def _by_payload(judge: Callable[[Payload], _T]) -> Callable[[Payload], _T]:
    """As `judge`, which is asked about each payload once; in flat memory."""
    known: dict[Payload, _T] = {}
    known_bytes = 0

    def judged(payload: Payload) -> _T:
        nonlocal known_bytes
        try:
            return known[payload]
        except KeyError:
            known_bytes += len(payload) + _KNOWN_OVERHEAD_BYTES
            if known_bytes > _KNOWN_BYTES_MAX:
                known.clear()
                known_bytes = 0
            verdict = known[payload] = judge(payload)
            return verdict

    return judged


def _of_payloads(columns: Columns, rows: NDArray[np.intp], matches: Callable[[Payload], bool]) -> NDArray[np.bool_]:
    """Which of the rows have a payload that matches."""
    codes, place = np.unique(columns.payload_code[rows], return_inverse=True)
    hit = np.fromiter((matches(columns.payloads[code]) for code in codes.tolist()), np.bool_, len(codes))
    found: NDArray[np.bool_] = hit[place]
    return found


def seq_ranges(seqs: Iterable[int]) -> list[SeqRange]:
    """Ascending seqs as runs without gaps."""
    runs: list[SeqRange] = []
    for seq in seqs:
        if runs and runs[-1][1] == seq - 1:
            runs[-1] = (runs[-1][0], Seq(seq))
        else:
            runs.append((Seq(seq), Seq(seq)))
    return runs


def seq_count(ranges: Iterable[SeqRange]) -> int:
    return sum(last - first + 1 for first, last in ranges)
