"""A JSON document is walked through in pieces of any length, and says where it is none."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.sources.json_stream import JsonReader
from awlog.sources.source import SourceUnreadable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def walked(reader: JsonReader) -> Any:
    """Everything, by the reader's own steps."""
    if reader.is_object():
        return {key: walked(reader) for key in reader.members()}
    if reader.is_list():
        return [json.loads(element) for element in reader.elements()]
    return json.loads(reader.value())


@given(value=VALUES, indent=st.none() | st.integers(0, 2), piece_bytes=st.integers(1, 64))
def test_what_is_walked_through_is_what_was_written(value: Any, indent: int | None, piece_bytes: int) -> None:
    """However the pieces are cut: in texts, in escapes, in numbers."""
    text = json.dumps(value, indent=indent, ensure_ascii=bool(piece_bytes % 2)).encode()
    reader = JsonReader(io.BytesIO(text), piece_bytes=piece_bytes)
    assert walked(reader) == value
    reader.expect_end()
    skipping = JsonReader(io.BytesIO(text + b" "), piece_bytes=piece_bytes)
    skipping.skip()
    skipping.expect_end()


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"",
            b" ",
            b"{",
            b'{"a"',
            b'{"a":',
            b'{"a":1',
            b'{"a":1,}',
            b'{"a" 1}',
            b"{1:2}",
            b'{"a":[1,}',
            b'{"a":[1,2,]}',
        ),
        *(b'{"a":"\\"', b'{"a":[[1]', b'{"a":1}}', b'{"a":1} x', b'{"a":}', b'{"\xff":1}'),
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Cut off at any place, too much, too little."""
    with pytest.raises(SourceUnreadable):
        reader = JsonReader(io.BytesIO(text))
        for _ in reader.members():
            reader.skip()
        reader.expect_end()


def test_a_byte_order_mark_is_passed_over() -> None:
    """Some editors on Windows write one."""
    assert list(JsonReader(io.BytesIO(b"\xef\xbb\xbf[1]")).elements()) == [b"1"]
