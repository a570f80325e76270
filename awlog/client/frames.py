"""Events as a table for DuckDB, Polars and pandas, in one call."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from awlog.client.client import Client
from awlog.client.table import check_installed

if TYPE_CHECKING:
    import pyarrow as pa


def frame(bucket_id: str, start: datetime | None = None, end: datetime | None = None, **server: Any) -> pa.Table:
    """The events of a bucket that meet [start, end], cut to it, newest first, as a `pyarrow.Table`.

    Columns: id, timestamp (µs, UTC), duration (seconds), and `data.KEY` for each key of the events' data. `server`: which
    one, as for `Client`: host, port, testing ... DuckDB takes it as a table; `polars.from_arrow` and `to_pandas()` make
    frames of it. Raises as the methods of `Client`, and ModuleNotFoundError without pyarrow.
    """
    check_installed()
    with Client("awlog-frame", **server) as client:
        return client.frame(bucket_id, start, end)
