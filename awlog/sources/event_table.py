"""A table of events in another server's database -> steps: a page of rows at once or, if a row is odd, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.sources.source import Found, PayloadTexts, Step
from awlog.sources.sqlite_file import Row

ReadPage = Callable[[list[Row], PayloadTexts], tuple[list[NewEvent], Sequence[bool]]]
"""The events of all rows, and which had a duration below zero. About 1 µs a row. Raises if a row is not as usual."""
ReadRow = Callable[[Row, PayloadTexts], tuple[NewEvent, bool]]
"""The same of one row. Raises BadRequest, which says what is wrong with it."""


def event_steps(
    pages: Iterator[list[Row]], ids: dict[Any, str], read_page: ReadPage, read_row: ReadRow
) -> Iterator[Step]:
    """One for each page. A row begins with its number and the key of its bucket; `ids`: key -> bucket id."""
    texts = PayloadTexts()
    read = 0
    for page in pages:
        step = Step({}, page[-1][0] - read)
        read = page[-1][0]
        try:
            events, negative = read_page(page, texts)
        except (BadRequest, AttributeError, TypeError, ValueError):
            for row in page:
                _take(row, ids, read_row, texts, step)
        else:
            step.add([row[1] for row in page], events, ids, negative)
        yield step


def _take(row: Row, ids: dict[Any, str], read_row: ReadRow, texts: PayloadTexts, step: Step) -> None:
    bucket_id = ids.get(row[1])
    if bucket_id is None:
        step.orphan_count += 1
        return
    found = step.found.setdefault(bucket_id, Found())
    try:
        event, is_negative = read_row(row, texts)
    except BadRequest as refusal:
        found.refuse(str(refusal))
    else:
        found.events.append(event)
        found.negative_count += is_negative
