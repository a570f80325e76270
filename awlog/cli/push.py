"""`awlog push`: sends to a hub what it does not have yet, once; `--status` says how far that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from awlog.cli.local_socket import running_server
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.engine.push import BucketPushed, Hub, look, push_all, unpushed
from awlog.model.errors import NotDone
from awlog.storage.environment import Environment, existing
from awlog.storage.identity import read_identity
from awlog.storage.live_view import LiveView

_CACHE_BYTES: Final = 4 << 20


@click.command()
@data_dir_options
@click.option("--to", "url", metavar="URL", envvar="AWLOG_FORWARD_URL", help="The hub, another awlog.")
@click.option(
    "--token", envvar="AWLOG_FORWARD_TOKEN", help="With the scope write on the hub; better in the environment."
)
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="A file that holds nothing but the token."
)
@click.option(
    "--bucket-prefix", "prefixes", multiple=True, help="Only buckets whose id begins so. May be given several times."
)
@click.option("--status", is_flag=True, help="Send nothing; say how far each bucket is, what is behind and why.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def push(
    *,
    testing: bool,
    config: Path,  # noqa: ARG001
    data_dir: Path | None,
    url: str | None,
    token: str | None,
    token_file: Path | None,
    prefixes: tuple[str, ...],
    status: bool,
    as_json: bool,
) -> None:
    """Send to a hub what was recorded here and is not there yet: new, edited and deleted events.

    Works beside a running server. It may be ended at any moment and run again. With --status and without --to, the
    running server says how far its own forwarding is.

    Example: awlog push --to https://hub.example:5600 --token-file hub.token
    """
    directory = existing(data_dir or default_data_dir(testing=testing))
    if url is None:
        if not status:
            raise click.UsageError("Say where to: --to URL")
        _show_forwarding(directory, as_json=as_json)
        return
    secret = token if token_file is None else read_token(token_file)
    hub = Hub(url, secret, prefixes or ("",))
    identity = read_identity(directory)
    assert identity is not None, "a store has an identity"
    view = LiveView(Environment(directory, read_only=True), _CACHE_BYTES)
    states = look(view, hub, identity.device_id) if status else push_all(view, hub, identity.device_id)
    _show(states, as_json=as_json)
    failed = next((each for each in unpushed(states) if each.error is not None), None)
    if failed is not None:
        raise NotDone(f"Bucket {failed.bucket!r} was not pushed: {failed.error}")


def read_token(path: Path) -> str:
    """Raises UsageError."""
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from None


def _show_forwarding(directory: Path, *, as_json: bool) -> None:
    server = running_server(directory)
    if server is None:
        raise NotDone("No server runs on this data directory; with --to the hub itself can be asked")
    with server:
        forward: dict[str, Any] | None = server.ask("GET", "/api/1/forward")["forward"]
    if as_json:
        click.echo(msgspec.json.encode(forward))
    elif forward is None:
        click.echo("This server forwards to no hub; the setting `forward_url` names one.")
    else:
        _show(msgspec.convert(forward["buckets"], list[BucketPushed]), as_json=False)
        tried, complete = forward["at"] or "not yet", forward["pushed_at"] or "not yet"
        click.echo(f"To {forward['hub']}, last tried {tried}, complete {complete}")
        if forward["error"]:
            click.echo(f"Why it is behind: {forward['error']}")


def _show(states: list[BucketPushed], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(states))
        return
    width = max([6, *(len(each.bucket) for each in states)])
    click.echo(f"{'bucket':{width}}  {'change':>12}  {'sent':>8}  state")
    for each in states:
        click.echo(f"{each.bucket:{width}}  {each.change:12}  {each.sent:8}  {_state(each)}")


def _state(pushed: BucketPushed) -> str:
    """What is behind, for how long, and why."""
    if not pushed.waiting:
        return pushed.error or "complete"
    if pushed.unsent_s is not None:
        behind = f"unsent for {_age(pushed.unsent_s)}"
    else:
        behind = f"behind since {pushed.behind_since or 'a change'}"
    return behind if pushed.error is None else f"{behind}: {pushed.error}"


def _age(age_s: float) -> str:
    """In the two units that tell most."""
    minutes, seconds = divmod(round(age_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((at for at, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])
