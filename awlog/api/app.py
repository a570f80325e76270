"""One request, one way: host, preflight, origin, token, route, method, scope, then the handler.

Every error becomes an answer here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import HttpVersion10, web

from awlog import telemetry
from awlog.api import pages
from awlog.api.call import BrokenOff, Call, Shared
from awlog.api.configuration import ApiSettings
from awlog.api.counts import EdgeCounts
from awlog.api.event_bodies import PayloadCache
from awlog.api.explorer_page import FOLDER, ExplorerPage
from awlog.api.failures import refusal
from awlog.api.guard import Guard
from awlog.api.in_progress import InProgress
from awlog.api.lasting import LastingReads
from awlog.api.proxies import peer_of
from awlog.api.request_ids import REQUEST_ID, is_request_id, request_ids
from awlog.api.route import Endpoint
from awlog.api.routes import ROUTES, WATCHING, Router, path_segments
from awlog.engine.byte_budget import ByteBudget
from awlog.engine.engine import Engine
from awlog.model.access import NO_ACCESS, OWNER_ACCESS, Access, Scope
from awlog.model.errors import (
    AwlogError,
    BadRequest,
    BucketExists,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RequestTimeout,
    Unauthorized,
)

_log: Final = structlog.get_logger(part="api")
_access_log: Final = structlog.get_logger(part=telemetry.ACCESS)
# Others are counted together: what a client invents makes no new row.
_COUNTED_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})

# How everything outside `/api/` is counted, and what explains that.
_PAGE: Final = "page"
# A longer one has leading zeros: aiohttp's parser takes any number of them, and `int` does not.
_LENGTH_DIGITS_MAX: Final = 20


class App:
    """The handler of a `web.Server`."""

    def __init__(
        self,
        engine: Engine,
        settings: ApiSettings,
        in_progress: InProgress,
        *,
        counts: EdgeCounts | None = None,
        is_local: bool = False,
    ) -> None:
        """`is_local`: for the socket in the data directory. Who can open that owns the data: no web page, no other
        host, and nothing that a token could add.
        """
        self._counts = EdgeCounts() if counts is None else counts
        bodies = ByteBudget(settings.limits.bodies_bytes)
        self.lasting = LastingReads(engine.tokens)
        self._shared = Shared(engine, settings, in_progress, bodies, self._counts, self.lasting)
        self._ids = request_ids()
        self._is_local = is_local
        self._base = [] if is_local or not settings.base_path else settings.base_path[1:].split("/")
        self._engine = engine
        self._settings = settings
        self.guard = Guard(settings)
        self._router = Router(ROUTES)
        self._explorer = ExplorerPage(ROUTES)
        self._in_progress = in_progress
        engine.on_erased = PayloadCache.forget_all
        # Told of each request that begins, that has ended one way or another, and that has been answered to its end.
        self.on_begun: Callable[[web.BaseRequest], None] = lambda _request: None
        self.on_ended: Callable[[web.BaseRequest], None] = lambda _request: None
        self.on_answered: Callable[[web.BaseRequest, web.StreamResponse], None] = lambda _request, _response: None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self._in_progress.begin()
        self.on_begun(request)
        began_s = time.monotonic()
        call, target = self._read(request)
        try:
            response = await self._respond(call, target)
            # Before the end of the answer leaves: who has it finds it counted.
            self._note(call, response.status, time.monotonic() - began_s)
            if REQUEST_ID in call.headers and not response.prepared:
                response.headers[REQUEST_ID] = call.request_id
            if self._in_progress.stopping and not response.prepared:
                response.force_close()
            if not isinstance(response, web.FileResponse):  # aiohttp finishes every answer, but that kind not twice
                with suppress(ConnectionError):  # met again there, and the connection is closed
                    await response.prepare(request)
                    await response.write_eof()
                    # A client that does not read gets no second answer to put beside the first.
                    await request.writer.drain()
                    self.on_answered(request, response)
            return response
        finally:
            call.let_go()
            self.on_ended(request)
            self._in_progress.end()

    def _read(self, request: web.BaseRequest) -> tuple[Call, str]:
        target, _, query_text = request.raw_path.partition("#")[0].partition("?")
        sent = request.headers.get(REQUEST_ID, "")
        request_id = sent if is_request_id(sent) else next(self._ids)
        call = Call(request, self._shared, query_text, request_id)
        if self._is_local:
            call.access = OWNER_ACCESS
        if request_id is sent:
            call.headers[REQUEST_ID] = sent
        return call, target

    def _note(self, call: Call, status: int, seconds: float) -> None:
        method = _counted_method(call)
        self._counts.answered(method, call.route, status, seconds)
        if self._settings.access_log:
            _access_log.info(
                "request",
                method=method,
                route=call.route,
                status=status,
                ms=round(seconds * 1000, 3),
                who=call.access.name,
                request_id=call.request_id,
            )

    async def _respond(self, call: Call, target: str) -> web.StreamResponse:
        request = call.request
        if request.version < HttpVersion10:  # HTTP/0.9 has no status to refuse it with
            return _hang_up(request)
        if len(request.headers.get("Content-Length", "")) > _LENGTH_DIGITS_MAX:
            response = _failed(call, BadRequest("The Content-Length has too many digits"))
            response.force_close()  # nobody can say where the body ends
            return response
        try:
            return await self._answer(call, target)
        except AwlogError as error:
            if request.writer.output_size:  # a second answer would lie in the middle of the first
                return self._broken_off(call, error)
            return _failed(call, error)
        except (
            ConnectionError,
            TimeoutError,
        ) as error:  # the client is gone, or does not read: nobody is left to answer
            return self._broken_off(call, error) if isinstance(error, BrokenOff) else _hang_up(request)
        except Exception:  # noqa: BLE001 - the edge: a mistake of ours must not show its inside
            _log.exception("a request failed", method=request.method, request_id=call.request_id)
            if request.writer.output_size:
                return _hang_up(request)
            headers = {"Connection": "close"}
            body = b'{"type":"InternalError","message":"awlog made a mistake; its log says more"}'
            return web.Response(body=body, status=500, content_type="application/json", headers=headers)

    def _broken_off(self, call: Call, error: Exception) -> web.Response:
        _log.error("an answer was broken off", error=str(error), request_id=call.request_id)
        return _hang_up(call.request)

    async def _answer(self, call: Call, target: str) -> web.StreamResponse:
        hosts, forwarded = self._hosts(call.request, target)
        path = _path_of(target)
        segments = path_segments(path)
        if self._base:
            segments = self._below_base(segments)
            if segments == [""] and not path.endswith("/"):
                return web.Response(status=308, headers={"Location": f"{self._settings.base_path}/"})
        if segments[0] != "api":
            return await self._outside_api(call, path, segments)
        preflight = self._admit_origin(call, [*forwarded, *hosts])
        if preflight is not None:
            return preflight
        if (len(segments) == 1 or segments[1] == FOLDER) and call.request.method in ("GET", "HEAD"):
            # Open to everybody: no browser sends a token when a page is opened, and what it shows is no secret.
            call.route = _PAGE
            return self._explored(path, segments[1:], call.request)
        return await self._routed(call, segments[1:])

    def _hosts(self, request: web.BaseRequest, target: str) -> tuple[list[str], list[str]]:
        """Which host the request is for, and by the word of a proxy of ours. Raises HostNotAllowed."""
        headers = request.headers
        hosts = headers.getall("Host", [])
        forwarded: list[str] = []
        if not self._is_local:
            if "X-Forwarded-Host" in headers:
                named = headers.getall("X-Forwarded-Host")
                forwarded = self._settings.proxies.forwarded_hosts(peer_of(request.transport), named)
            self.guard.check_host(hosts, target, forwarded)
        return hosts, forwarded

    async def _outside_api(self, call: Call, path: str, segments: list[str]) -> web.StreamResponse:
        """For those who watch, and pages."""
        if call.request.method == "OPTIONS":
            return web.Response(headers={"Allow": "GET, HEAD, OPTIONS"})
        watched = WATCHING.get(segments[0]) if len(segments) == 1 else None
        if watched is not None:
            return await self._watched(call, segments[0], watched)
        call.route = _PAGE
        return await pages.serve_page(call, path, segments)

    def _admit_origin(self, call: Call, hosts: list[str]) -> web.Response | None:
        """May a web page of another origin do this? The answer, if it only asks. Raises OriginNotAllowed."""
        method, headers = call.request.method, call.request.headers
        origin = headers.get("Origin")
        if origin is None:
            return None
        if method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            asked = headers.get("Access-Control-Request-Headers", "")
            return web.Response(headers=self.guard.preflight_headers(origin, asked))
        # A page may open a WebSocket to anywhere without a preflight, and write on it.
        call.headers |= self.guard.admit("POST" if "Upgrade" in headers else method, origin, hosts)
        return None

    async def _routed(self, call: Call, segments: list[str]) -> web.StreamResponse:
        """`segments` are those below `/api/`. Who asks is known before anything is said about the path."""
        method = call.request.method
        if not self._is_local:
            call.access = self._admitted(method, segments, call.request.headers.getall("Authorization", []))
        if not segments:
            raise MethodNotAllowed(method, "GET, HEAD")
        route = self._router.find(segments, call.params)
        call.route = f"/api/{route.path}"
        if method == "OPTIONS":
            return web.Response(headers={**call.headers, "Allow": route.allowed})
        endpoint = route.endpoint(method)
        endpoint.check(call.access, call.params.get("bucket_id"))
        if endpoint.scope is not Scope.READ:
            return await endpoint.handler(call)
        with self.lasting.watched(call.access):
            return await endpoint.handler(call)

    def _below_base(self, segments: list[str]) -> list[str]:
        """Raises NotFound for what is elsewhere."""
        depth = len(self._base)
        if segments[:depth] != self._base:
            raise NotFound("There is nothing at this path; the setting `base_path` says where awlog is")
        return segments[depth:] or [""]

    def _explored(self, path: str, below: list[str], request: web.BaseRequest) -> web.Response:
        return self._explorer.file("/".join(below[1:]), request) if below else self._explorer.page(path)

    async def _watched(self, call: Call, name: str, endpoint: Endpoint) -> web.StreamResponse:
        """`/metrics` and its like. Raises Unauthorized, Forbidden, MethodNotAllowed."""
        request = call.request
        call.route = f"/{name}"
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(request.method, "GET, HEAD, OPTIONS")
        if endpoint.scope is not None and not self._is_local:
            call.access = self._engine.tokens.admit(request.headers.getall("Authorization", [])).access
        endpoint.check(call.access, None)
        return await endpoint.handler(call)

    def _admitted(self, method: str, segments: list[str], authorization: list[str]) -> Access:
        """Who asks, before anything is said about the path. Raises Unauthorized, but for what is open to everybody."""
        try:
            return self._engine.tokens.admit(authorization).access
        except Unauthorized:
            if method != "OPTIONS" and not self._router.is_open(method, segments):
                raise
            return NO_ACCESS


def _counted_method(call: Call) -> str:
    return call.request.method if call.request.method in _COUNTED_METHODS else "other"


def _hang_up(request: web.BaseRequest) -> web.Response:
    """Closes the connection; the response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=408)


def _path_of(target: str) -> str:
    """The path of a request target, which may be a whole URL (its host was checked)."""
    if target.startswith("/"):
        return target
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise NotFound("There is nothing at this path")
    return f"/{rest.partition('/')[2]}"


def _failed(call: Call, error: AwlogError) -> web.Response:
    if isinstance(error, BucketExists):
        return web.Response(status=304, headers=call.headers)
    status, body = refusal(error, call.request_id)
    call.counts.refuse(type(error).__name__)
    if call.route != _PAGE:  # a browser asks for icons and the like on its own
        call.counts.refusals.note(
            error,
            status=status,
            now_us=call.engine.clock(),
            method=_counted_method(call),
            route=call.route,
            headers=call.request.headers,
            bucket_id=call.params.get("bucket_id"),
        )
    response = call.json(body, status)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = error.allowed
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded):
        response.headers["Retry-After"] = "1"
    if isinstance(error, (PayloadTooLarge, RequestTimeout)):
        response.force_close()  # the rest of the body is not read
    return response
