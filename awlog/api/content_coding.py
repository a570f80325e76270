"""Compressed answers: which coding a client takes, and the coding itself."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final, Literal, Protocol

import zstandard

Coding = Literal["zstd", "gzip"]

# Shorter answers fit into a few packets as they are.
COMPRESSED_FROM_BYTES: Final = 16 << 10
# The lowest levels: already a fifth of the size, at 100 MB/s (gzip) and 600 MB/s (zstd).
_ZSTD_LEVEL: Final = 1
_GZIP_LEVEL: Final = 1
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
# Pieces shorter than this are not worth a thread: under half a millisecond.
_IN_THREAD_FROM_BYTES: Final = 32 << 10


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def coding_for(accept_encoding: str) -> Coding | None:
    """The best coding that this header takes; None for none. RFC 9110, section 12.5.3."""
    taken: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        taken[name] = not any(_is_zero(parameter) for parameter in parameters)
    for coding in ("zstd", "gzip"):
        if taken.get(coding, taken.get("*", False)):
            return coding
    return None


def takes_gzip(accept_encoding: str) -> bool:
    """For what is stored in that coding."""
    without_zstd = ",".join(part for part in accept_encoding.split(",") if "zstd" not in part.lower())
    return coding_for(without_zstd) == "gzip"


def _is_zero(parameter: str) -> bool:
    """Is it a weight of nothing: `q=0`, `q=0.0` ...?"""
    name, _, weight = parameter.partition("=")
    return name.strip() == "q" and weight.strip().strip("0") in ("", ".")


class Encoder:
    """One answer on its way through a compressor, which works in a thread, so that nobody waits for it."""

    def __init__(self, coding: Coding) -> None:
        self._compressor: _Compressor = (
            zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
            if coding == "zstd"
            else zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        )

    async def encode(self, piece: bytes, *, last: bool = False) -> bytes:
        """What there is to send after this piece; perhaps nothing yet."""
        if len(piece) < _IN_THREAD_FROM_BYTES:
            return self._encode(piece, last)
        return await asyncio.to_thread(self._encode, piece, last)

    def _encode(self, piece: bytes, last: bool) -> bytes:
        encoded = self._compressor.compress(piece)
        return encoded + self._compressor.flush() if last else encoded
