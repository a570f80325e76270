"""Requests to one server over kept connections, and its answers or errors."""

from __future__ import annotations

import ssl
from typing import Any, Final

import aiohttp
import msgspec

from awlog.client.errors import RequestRefused, ServerFailed, Unreachable

_JSON: Final = {"Content-Type": "application/json"}


class _ErrorBody(msgspec.Struct):
    type: str = "Unknown"
    message: str = "The server gave no reason"


_ERROR: Final = msgspec.json.Decoder(_ErrorBody)


class Connection:
    """Kept connections to `url`, `http://localhost:5600` for example. To be opened on the loop that uses it."""

    def __init__(
        self, url: str, timeout_s: float, *, token: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """`token`: the secret that is sent with each request; `tls`: what `https` trusts, else what the system does."""
        self._base = f"{url.rstrip('/')}/api/0"
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeout_s, sock_read=timeout_s)
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            headers=None if token is None else {"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(ssl=True if tls is None else tls),
        )

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> bytes:
        """The body of a success, and of a 304; `path` is percent-encoded.

        Raises Unreachable, RequestRefused, ServerFailed.
        """
        url, sent = f"{self._base}{path}", {**_JSON, **(headers or {})}
        try:
            async with self._session.request(method, url, params=params, data=body, headers=sent) as response:
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{self._base} does not answer: {error or type(error).__name__}") from error
        if status < 400:
            return answer
        try:
            reason = _ERROR.decode(answer)
        except msgspec.DecodeError:
            reason = _ErrorBody()
        kind = RequestRefused if status < 500 else ServerFailed
        raise kind(status, reason.type, reason.message)

    async def json(self, method: str, path: str, value: Any = msgspec.UNSET, **options: Any) -> Any:
        """As `request`, from and to JSON values."""
        body = None if value is msgspec.UNSET else msgspec.json.encode(value)
        answer = await self.request(method, path, body, **options)
        return msgspec.json.decode(answer) if answer else None
