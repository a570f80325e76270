"""Every Python process with this folder in PYTHONPATH is an awlog of the format after this one, with a step to there.

The step rewrites every segment as two, appends a field to every bucket and every token, and adds a table and a key: all
of it can be read by the code of today, which skips what it does not know. AWLOG_TEST_STEP makes the step fail when half
of it is done (`raises`), or lose the last segment without a word (`loses`).
"""

from __future__ import annotations

import os
from typing import Any

import lmdb
import msgspec

from awlog.log.segment import decode_segment, encode_segment
from awlog.log.segment_index import entry_of
from awlog.model.event import Seq
from awlog.storage import layout, upgrade
from awlog.storage.check import Progress


def halve_segments(environment: lmdb.Environment, progress: Progress) -> None:
    """A step, in one transaction for each segment."""
    tables: dict[bytes, Any] = {name: environment.open_db(name) for name in layout.SUB_DATABASES}
    titles = environment.open_db(b"segment_titles")
    with environment.begin() as txn:
        keys = [bytes(key) for key in txn.cursor(tables[layout.SEGMENT_INDEX]).iternext(values=False)]
    mistake = os.environ.get("AWLOG_TEST_STEP")
    for done, key in enumerate(keys):
        number, _ = layout.split_seq_key(key)
        if mistake == "raises" and 2 * done >= len(keys):
            raise KeyError(number)
        with environment.begin(write=True) as txn:
            entry = layout.decode_entry(key, txn.get(key, b"", db=tables[layout.SEGMENT_INDEX]))
            sealed = txn.pop(key, db=tables[layout.SEGMENTS]) or b""
            columns = decode_segment(sealed, entry.first_seq, entry.min_change, f"Segment {entry.first_seq}")
            middle = len(columns) // 2
            if mistake == "loses" and done + 1 == len(keys):
                txn.delete(key, db=tables[layout.SEGMENT_INDEX])
                break
            for half in (columns.take(slice(None, middle)).compacted(), columns.take(slice(middle, None)).compacted()):
                at = entry_of(half, entry.revision)
                where = layout.seq_key(number, Seq(at.first_seq))
                txn.put(where, encode_segment(half, at.first_seq), db=tables[layout.SEGMENTS])
                txn.put(where, layout.encode_entry(number, at), db=tables[layout.SEGMENT_INDEX])
                txn.put(where, b"%d" % len(half.payloads), db=titles)
        progress(done + 1, len(keys))
    with environment.begin(write=True) as txn:
        for table, known in ((layout.BUCKETS, layout._BucketRow), (layout.TOKENS, layout._TokenRow)):
            for key, value in list(txn.cursor(tables[table])):
                row = msgspec.msgpack.decode(layout.without_checksum(key, value, "A row"))
                row += [None] * (len(known.__struct_fields__) - len(row)) + ["new"]
                txn.put(key, layout.with_checksum(key, msgspec.msgpack.encode(row)), db=tables[table])
        txn.put(b"halved", b"yes", db=tables[layout.META])


upgrade.STEPS[layout.FORMAT_VERSION] = halve_segments
layout.FORMAT_VERSION += 1  # type: ignore[misc]
