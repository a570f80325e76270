"""What the HTTP edge is told at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct, field

from awlog.api.proxies import Proxies

BODY_BYTES_MAX: Final = 64 << 20
IMPORT_BYTES_MAX: Final = 1_000 * 1_000_000
# How often a quiet WebSocket is asked whether it is still there; half of it is the time to answer.
PING_S: Final = 30.0

NO_PROXIES: Final = Proxies(())


class EdgeLimits(Struct, frozen=True):
    """What requests and connections may take beside the length of one body: the settings of the same names with `max_`.

    bodies_bytes   all bodies together that are received or decoded at one time; the next one waits
    header_s       from the first byte of a request to the end of its headers
    silence_s      inside a body
    unread_s       of an answer, without progress
    connections    more wait to be accepted
    """

    bodies_bytes: int = 256 << 20
    request_line_bytes: int = 16 << 10
    header_bytes: int = 64 << 10
    headers: int = 128
    header_s: float = 20.0
    silence_s: float = 30.0
    unread_s: float = 60.0
    connections: int = 100_000
    connections_per_address: int = 4096
    form_parts: int = 100
    form_header_bytes: int = 8 << 10


class ApiSettings(Struct, frozen=True):
    """`host` is what was asked for on the command line, `port` the one that is listened on.

    allowed_hosts   names beside it, `*` for all
    base_path       empty, or like `/awlog`: everything is below it
    is_encrypted    by TLS, on the port
    """

    host: str
    port: int
    testing: bool
    hostname: str
    device_id: str
    version: str
    webui_dir: Path | None = None
    custom_pages: dict[str, Path] = field(default_factory=dict)
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    proxies: Proxies = NO_PROXIES
    base_path: str = ""
    is_encrypted: bool = False
    body_bytes_max: int = BODY_BYTES_MAX
    import_bytes_max: int = IMPORT_BYTES_MAX
    limits: EdgeLimits = EdgeLimits()
    access_log: bool = False
