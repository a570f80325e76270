"""`awlog token`: makes, lists and revokes tokens, by the server that runs on the data, else on the data themselves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click
import msgspec

from awlog.api.answer_bodies import NewTokenBody, TokensBody, token_body
from awlog.cli.aw_client_file import AwClientFile
from awlog.cli.local_socket import LocalServer, running_server
from awlog.cli.options import PORT, TESTING_PORT, data_dir_options, default_data_dir
from awlog.cli.owned_store import owned_store
from awlog.engine.engine import Engine
from awlog.model.access import parse_grant
from awlog.model.commands import RequireTokens, RevokeToken
from awlog.model.errors import Refused
from awlog.model.times import parse_timestamp
from awlog.storage.environment import Environment, existing

_T = TypeVar("_T")
_PERIOD: Final = re.compile(r"(\d{1,6})([mhdwy])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS_OF_YEAR: Final = 365

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a text.")


@click.group()
def token() -> None:
    """Say who may ask the server what.

    From the first token on, every request to /api/ needs one (`Authorization: Bearer ...`), but for /api/0/info. These
    commands work beside a running server and without one.

    Example: awlog token create --name phone --scope 'append:phone-*' --expires 90d
    """


class _Expiry(click.ParamType):  # type: ignore[type-arg]  # generic for the checker only
    """A period from now, or a time."""

    name = "PERIOD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        found = _PERIOD.fullmatch(value)
        try:
            if found is None:
                at = datetime.fromisoformat(value)
                return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            number, unit = int(found[1]), found[2]
            period = timedelta(days=_DAYS_OF_YEAR * number) if unit == "y" else timedelta(**{_UNITS[unit]: number})
            return datetime.now(UTC) + period
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no period like 90d, 12h or 1y, and no ISO 8601 time", param, ctx)


@token.command()
@data_dir_options
@click.option("--name", default="", help="Who will use it; shown by `awlog token list`.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="read, append, write (append, edit and delete) or admin, perhaps only for buckets whose id begins like that: "
    "append:aw-watcher-web*. May be given several times.",
)
@click.option(
    "--expires", type=_Expiry(), help="After a period (90d, 12h, 1y), or at an ISO 8601 time.  [default: never]"
)
@click.option(
    "--for-aw-client",
    is_flag=True,
    help="Put it where the stock aw-client looks for one, instead of printing it.  [scopes: read and write]",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="AWLOG_PORT",
    help="The port that aw-client talks to.  [default: 5600, testing 5666]",
)
@click.option(
    "--device",
    metavar="ID",
    help="Of the only device as which it pushes to this hub.  [default: the one that it pushes as first]",
)
@_JSON
def create(
    *,
    testing: bool,
    config: Path,  # noqa: ARG001
    data_dir: Path | None,
    name: str,
    scopes: tuple[str, ...],
    expires: datetime | None,
    for_aw_client: bool,
    port: int | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Make a token and print its secret, this once: only a hash of it is kept.

    Example: awlog token create --name browser --scope 'append:aw-watcher-web*'
    """
    if for_aw_client:
        scopes = scopes or ("read", "write")
    if not scopes:
        raise click.UsageError("Say by --scope what the token is for: read, append, write or admin")
    client_file = None
    if for_aw_client:
        client_file = AwClientFile(port or (TESTING_PORT if testing else PORT), testing=testing)
        name = name or "aw-client"
    tokens = _Tokens(data_dir or default_data_dir(testing=testing))
    expires_at = None if expires is None else expires.isoformat()
    body = {"name": name, "scopes": list(scopes), "expires": expires_at, "device": device}
    made = tokens.create(body)
    if client_file is not None:
        try:
            client_file.write(made.pop("secret"))
        except Refused:
            tokens.revoke(made["token"]["id"])
            raise
        click.echo(f"The key is in {client_file.path}. Requests to /api/ need a token from now on.", err=True)
    if as_json:
        click.echo(msgspec.json.encode(made))
        return
    if client_file is None:
        click.echo(made["secret"])
        click.echo("This is shown once. Requests to /api/ need a token from now on.", err=True)


@token.command("list")
@data_dir_options
@_JSON
def list_(*, testing: bool, config: Path, data_dir: Path | None, as_json: bool) -> None:  # noqa: ARG001
    """Print all tokens: what they may do, until when, and when they were used last (to the minute).

    Example: awlog token list --json
    """
    known = _Tokens(data_dir or default_data_dir(testing=testing)).all()
    if as_json:
        click.echo(msgspec.json.encode(known))
        return
    click.echo(f"{'id':14} {'name':20} {'scopes':32} {'expires':20} {'last used':20} {'pushes as'}")
    for each in known["tokens"]:
        scopes, expires, used = " ".join(each["scopes"]), each["expires"] or "never", each["last_used"] or "never"
        click.echo(
            f"{each['id']:14} {each['name']:20} {scopes:32} {expires[:19]:20} {used[:19]:20} {each['device'] or ''}".rstrip()
        )
    click.echo("Requests need a token." if known["required"] else "Requests need no token.", err=True)


@token.command()
@data_dir_options
@click.argument("token_id", metavar="ID")
def revoke(*, testing: bool, config: Path, data_dir: Path | None, token_id: str) -> None:  # noqa: ARG001
    """Revoke a token, at once and for ever. `awlog token list` shows the ids.

    Revoking the last one does not open the server: `awlog token require --off` does.

    Example: awlog token revoke 3fa94c21b07d
    """
    _Tokens(data_dir or default_data_dir(testing=testing)).revoke(token_id)


@token.command()
@data_dir_options
@click.option("--on/--off", "required", default=True, show_default=True, help="Whether requests need a token.")
def require(*, testing: bool, config: Path, data_dir: Path | None, required: bool) -> None:  # noqa: ARG001
    """Say whether requests need a token. Making a token turns this on; only this command turns it off.

    Example: awlog token require --off
    """
    needed = _Tokens(data_dir or default_data_dir(testing=testing)).require(required=required)
    if needed and not required:
        click.echo("Requests still need one: the settings `api_key` or `require_tokens` say so.", err=True)


class _Tokens:
    """The tokens of a data directory, by its server if one runs there. Each method gives what the API gives."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def create(self, body: dict[str, Any]) -> Any:
        """Raises BadRequest, ServerRefused."""

        async def by_engine(engine: Engine) -> Any:
            grants = [parse_grant(text) for text in body["scopes"]]
            expires_us = None if body["expires"] is None else parse_timestamp(body["expires"])
            secret, made = await engine.tokens.create(body["name"], grants, expires_us, body["device"])
            return msgspec.to_builtins(NewTokenBody(secret, token_body(made)))

        return self._ask(lambda server: server.ask("POST", "/api/0/tokens", body), by_engine, makes=True)

    def all(self) -> Any:
        async def by_engine(engine: Engine) -> Any:
            tokens = [token_body(each) for each in engine.tokens.all()]
            return msgspec.to_builtins(TokensBody(engine.tokens.are_required, tokens))

        return self._ask(lambda server: server.ask("GET", "/api/0/tokens"), by_engine)

    def revoke(self, token_id: str) -> None:
        """Raises NoSuchToken, ServerRefused."""

        async def by_engine(engine: Engine) -> None:
            await engine.submit(RevokeToken(token_id))

        self._ask(lambda server: server.ask("DELETE", f"/api/0/tokens/{quote(token_id, safe='')}"), by_engine)

    def require(self, *, required: bool) -> bool:
        """Are tokens required after it?"""

        async def by_engine(engine: Engine) -> bool:
            await engine.submit(RequireTokens(required))
            return engine.tokens.are_required

        body = {"required": required}
        return self._ask(lambda server: bool(server.ask("PUT", "/api/0/tokens", body)["required"]), by_engine)

    def _ask(
        self,
        by_server: Callable[[LocalServer], _T],
        by_engine: Callable[[Engine], Coroutine[Any, Any, _T]],
        *,
        makes: bool = False,
    ) -> _T:
        """`makes`: where there is no store yet, one is made. Raises CannotStart."""
        server = running_server(self._data_dir)
        if server is not None:
            with server:
                return by_server(server)
        if not makes:
            existing(self._data_dir)
        with owned_store(self._data_dir) as environment:
            return asyncio.run(_with_engine(environment, by_engine))


async def _with_engine(environment: Environment, act: Callable[[Engine], Coroutine[Any, Any, _T]]) -> _T:
    engine = Engine(environment)
    try:
        return await act(engine)
    finally:
        await engine.close()
