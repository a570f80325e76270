"""`awlog retention`: what is not kept any longer, by the rules of the setting `retention`."""

from __future__ import annotations

from pathlib import Path

import click

from awlog.cli.asked_server import asked_server
from awlog.cli.jobs import echo_table, watch
from awlog.cli.options import data_dir_options, default_data_dir


@click.group()
def retention() -> None:
    """Remove events that are too old, too many or too short, by the rules of the setting `retention`.

    A server does so by itself, every hour. These commands work beside a running server and without one.

    Example: awlog retention preview
    """


@retention.command()
@data_dir_options
def preview(*, testing: bool, config: Path, data_dir: Path | None) -> None:  # noqa: ARG001
    """Count the events that the rules would remove now. Changes nothing.

    Example: awlog retention preview
    """
    with asked_server(data_dir or default_data_dir(testing=testing)) as server:
        told = server.ask("POST", "/api/0/retention/preview", {})
    click.echo(f"{told['would_remove']:,} events would be removed")
    echo_table([(f"  {bucket}", f"{events:,}") for bucket, events in told["buckets"].items()])


@retention.command()
@data_dir_options
def run(*, testing: bool, config: Path, data_dir: Path | None) -> None:  # noqa: ARG001
    """Remove what the rules do not keep. A server goes on recording meanwhile.

    Example: awlog retention run
    """
    with asked_server(data_dir or default_data_dir(testing=testing)) as server:
        counts = watch(server, server.ask("POST", "/api/0/retention/run", {}))
    click.echo(f"{counts.get('deleted', 0):,} events removed")
