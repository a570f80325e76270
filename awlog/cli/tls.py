"""TLS: the files that the settings name -> what connections are encrypted with. Read again on SIGHUP."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from awlog.cli.server_config import ServerConfig
from awlog.model.errors import CannotStart

_log: Final = structlog.get_logger(part="tls")

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsFiles(Struct, frozen=True):
    """`key` None: it is in the certificate's file. `client_ca`: clients need a certificate that one of these has signed."""

    certificate: Path
    key: Path | None
    client_ca: Path | None
    minimum_version: str

    def context(self) -> ssl.SSLContext:
        """Reads the files. Raises CannotStart, which names the setting."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[self.minimum_version]
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise CannotStart(
                f"The certificate cannot be used: {_reason(error)}. See the settings `tls_cert` ({self.certificate}) "
                f"and `tls_key` ({self.key or 'in the same file'})."
            ) from None
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ValueError) as error:
                raise CannotStart(
                    f"The certificates of clients cannot be checked: {_reason(error)}. "
                    f"See the setting `tls_client_ca` ({self.client_ca})."
                ) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def encryption_of(config: ServerConfig) -> Encryption | None:
    """None without TLS. Raises CannotStart, also if somebody seems to have meant it."""
    if config.tls_cert is None:
        if config.tls_key is not None or config.tls_client_ca is not None:
            raise CannotStart("`tls_key` and `tls_client_ca` mean nothing without a certificate: set `tls_cert`, too")
        return None
    return Encryption(TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca, config.tls_min_version))


class Encryption:
    """What new connections are encrypted with. Loop only."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises CannotStart."""
        self._files = files
        self._reading: set[asyncio.Task[None]] = set()
        self.context = files.context()

    def obey_hangups(self, reopen: Callable[[], Awaitable[None]]) -> None:
        """Reads the files again at each SIGHUP, where the system has it; `reopen` then takes connections anew."""

        def begin() -> None:
            reading = asyncio.get_running_loop().create_task(self._read_again(reopen))
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)

        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, begin)

    async def _read_again(self, reopen: Callable[[], Awaitable[None]]) -> None:
        """Connections that are open go on. Files that cannot be used change nothing."""
        try:
            self.context = await asyncio.to_thread(self._files.context)
        except CannotStart as error:
            _log.error("the certificates in use stay", reason=str(error))
            return
        await reopen()
        _log.info("certificates read again")


def _no_password() -> str:
    """Instead of a question on the terminal, which nobody may be sitting at."""
    raise ValueError("the key is encrypted; keep it in the clear, readable by awlog's user only")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM file").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
