"""`awlog verify`: proves every invariant of a data directory."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from awlog.cli.options import data_dir_options, default_data_dir
from awlog.storage.check import Report, check
from awlog.storage.environment import Environment, existing
from awlog.storage.rehearsal import rehearse


@click.command()
@data_dir_options
@click.option("--digest", is_flag=True, help="Print only a digest of all content: equal for equal content.")
def verify(*, testing: bool, config: Path, data_dir: Path | None, digest: bool) -> None:  # noqa: ARG001
    """Check every invariant and every checksum of a data directory. Read-only; works beside a running server.

    Exit status 0: whole. 1: damaged, each place is named. 3: it cannot be opened.

    Example: awlog verify --digest
    """
    where = existing(data_dir or default_data_dir(testing=testing))
    rehearse(where, lambda: _check(where, show=False))
    report = _check(where, show=not digest and sys.stderr.isatty())
    for problem in report.problems:
        click.echo(problem, err=True)
    if report.problems:
        click.echo(f"{len(report.problems)} problems in {where}", err=True)
        sys.exit(1)
    if digest:
        click.echo(report.digest)
    else:
        events = sum(bucket.events for bucket in report.buckets)
        click.echo(f"whole: {len(report.buckets)} buckets, {events:,} events, digest {report.digest}")


def _check(where: Path, *, show: bool) -> Report:
    environment = Environment(where, read_only=True)
    try:
        if not show:
            return check(environment)
        with click.progressbar(length=1, label="segments", file=sys.stderr) as bar:

            def advance(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            return check(environment, advance)
    finally:
        environment.close()
