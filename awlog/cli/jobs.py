"""A job of the server, watched by a command until it has ended."""

from __future__ import annotations

import time
from typing import Any, Final

import click

from awlog.cli.apart import progress_bar
from awlog.cli.local_socket import LocalServer
from awlog.model.errors import NotDone

_POLL_S: Final = 0.1
_UNDER_WAY: Final = ("waiting", "running")


def watch(server: LocalServer, job: dict[str, Any]) -> dict[str, int]:
    """Draws the progress; gives what the job has changed. Raises NotDone if it failed or was cancelled.

    Ctrl-C cancels the job; what is done of it stays done.
    """
    path = f"/api/0/jobs/{job['id']}"
    try:
        with progress_bar("steps") as advance:
            while job["state"] in _UNDER_WAY:
                time.sleep(_POLL_S)
                job = server.ask("GET", path)
                advance(job["done"], max(1, job["total"]))
    except KeyboardInterrupt:
        server.ask("DELETE", path)
        raise
    if job["state"] != "done":
        raise NotDone(f"The job was not finished ({job['error'] or job['state']}); run it again to go on")
    counts: dict[str, int] = job["counts"]
    return counts


def echo_table(rows: list[tuple[str, ...]]) -> None:
    """Texts in columns."""
    cells = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))] if cells else []
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(char if char.isprintable() else "·" for char in text)
