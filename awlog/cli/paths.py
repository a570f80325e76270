"""`awlog paths`: where things are."""

from __future__ import annotations

from pathlib import Path

import click

from awlog.cli.options import data_dir_options, default_data_dir


@click.command()
@data_dir_options
def paths(*, testing: bool, config: Path, data_dir: Path | None) -> None:
    """Print where the data and the configuration are.

    Example: awlog paths --testing
    """
    click.echo(f"data    {data_dir or default_data_dir(testing=testing)}")
    click.echo(f"config  {config}{'' if config.exists() else '  (not there; every setting has a default)'}")
