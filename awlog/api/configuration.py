"""What the HTTP edge is told at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct, field

BODY_BYTES_MAX: Final = 64 << 20
IMPORT_BYTES_MAX: Final = 1_000 * 1_000_000
# Silence inside a body, and a reader that takes nothing of its answer, end the request.
BODY_SILENCE_S: Final = 30.0
SLOW_READER_S: Final = 60.0
# How often a quiet WebSocket is asked whether it is still there; half of it is the time to answer.
PING_S: Final = 30.0


class ApiSettings(Struct, frozen=True):
    """`host` is what was asked for on the command line, `port` the one that is listened on."""

    host: str
    port: int
    testing: bool
    hostname: str
    device_id: str
    version: str
    webui_dir: Path | None = None
    custom_pages: dict[str, Path] = field(default_factory=dict)
    cors_origins: tuple[str, ...] = ()
    body_bytes_max: int = BODY_BYTES_MAX
    import_bytes_max: int = IMPORT_BYTES_MAX
