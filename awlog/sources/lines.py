"""Events as lines of JSON: `{"timestamp", "duration", "data"}`, perhaps each with the `bucket` that it belongs to."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from awlog.model.errors import BadRequest
from awlog.sources.event_text import decode_event, take_event
from awlog.sources.json_stream import VALUE_BYTES_MAX
from awlog.sources.source import STEP_BYTES, Found, NamedByEvents, PayloadTexts, SourceBucket, SourceUnreadable, Step

_STEP_LINES: Final = 4096


class Lines(NamedByEvents):
    """A `Source`."""

    def __init__(self, path: Path, described: SourceBucket, *, line_bytes_max: int = VALUE_BYTES_MAX) -> None:
        super().__init__(described)
        self.title = f"lines of JSON, {path}"
        self._path = path
        self._line_bytes_max = line_bytes_max
        try:
            self._file = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise SourceUnreadable(f"{path} cannot be read: {error.strerror}") from None

    def steps(self) -> Iterator[Step]:
        texts = PayloadTexts()
        step = Step({}, 0)
        number = 0
        while line := self._file.readline(self._line_bytes_max):
            number += 1
            step.read += len(line)
            if len(line) == self._line_bytes_max and not line.endswith(b"\n"):
                step.read += self._skip_line()
                self._refuse(f"A line of more than {self._line_bytes_max} bytes", step)
            elif text := line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").strip():
                self._take(text, texts, step)
            if number % _STEP_LINES == 0 or step.read >= STEP_BYTES:
                yield step
                step = Step({}, 0)
        yield step

    def _skip_line(self) -> int:
        """What is left of it is no line of its own. Gives its bytes."""
        skipped_bytes = 0
        while piece := self._file.readline(STEP_BYTES):
            skipped_bytes += len(piece)
            if piece.endswith(b"\n"):
                break
        return skipped_bytes

    def _refuse(self, reason: str, step: Step) -> None:
        step.found.setdefault(self._described.id, Found()).refuse(reason)

    def _take(self, text: bytes, texts: PayloadTexts, step: Step) -> None:
        bucket_id = self._described.id
        try:
            body = decode_event(text)
            bucket_id = body.bucket or bucket_id
            take_event(body, texts, step.found.setdefault(bucket_id, Found()))
        except BadRequest as refusal:
            step.found.setdefault(bucket_id, Found()).refuse(str(refusal))

    def close(self) -> None:
        self._file.close()
