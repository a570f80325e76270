"""One delivery to a webhook: signed, to an address that was looked at, without following where the answer points.

The name is resolved once, and the connection goes to an address of that answer that may be reached: a name that points
elsewhere a moment later changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Timer
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from awlog.model.errors import BadRequest

# For a step. A receiver that sends a byte now and then keeps to it for ever: so there is one for all steps too.
_TIMEOUT_S: Final = 10.0
_DEADLINE_S: Final = 20.0
_ANSWER_BYTES_MAX: Final = 64 << 10
# Too few to try out what a secret might be.
_SHOWN_DIGITS: Final = 4
SIGNATURE_HEADER: Final = "Awlog-Signature"
# All that is given out for the world; every other block is special, old or new.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# A gateway of the network turns these into the IPv4 address that they end with.
_NAT64: Final = IPv6Network("64:ff9b::/96")


class Webhook(Struct, frozen=True):
    """Where to, with what secret; `allows_private`: also to this machine and to networks that are not public."""

    url: str
    secret: str
    bucket_prefixes: tuple[str, ...] = ("",)
    allows_private: bool = False

    @property
    def shown(self) -> str:
        """The host, and no more of the URL than tells it from another: services put secrets into paths."""
        parts = urlsplit(self.url)
        host = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        return f"{host}/…{hashlib.sha256(self.url.encode()).hexdigest()[:_SHOWN_DIGITS]}"


class NotDelivered(Exception):
    """Why a delivery did not succeed, for the delivery log: no recorded data, no secret."""


def check_url(url: str) -> None:
    """Raises BadRequest for what cannot be a webhook."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or parts.username is not None:
        raise BadRequest("A webhook's URL is like https://hooks.example/awlog, without a name or a password in it")


def signature(secret: str, body: bytes, timestamp_s: int) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA256 of the timestamp, a dot, and the body."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (timestamp_s, body), hashlib.sha256).hexdigest()
    return f"t={timestamp_s},v1={digest}"


def deliver(hook: Webhook, body: bytes, *, delivery_id: str, timestamp_s: int, deadline_s: float = _DEADLINE_S) -> int:
    """The status of the answer, a 2xx. Blocking, `deadline_s` at most once it is connected. Raises NotDelivered."""
    parts = urlsplit(hook.url)
    assert parts.hostname is not None, "checked at the start"
    is_tls = parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    address = _address(parts.hostname, port, allows_private=hook.allows_private)
    connection = _PinnedConnection(parts.hostname, port, address, is_tls=is_tls, deadline_s=deadline_s)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "awlog",
        "Awlog-Delivery": delivery_id,
        SIGNATURE_HEADER: signature(hook.secret, body, timestamp_s),
    }
    try:
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        response.read(_ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise NotDelivered(_too_slow(deadline_s) if connection.was_too_slow else type(error).__name__) from error
    finally:
        connection.end()
    if connection.was_too_slow:  # what was cut off may look like an answer
        raise NotDelivered(_too_slow(deadline_s))
    if not 200 <= response.status < 300:
        raise NotDelivered(f"answered {response.status}")
    return response.status


def _too_slow(deadline_s: float) -> str:
    return f"the answer was not complete within {deadline_s:g} s"


def may_reach(address: str) -> bool:
    """Is it a public address? Not this machine, not a private or link-local network, nothing reserved."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = IPv4Address(found.packed[-4:])
        if inner is not None:
            found = inner
        elif found not in _GLOBAL_UNICAST:
            return False
    return found.is_global and not found.is_multicast


def _address(host: str, port: int, *, allows_private: bool) -> str:
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise NotDelivered("the host's name is not known") from error
    allowed = [address for address in found if allows_private or may_reach(address)]
    if not allowed:
        raise NotDelivered("the host is on a private network, which `webhook_allow_private` would allow")
    return allowed[0]


class _PinnedConnection(http.client.HTTPConnection):
    """To one address, whatever the name says by now; cut off at the deadline, which begins once it is connected."""

    def __init__(self, host: str, port: int, address: str, *, is_tls: bool, deadline_s: float) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_S)
        self._address = address
        self._timer = Timer(deadline_s, self._cut_off)
        self._timer.daemon = True
        # `sock` is let go of when the headers were read, the answer's body comes by it still.
        self._cuttable: socket.socket | None = None
        self.was_too_slow = False
        self._is_tls = is_tls
        if is_tls:
            self.default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        self.sock: Any = socket.create_connection((self._address, self.port), _TIMEOUT_S)
        if self._is_tls:
            self.sock = ssl.create_default_context().wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
        self._cuttable = self.sock
        self._timer.start()
        if self._is_tls:
            self.sock.do_handshake()

    def end(self) -> None:
        self._timer.cancel()
        self.close()

    def _cut_off(self) -> None:
        """Wakes whoever waits for the socket, in another thread. Not TLS's own way, which would wait for the receiver."""
        assert self._cuttable is not None, "it is connected"
        self.was_too_slow = True
        with suppress(OSError):  # it has just ended
            socket.socket.shutdown(self._cuttable, socket.SHUT_RDWR)
