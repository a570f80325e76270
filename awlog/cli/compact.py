"""`awlog compact`: gives the room of what is gone back to the disk."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from awlog.cli.apart import apart, progress_bar
from awlog.cli.local_socket import running_server
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.storage.compaction import Compacted
from awlog.storage.compaction import compact as compact_store
from awlog.storage.environment import DATA_FILE


@click.command()
@data_dir_options
def compact(*, testing: bool, config: Path, data_dir: Path | None) -> None:  # noqa: ARG001
    """Write the store anew, without the room of what was deleted and without any byte of what was erased.

    Works beside a running server, which goes on recording: writes wait for some hundredths of a second at the end. Needs
    room for a second file until it is done. Exit status 0: done. 3: not done, and everything is as it was.

    Example: awlog compact --data-dir ~/awlog-data
    """
    where = data_dir or default_data_dir(testing=testing)
    server = running_server(where)
    if server is not None:
        with server:
            done = msgspec.convert(server.ask("POST", "/api/0/admin/compact"), Compacted)
    else:
        with progress_bar("rows") as progress:
            done = apart(
                lambda: compact_store(where, progress),
                Compacted,
                making=where.absolute() / DATA_FILE,
                otherwise=f"Nothing was compacted, and nothing changed. `awlog verify --data-dir {where}` says more.",
            )
    click.echo(f"{done.before_bytes:,} bytes before, {done.after_bytes:,} bytes after")
