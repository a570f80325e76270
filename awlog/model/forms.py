"""The forms in which events leave: their names in queries and options, and what they are called on the wire."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from awlog.model.errors import BadRequest
from awlog.model.numbers import decimal


class Form(Struct, frozen=True):
    """`extra`: what must be installed beside awlog. `is_table`: `data` becomes columns; `is_text`: people can read it."""

    name: str
    media_type: str
    suffix: str
    is_table: bool = True
    is_text: bool = True
    extra: str | None = None


JSON: Final = Form("json", "application/json", ".json", is_table=False)
NDJSON: Final = Form("ndjson", "application/x-ndjson", ".ndjson", is_table=False)
CSV: Final = Form("csv", "text/csv", ".csv")
ARROW: Final = Form("arrow", "application/vnd.apache.arrow.stream", ".arrows", is_text=False, extra="arrow")
PARQUET: Final = Form("parquet", "application/vnd.apache.parquet", ".parquet", is_text=False, extra="arrow")

FORMS: Final = {form.name: form for form in (JSON, NDJSON, CSV, ARROW, PARQUET)}
_BY_MEDIA_TYPE: Final = {
    **{form.media_type: form for form in FORMS.values()},
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "*/*": JSON,
    "application/*": JSON,
}


def form_named(name: str) -> Form:
    """Raises BadRequest."""
    form = FORMS.get(name)
    if form is None:
        raise BadRequest(f"There is no format of that name; there are {', '.join(FORMS)}")
    return form


def form_accepted(accept: str) -> Form:
    """The form that an `Accept` header likes best; JSON if it names none of them, as for all clients that ask for pages."""
    best, best_quality = JSON, 0.0
    for part in accept.split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        form = _BY_MEDIA_TYPE.get(media_type)
        if form is None:
            continue
        quality = _quality(parameters)
        if quality > best_quality:
            best, best_quality = form, quality
    return best


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return decimal(value.strip()) or 0.0
    return 1.0
