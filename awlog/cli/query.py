"""`awlog query`: runs a query on a data directory, also beside a running server."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from awlog.cli.options import data_dir_options, default_data_dir
from awlog.engine.clock import Clock, system_clock
from awlog.model.times import Micros, format_timestamp
from awlog.query.program import parse, parse_period, run
from awlog.storage.environment import Environment, existing
from awlog.storage.live_view import LiveView

_DAY_US = 86_400_000_000
_CACHE_BYTES = 64 << 20
_CELL_CHARS_MAX = 60

Form = Literal["table", "json", "csv"]


@click.command()
@data_dir_options
@click.argument("program", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option(
    "--period",
    "periods",
    multiple=True,
    metavar="START/END",
    help="May be given several times.  [default: the last 24 h]",
)
@click.option("--form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def query(
    *,
    testing: bool,
    config: Path,  # noqa: ARG001
    data_dir: Path | None,
    program: str,
    periods: tuple[str, ...],
    form: Form,
) -> None:
    """Run the query in the file PROGRAM, or from stdin, and print what it returns for each period.

    Example: awlog query tea.query --period 2024-05-01/2024-05-02 --form csv
    """
    try:
        with click.open_file(program, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{program} cannot be read: {error}") from None
    parsed = parse([text])
    ranges = [parse_period(text) for text in periods or (last_day(),)]
    environment = Environment(existing(data_dir or default_data_dir(testing=testing)), read_only=True)
    try:
        with LiveView(environment, _CACHE_BYTES).now() as store:
            for value in run(parsed, ranges, store):
                click.echo(shown(value, form))
    finally:
        environment.close()


def last_day(clock: Clock = system_clock) -> str:
    """The 24 hours before now, as a period."""
    now_us = clock()
    return f"{format_timestamp(Micros(now_us - _DAY_US))}/{format_timestamp(now_us)}"


def shown(value: bytes, form: Form) -> str:
    """A JSON value as it is, or its rows: one for each element of a list, with the keys of `data` as columns."""
    if form == "json":
        return value.decode()
    decoded = msgspec.json.decode(value)
    rows = [_row(element) for element in (decoded if isinstance(decoded, list) else [decoded])]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_text(row.get(name)) for name in names] for row in rows)]
    return _csv(lines) if form == "csv" else _table(lines)


def _row(element: Any) -> dict[str, Any]:
    if not isinstance(element, dict):
        return {"value": element}
    data = element.get("data")
    if not isinstance(data, dict):
        return element
    return {**{name: value for name, value in element.items() if name != "data"}, **data}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().rstrip("\n")


def _table(lines: Sequence[Sequence[str]]) -> str:
    cells = [[_printable(cell) for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _printable(cell: str) -> str:
    """Short, and without what a terminal would obey."""
    clean = "".join(char if char.isprintable() else "·" for char in cell)
    return clean if len(clean) <= _CELL_CHARS_MAX else f"{clean[: _CELL_CHARS_MAX - 1]}…"
