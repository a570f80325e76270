"""`awlog`: the group of commands. Without a command it serves."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from awlog import __version__
from awlog.cli.backup import backup
from awlog.cli.compact import compact
from awlog.cli.config import config
from awlog.cli.export import export
from awlog.cli.forget import forget
from awlog.cli.hub import hub
from awlog.cli.import_ import import_
from awlog.cli.openapi import openapi
from awlog.cli.paths import paths
from awlog.cli.privacy import privacy
from awlog.cli.push import push
from awlog.cli.query import query
from awlog.cli.repair import repair
from awlog.cli.restore import restore
from awlog.cli.retention import retention
from awlog.cli.serve import serve
from awlog.cli.stats import stats
from awlog.cli.tail import tail
from awlog.cli.token import token
from awlog.cli.top import top
from awlog.cli.verify import verify
from awlog.model.errors import AwlogError, CannotStart, Refused

REFUSED_STATUS = 1
CANNOT_START_STATUS = 3


class _ServesByDefault(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ServesByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="awlog")
def awlog() -> None:
    """A log server for time-tracking events that speaks the ActivityWatch REST API.

    Without a command it serves: `awlog --testing` is `awlog serve --testing`.

    Example: awlog --testing
    """


_COMMANDS = (
    serve,
    paths,
    config,
    query,
    verify,
    stats,
    top,
    token,
    tail,
    push,
    hub,
    openapi,
    import_,
    backup,
    restore,
    compact,
    repair,
    export,
    privacy,
    forget,
    retention,
)
for _command in _COMMANDS:
    awlog.add_command(_command)


def _end(number: int, _frame: FrameType | None) -> None:
    """As an exception, so that what a command has begun beside its place is removed. A second signal ends it at once."""
    signal.signal(number, signal.SIG_DFL)
    click.echo(f"awlog: ended by {signal.Signals(number).name}", err=True)
    sys.exit(128 + number)


def main() -> None:
    """Runs the command line. Exit status 1: refused, a query that is wrong for example; 2: wrong usage; 3: not done;
    143: ended by SIGTERM.
    """
    signal.signal(signal.SIGTERM, _end)
    try:
        awlog(prog_name="awlog")
    except Refused as error:
        click.echo(f"awlog: {error}", err=True)
        sys.exit(REFUSED_STATUS)
    except AwlogError as error:
        click.echo(f"{'awlog cannot start' if isinstance(error, CannotStart) else 'awlog'}: {error}", err=True)
        sys.exit(CANNOT_START_STATUS)
