"""`awlog verify`: proves every invariant of a data directory."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from awlog.cli.apart import progress_bar
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.model.errors import CannotStart, OtherFormat
from awlog.storage.check import Progress, Report, check
from awlog.storage.environment import Environment, existing
from awlog.storage.rehearsal import DiedApart, run_apart
from awlog.storage.repair import losses_of
from awlog.storage.salvage import Salvage


@click.command()
@data_dir_options
@click.option("--digest", is_flag=True, help="Print only a digest of all content: equal for equal content.")
def verify(*, testing: bool, config: Path, data_dir: Path | None, digest: bool) -> None:  # noqa: ARG001
    """Check every invariant and every checksum of a data directory. Read-only; works beside a running server.

    Exit status 0: whole. 1: damaged, each place is named. 3: it cannot be opened.

    Example: awlog verify --digest
    """
    where = existing(data_dir or default_data_dir(testing=testing))
    report = Report()
    try:
        # In a child: a damaged page ends the process that reads it.
        with progress_bar("segments") as progress:
            report = msgspec.json.decode(run_apart(lambda: msgspec.json.encode(_check(where, progress))), type=Report)
        problems = report.problems
    except DiedApart as died:
        problems = [str(died)]
    if problems:
        problems += _losses(where)
        for problem in problems:
            click.echo(problem, err=True)
        click.echo(
            f"{len(problems)} problems in {where}. `awlog repair --data-dir {where}` makes a new store with all that is "
            "whole; or restore a backup.",
            err=True,
        )
        sys.exit(1)
    if digest:
        click.echo(report.digest)
    else:
        events = sum(bucket.events for bucket in report.buckets)
        click.echo(f"whole: {len(report.buckets)} buckets, {events:,} events, digest {report.digest}")


def _check(where: Path, progress: Progress) -> Report:
    environment = Environment(where, read_only=True)
    try:
        return check(environment, progress)
    finally:
        environment.close()


def _losses(where: Path) -> list[str]:
    """What a repair would not be able to keep. Raises CannotStart if nothing can be read, OtherFormat."""
    try:
        salvage = Salvage(where)
    except OtherFormat:
        raise
    except CannotStart as nothing:
        raise CannotStart(f"{nothing} What is in {where} is no store, or nothing of it is whole.") from None
    try:
        return [f"lost: {loss.text()}" for loss in losses_of(salvage)]
    finally:
        salvage.close()
