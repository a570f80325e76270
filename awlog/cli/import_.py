"""`awlog import`: moving in, from ActivityWatch and others."""

from __future__ import annotations

import csv
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import click

from awlog.cli.import_table import shown
from awlog.cli.local_socket import running_server
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.cli.owned_store import owned_store
from awlog.cli.served_store import ServedStore
from awlog.moving_in.importer import Importer
from awlog.moving_in.report import Report
from awlog.moving_in.target import OwnStore, Rehearsal, Target
from awlog.sources.opening import Kind, open_database, open_source
from awlog.sources.places import found_places, searched_folders
from awlog.sources.source import Source, SourceBucket, SourceUnreadable
from awlog.storage.environment import DATA_FILE, Environment

NOT_ALL_STATUS = 1
_NICENESS = 10


@click.command("import")
@data_dir_options
@click.argument("source", required=False)
@click.option(
    "--from-activitywatch", is_flag=True, help="Everything that ActivityWatch's servers keep on this machine."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["sqlite", "json", "ndjson", "csv"]),
    help="Of a file.  [default: what its name says, else sqlite]",
)
@click.option("--bucket", default="imported", show_default=True, help="NDJSON, CSV: for events that name no bucket.")
@click.option("--type", "bucket_type", default="imported", show_default=True, help="NDJSON, CSV: of buckets to make.")
@click.option(
    "--map",
    "mapping",
    metavar="FIELD=COLUMN,...",
    default="",
    help="CSV: timestamp=COLUMN, and duration=, end=, bucket=, data= or data.KEY=.  [default: columns of these names]",
)
@click.option(
    "--token", envvar="AWLOG_IMPORT_TOKEN", help="For a server that asks for a key; better in AWLOG_IMPORT_TOKEN."
)
@click.option("--dry-run", is_flag=True, help="Read and compare everything, write nothing.")
def import_(
    *,
    testing: bool,
    config: Path,  # noqa: ARG001
    data_dir: Path | None,
    source: str | None,
    from_activitywatch: bool,
    kind: Kind | None,
    bucket: str,
    bucket_type: str,
    mapping: str,
    token: str | None,
    dry_run: bool,
) -> None:
    """Bring in what another server recorded, from its files, its exports or itself; SOURCE is never changed.

    Run it as often as you like, also after it was interrupted: events that are there already are not imported twice.

    Exit status 0: all of the source is in the store. 1: something was refused or does not match, the table says what; or
    there was nothing.

    Example: awlog import ~/.local/share/activitywatch/aw-server/peewee-sqlite.v2.db --dry-run
    """
    if (source is None) != from_activitywatch:
        raise click.UsageError("Say what to import: SOURCE, or --from-activitywatch")
    where = data_dir or default_data_dir(testing=testing)
    if source is None:
        sources = _activitywatch(testing=testing)
    else:
        described = SourceBucket(bucket, bucket_type, "awlog import", socket.gethostname())
        sources = iter([open_source(source, kind, described, _mapping(mapping), token)])
    complete, found_count = True, 0
    with _target(where, dry_run=dry_run) as target:
        for opened in sources:
            with closing(opened):
                click.echo(f"From {opened.title}")
                report = _imported(opened, target)
            click.echo(shown(report, dry_run=dry_run))
            found_count += len(report.buckets) + len(report.settings)
            complete &= report.matches() and not report.refused_count()
    if not complete or not found_count:
        sys.exit(NOT_ALL_STATUS)


def _mapping(text: str) -> dict[str, str]:
    """`a=b,c=d` as a CSV line, so that a name may hold a comma in quotation marks."""
    pairs = [part.partition("=") for part in next(csv.reader([text]), [])]
    for target, equals, column in pairs:
        if not equals or not target or not column:
            raise click.UsageError(f"--map takes FIELD=COLUMN, not {target!r}")
    mapping = {target.strip(): column for target, _, column in pairs}
    if len(mapping) < len(pairs):
        raise click.UsageError("--map names a field twice")
    return mapping


def _activitywatch(*, testing: bool) -> Iterator[Source]:
    """One after the other. Raises SourceUnreadable."""
    places = found_places(testing=testing)
    if not places:
        folders = ", ".join(str(folder) for folder in searched_folders(testing=testing))
        raise SourceUnreadable(f"There is no database of an ActivityWatch server in {folders}. Give its path instead.")
    return (open_database(place.database, place.settings) for place in places)


def _imported(source: Source, target: Target) -> Report:
    with click.progressbar(length=source.size, label="importing", file=sys.stderr) as bar:
        return Importer(source, target, bar.update).run()


@contextmanager
def _target(data_dir: Path, *, dry_run: bool) -> Iterator[Target]:
    """The store of the running server, or one that this process opens itself. Raises CannotStart."""
    with ExitStack() as stack:
        if dry_run:
            environment = None
            if (data_dir / DATA_FILE).is_file():
                environment = Environment(data_dir, read_only=True)
                stack.callback(environment.close)
            yield Rehearsal(environment)
        elif (server := running_server(data_dir)) is not None:
            stack.enter_context(server)
            if os.name == "posix":
                os.nice(_NICENESS)  # watchers come first
            yield stack.enter_context(closing(ServedStore(server, data_dir)))
        else:
            yield stack.enter_context(OwnStore(stack.enter_context(owned_store(data_dir))))
