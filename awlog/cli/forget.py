"""`awlog forget`: the last minutes were not for the record."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from awlog.cli.asked_server import asked_server
from awlog.cli.jobs import echo_table, watch
from awlog.cli.options import data_dir_options, default_data_dir

_PERIOD: Final = re.compile(r"(\d{1,6})([mhd])")
_MINUTES: Final = {"m": 1, "h": 60, "d": 1440}


class _Period(click.ParamType):  # type: ignore[type-arg]  # generic for the checker only
    """Minutes, hours or days."""

    name = "PERIOD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _PERIOD.fullmatch(str(value))
        minutes = 0 if found is None else int(found[1]) * _MINUTES[found[2]]
        if not minutes:
            self.fail(f"{value!r} is no period like 10m, 2h or 1d", param, ctx)
        return minutes


@click.command()
@data_dir_options
@click.option("--last", "minutes", type=_Period(), required=True, help="How far back: 10m, 2h, 1d.")
@click.option("--bucket", help="Only in this bucket.  [default: in all]")
@click.option("--dry-run", is_flag=True, help="Only count.")
def forget(
    *,
    testing: bool,
    config: Path,  # noqa: ARG001
    data_dir: Path | None,
    minutes: int,
    bucket: str | None,
    dry_run: bool,
) -> None:
    """Erase what was recorded in the last minutes: events inside go, the one that was running before is cut.

    Works beside a running server and without one. `awlog compact` takes what was erased out of the file as well.

    Example: awlog forget --last 10m
    """
    body = {"minutes": minutes, "bucket": bucket, "dry_run": dry_run}
    with asked_server(data_dir or default_data_dir(testing=testing)) as server:
        told = server.ask("POST", "/api/0/forget", body)
        if told["job"] is not None:
            counts = watch(server, told["job"])
            told = {"deleted": counts.get("deleted", 0), "cut": counts.get("changed", 0), "buckets": {}}
    would = "would be " if dry_run else ""
    click.echo(f"{told['deleted']:,} events {would}deleted, {told['cut']:,} {would}cut")
    echo_table(
        [(f"  {name}", f"{of['deleted']:,} deleted", f"{of['cut']:,} cut") for name, of in told["buckets"].items()]
    )
