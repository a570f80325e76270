"""aiohttp's server, with our words for what is no HTTP: its own quote the bytes that it could not read, tokens and all."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from awlog.api.failures import body_of
from awlog.model.errors import BadRequest

_MALFORMED: Final = body_of(
    BadRequest("This is malformed as HTTP: its first line, a header, or what says where the body ends")
)


class HttpServer(web.Server):
    """Makes the handler of each connection."""

    def __call__(self) -> web.RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class _Handler(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what the parser refused. Nothing else comes here: `App` answers all that goes wrong in it."""
        if status >= 500 or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        response = web.Response(body=_MALFORMED, status=status, content_type="application/json")
        response.force_close()
        return response
