"""`awlog backup`: one verified file with all that a store holds."""

from __future__ import annotations

from pathlib import Path

import click

from awlog.cli.apart import apart, progress_bar
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.engine.clock import system_clock
from awlog.storage.backup import Copied, back_up


@click.command()
@data_dir_options
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(*, testing: bool, config: Path, data_dir: Path | None, file: Path) -> None:  # noqa: ARG001
    """Write a backup of the whole store, as of one moment, to FILE; works beside a running server.

    It is verified before it takes its place: what FILE held before is kept until then. Exit status 0: done. 3: not done, and
    why.

    Example: awlog backup ~/backups/awlog.mdb
    """
    where = data_dir or default_data_dir(testing=testing)
    with progress_bar("rows") as progress:
        done = apart(
            lambda: back_up(where, file.absolute(), made_us=system_clock(), progress=progress),
            Copied,
            making=file.absolute(),
            otherwise=f"There is no new backup; what was in {file} before is as it was. "
            f"`awlog verify --data-dir {where}` says whether the store is whole.",
        )
    click.echo(
        f"{done.file}: {done.buckets} buckets, {done.events:,} events, {done.size_bytes:,} bytes, digest {done.digest}"
    )
