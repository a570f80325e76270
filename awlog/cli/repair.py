"""`awlog repair`: all that is whole of a damaged store, in a new one."""

from __future__ import annotations

from pathlib import Path

import click

from awlog.cli.apart import apart
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.storage.environment import DATA_FILE
from awlog.storage.repair import REPORT_FILE, RepairReport
from awlog.storage.repair import repair as repair_store

LOST_STATUS = 1


@click.command()
@data_dir_options
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the new store is made.  [default: beside the data directory, with `-repaired` at its name's end]",
)
@click.pass_context
def repair(context: click.Context, *, testing: bool, config: Path, data_dir: Path | None, to: Path | None) -> None:  # noqa: ARG001
    """Make a new store with all that is whole of a damaged one, and say exactly what is not. The old one is only read.

    Stop the server first. Exit status 0: nothing was lost. 1: something was, and is named. 3: no new store could be made.

    Example: awlog repair --data-dir ~/awlog-data --to ~/awlog-repaired
    """
    where = (data_dir or default_data_dir(testing=testing)).absolute()
    target = (to or where.with_name(f"{where.name}-repaired")).absolute()
    report = apart(
        lambda: repair_store(where, target),
        RepairReport,
        making=target / DATA_FILE,
        otherwise=f"No new store was made, and {where} is as it was. Restore a backup.",
    )
    for loss in report.lost:
        click.echo(f"lost: {loss.text()}", err=True)
    click.echo(f"{target}: {report.buckets} buckets, {report.events:,} events, digest {report.digest}")
    click.echo(
        f"The report is in {target / REPORT_FILE}. The damaged store is still in {where}: keep it until you have looked."
    )
    click.echo(f"To go on with what is whole: mv {where} {where}.damaged && mv {target} {where}")
    context.exit(LOST_STATUS if report.lost else 0)
