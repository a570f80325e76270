"""`awlog restore`: a store out of a backup."""

from __future__ import annotations

from pathlib import Path

import click

from awlog.cli.apart import apart, progress_bar
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.engine.clock import system_clock
from awlog.model.times import format_timestamp
from awlog.storage.backup import Copied
from awlog.storage.backup import restore as restore_backup
from awlog.storage.environment import DATA_FILE


@click.command()
@data_dir_options
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--new-device",
    is_flag=True,
    help="Give it an id of its own: for a second device. Else it takes the place of the one that was backed up.",
)
def restore(*, testing: bool, config: Path, data_dir: Path | None, file: Path, new_device: bool) -> None:  # noqa: ARG001
    """Make a store out of the backup FILE, in a data directory that holds none yet.

    Everything is checked first. Exit status 0: done. 1: there is a store already. 3: the backup is damaged.

    Example: awlog restore ~/backups/awlog.mdb --data-dir ~/awlog-restored
    """
    where = data_dir or default_data_dir(testing=testing)
    with progress_bar("segments") as progress:
        done = apart(
            lambda: restore_backup(
                file, where.absolute(), new_device=new_device, restored_us=system_clock(), progress=progress
            ),
            Copied,
            making=where.absolute() / DATA_FILE,
            otherwise=f"Nothing was restored from {file}, and no store was made in {where}. Try an older backup.",
        )
    made = "" if done.made_us is None else f" as of {format_timestamp(done.made_us)}"
    click.echo(f"restored into {where}{made}: {done.buckets} buckets, {done.events:,} events, digest {done.digest}")
