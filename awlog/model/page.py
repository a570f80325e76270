"""A place in the sequence of a range read, to go on from."""

from __future__ import annotations

from msgspec import Struct

from awlog.model.event import Seq
from awlog.model.times import Micros


class Page(Struct, frozen=True):
    """A place in the sequence of a range read: what comes behind the event `after_start_us`, `after_seq`.

    Events from `seq_below` on came after the first page and are in none, so that pages neither repeat nor skip what was
    there then.
    """

    start_us: Micros
    end_us: Micros
    seq_below: Seq
    after_start_us: Micros
    after_seq: Seq
