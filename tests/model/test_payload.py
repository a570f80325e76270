"""The canonical form of `data`: equal data are equal bytes, and what is accepted can be read back."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.model.errors import BadRequest
from awlog.model.payload import NESTING_MAX, canonical_object, canonical_value, check_nesting, mend_lone_surrogates

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
objects = st.dictionaries(st.text(max_size=6), values, max_size=5)


def typed(value: Any) -> Any:
    """The value with its types spelled out, so that `1`, `1.0` and `true` differ, and `0.0` and `-0.0` too."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return type(value).__name__, repr(value)


def turned(value: Any) -> Any:
    """The value with the keys of all its objects in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(inner) for key, inner in reversed(value.items())}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


def nested(levels: int, kind: str) -> bytes:
    """An object of so many levels: of lists below the first, of objects, or of both by turns."""
    openings = [
        b"{",
        *(b"[" if kind == "lists" or (kind == "both" and i % 2 == 0) else b"{" for i in range(levels - 1)),
    ]
    opened = b"".join(
        bracket if i == levels - 1 else bracket + (b'"k":' if bracket == b"{" else b"")
        for i, bracket in enumerate(openings)
    )
    return opened + b"".join(b"}" if bracket == b"{" else b"]" for bracket in reversed(openings))


@given(objects)
def test_what_comes_in_can_be_read_back_equal(data: dict[str, Any]) -> None:
    """Every JSON object: integers of any size, floats to the last bit, nested values, empty keys."""
    payload = canonical_object(json.dumps(data).encode())
    assert typed(json.loads(payload)) == typed(data)


@given(objects)
def test_equal_data_are_equal_bytes(data: dict[str, Any]) -> None:
    """Key order, white space and escapes mean nothing; the canonical form is its own canonical form."""
    payload = canonical_object(json.dumps(data, separators=(",", ":")).encode())
    assert canonical_object(json.dumps(turned(data), indent=3).encode()) == payload
    assert canonical_object(json.dumps(data, ensure_ascii=False).encode()) == payload
    assert canonical_object(payload) == payload


@given(values)
def test_any_json_value_has_a_canonical_form(value: Any) -> None:
    """A setting may be a text, a number, a list, null."""
    assert typed(json.loads(canonical_value(json.dumps(value).encode()))) == typed(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}'),
        (b'{"a":{"x":1,"y":[1,2]}}', b' { "a" : { "y" : [ 1 , 2 ] , "x" : 1 } } '),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode()),
        (b'{"a":"\\/"}', b'{"a":"/"}'),
        (b'{"\\u0061":1}', b'{"a":1}'),
        (b'{"a":"\\ud83d\\ude00"}', '{"a":"\N{GRINNING FACE}"}'.encode()),
        (b'{"a":1E5}', b'{"a":100000.0}'),
        (b'{"a":0.10}', b'{"a":1e-1}'),
        (b"null", b"{}"),
    ],
)
def test_two_ways_to_write_the_same_data_are_equal(one: bytes, other: bytes) -> None:
    """So a heartbeat merges, whichever client wrote it."""
    assert canonical_object(one) == canonical_object(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":true}'),
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":0}', b'{"a":false}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":[]}', b'{"a":{}}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":"x"}', b'{"A":"x"}'),
        (b'{"a":"\\u00e9"}', b'{"a":"e\\u0301"}'),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}'),
        (b'{"a":18446744073709551616}', b'{"a":18446744073709551617}'),
        (b'{"":1}', b'{"a":1}'),
    ],
)
def test_different_data_stay_different(one: bytes, other: bytes) -> None:
    """`true` is not 1, `"1"` is not 1, order in a list counts, no Unicode normalisation, integers are exact."""
    assert canonical_object(one) != canonical_object(other)


@pytest.mark.parametrize("digits", [19, 20, 40, 309, 400, 4000])
def test_integers_beyond_64_bits_are_kept_digit_by_digit(digits: int) -> None:
    """Also where a double would have overflowed."""
    for number in ("9" * digits, "-" + "9" * digits):
        raw = f'{{"n":{number}}}'.encode()
        assert canonical_object(raw) == raw


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"[]", id="list"),
        pytest.param(b"[{}]", id="list of an object"),
        pytest.param(b'"x"', id="text"),
        pytest.param(b"1", id="number"),
        pytest.param(b"true", id="boolean"),
    ],
)
def test_data_that_are_no_object_are_refused(raw: bytes) -> None:
    """Any JSON value of another type."""
    with pytest.raises(BadRequest, match="object"):
        canonical_object(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b'{"a":1}x', id="more after the end"),
        pytest.param(b'{"a":1}{}', id="two documents"),
        pytest.param(b"{'a':1}", id="wrong quotes"),
        pytest.param(b'{"a":1,}', id="comma at the end"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="infinity"),
        pytest.param(b'{"a":1e400}', id="beyond a double"),
        pytest.param(b'{"a":-1e400}', id="below a double"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param(b'{"a":"\n"}', id="a raw line break in a text"),
        pytest.param(b'{"a":"\\ud83d"}', id="half a surrogate pair, not mended"),
    ],
)
def test_malformed_json_is_refused(raw: bytes) -> None:
    """Never a NaN, never a number that no client could read."""
    for canonical in (canonical_object, canonical_value):
        with pytest.raises(BadRequest):
            canonical(raw)


@pytest.mark.parametrize("kind", ["lists", "objects", "both"])
def test_data_may_be_nested_500_levels_deep_and_no_deeper(kind: str) -> None:
    """What is accepted can be read back by Python's json, which itself gives up near 1,000."""
    assert NESTING_MAX == 500
    deepest = nested(500, kind)
    assert json.loads(canonical_object(deepest)) == json.loads(deepest)
    for levels in (501, 502, 5_000, 100_000):
        with pytest.raises(BadRequest, match="nested"):
            canonical_object(nested(levels, kind))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":"' + b"[" * 2_000 + b'"}', id="brackets in a text"),
        pytest.param(b'{"a":"' + rb"\"[" * 2_000 + b'"}', id="after escaped quotes"),
        pytest.param(
            b'{"a":"' + rb"\\" * 501 + b'","b":' + b"[" * 499 + b"]" * 499 + b"}", id="after escaped backslashes"
        ),
        pytest.param(b'{"' + b"[" * 2_000 + b'":1}', id="in a key"),
        pytest.param(b'{"a":[' + b"[]," * 2_000 + b"[]]}", id="side by side"),
        pytest.param(b'{"a":[' + b'{"b":[1,2]},' * 1_000 + b"{}]}", id="many small objects"),
    ],
)
def test_only_brackets_within_brackets_count_as_levels(raw: bytes) -> None:
    """Texts full of brackets, and long lists of small things, are ordinary."""
    assert json.loads(canonical_object(raw)) == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"t":"[","a":' + b"[" * 500 + b"]" * 500 + b"}", id="a bracket in a text before"),
        pytest.param(b'{"t":"]]]]","a":' + b"[" * 500 + b"]" * 500 + b"}", id="closing brackets in a text"),
        pytest.param(
            rb'{"t":"\\","u":"]]","a":' + b"[" * 500 + b"]" * 500 + b"}", id="a backslash at the end of a text"
        ),
    ],
)
def test_brackets_in_texts_hide_no_depth(raw: bytes) -> None:
    """501 levels stay 501 levels, whatever the texts around them hold."""
    with pytest.raises(BadRequest, match="nested"):
        canonical_object(raw)


@pytest.mark.parametrize("content", [b"x" * (1 << 20), rb"\n" * (1 << 19)], ids=["plain", "escapes"])
def test_the_nesting_of_a_long_text_is_checked_in_flat_memory(content: bytes) -> None:
    """A text as long as a body may be must not cost a hundred times its length."""
    raw = b'{"a":[' + b"[]," * NESTING_MAX + b'"' + content + b'"]}'
    tracemalloc.start()
    try:
        check_nesting(raw)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * len(raw)


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\ude00"', rb'"\ufffd"'),
        (rb'"\uD83D"', rb'"\ufffd"'),
        (rb'"a\ud83db"', rb'"a\ufffdb"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\ud83d\ude00\ude00"', rb'"\ud83d\ude00\ufffd"'),
        (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
        (rb'"\ud83d\u0041"', rb'"\ufffd\u0041"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\\\\ud83d"', rb'"\\\\ud83d"'),
        (rb'"\ud7ff\ue000"', rb'"\ud7ff\ue000"'),
        (rb'{"\ud83d":1}', rb'{"\ufffd":1}'),
        (b"{}", b"{}"),
    ],
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(raw: bytes, mended: bytes) -> None:
    """Whole pairs stay, and a backslash that is itself escaped begins no escape."""
    assert mend_lone_surrogates(raw) == mended


@given(st.text(st.sampled_from('\ud800\udbff\udc00\udfff\\"a\ue000'), max_size=8))
def test_mending_leaves_a_text_that_every_reader_takes(text: str) -> None:
    """Halves that follow each other in the right order are one character; every other half is replaced."""
    whole = re.sub(
        "([\ud800-\udbff])([\udc00-\udfff])|[\ud800-\udfff]",
        lambda found: found.group().encode("utf-16", "surrogatepass").decode("utf-16") if found.group(1) else "\ufffd",
        text,
    )
    assert json.loads(canonical_value(mend_lone_surrogates(json.dumps(text).encode()))) == whole
