"""aiohttp's server, with our words for what is no HTTP: its own quote the bytes that it could not read, tokens and all."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from awlog.api.failures import body_of, status_of
from awlog.model.errors import BadRequest, HeadersTooLarge

_MALFORMED: Final = BadRequest("This is malformed as HTTP: its first line, a header, or what says where the body ends")
# Met only by a later request on a connection that stays with aiohttp: others were measured before.
_TOO_LARGE: Final = HeadersTooLarge(
    "The first line or the headers are longer, or more, than they may be; the settings `max_request_line_bytes`, "
    "`max_header_bytes` and `max_headers` set the limits"
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
        # aiohttp has no class of its own for too many of them.
        is_too_large = isinstance(exc, LineTooLong) or "Too many headers" in str(exc)
        refusal = _TOO_LARGE if is_too_large else _MALFORMED
        response = web.Response(body=body_of(refusal), status=status_of(refusal), content_type="application/json")
        response.force_close()
        return response
