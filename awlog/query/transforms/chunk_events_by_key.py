"""chunk_events_by_key: neighbours with an equal value become one event that holds them whole."""

from __future__ import annotations

import numpy as np

from awlog.query.events import EventList, canonical_texts
from awlog.query.payloads import ABSENT, json_text
from awlog.query.transforms.groups import summed_by_group

# Around a canonical text of an event's data: names, id, duration, timestamp.
_EVENT_TEXT_BYTES = 100


def chunk_events_by_key(events: EventList, key: str) -> EventList:
    """Runs in list order of events that have the key: start of the first, sum of durations, no id. Gaps end no run."""
    payloads = events.payloads
    used, inverse = events.in_use()
    number = payloads.value_numbers(used, key)[inverse]
    has_key = number != ABSENT
    number = number[has_key]
    events = events.take(has_key)
    if not len(events):
        return events

    opens = np.ones(len(events), np.bool_)
    opens[1:] = number[1:] != number[:-1]
    first = np.flatnonzero(opens)
    bounds = [*first.tolist(), len(events)]
    data_bytes = np.array([len(text) for text in payloads.texts_of(used.tolist())], np.int64)[inverse][has_key]
    payloads.reserve(int(data_bytes.sum()) + _EVENT_TEXT_BYTES * len(events))
    texts = canonical_texts(events)
    codes = []
    for i, code in enumerate(events.payload[first].tolist()):
        subevents = b'"subevents":[' + b",".join(texts[bounds[i] : bounds[i + 1]]) + b"]"
        codes.append(payloads.add_json(_with_value(key, json_text(payloads.data(code)[key]), subevents)))
    return EventList(
        events.start_us[first],
        summed_by_group(events.duration_us, np.cumsum(opens) - 1, len(first)),
        np.array(codes, np.uint32),
        np.zeros(len(first), np.int64),
        payloads,
    )


def _with_value(key: str, value: bytes, subevents: bytes) -> bytes:
    """The canonical object of the two; under the key `subevents` the events win."""
    if key == "subevents":
        return b"{" + subevents + b"}"
    pair = json_text(key) + b":" + value
    return b"{" + (pair + b"," + subevents if key < "subevents" else subevents + b"," + pair) + b"}"
