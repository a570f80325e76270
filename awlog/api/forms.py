"""In which form events are sent: what a request asks for, and documents of other forms than JSON."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote

from aiohttp import web

from awlog.api.call import Call
from awlog.api.describe import Parameter
from awlog.model.errors import BadRequest
from awlog.model.forms import FORMS, JSON, Form, form_accepted, form_named
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros

_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")

FORM_PARAMETERS: Final = (
    Parameter(
        "format",
        Literal["json", "ndjson", "csv", "arrow", "parquet"],
        "The form of the answer, in place of the `Accept` header",
        example="json",
    ),
    Parameter("spreadsheet", Literal["0", "1"], "CSV: an apostrophe before texts that a spreadsheet would run"),
)


FILE_TYPES: Final = tuple(form.media_type for form in FORMS.values() if form is not JSON)


def form_of(call: Call) -> Form:
    """By `?format=`, else by the `Accept` header. Raises BadRequest."""
    _for_spreadsheets(call)
    known = call.headers.get("Vary")
    call.headers["Vary"] = f"{known}, Accept" if known else "Accept"
    name = call.query.get("format")
    return form_accepted(call.request.headers.get("Accept", "")) if name is None else form_named(name)


async def send_document(
    call: Call,
    form: Form,
    bucket_id: str | None,
    name: str,
    start_us: Micros = TIME_MIN_US,
    end_us: Micros = TIME_MAX_US,
    *,
    count_max: int | None = None,
    with_ids: bool = False,
    headers: dict[str, str] | None = None,
) -> web.StreamResponse:
    """Events as a file to keep, `name` and the form's suffix."""
    document = call.engine.reads.document(
        form,
        bucket_id,
        start_us,
        end_us,
        count_max=count_max,
        with_ids=with_ids,
        for_spreadsheets=_for_spreadsheets(call),
    )
    sent = {**(headers or {}), "Content-Disposition": content_disposition(f"{name}{form.suffix}")}
    return await call.stream(document, sent, form.media_type)


def _for_spreadsheets(call: Call) -> bool:
    text = call.query.get("spreadsheet", "0")
    if text not in ("0", "1"):
        raise BadRequest("`spreadsheet` is 0 or 1")
    return text == "1"


def content_disposition(filename: str) -> str:
    """An attachment header that no name can break: plain names as they are, others quoted and in UTF-8 besides."""
    if all(char in _PLAIN for char in filename):
        return f"attachment; filename={filename}"
    fallback = "".join(char if char in _PLAIN or char == " " else "_" for char in filename)
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(filename, safe='')}"
