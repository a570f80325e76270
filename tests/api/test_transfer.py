"""The name of an exported file in its header: `rest-api.md` section 10."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.api.forms import content_disposition

# Any bucket id, and for good measure what no bucket may be named: controls, line breaks.
names = st.text(max_size=60)
TOKEN = r"[A-Za-z0-9_.-]+"
QUOTED = r'"[A-Za-z0-9_. -]*"'
EXTENDED = r"UTF-8''[A-Za-z0-9_.~%-]*"


@pytest.mark.parametrize("bucket_id", ["notes", "aw-watcher-window_desk", "a.b", "..", "0"])
def test_a_plain_name_stands_as_it_is(bucket_id: str) -> None:
    """As ActivityWatch writes it."""
    filename = f"aw-bucket-export_{bucket_id}.json"
    assert content_disposition(filename) == f"attachment; filename={filename}"


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("a b.json", "attachment; filename=\"a b.json\"; filename*=UTF-8''a%20b.json"),
        ('a"b.json', "attachment; filename=\"a_b.json\"; filename*=UTF-8''a%22b.json"),
        ("a\\b.json", "attachment; filename=\"a_b.json\"; filename*=UTF-8''a%5Cb.json"),
        ("a;b.json", "attachment; filename=\"a_b.json\"; filename*=UTF-8''a%3Bb.json"),
        ("a/b.json", "attachment; filename=\"a_b.json\"; filename*=UTF-8''a%2Fb.json"),
        ("über.json", "attachment; filename=\"_ber.json\"; filename*=UTF-8''%C3%BCber.json"),
        ("a'b%.json", "attachment; filename=\"a_b_.json\"; filename*=UTF-8''a%27b%25.json"),
        ("a\r\nX: y", "attachment; filename=\"a__X_ y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
    ],
)
def test_other_names_are_quoted_and_given_in_utf_8_besides(filename: str, header: str) -> None:
    """Old readers take the quoted one, the others the whole."""
    assert content_disposition(filename) == header


@given(names)
def test_no_name_breaks_the_header(name: str) -> None:
    """Plain ASCII without control characters, in one of two shapes: nothing of the name gets out of its quotes."""
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert re.fullmatch(rf"attachment; filename=({TOKEN}|{QUOTED}; filename\*={EXTENDED}|)", header)


@given(names.filter(bool))
def test_the_whole_name_can_be_read_from_the_header(name: str) -> None:
    """Letter by letter."""
    header = content_disposition(name)
    shown = header.partition("filename*=UTF-8''")[2]
    assert (unquote(shown, errors="strict") if shown else header.partition("filename=")[2]) == name
