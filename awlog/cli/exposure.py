"""When a server must not listen where it is told to: others could read tokens on the way, or need none."""

from __future__ import annotations

import socket

from awlog.api.guard import is_loopback
from awlog.cli.server_config import ServerConfig
from awlog.model.errors import CannotStart


def reached_at(sockets: list[socket.socket], host: str) -> str:
    """The address by which others reach these listening sockets, if there is one; else `host`.

    A service manager may hand over sockets that listen anywhere, whatever the setting `host` says.
    """
    by_tcp = [str(each.getsockname()[0]) for each in sockets if each.family in (socket.AF_INET, socket.AF_INET6)]
    return next((address for address in by_tcp if not is_loopback(address)), host)


def is_exposed(config: ServerConfig) -> bool:
    """Can others than this machine's programs ask, and is that not said to be fine as it is?"""
    return (not is_loopback(config.host) or bool(config.trusted_proxies)) and not config.insecure


def check_exposure(config: ServerConfig, *, needs_tokens: bool) -> None:
    """Raises CannotStart if others could read tokens on the way, or need none. `--insecure` lets everything be."""
    if not is_exposed(config):
        return
    missing = [] if config.tls_cert is not None or config.trusted_proxies else ["TLS"]
    if not needs_tokens:
        missing.append("tokens")
    if missing:
        where = f"--host {config.host}" if not is_loopback(config.host) else "a trusted proxy"
        raise CannotStart(
            f"With {where} other machines reach this server. That needs TLS (--tls-cert and --tls-key, or --trusted-proxy "
            "for a proxy of yours that speaks TLS) and tokens (`awlog token create --scope admin`, or --api-key-file); "
            f"missing here: {' and '.join(missing)}. The flag --insecure starts it all the same."
        )
