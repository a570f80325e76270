"""An answer as a table. Needs pyarrow: `pip install 'awlog[arrow]'`, here and at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(stream: bytes) -> pa.Table:
    """The table that an Arrow stream holds; its columns lie in the memory of `stream`."""
    check_installed()
    import pyarrow as pa

    return pa.ipc.open_stream(stream).read_all()


def check_installed() -> None:
    """Raises ModuleNotFoundError, which says what to install."""
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError("A frame needs pyarrow: pip install 'awlog[arrow]'", name="pyarrow") from None
