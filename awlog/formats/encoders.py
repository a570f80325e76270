"""What each form of a table or list of events is made by, and the document that they make together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from awlog.formats.layout import LayoutFinder
from awlog.log.columns import Columns
from awlog.model import forms
from awlog.model.bucket import BucketMeta
from awlog.model.errors import BadRequest
from awlog.model.event import BucketNumber
from awlog.model.forms import Form
from awlog.model.times import Micros

# Events that are encoded at once: some hundred KiB.
_PART_EVENTS = 4096


class Wanted(Struct, frozen=True):
    """Which events, and what stands beside them. `for_spreadsheets`: texts that a spreadsheet would run are made
    harmless.
    """

    form: str
    start_us: Micros
    end_us: Micros
    count_max: int | None = None
    with_ids: bool = False
    with_buckets: bool = False
    for_spreadsheets: bool = False


class Encoder(Protocol):
    """Bytes of one document, in order; each call may give none yet."""

    def begin(self) -> bytes: ...

    def begin_bucket(self, bucket: BucketMeta) -> bytes: ...

    def events(self, columns: Columns) -> bytes:
        """Of the bucket begun last."""
        ...

    def end(self) -> bytes: ...


class View(Protocol):
    """One moment of the store."""

    def chunks(
        self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros, count_max: int | None
    ) -> Iterator[Columns]: ...


def check_installed(form: Form) -> None:
    """Raises BadRequest, which says how, if a package is not there."""
    if form.extra is not None:
        from awlog.formats.arrow import is_installed

        if not is_installed():
            raise BadRequest(
                f"The format `{form.name}` needs a package that is not installed: pip install 'awlog[{form.extra}]'"
            )


def document(view: View, buckets: list[BucketMeta], wanted: Wanted) -> Iterator[bytes]:
    """The whole document in pieces, in flat memory: what a table's columns are is found out by reading twice."""
    form = forms.form_named(wanted.form)
    finder = LayoutFinder()
    if form.is_table:
        for bucket in buckets:
            for columns in view.chunks(bucket.number, wanted.start_us, wanted.end_us, wanted.count_max):
                finder.observe(columns)
                yield b""  # whoever waits may look whether it is still wanted
    encoder = _encoder(form, wanted, finder)
    yield encoder.begin()
    for bucket in buckets:
        yield encoder.begin_bucket(bucket)
        for columns in view.chunks(bucket.number, wanted.start_us, wanted.end_us, wanted.count_max):
            for at in range(0, len(columns), _PART_EVENTS):
                part = columns.take(slice(at, at + _PART_EVENTS)).clipped(wanted.start_us, wanted.end_us)
                yield encoder.events(part)
    yield encoder.end()


def _encoder(form: Form, wanted: Wanted, finder: LayoutFinder) -> Encoder:
    if form is forms.JSON:
        from awlog.formats.json_document import JsonEncoder

        return JsonEncoder()
    if form is forms.NDJSON:
        from awlog.formats.ndjson import NdjsonEncoder

        return NdjsonEncoder(wanted.with_ids, wanted.with_buckets)
    if form is forms.CSV:
        from awlog.formats.csv import CsvEncoder

        return CsvEncoder(finder.fields(), wanted.with_ids, wanted.with_buckets, wanted.for_spreadsheets)
    from awlog.formats.arrow import ArrowEncoder, ParquetEncoder

    make = ArrowEncoder if form is forms.ARROW else ParquetEncoder
    return make(finder.fields(), wanted.with_ids, wanted.with_buckets)
