"""Events as a table for DuckDB, Polars and pandas. Needs pyarrow: `pip install 'awlog[arrow]'`, here and at the server."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(stream: bytes) -> pa.Table:
    """The table that an Arrow stream holds; its columns lie in the memory of `stream`."""
    _check_installed()
    import pyarrow as pa

    return pa.ipc.open_stream(stream).read_all()


def frame(bucket_id: str, start: datetime | None = None, end: datetime | None = None, **server: Any) -> pa.Table:
    """The events of a bucket that meet [start, end], cut to it, newest first, as a `pyarrow.Table`.

    Columns: id, timestamp (µs, UTC), duration (seconds), and `data.KEY` for each key of the events' data. `server`: which
    one, as for `Client`: host, port, testing ... DuckDB takes it as a table; `polars.from_arrow` and `to_pandas()` make
    frames of it. Raises as the methods of `Client`, and ModuleNotFoundError without pyarrow.
    """
    from awlog.client.client import Client

    _check_installed()
    with Client("awlog-frame", **server) as client:
        return client.frame(bucket_id, start, end)


def _check_installed() -> None:
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError("A frame needs pyarrow: pip install 'awlog[arrow]'", name="pyarrow") from None
