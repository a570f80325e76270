"""`awlog export`: moving out, also beside a running server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import click

from awlog.cli.options import data_dir_options, default_data_dir
from awlog.formats.encoders import Wanted, check_installed, document
from awlog.model.bucket import BucketMeta
from awlog.model.errors import NoSuchBucket, Refused
from awlog.model.forms import FORMS, Form
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros, parse_timestamp
from awlog.storage.environment import Environment, existing
from awlog.storage.identity import sync_directory
from awlog.storage.live_view import LiveView

_BY_SUFFIX: Final = {form.suffix: form for form in FORMS.values()}


class FileExists(Refused):
    """The file to write is there already."""


@click.command()
@data_dir_options
@click.option("--bucket", "bucket_ids", multiple=True, metavar="ID", help="May be given several times.  [default: all]")
@click.option("--start", metavar="TIME", help="Only events that end then or later, cut to it.")
@click.option("--end", metavar="TIME", help="Only events that start then or earlier, cut to it.")
@click.option(
    "--format",
    "form_name",
    type=click.Choice(list(FORMS)),
    help="[default: what the name of the file says, else json]",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: stdout]")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option(
    "--spreadsheet",
    is_flag=True,
    help="CSV: put an apostrophe before texts that a spreadsheet would take for formulas.",
)
def export(
    *,
    testing: bool,
    config: Path,  # noqa: ARG001
    data_dir: Path | None,
    bucket_ids: tuple[str, ...],
    start: str | None,
    end: str | None,
    form_name: str | None,
    output: Path | None,
    force: bool,
    spreadsheet: bool,
) -> None:
    """Write events to a file or stdout, as of one moment; a server may be running.

    JSON holds all there is but ids, and is what `awlog import` and ActivityWatch's servers take. In CSV, Arrow and Parquet
    each key of `data` is a column; durations are seconds.

    Example: awlog export --start 2026-01-01 -o since.parquet
    """
    form = FORMS[form_name] if form_name else _BY_SUFFIX.get(output.suffix if output else "", FORMS["json"])
    check_installed(form)
    if output is None and not form.is_text and sys.stdout.isatty():
        raise click.UsageError(f"The format {form.name} is nothing for a terminal: name a file with -o")
    start_us = TIME_MIN_US if start is None else parse_timestamp(start)
    end_us = TIME_MAX_US if end is None else parse_timestamp(end)
    environment = Environment(existing(data_dir or default_data_dir(testing=testing)), read_only=True)
    try:
        with LiveView(environment, 0).now() as view, _file(output, force=force) as file:
            buckets = _chosen(view.buckets(), bucket_ids)
            wanted = _wanted(form, start_us, end_us, one_bucket=len(bucket_ids) == 1, spreadsheet=spreadsheet)
            for piece in document(view, buckets, wanted):
                file.write(piece)
    finally:
        environment.close()


def _wanted(form: Form, start_us: Micros, end_us: Micros, *, one_bucket: bool, spreadsheet: bool) -> Wanted:
    return Wanted(form.name, start_us, end_us, with_buckets=not one_bucket, for_spreadsheets=spreadsheet)


def _chosen(buckets: list[BucketMeta], bucket_ids: tuple[str, ...]) -> list[BucketMeta]:
    """Raises NoSuchBucket."""
    by_id = {bucket.id: bucket for bucket in buckets}
    for bucket_id in bucket_ids:
        if bucket_id not in by_id:
            raise NoSuchBucket(bucket_id)
    return [by_id[bucket_id] for bucket_id in dict.fromkeys(bucket_ids)] if bucket_ids else buckets


@contextmanager
def _file(output: Path | None, *, force: bool) -> Iterator[BinaryIO]:
    """Written beside its place, synced, and put there when it is whole. Raises FileExists."""
    if output is None:
        with _told_by_name("The output"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    if output.exists() and not output.is_file():  # a device or a pipe is written to, never replaced
        with _told_by_name(output), output.open("wb") as device:
            yield device
        return
    if output.exists() and not force:
        raise _exists(output)
    aside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with _told_by_name(output):
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _put(aside, output, force=force)
            sync_directory(output.absolute().parent)
    finally:
        with suppress(OSError):
            aside.unlink()


@contextmanager
def _told_by_name(output: Path | str) -> Iterator[None]:
    """Raises ClickException in place of OSError; whoever has closed a pipe need not be told."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror or error}") from None


def _put(aside: Path, output: Path, *, force: bool) -> None:
    """A link is made only where nothing is; where the file system has no links, it was looked at before."""
    if not force:
        try:
            output.hardlink_to(aside)
            return
        except FileExistsError:
            raise _exists(output) from None
        except OSError:
            if output.exists():
                raise _exists(output) from None
    aside.replace(output)


def _exists(output: Path) -> FileExists:
    return FileExists(f"{output} is there already, and was left as it is; --force replaces it")
