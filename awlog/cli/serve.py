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
from typing import Any, Final

import click
import structlog
from msgspec.structs import replace

from awlog import __version__, telemetry
from awlog.api.guard import is_loopback
from awlog.cli.edge import Edge, Places
from awlog.cli.exposure import check_exposure, reached_at
from awlog.cli.listening import listen, listen_unix
from awlog.cli.local_socket import listen_locally, stop_listening_locally
from awlog.cli.malloc import use_one_arena
from awlog.cli.options import server_config, server_options
from awlog.cli.plans import access_rules_of, api_settings_of, engine_of
from awlog.cli.server_config import ServerConfig
from awlog.cli.service_manager import ServiceManager, handed_over_sockets
from awlog.cli.tls import encryption_of
from awlog.cli.upgrading import upgrade
from awlog.engine.access import AccessRules
from awlog.model.errors import CannotStart, DataDamaged, OtherFormat
from awlog.model.payload import limit_nesting
from awlog.model.rules import limit_rules
from awlog.storage.check import check
from awlog.storage.copying import remove_abandoned
from awlog.storage.damaged import DamagedEnvironment
from awlog.storage.environment import (
    DATA_FILE,
    LOCK_FILE,
    Environment,
    create_if_new,
    make_lock_file_if_full,
    prepare_directory,
)
from awlog.storage.identity import Identity
from awlog.storage.lock import DirectoryLock
from awlog.storage.recovery import recover
from awlog.storage.rehearsal import rehearse
from awlog.storage.room import is_read_only, read_only
from awlog.storage.salvage import require_usable_pages

_log: Final = structlog.get_logger(part="serve")

# When the server has answered those that waited for it, it gets ready for queries.
_READER_AFTER_S: Final = 0.5


@click.command()
@server_options
def serve(**values: Any) -> None:
    """Serve the REST API on the embedded store.

    Example: awlog serve --port 5700 --data-dir ~/awlog-data
    """
    config = server_config(values)
    began_s = time.monotonic()
    use_one_arena()
    telemetry.set_up("json" if config.log_format == "json" else "console", config.log_level)
    os.umask(0o077)  # whatever is made from here on is the owner's alone
    _raise_open_files_limit()
    limit_nesting(config.max_json_nesting)
    limit_rules(config.max_rules, config.max_pattern_bytes)
    prepare_directory(config.data_dir)
    sockets = handed_over_sockets()
    if sockets:
        config = replace(config, host=reached_at(sockets, config.host), port=_port_of(sockets) or config.port)
    # Whether there are tokens is known later; what is missing in any case is said at once.
    check_exposure(config, needs_tokens=True)
    tls = encryption_of(config)
    rules = access_rules_of(config)
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
                places = Places(sockets if unix is None else [*sockets, unix], tls, local)
                runner.run(_serve(config, rules, identity, environment, places, began_s))
        except DataDamaged as damage:
            raise CannotStart(str(damage)) from damage
        finally:
            environment.close()


def _open(config: ServerConfig, *, let_go: Callable[[], object]) -> Environment:
    """The store; if it is damaged, what is whole of it, to be read only. Raises CannotStart if that is too little.

    A damaged store that only ended the server would be started again and again, and nobody would see their data meanwhile.
    """
    try:
        make_lock_file_if_full(config.data_dir)
    except OSError as error:  # which is no reason to call the store damaged
        raise CannotStart(
            f"{config.data_dir / LOCK_FILE} cannot be made: {error.strerror}. Nothing was changed."
        ) from None
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
    if not is_read_only(config.data_dir / DATA_FILE):
        return Environment(config.data_dir, reserve_bytes=config.reserve_bytes)
    environment = Environment(config.data_dir, read_only=True, reserve_bytes=config.reserve_bytes)
    environment.why_read_only = read_only()
    _log.error(
        "THE FILE SYSTEM IS READ-ONLY. The store is served, and nothing is recorded until it is writable",
        data_dir=str(config.data_dir),
    )
    return environment


def _rehearsal(config: ServerConfig) -> None:
    environment = Environment(config.data_dir, read_only=True)
    if environment.is_cut_short():
        problems = check(environment).problems  # touches every page that is in use
        if problems:
            raise CannotStart(f"the file {DATA_FILE} is cut short: {problems[0]}")
    recover(environment)
    environment.close()
    require_usable_pages(config.data_dir)


async def _serve(
    config: ServerConfig,
    rules: AccessRules,
    identity: Identity,
    environment: Environment,
    places: Places,
    began_s: float,
) -> None:
    """Until a signal comes; ends the process."""
    engine = engine_of(config, rules, environment)
    check_exposure(config, needs_tokens=engine.tokens.are_set_up)
    if config.retention_interval_s:
        engine.retention.every(config.retention_interval_s)
    # What was loaded stays for ever: the collector need not walk over it again and again.
    gc.collect()
    gc.freeze()
    fast_lane = config.fast_lane and not config.access_log
    edge = Edge(engine, api_settings_of(config, identity), places, fast_lane=fast_lane)
    stopping = _stop_on_signals()
    await edge.open()
    if config.insecure and not (is_loopback(config.host) and not config.trusted_proxies):
        _log.warning("other machines reach this server, and the setting `insecure` says that nothing has to protect it")
    _log.info("serving", port=config.port, start_ms=round((time.monotonic() - began_s) * 1000))
    does = "recording" if engine.read_only is None else "serving, read-only"
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
    await edge.close()
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
