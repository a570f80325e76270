"""`awlog privacy`: what the privacy filters would do to what is stored, and doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from awlog.cli.asked_server import asked_server
from awlog.cli.jobs import echo_table, printable, watch
from awlog.cli.options import data_dir_options, default_data_dir


@click.group()
def privacy() -> None:
    """Do to stored events what the privacy filters do to new ones.

    The rules are the setting `privacy_filters`. These commands work beside a running server and without one.

    Example: awlog privacy preview
    """


@privacy.command()
@data_dir_options
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON file with other rules.  [default: those that are stored]",
)
@click.option("--samples", is_flag=True, help="Show some of the data that each rule finds.")
def preview(*, testing: bool, config: Path, data_dir: Path | None, rules: Path | None, samples: bool) -> None:  # noqa: ARG001
    """Count the stored events that each rule would drop or redact. Changes nothing.

    Example: awlog privacy preview --rules new-rules.json --samples
    """
    try:
        given = None if rules is None else msgspec.json.decode(rules.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise click.UsageError(f"{rules} cannot be read as JSON: {error}") from None
    with asked_server(data_dir or default_data_dir(testing=testing)) as server:
        told: dict[str, Any] = server.ask("POST", "/api/0/privacy/preview", {"rules": given})
    for at, hits in enumerate(told["rules"]):
        rule = hits["rule"]
        does = rule["action"] if rule["enabled"] else f"{rule['action']}, off"
        click.echo(f"rule {at} ({does}, {rule['field']} ~ {rule['pattern']}): {hits['events']:,} events")
        for sample in hits["samples"] if samples else []:
            click.echo(f"    {printable(msgspec.json.encode(sample).decode())}")
    click.echo(f"{told['dropped']:,} events would be dropped, {told['redacted']:,} redacted")
    echo_table(
        [
            (f"  {bucket}", f"{of['dropped']:,} dropped", f"{of['redacted']:,} redacted")
            for bucket, of in told["buckets"].items()
        ]
    )


@privacy.command()
@data_dir_options
def apply(*, testing: bool, config: Path, data_dir: Path | None) -> None:  # noqa: ARG001
    """Drop and redact stored events by the stored rules. A server goes on recording meanwhile; to run it again is harmless.

    Example: awlog privacy apply && awlog compact
    """
    with asked_server(data_dir or default_data_dir(testing=testing)) as server:
        counts = watch(server, server.ask("POST", "/api/0/privacy/apply", {}))
    click.echo(f"{counts.get('deleted', 0):,} events dropped, {counts.get('changed', 0):,} redacted")
    click.echo("`awlog compact` takes what was erased out of the file as well")
