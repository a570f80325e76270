"""Bucket ids: `rest-api.md` section 2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.model.bucket import BUCKET_ID_BYTES_MAX, check_bucket_id, is_valid_bucket_id
from awlog.model.errors import BadRequest


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("aw-watcher-window_desk", id="a watcher's"),
        pytest.param("x", id="one character"),
        pytest.param(" ", id="a blank"),
        pytest.param("0", id="a digit"),
        pytest.param("events", id="a word of the API"),
        pytest.param("export", id="another"),
        pytest.param("..", id="two points"),
        pytest.param("a/b", id="a slash"),
        pytest.param("a%2Fb", id="an escape as text"),
        pytest.param('"quoted"\\', id="quotes and a backslash"),
        pytest.param("Fenster über 日本", id="letters of the world"),
        pytest.param("e\N{COMBINING ACUTE ACCENT}", id="not normalised"),
        pytest.param("\N{GRINNING FACE}", id="outside the first plane"),
        pytest.param("\x80\x9f", id="C1 controls, which are not excluded"),
        pytest.param("\N{LINE SEPARATOR}", id="line separator"),
        pytest.param("x" * 1024, id="1,024 bytes"),
        pytest.param("é" * 512, id="1,024 bytes of two each"),
    ],
)
def test_any_text_without_control_characters_is_a_bucket_id(text: str) -> None:
    """Up to 1,024 bytes of UTF-8."""
    assert is_valid_bucket_id(text)
    check_bucket_id(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 1025, id="1,025 bytes"),
        pytest.param("é" * 512 + "x", id="1,025 bytes in 513 characters"),
        pytest.param("\N{GRINNING FACE}" * 257, id="1,028 bytes in 257 characters"),
        pytest.param("\ud83d", id="half a surrogate pair"),
        *(pytest.param(f"a{chr(code)}b", id=f"U+{code:04X}") for code in (*range(0x20), 0x7F)),
    ],
)
def test_other_texts_are_no_bucket_ids(text: str) -> None:
    """Empty, too long, with a control character, or no Unicode text at all."""
    assert not is_valid_bucket_id(text)
    with pytest.raises(BadRequest, match="1024"):
        check_bucket_id(text)


@given(st.text(max_size=400))
def test_a_bucket_id_is_valid_by_its_bytes_and_its_control_characters_alone(text: str) -> None:
    """Counted in bytes of UTF-8, not in characters."""
    has_controls = any(ord(char) < 0x20 or ord(char) == 0x7F for char in text)
    assert is_valid_bucket_id(text) == (0 < len(text.encode()) <= BUCKET_ID_BYTES_MAX and not has_controls)
