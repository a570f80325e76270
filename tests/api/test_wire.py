"""Bodies as they come in: `rest-api.md` sections 1, 2 and 6."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.api import wire
from awlog.api.event_bodies import (
    EVENTS,
    HEARTBEAT,
    IMPORT,
    IMPORTED_BUCKET,
    EventBody,
    PayloadCache,
    decode_events,
    new_event,
    new_events,
)
from awlog.engine import bulk
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.event import Payload
from awlog.model.payload import NESTING_MAX
from awlog.model.times import Micros, parse_timestamp

AT = "2024-05-01T10:00:00Z"
TEN = parse_timestamp(AT)
DECODERS = [EVENTS, HEARTBEAT, wire.CREATE_BUCKET, wire.UPDATE_BUCKET, IMPORT, IMPORTED_BUCKET]


def event_of(fields: str, decoder: msgspec.json.Decoder[Any] = EVENTS) -> NewEvent:
    """The event of a body that has a timestamp and these fields."""
    body = wire.decode(decoder, f'{{"timestamp":"{AT}"{fields}}}'.encode())
    return new_event(body, PayloadCache())


@pytest.mark.parametrize(
    ("fields", "duration_us", "payload", "wire_id"),
    [
        ("", 0, b"{}", None),
        (',"duration":null,"data":null,"id":null', 0, b"{}", None),
        (',"duration":12', 12_000_000, b"{}", None),
        (',"duration":12.5', 12_500_000, b"{}", None),
        (',"duration":-3', 0, b"{}", None),
        (',"data":{}', 0, b"{}", None),
        (',"data":{"b":1,"a":2}', 0, b'{"a":2,"b":1}', None),
        (',"id":4294967299', 0, b"{}", 4294967299),
        (',"id":-1', 0, b"{}", -1),
        (',"id":1180591620717411303424', 0, b"{}", 1 << 70),
        (',"unknown":[1,{"x":null}],"metadata":7', 0, b"{}", None),
    ],
)
def test_an_event_is_read_with_its_optional_fields(
    fields: str, duration_us: int, payload: bytes, wire_id: int | None
) -> None:
    """null is the same as leaving it out; unknown keys are ignored."""
    assert event_of(fields) == NewEvent(TEN, Micros(duration_us), Payload(payload), wire_id)


@pytest.mark.parametrize(
    "fields",
    [
        ',"duration":"12"',
        ',"duration":true',
        ',"duration":[]',
        ',"duration":1e400',
        ',"duration":1e12',
        ',"duration":NaN',
        ',"data":[]',
        ',"data":"x"',
        ',"data":1',
        ',"data":false',
        ',"data":{"n":1e400}',
        ',"data":{',
        ',"timestamp":5',
    ],
)
def test_a_field_of_a_wrong_kind_is_refused(fields: str) -> None:
    """For events, heartbeats and imports alike."""
    for decoder in (EVENTS, HEARTBEAT):
        with pytest.raises(BadRequest):
            event_of(fields, decoder)


@pytest.mark.parametrize("wire_id", ['"1"', "1.0", "1.5", "1e2", "true", "[]", "{}"])
def test_an_id_is_an_integer_where_it_counts_and_ignored_elsewhere(wire_id: str) -> None:
    """POST events refuses another type; a heartbeat and an import never look at it."""
    with pytest.raises(BadRequest, match=r"\$\.id"):
        event_of(f',"id":{wire_id}')
    assert event_of(f',"id":{wire_id}', HEARTBEAT).wire_id is None


@pytest.mark.parametrize("body", ["{}", '{"timestamp":null}', '{"timestamp":1714557600}', '{"data":{}}'])
def test_a_timestamp_is_required(body: str) -> None:
    """A text; the refusal names the field."""
    for decoder in (EVENTS, HEARTBEAT):
        with pytest.raises(BadRequest, match="timestamp"):
            wire.decode(decoder, body.encode())


def test_events_come_alone_or_as_a_list_and_heartbeats_alone() -> None:
    """An empty list is a list."""
    assert wire.decode(EVENTS, b"[]") == []
    assert len(wire.decode(EVENTS, f'[{{"timestamp":"{AT}"}},{{"timestamp":"{AT}"}}]'.encode())) == 2
    for body in (b"[]", f'[{{"timestamp":"{AT}"}}]'.encode()):
        with pytest.raises(BadRequest):
            wire.decode(HEARTBEAT, body)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"7", id="number"),
        pytest.param(b'"x"', id="text"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b"{}{}", id="two documents"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b'{"timestamp":"\xff","type":"\xff","buckets":{"\xff":1}}', id="no UTF-8 in a text"),
        pytest.param(
            b'{"timestamp":"\xed\xa0\x80","type":"\xed\xa0\x80","buckets":{"\xed\xa0\x80":1}}',
            id="a surrogate in UTF-8",
        ),
        pytest.param(b"[" * 100_000, id="deep and cut short"),
        pytest.param(b'{"data":' * 100_000, id="deep objects, cut short"),
    ],
)
def test_a_body_that_is_none_is_a_bad_request_for_every_decoder(raw: bytes) -> None:
    """Never another error: no input may cause a 500."""
    for decoder in DECODERS:
        with pytest.raises(BadRequest):
            wire.decode(decoder, raw)


def test_a_deep_body_is_read_or_refused() -> None:
    """Depth where nobody looks, in an unknown key, is a bad request at worst."""
    deep = b"[" * 50_000 + b"]" * 50_000
    for decoder in DECODERS:
        with suppress(BadRequest):
            wire.decode(
                decoder,
                b'{"timestamp":"2024-05-01","type":"t","client":"c","hostname":"h","buckets":{},"data":{},"x":%b}'
                % deep,
            )


@pytest.mark.parametrize(
    ("written", "data"),
    [
        (rb'{"title":"\ud83d"}', {"title": "\ufffd"}),
        (rb'{"title":"cut \ude00 in half"}', {"title": "cut \ufffd in half"}),
        (rb'{"title":"\ud83d\ude00"}', {"title": "\N{GRINNING FACE}"}),
        (rb'{"\ud83d":1}', {"\ufffd": 1}),
        (rb'{"path":"C:\\ud83d"}', {"path": "C:\\ud83d"}),
    ],
)
def test_half_a_surrogate_pair_is_accepted_and_mended(written: bytes, data: dict[str, Any]) -> None:
    """Windows titles cut in half; in data, in any place of the body."""
    body = wire.decode(EVENTS, b'{"timestamp":"%b","data":%b}' % (AT.encode(), written))
    assert json.loads(new_event(body, PayloadCache()).payload) == data
    created = wire.decode(wire.CREATE_BUCKET, rb'{"type":"\ud83d","client":"c","hostname":"h"}')
    assert created.type == "\ufffd"


def test_a_refusal_says_which_event_of_a_list() -> None:
    """And nothing of what it holds."""
    bodies = [EventBody(AT), EventBody(AT), EventBody("my secret title")]
    with pytest.raises(BadRequest, match=r"events\[2\]: Not a timestamp") as refused:
        new_events(bodies, "events")
    assert "secret" not in str(refused.value)


# Payloads that come again and again


def test_equal_data_are_one_payload_object() -> None:
    """So a hundred thousand imported events of a hundred titles hold a hundred texts."""
    payloads = PayloadCache()
    first = payloads.payload(msgspec.Raw(b'{"a": 1}'))
    assert payloads.payload(msgspec.Raw(b'{"a": 1}')) is first
    assert first == b'{"a":1}'


def test_data_that_were_refused_are_refused_again() -> None:
    """A refusal leaves nothing in the cache."""
    payloads = PayloadCache()
    for _ in range(2):
        for raw in (b"[]", b'{"a":' + b"[" * NESTING_MAX + b"]" * NESTING_MAX + b"}"):
            with pytest.raises(BadRequest):
                payloads.payload(msgspec.Raw(raw))


def test_the_cache_forgets_before_it_grows_too_large() -> None:
    """Any number of different data, and long ones among them: a bounded number of short ones is kept."""
    payloads = PayloadCache()
    for i in range(10_000):
        assert payloads.payload(msgspec.Raw(b'{"n":%d}' % i)) == b'{"n":%d}' % i
    payloads.payload(msgspec.Raw(b'{"long":"' + b"x" * 5_000 + b'"}'))
    kept = payloads._payloads
    assert len(kept) <= 4096
    assert max(map(len, kept)) <= 1024


@pytest.mark.parametrize(("raw", "payload"), [(b"", None), (b"null", None), (b"{}", b"{}"), (b'{"a": 1}', b'{"a":1}')])
def test_a_buckets_data_are_given_or_not(raw: bytes, payload: bytes | None) -> None:
    """An update leaves them as they are if they are missing or null."""
    assert wire.payload_or_none(msgspec.Raw(raw)) == payload


# Long lists

any_data = st.recursive(
    st.none() | st.integers() | st.text(alphabet='ab"\\{}[], ', max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='a},{"', max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
event_bodies = st.fixed_dictionaries(
    {"timestamp": st.just(AT) | st.just("2024-05-01T10:00:00.250000+00:00")},
    optional={
        "duration": st.integers(0, 9) | st.floats(0, 9),
        "data": st.dictionaries(st.text(max_size=3), any_data),
        "id": st.none() | st.integers(1, 9),
        "other": any_data,
    },
)


def read(raw: bytes, piece_bytes: int) -> list[NewEvent] | str:
    """The events, or the message of the refusal."""
    try:
        body = decode_events(raw, piece_bytes)
        assert isinstance(body, list)
        return new_events(body, "events")
    except BadRequest as refusal:
        return str(refusal)


@given(
    st.lists(event_bodies, max_size=8), st.integers(0, 60), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", ":")])
)
def test_a_list_in_pieces_is_the_list_as_a_whole(
    bodies: list[dict[str, Any]], piece_bytes: int, separators: tuple[str, str]
) -> None:
    """Wherever it is cut: data that hold what stands between two events are not taken for two events."""
    raw = json.dumps(bodies, separators=separators).encode()
    assert read(raw, piece_bytes) == read(raw, len(raw))


@given(st.lists(event_bodies, min_size=1, max_size=6), st.data())
def test_a_list_that_is_wrong_somewhere_is_refused_as_a_whole_is(
    bodies: list[dict[str, Any]], data: st.DataObject
) -> None:
    """The same message, which names the same place."""
    raw = json.dumps(bodies).encode()
    at = data.draw(st.integers(0, len(raw) - 1))
    wrong = raw[:at] + data.draw(st.sampled_from([b"", b"x", b'"', b"},{", b"\xff", b"[", b"]"])) + raw[at + 1 :]
    assert read(wrong, data.draw(st.integers(0, 40))) == read(wrong, len(wrong))


@pytest.mark.parametrize("count", [bulk.MANY_EVENTS - 1, bulk.MANY_EVENTS, 2 * bulk.MANY_EVENTS])
def test_many_events_are_read_as_each_is_alone(count: int) -> None:
    """By columns from some length on; with the same events, ids, and one payload for equal data."""
    fields = (
        f'"timestamp":"2024-05-01T10:00:{i % 60:02}{".5" * (i % 2)}Z","duration":{i / 8},"id":{i}' for i in range(count)
    )
    elements = ",".join(f'{{{each},"data":{{"b":{i % 3},"a":1}}}}' for i, each in enumerate(fields))
    body = decode_events(f"[{elements}]".encode())
    assert isinstance(body, list)
    events = new_events(body, "events")
    assert events == [new_event(one, PayloadCache()) for one in body]
    assert len({id(one.payload) for one in events}) == 3


def test_the_bad_one_of_many_events_is_named() -> None:
    """As in a short list."""
    good, bad = f'{{"timestamp":"{AT}"}}', '{"timestamp":"2024-02-30T10:00:00Z"}'
    bodies = decode_events(f"[{','.join([*[good] * 300, bad, good])}]".encode())
    assert isinstance(bodies, list)
    with pytest.raises(BadRequest, match=r"^events\[300\]: Not a timestamp"):
        new_events(bodies, "events")
