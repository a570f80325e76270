"""`awlog config`: the settings a server would use, and where each comes from."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from awlog.cli.options import server_config, server_options

_HIDDEN = "(not shown)"
_SOURCES = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
}


@click.command()
@server_options
@click.pass_context
def config(context: click.Context, /, **values: Any) -> None:
    """Print the settings that `awlog serve` would use with the same flags, and where each comes from.

    Example: AWLOG_PORT=5700 awlog config
    """
    resolved = server_config(values)
    for field in resolved.__struct_fields__:
        source = context.get_parameter_source(field)
        value = getattr(resolved, field)
        if field in ("api_key", "forward_token") and value:
            value = _HIDDEN
        click.echo(f"{field:18} {value!s:40} {_SOURCES.get(source, 'default') if source else 'default'}")
