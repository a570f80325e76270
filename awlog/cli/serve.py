"""`awlog serve`: from nothing to a listening server, and back to nothing in good order.

The order matters: take the directory, listen (early clients wait in the backlog instead of being refused), rehearse the
opening in a child, open, recover, answer.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import structlog
from aiohttp import web
from msgspec.structs import replace

from awlog import __version__, telemetry
from awlog.api.app import App
from awlog.api.configuration import ApiSettings, EdgeLimits
from awlog.api.counts import EdgeCounts
from awlog.api.fast_lane import FastLane
from awlog.api.guard import is_loopback
from awlog.api.http_server import HttpServer
from awlog.api.in_progress import InProgress
from awlog.api.proxies import Proxies
from awlog.api.recognise import HeaderBlocks
from awlog.cli.exposure import check_exposure, is_exposed, reached_at
from awlog.cli.listeners import Listeners
from awlog.cli.listening import BACKLOG, listen, listen_unix
from awlog.cli.local_socket import listen_locally, stop_listening_locally
from awlog.cli.options import server_config, server_options
from awlog.cli.server_config import ServerConfig
from awlog.cli.service_manager import ServiceManager, handed_over_sockets
from awlog.cli.tls import Encryption, encryption_of
from awlog.cli.upgrading import upgrade
from awlog.engine.access import AccessRules
from awlog.engine.backups import BackupPlan
from awlog.engine.engine import Engine
from awlog.engine.forwarder import ForwardPlan
from awlog.engine.push import Hub
from awlog.engine.readers import QueryLimits
from awlog.engine.webhook import Webhook, check_url
from awlog.engine.webhooks import WebhookPlan
from awlog.model.errors import BadRequest, CannotStart, DataDamaged, OtherFormat
from awlog.model.payload import limit_nesting
from awlog.storage.check import check
from awlog.storage.copying import remove_abandoned
from awlog.storage.damaged import DamagedEnvironment
from awlog.storage.environment import DATA_FILE, Environment, create_if_new, prepare_directory
from awlog.storage.identity import Identity
from awlog.storage.lock import DirectoryLock
from awlog.storage.recovery import recover
from awlog.storage.rehearsal import rehearse
from awlog.storage.salvage import require_readable_segments

_log: Final = structlog.get_logger(part="serve")

# A stop takes ten seconds at most. Of them it gives this to requests in progress, and then twice this, because aiohttp does
# it twice, to connections that do not close.
_FINISH_S: Final = 8.0
_CLOSE_S: Final = 0.5
# When the server has answered those that waited for it, it gets ready for queries.
_READER_AFTER_S: Final = 0.5
# After a refused body: how long its rest is read and thrown away, so that the client sees the answer.
_LINGER_S: Final = 2.0


@click.command()
@server_options
def serve(**values: Any) -> None:
    """Serve the REST API on the embedded store.

    Example: awlog serve --port 5700 --data-dir ~/awlog-data
    """
    config = server_config(values)
    began_s = time.monotonic()
    telemetry.set_up("json" if config.log_format == "json" else "console", config.log_level)
    os.umask(0o077)  # whatever is made from here on is the owner's alone
    _raise_open_files_limit()
    limit_nesting(config.max_json_nesting)
    prepare_directory(config.data_dir)
    sockets = handed_over_sockets()
    if sockets:
        config = replace(config, host=reached_at(sockets, config.host), port=_port_of(sockets) or config.port)
    # Whether there are tokens is known later; what is missing in any case is said at once.
    check_exposure(config, needs_tokens=True)
    tls = encryption_of(config)
    rules = AccessRules(_api_key(config), config.require_tokens, is_exposed(config))
    with DirectoryLock(config.data_dir) as lock:
        sockets = sockets or listen(config)
        local = listen_locally(config.data_dir)
        unix = None if config.unix_socket is None else listen_unix(config.unix_socket, int(config.unix_socket_mode, 8))
        inherited = [lock.release, *(listening.close for listening in (*sockets, local, unix) if listening)]

        def let_go() -> None:
            for each in inherited:
                each()

        remove_abandoned(config.data_dir / DATA_FILE)
        upgrade(config.data_dir, let_go=let_go)
        identity = create_if_new(config.data_dir)
        environment = _open(config, let_go=let_go)
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                at = _Places(sockets if unix is None else [*sockets, unix], tls, local)
                runner.run(_serve(config, rules, identity, environment, at, began_s))
        except DataDamaged as damage:
            raise CannotStart(str(damage)) from damage
        finally:
            environment.close()


def _open(config: ServerConfig, *, let_go: Callable[[], object]) -> Environment:
    """The store; if it is damaged, what is whole of it, to be read only. Raises CannotStart if that is too little.

    A damaged store that only ended the server would be started again and again, and nobody would see their data meanwhile.
    """
    try:
        rehearse(config.data_dir, lambda: _rehearsal(config), let_go=let_go)
    except CannotStart as refused:
        try:
            damaged = DamagedEnvironment(config.data_dir)
        except OtherFormat:
            raise
        except CannotStart:
            raise refused from None
        _log.error(
            "THE STORE IS DAMAGED. It is served read-only, as far as it is whole; nothing is recorded",
            cause=str(refused),
            stop_the_server_and_run=f"awlog repair --data-dir {config.data_dir}",
        )
        return damaged
    return Environment(config.data_dir, reserve_bytes=config.reserve_bytes)


def _webhook_plan(config: ServerConfig) -> WebhookPlan | None:
    if not config.webhook_urls:
        return None
    secret = _secret(config.webhook_secret_file, "webhook_secret_file")
    if not secret:
        raise CannotStart("A webhook needs a secret to sign with: name a file that holds one by `webhook_secret_file`")
    prefixes = config.webhook_prefixes or ("",)
    try:
        for url in config.webhook_urls:
            check_url(url)
    except BadRequest as error:
        raise CannotStart(str(error)) from None
    hooks = [Webhook(url, secret, prefixes, config.webhook_allow_private) for url in config.webhook_urls]
    return WebhookPlan(hooks, config.webhook_interval_s)


def _secret(path: Path | None, setting: str) -> str | None:
    """What a file holds, None without a file. Raises CannotStart."""
    try:
        return None if path is None else path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"The file that `{setting}` names cannot be read: {error}") from None


def _forward_plan(config: ServerConfig) -> ForwardPlan | None:
    if config.forward_url is None:
        return None
    token = _secret(config.forward_token_file, "forward_token_file") or config.forward_token
    hub = Hub(config.forward_url, token, config.forward_prefixes or ("",))
    return ForwardPlan(hub, config.forward_interval_s, config.forward_warn_s)


def _rehearsal(config: ServerConfig) -> None:
    environment = Environment(config.data_dir)
    if environment.is_cut_short():
        problems = check(environment).problems  # touches every page that is in use
        if problems:
            raise CannotStart(f"the file {DATA_FILE} is cut short: {problems[0]}")
    recover(environment)
    environment.close()
    require_readable_segments(config.data_dir)


def _api_key(config: ServerConfig) -> str | None:
    """Raises CannotStart for a file without one: it was meant to protect something."""
    if config.api_key_file is None:
        return config.api_key or None
    if config.api_key:
        raise CannotStart("There is an API key in `api_key` and one in `api_key_file`: set one of the two")
    try:
        key = config.api_key_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if not key:
        raise CannotStart(f"There is no API key in {config.api_key_file}, which the setting `api_key_file` names")
    return key


class _Places(NamedTuple):
    """Where the server listens: by TCP, encrypted if there is `tls`, Unix sockets, and that of the data directory."""

    sockets: list[socket.socket]
    tls: Encryption | None
    local: socket.socket | None


async def _serve(
    config: ServerConfig,
    rules: AccessRules,
    identity: Identity,
    environment: Environment,
    at: _Places,
    began_s: float,
) -> None:
    query_limits = QueryLimits(
        run_s_max=config.max_query_s,
        memory_bytes_max=config.max_query_memory_bytes,
        cache_bytes=config.cache_bytes,
        text_bytes_max=config.max_query_bytes,
        nesting_max=config.max_query_nesting,
        periods_max=config.max_query_periods,
        running_max=config.max_queries,
        waiting_max=config.max_queries_waiting,
    )
    engine = Engine(
        environment,
        cache_bytes=config.cache_bytes,
        query_limits=query_limits,
        access_rules=rules,
        backup_plan=BackupPlan(config.backup_dir, config.backup_interval_s, config.backup_keep),
        forward_plan=_forward_plan(config),
        jobs_waiting_max=config.max_jobs_waiting,
        webhook_plan=_webhook_plan(config),
    )
    check_exposure(config, needs_tokens=engine.tokens.are_set_up)
    if config.retention_interval_s:
        engine.retention.every(config.retention_interval_s)
    # What was loaded stays for ever: the collector need not walk over it again and again.
    gc.collect()
    gc.freeze()
    in_progress = InProgress()
    settings = _api_settings(config, identity)
    counts = EdgeCounts()
    app = App(engine, settings, in_progress, counts=counts)
    server = _http_server(app, settings.limits)
    local_server = _http_server(App(engine, settings, in_progress, counts=counts, is_local=True), settings.limits)
    loop = asyncio.get_running_loop()
    blocks = None
    if config.fast_lane and not config.access_log:
        blocks = HeaderBlocks(
            app.guard,
            engine.tokens,
            body_bytes_max=config.max_body_bytes,
            now_s=loop.time,
            heeds_proxies=bool(config.trusted_proxies),
        )
        engine.tokens.on_changed(blocks.forget_all)
    lane = FastLane(
        engine,
        blocks,
        in_progress,
        server,
        settings.limits,
        base_path=config.base_path,
        proxies=settings.proxies,
    )
    counts.lane = lane
    app.on_begun, app.on_ended, app.on_answered = (
        lane.begun_by_aiohttp,
        lane.ended_by_aiohttp,
        lane.answered_by_aiohttp,
    )
    stopping = _stop_on_signals()

    async def accept(listening: socket.socket) -> asyncio.Server:
        if listening.family == socket.AF_UNIX:
            return await loop.create_unix_server(lane, sock=listening, backlog=BACKLOG)
        if at.tls is None:
            return await loop.create_server(lane, sock=listening, backlog=BACKLOG)
        return await loop.create_server(
            lane.behind_handshake,
            sock=listening,
            backlog=BACKLOG,
            ssl=at.tls.context,
            ssl_handshake_timeout=config.max_header_s,
        )

    listeners = Listeners(at.sockets, accept)
    lane.on_full, lane.on_room = listeners.pause, listeners.resume
    await listeners.open()
    if at.tls is not None:
        at.tls.obey_hangups(listeners.reopen)
    local_listener = None if at.local is None else await loop.create_unix_server(local_server, sock=at.local)
    if config.insecure and not (is_loopback(config.host) and not config.trusted_proxies):
        _log.warning("other machines reach this server, and the setting `insecure` says that nothing has to protect it")
    _log.info("serving", port=config.port, start_ms=round((time.monotonic() - began_s) * 1000))
    does = "recording" if engine.read_only is None else "serving, read-only, what is whole"
    _say_where(config, does)
    manager = ServiceManager()
    manager.ready(f"{does} on port {config.port}")
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), _READER_AFTER_S)
    if not stopping.is_set():
        await engine.readers.start_ahead()
        await stopping.wait()
    manager.stopping()
    _log.info("stopping", untold=telemetry.untold_count())
    lane.on_room = lambda: None
    listeners.close()
    if local_listener is not None:
        local_listener.close()
    # First what has begun, then aiohttp's own shutdown: that throws away the rest of a body that is still coming.
    await in_progress.finish(_FINISH_S)
    lane.close()
    for each in (server, local_server):
        each.pre_shutdown()
    await asyncio.gather(server.shutdown(_CLOSE_S), local_server.shutdown(_CLOSE_S))
    await engine.close()
    environment.close()
    stop_listening_locally(config.data_dir)
    if config.unix_socket is not None:
        config.unix_socket.unlink(missing_ok=True)
    _log.info("stopped")
    # At once: a thread may still be decoding an import that nobody will answer, for as long as that takes.
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(0)


def _http_server(app: App, limits: EdgeLimits) -> web.Server:
    """Its own limits of line and headers are met on connections that the lane has given away, by a second request."""
    return HttpServer(
        app,
        access_log=None,
        auto_decompress=False,
        lingering_time=_LINGER_S,
        max_line_size=limits.request_line_bytes,
        max_field_size=limits.header_bytes,
    )


def _api_settings(config: ServerConfig, identity: Identity) -> ApiSettings:
    return ApiSettings(
        host=config.host,
        port=config.port,
        testing=config.testing,
        hostname=socket.gethostname(),
        device_id=identity.device_id,
        version=__version__,
        webui_dir=config.webui,
        custom_pages=config.custom_static,
        cors_origins=config.cors_origins,
        allowed_hosts=config.allow_hosts,
        proxies=Proxies(config.trusted_proxies),
        base_path=config.base_path,
        is_encrypted=config.tls_cert is not None,
        body_bytes_max=config.max_body_bytes,
        import_bytes_max=config.max_import_bytes,
        access_log=config.access_log,
        limits=EdgeLimits(
            bodies_bytes=config.max_bodies_bytes,
            request_line_bytes=config.max_request_line_bytes,
            header_bytes=config.max_header_bytes,
            header_s=config.max_header_s,
            silence_s=config.max_silence_s,
            unread_s=config.max_unread_s,
            connections=config.max_connections,
            connections_per_address=config.max_connections_per_address,
            form_parts=config.max_form_parts,
            form_header_bytes=config.max_form_header_bytes,
        ),
    )


def _port_of(sockets: list[socket.socket]) -> int | None:
    """The port that the first of them listens on, which web origins are compared with."""
    address = sockets[0].getsockname()
    return int(address[1]) if isinstance(address, tuple) else None


def _say_where(config: ServerConfig, does: str) -> None:
    scheme = "http" if config.tls_cert is None else "https"
    host = f"[{config.host}]" if ":" in config.host else config.host
    with suppress(OSError):  # a file on a full disk: that is no reason not to serve
        click.echo(f"awlog {__version__} is {does}: {scheme}://{host}:{config.port}{config.base_path}/")
        click.echo(f"The data are in {config.data_dir}")
        sys.stdout.flush()


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process at once, which is only a crash."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(stop))
    return stopping


def _raise_open_files_limit() -> None:
    """The soft limit to the hard one: each connection is a file."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
