"""`awlog openapi`: the description of the API."""

from __future__ import annotations

import click

from awlog import __version__
from awlog.api.openapi import openapi_json
from awlog.api.routes import ROUTES


@click.command()
def openapi() -> None:
    """Print the API's description, OpenAPI 3.1 as JSON.

    A running server gives the same at /api/0/openapi.json, and shows it at /api/.

    Example: awlog openapi
    """
    click.echo(openapi_json(ROUTES, __version__).decode())
