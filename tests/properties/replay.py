"""The facts of a run, applied to an empty state: what a follower or a cluster would hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from awlog.log.apply import apply
from awlog.log.columns import Columns
from awlog.log.segment import decode_segment
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import State
from awlog.log.write_set import WriteSet
from awlog.model.event import BucketNumber
from awlog.model.facts import Fact
from awlog.storage.check import check
from awlog.storage.environment import Environment
from awlog.storage.writer import Writer


class Replay:
    """A state made of facts alone, and all that it would have written."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.state = State()
        self.writes = WriteSet()
        for fact in facts:
            apply(self.state, fact, self.writes, self._load)

    def _load(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        segment = self.writes.segments[number][entry.first_seq]
        assert segment is not None
        assert segment.entry == entry
        if segment.columns is not None:
            return segment.columns
        assert segment.sealed is not None
        return decode_segment(segment.sealed, entry.first_seq, entry.min_change, "a replayed segment")

    def digest(self, directory: Path) -> str:
        """What `awlog verify --digest` says of a store that holds this state; in `directory` is an empty one."""
        environment = Environment(directory)
        try:
            if self.writes:
                Writer(environment).commit(self.writes)
            report = check(environment)
        finally:
            environment.close()
        assert report.problems == []
        return report.digest
