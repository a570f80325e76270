"""Events as Arrow record batches: a stream of them, or a Parquet file. The one home of pyarrow, which is an extra.

bucket      string               if there are several
id          int64                where ids are wanted
timestamp   timestamp[us, UTC]
duration    double               seconds, as on the wire: Parquet has no type for spans
data.KEY    string, int64, double or bool; JSON text (field metadata `awlog: json`) for what has no one type
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awlog.formats.layout import Field, decoded, values
from awlog.log.columns import Columns, joined
from awlog.model.bucket import BucketMeta
from awlog.model.event import SEQ_BITS

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that a Parquet file keeps together: 10 MiB in memory before they are written.
_GROUP_EVENTS: Final = 65_536


def is_installed() -> bool:
    return find_spec("pyarrow") is not None


class _Sink:
    """A file that is only written to; what was written is taken away piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length_bytes = 0

    def write(self, piece: Any) -> int:
        written = bytes(piece)
        self._pieces.append(written)
        self._length_bytes += len(written)
        return len(written)

    def tell(self) -> int:
        return self._length_bytes

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """There is nothing to close."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class _Batches:
    """Columns -> record batches of one schema."""

    def __init__(self, fields: tuple[Field, ...], with_ids: bool, with_buckets: bool) -> None:
        import pyarrow as pa

        # The others reserve address space that a reader process does not have.
        pa.set_memory_pool(pa.system_memory_pool())
        self._pa = pa
        self._fields = fields
        self._with_ids = with_ids
        self._with_buckets = with_buckets
        self.types = {
            "text": pa.string(),
            "json": pa.string(),
            "integer": pa.int64(),
            "real": pa.float64(),
            "boolean": pa.bool_(),
        }
        self.schema = pa.schema(
            [
                *([pa.field("bucket", pa.string(), nullable=False)] if with_buckets else []),
                *([pa.field("id", pa.int64(), nullable=False)] if with_ids else []),
                pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
                pa.field("duration", pa.float64(), nullable=False, metadata={"unit": "s"}),
                *(
                    pa.field(
                        field.name,
                        self.types[field.kind],
                        nullable=field.key is not None,
                        metadata={"awlog": "json"} if field.kind == "json" else None,
                    )
                    for field in fields
                ),
            ]
        )

    def batch(self, bucket: BucketMeta, columns: Columns) -> pa.RecordBatch:
        pa = self._pa
        codes, rows = np.unique(columns.payload_code, return_inverse=True)
        payloads = [columns.payloads[code] for code in codes.tolist()]
        data = [decoded(payload) for payload in payloads]
        taken = pa.array(rows)
        count = len(columns)
        arrays = [
            *([pa.array([bucket.id] * count, pa.string())] if self._with_buckets else []),
            *([pa.array(columns.seq | (bucket.number << SEQ_BITS), pa.int64())] if self._with_ids else []),
            pa.array(columns.start_us, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            pa.array(columns.duration_us / 1_000_000, pa.float64()),
            *(
                pa.array(values(field, data, payloads), self.types[field.kind], from_pandas=False).take(taken)
                for field in self._fields
            ),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


class ArrowEncoder:
    """An `Encoder`: Arrow's stream format."""

    def __init__(self, fields: tuple[Field, ...], with_ids: bool, with_buckets: bool) -> None:
        self._batches = _Batches(fields, with_ids, with_buckets)
        self._sink = _Sink()
        self._bucket: BucketMeta | None = None
        import pyarrow as pa

        self._writer = pa.ipc.new_stream(self._sink, self._batches.schema)

    def begin(self) -> bytes:
        return self._sink.taken()

    def begin_bucket(self, bucket: BucketMeta) -> bytes:
        self._bucket = bucket
        return b""

    def events(self, columns: Columns) -> bytes:
        assert self._bucket is not None, "events belong to a bucket"
        if len(columns):
            self._writer.write_batch(self._batches.batch(self._bucket, columns))
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


class ParquetEncoder:
    """An `Encoder`: a Parquet file, compressed with zstd."""

    def __init__(self, fields: tuple[Field, ...], with_ids: bool, with_buckets: bool) -> None:
        self._batches = _Batches(fields, with_ids, with_buckets)
        self._sink = _Sink()
        self._bucket: BucketMeta | None = None
        self._waiting: list[Columns] = []
        self._waiting_count = 0
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(self._sink, self._batches.schema, compression="zstd")

    def begin(self) -> bytes:
        return self._sink.taken()

    def begin_bucket(self, bucket: BucketMeta) -> bytes:
        self._write()
        self._bucket = bucket
        return self._sink.taken()

    def events(self, columns: Columns) -> bytes:
        if len(columns):
            self._waiting.append(columns.compacted())
            self._waiting_count += len(columns)
        if self._waiting_count >= _GROUP_EVENTS:
            self._write()
        return self._sink.taken()

    def end(self) -> bytes:
        self._write()
        self._writer.close()
        return self._sink.taken()

    def _write(self) -> None:
        """A row group of what waits."""
        if self._waiting:
            assert self._bucket is not None, "events belong to a bucket"
            self._writer.write_batch(self._batches.batch(self._bucket, joined(self._waiting)), _GROUP_EVENTS)
            self._waiting, self._waiting_count = [], 0
