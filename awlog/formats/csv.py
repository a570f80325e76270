"""Events as CSV (RFC 4180, UTF-8, a line of names first): times as on the wire, a column for each key of `data`.

Texts stand in quotation marks, also empty ones; a field without anything is a key that the event lacks. What is read back is
what was stored, so a text that begins with `=` or `+` stays as it is, and a spreadsheet may take it for a formula: titles of
windows are written by strangers. `for_spreadsheets` puts an apostrophe in front of those; then they are not what was stored.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from awlog.formats.layout import Field, decoded, values
from awlog.log.columns import Columns
from awlog.model.bucket import BucketMeta
from awlog.model.event import SEQ_BITS
from awlog.query.render import numbers_as_json, seconds
from awlog.query.timestamps import timestamps_between

_FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_encode: Final = msgspec.json.Encoder().encode


class CsvEncoder:
    """An `Encoder`."""

    def __init__(
        self,
        fields: tuple[Field, ...],
        with_ids: bool,
        with_buckets: bool,
        for_spreadsheets: bool,
    ) -> None:
        self._fields = fields
        self._with_ids = with_ids
        self._with_buckets = with_buckets
        self._for_spreadsheets = for_spreadsheets
        self._bucket: BucketMeta | None = None

    def begin(self) -> bytes:
        names = [
            *(["bucket"] if self._with_buckets else []),
            *(["id"] if self._with_ids else []),
            "timestamp",
            "duration",
            *(field.name for field in self._fields),
        ]
        return ",".join(map(self._text, names)).encode() + b"\r\n"

    def begin_bucket(self, bucket: BucketMeta) -> bytes:
        self._bucket = bucket
        return b""

    def events(self, columns: Columns) -> bytes:
        if not len(columns):
            return b""
        assert self._bucket is not None, "events belong to a bucket"
        before = f"{self._text(self._bucket.id)},".encode() if self._with_buckets else b""
        codes = columns.payload_code.tolist()
        tails = self._tails(columns)
        pieces: list[list[bytes]] = []
        if self._with_ids:
            ids = columns.seq | (self._bucket.number << SEQ_BITS)
            pieces += [[before] * len(columns), numbers_as_json(ids.tolist()), [b","] * len(columns)]
            before = b""
        pieces += [
            timestamps_between(before, columns.start_us, b"+00:00,"),
            numbers_as_json(seconds(columns.duration_us)),
            [tails[code] for code in codes],
        ]
        return b"".join(piece for row in zip(*pieces, strict=True) for piece in row)

    def end(self) -> bytes:
        return b""

    def _tails(self, columns: Columns) -> dict[int, bytes]:
        """What stands behind the duration, for each payload in use."""
        codes = np.unique(columns.payload_code).tolist()
        payloads = [columns.payloads[code] for code in codes]
        data = [decoded(payload) for payload in payloads]
        shown = [[self._field(field, value) for value in values(field, data, payloads)] for field in self._fields]
        rows = zip(*shown, strict=True) if shown else [()] * len(codes)
        return {code: "".join((*row, "\r\n")).encode() for code, row in zip(codes, rows, strict=True)}

    def _field(self, field: Field, value: Any) -> str:
        if value is None:
            return ","
        if field.kind in ("text", "json"):
            return f",{self._text(value)}"
        return f",{_encode(float(value) if field.kind == 'real' else value).decode()}"

    def _text(self, text: str) -> str:
        if self._for_spreadsheets and text.startswith(_FORMULA_BEGINS):
            text = f"'{text}"
        return '"{}"'.format(text.replace('"', '""'))
