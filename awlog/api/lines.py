"""Bytes in pieces of any length -> blocks of whole lines, in flat memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# A block is decoded and decided in one turn of the loop: about 225 heartbeats, 0.8 ms.
BLOCK_BYTES: Final = 32 << 10


class LineSplitter:
    """Puts the pieces of a stream together to blocks that end with a newline.

    A line longer than `line_bytes_max` is thrown away as it comes; None stands for it.
    """

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        # The pieces of a line that has not ended: joined once, when it ends.
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._overlong = False

    def feed(self, piece: bytes) -> Iterator[bytes | None]:
        """Blocks of whole lines, each up to BLOCK_BYTES unless one line is longer; None for a line that is too long."""
        at = 0
        if self._held_bytes or self._overlong:
            end = piece.find(b"\n") + 1
            if not end:
                self._hold(piece)
                return
            self._hold(piece[:end])
            at = end
            yield self._take()
        while at < len(piece):
            end = piece.rfind(b"\n", at, at + BLOCK_BYTES) + 1 or piece.find(b"\n", at + BLOCK_BYTES) + 1
            if not end:
                self._hold(piece[at:])
                return
            block = piece[at:end]
            at = end
            if len(block) > self._line_bytes_max:
                yield from self._lines(block)
            else:
                yield block

    def finish(self) -> Iterator[bytes | None]:
        """The last line, if the stream did not end with a newline."""
        if self._held_bytes or self._overlong:
            yield self._take()

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        self._overlong = self._overlong or self._held_bytes - piece.endswith(b"\n") > self._line_bytes_max
        if self._overlong:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def _take(self) -> bytes | None:
        line = None if self._overlong else b"".join(self._pieces)
        self._pieces.clear()
        self._held_bytes, self._overlong = 0, False
        return line

    def _lines(self, block: bytes) -> Iterator[bytes | None]:
        for line in block.removesuffix(b"\n").split(b"\n"):
            yield line + b"\n" if len(line) <= self._line_bytes_max else None
