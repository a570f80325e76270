"""`awlog hub`: what the owner of a hub does with the buckets that devices push to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import click

from awlog.cli.local_socket import running_server
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.cli.owned_store import owned_store
from awlog.engine.engine import Engine
from awlog.model.commands import ReleaseBucket
from awlog.storage.environment import Environment


@click.group()
def hub() -> None:
    """Look after the buckets that devices push to this server.

    Example: awlog hub release aw-watcher-window_laptop
    """


@hub.command()
@data_dir_options
@click.argument("bucket")
def release(*, testing: bool, config: Path, data_dir: Path | None, bucket: str) -> None:  # noqa: ARG001
    """Make the mirrored BUCKET an ordinary one, which anybody may write to. If its device pushes on, that goes to a new one.

    Works beside a running server and without one.

    Example: awlog hub release aw-watcher-window_laptop
    """
    directory = data_dir or default_data_dir(testing=testing)
    server = running_server(directory)
    if server is not None:
        with server:
            server.ask("DELETE", f"/api/1/mirrored/{quote(bucket, safe='')}")
    else:
        with owned_store(directory) as environment:
            asyncio.run(_release(environment, bucket))
    click.echo(f"{bucket} is released.")


async def _release(environment: Environment, bucket_id: str) -> None:
    engine = Engine(environment)
    try:
        await engine.submit(ReleaseBucket(bucket_id))
    finally:
        await engine.close()
