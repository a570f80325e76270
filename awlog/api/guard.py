"""Who may ask: the Host header against DNS rebinding, the Origin header against foreign web pages. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from awlog.api.configuration import ApiSettings
from awlog.model.errors import HostNotAllowed, OriginNotAllowed

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_EXTENSION_SCHEMES: Final = ("chrome-extension:", "moz-extension:", "safari-web-extension:")
_WRITING_METHODS: Final = frozenset({"POST", "PUT", "DELETE", "PATCH"})
_METHODS: Final = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
# The store id of aw-watcher-web for Chrome.
_WATCHER_WEB: Final = "chrome-extension://nglaklhklhcoonedhgnpgddginnjdadi"
_DEV_SERVER_PORT: Final = 27180


class Guard:
    """The access rules for one listening address. Every check costs a few set look-ups."""

    def __init__(self, settings: ApiSettings) -> None:
        host = settings.host.lower()
        bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
        allowed = {name.lower() for name in settings.allowed_hosts}
        self._allows_every_host = "*" in allowed
        self._hosts = _LOOPBACK_NAMES | {bracketed} | allowed
        # An address is no name that somebody could point elsewhere: beyond this machine every one will do.
        self._allows_addresses = not is_loopback(host)
        if self._allows_addresses:
            self._hosts |= {settings.hostname.lower()}
        scheme = "https" if settings.is_encrypted else "http"
        own = [f"{scheme}://{name}:{settings.port}" for name in ("localhost", "127.0.0.1")]
        patterns = [*own, "moz-extension://*", _WATCHER_WEB, *settings.cors_origins]
        if settings.testing:
            patterns += [f"http://{name}:{_DEV_SERVER_PORT}" for name in ("localhost", "127.0.0.1")]
            patterns.append("chrome-extension://*")
        self._exact = frozenset(pattern for pattern in patterns if "*" not in pattern)
        self._patterns = tuple(
            re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
            for pattern in patterns
            if "*" in pattern
        )

    def check_host(self, hosts: list[str], target: str, forwarded: Sequence[str] = ()) -> None:
        """`hosts`: all Host headers; `target`: the request target, which may name a host too; `forwarded`: what proxies of
        ours were asked for. Raises HostNotAllowed.
        """
        named = [*hosts, *forwarded]
        scheme, separator, rest = target.partition("://")
        if separator and "/" not in scheme and "?" not in scheme:
            named.append(rest.partition("/")[0].rpartition("@")[2])
        if len(hosts) != 1 or not all(self._allows_host(_without_port(name.lower())) for name in named):
            raise HostNotAllowed(
                "The Host header names another host than the one this server listens on; "
                "the setting `allow_hosts` allows others"
            )

    def _allows_host(self, name: str) -> bool:
        if name in self._hosts:
            return True
        return bool(name) and (self._allows_every_host or (self._allows_addresses and _is_address(name)))

    def allows_origin(self, origin: str) -> bool:
        """Does this origin get CORS headers?"""
        return origin in self._exact or any(pattern.fullmatch(origin) for pattern in self._patterns)

    def check_origin(self, method: str, origin: str | None, host: str) -> None:
        """Raises OriginNotAllowed if a foreign web page tries to write."""
        if origin is None or method not in _WRITING_METHODS:
            return
        if self.allows_origin(origin) or origin.startswith(_EXTENSION_SCHEMES) or _is_same(origin, host):
            return
        raise OriginNotAllowed("Pages of this origin may not write here; the setting `cors_origins` allows others")

    def admit(self, method: str, origin: str | None, hosts: Sequence[str]) -> dict[str, str]:
        """The CORS headers of the answer to a request that may be carried out. `hosts`: the first is the one that the
        client asked for. Raises OriginNotAllowed.
        """
        self.check_origin(method, origin, hosts[0] if hosts else "")
        return self.cors_headers(origin)

    def cors_headers(self, origin: str | None) -> dict[str, str]:
        if origin is None or not self.allows_origin(origin):
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def preflight_headers(self, origin: str, asked_headers: str) -> dict[str, str]:
        """What a preflight is told: nothing for an origin that is not allowed."""
        headers = self.cors_headers(origin)
        if headers:
            headers["Access-Control-Allow-Methods"] = _METHODS
            headers["Access-Control-Max-Age"] = "86400"
            if asked_headers:
                headers["Access-Control-Allow-Headers"] = asked_headers
        return headers


def is_loopback(host: str) -> bool:
    """Does this name or address reach this machine only?"""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name[1:-1] if name.startswith("[") else name)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        name, bracket, port = host.partition("]")
        return f"{name}]" if bracket and (not port or _is_port(port)) else ""
    name, colon, digits = host.partition(":")
    return name if not colon or _is_port(f":{digits}") else ""


def _is_port(text: str) -> bool:
    return text.startswith(":") and (len(text) == 1 or (text[1:].isascii() and text[1:].isdigit()))


def _is_same(origin: str, host: str) -> bool:
    """Is the page that asks one of ours?"""
    scheme, separator, origin_host = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and origin_host == host.lower()
