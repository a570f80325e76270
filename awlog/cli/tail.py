"""`awlog tail`: what a running server records, as it comes; goes on by itself after a disconnection."""

from __future__ import annotations

import http.client
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

import click
import msgspec

from awlog.cli.options import PORT, TESTING_PORT
from awlog.model.errors import AwlogError, Refused, Unavailable

_SILENCE_S: Final = 45.0  # the server says every 15 s that it is there
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_DATA_CHARS_MAX: Final = 100
# For programs that keep what they are told: all of it is told anew.
_SNAPSHOT: Final = '{"kind":"snapshot"}'


class _ChangesGone(Refused):
    """The server does not know all changes that came after the ones that were shown."""


@click.command()
@click.argument("bucket", default="")
@click.option("--url", envvar="AWLOG_URL", help="Of the server.  [default: http://127.0.0.1:5600, testing 5666]")
@click.option("--testing", is_flag=True, envvar="AWLOG_TESTING", help="The server on port 5666.")
@click.option("--token", envvar="AWLOG_TOKEN", help="A token with the scope read; better in AWLOG_TOKEN.")
@click.option("--since", type=click.IntRange(0), help="Begin behind this change; 0 is the beginning.  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="The lines as the server sends them.")
@click.option("--once", is_flag=True, help="End when all that there is was shown.")
def tail(
    *, bucket: str, url: str | None, testing: bool, token: str | None, since: int | None, as_json: bool, once: bool
) -> None:
    """Show what changes in the buckets whose id begins with BUCKET, or in all, as it happens. Ctrl-C ends it.

    When the server cannot go on where it was, after `awlog restore` for example, it says so and begins anew: with what
    happens then, or, with --since or --json, with all that there is, behind a line {"kind":"snapshot"}.

    Example: awlog tail aw-watcher-window
    """
    address = url or f"http://127.0.0.1:{TESTING_PORT if testing else PORT}"
    source = _Source(address, bucket, token)
    shown: Callable[[str], str] = str if as_json else lambda line: _in_words(msgspec.json.decode(line))
    anew = 0 if as_json or once or since is not None else None
    try:
        while True:
            try:
                _show(source.once(since or 0) if once else source.follow(since), shown)
                return
            except _ChangesGone as gone:
                click.echo(f"awlog: {gone} Beginning anew.", err=True)
                since = anew
                if as_json:
                    click.echo(_SNAPSHOT)
    except (KeyboardInterrupt, BrokenPipeError):
        return


def _show(lines: Iterator[str], shown: Callable[[str], str]) -> None:
    for line in lines:
        click.echo(shown(line))
        sys.stdout.flush()


class _Source:
    """The server's feed. Blocking."""

    def __init__(self, url: str, bucket_prefix: str, token: str | None) -> None:
        """Raises UsageError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.UsageError(f"{url!r} is no URL of a server: http://127.0.0.1:5600 is one")
        self._url = url
        self._parts = parts
        self._path = f"{parts.path.rstrip('/')}/api/0/changes?bucket_prefix={quote(bucket_prefix, safe='')}"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def once(self, since: int) -> Iterator[str]:
        """All lines that there are. Raises _ChangesGone, Refused, Unavailable."""
        with self._asked(f"{self._path}&since={since}", {}) as answer:
            for line in answer:
                text = line.decode().rstrip("\n")
                if '"kind":"position"' not in text:
                    yield text

    def follow(self, since: int | None) -> Iterator[str]:
        """Lines for ever; connects again, and goes on where it was. Raises _ChangesGone, Refused."""
        tries = 0
        while True:
            try:
                path = self._path if since is None else f"{self._path}&since={since}"
                with self._asked(path, {"Accept": "text/event-stream"}) as answer:
                    tries = 0
                    for field, _, value in (line.decode().rstrip("\n").partition(": ") for line in answer):
                        if field == "id":
                            since = int(value)
                        elif field == "data":
                            yield value
            except (OSError, http.client.HTTPException, Unavailable) as error:
                if not tries:
                    click.echo(f"awlog: no connection to {self._url} ({error}); trying again", err=True)
            time.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
            tries += 1

    def _asked(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None, "checked at the start"
        connection = kind(self._parts.hostname, self._parts.port, timeout=_SILENCE_S)
        try:
            connection.request("GET", path, headers={**self._headers, **headers})
            answer = connection.getresponse()
        except (TimeoutError, socket.gaierror, OSError) as error:
            raise Unavailable(f"{type(error).__name__}") from error
        if answer.status != http.client.OK:
            raise _refusal(answer)
        return answer


def _refusal(answer: http.client.HTTPResponse) -> AwlogError:
    if answer.status == http.client.GONE:
        return _ChangesGone("The server cannot go on from here: it was restored, or forgot what was deleted since.")
    try:
        message = str(msgspec.json.decode(answer.read())["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = f"The server answered {answer.status}"
    return Unavailable(message) if answer.status >= http.client.INTERNAL_SERVER_ERROR else Refused(message)


def _in_words(told: dict[str, Any]) -> str:
    """One change as a line for people; bidirectional and control characters cannot reach the terminal."""
    where = told.get("bucket") or ""
    match told["kind"]:
        case "event":
            event = told["event"]
            data = msgspec.json.encode(event["data"]).decode()
            if len(data) > _DATA_CHARS_MAX:
                data = data[: _DATA_CHARS_MAX - 1] + "…"
            text = f"{event['timestamp'][:19]}  {event['duration']:9.1f} s  {where}  {data}"
        case "event_deleted":
            text = f"event {told['id']} deleted  {where}"
        case "bucket":
            text = f"bucket {where} made or changed"
        case "bucket_deleted":
            text = f"bucket {where} deleted"
        case _:
            text = f"setting {told['key']} changed"
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
