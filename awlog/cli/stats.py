"""`awlog stats`: what the store holds and how much room it takes."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from awlog.cli.options import data_dir_options, default_data_dir
from awlog.storage.check import Report, sizes
from awlog.storage.environment import Environment, existing


@click.command()
@data_dir_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def stats(*, testing: bool, config: Path, data_dir: Path | None, as_json: bool) -> None:  # noqa: ARG001
    """Print each bucket's events, segments and bytes on the disk. Works beside a running server.

    Example: awlog stats --json
    """
    environment = Environment(existing(data_dir or default_data_dir(testing=testing)), read_only=True)
    try:
        report = sizes(environment)
    finally:
        environment.close()
    click.echo(msgspec.json.encode(_summary(report)).decode() if as_json else _table(report))


def _summary(report: Report) -> dict[str, object]:
    return {"buckets": report.buckets, "file_bytes": report.file_bytes, "live_bytes": report.live_bytes}


def _table(report: Report) -> str:
    lines = [f"{'bucket':40} {'events':>10} {'segments':>9} {'unsealed':>9} {'bytes':>12} {'bytes/event':>12}"]
    lines += [
        f"{bucket.id[:40]:40} {bucket.events:>10,} {bucket.segments:>9,} {bucket.unsealed_records:>9,} "
        f"{bucket.disk_bytes:>12,} {bucket.bytes_per_event:>12.2f}"
        for bucket in report.buckets
    ]
    events = sum(bucket.events for bucket in report.buckets)
    each = f", {report.file_bytes / events:.2f} an event" if events else ""
    lines.append(f"file: {report.file_bytes:,} bytes{each}; in use: {report.live_bytes:,} bytes")
    return "\n".join(lines)
