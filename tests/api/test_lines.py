"""A stream in any pieces gives the same lines; memory stays flat, and a line that is too long costs only itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.api import lines as lines_module
from awlog.api.lines import LineSplitter


def lines_of(pieces: list[bytes], line_bytes_max: int) -> list[bytes | None]:
    """The lines of all blocks, without their ends; None for one that was too long."""
    splitter = LineSplitter(line_bytes_max)
    blocks = [block for piece in pieces for block in splitter.feed(piece)] + list(splitter.finish())
    found: list[bytes | None] = []
    for block in blocks:
        if block is None:
            found.append(None)
        else:
            assert block, "no block is empty"
            found += block.removesuffix(b"\n").split(b"\n")
    return found


@given(
    st.lists(
        st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"dddddddd"]), max_size=6).map(b"".join), max_size=12
    ),
    st.integers(1, 20),
)
def test_any_pieces_give_the_lines_of_the_whole(pieces: list[bytes], line_bytes_max: int):
    """As `split` at newlines gives them, but for those that are too long. Blocks are cut here at 8 bytes."""
    expected = b"".join(pieces).split(b"\n")
    if not expected[-1]:
        expected.pop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK_BYTES", 8)
        assert lines_of(pieces, line_bytes_max) == [line if len(line) <= line_bytes_max else None for line in expected]


def test_a_line_that_is_too_long_is_not_held():
    """However long it is: it is thrown away as it comes."""
    splitter = LineSplitter(1000)
    for _ in range(100):
        assert list(splitter.feed(b"x" * 1000)) == []
        assert sum(map(len, splitter._pieces)) <= 1000
    assert list(splitter.feed(b"\nnext\n")) == [None, b"next\n"]


def test_blocks_are_cut_at_the_last_newline_that_fits():
    splitter = LineSplitter(1 << 20)
    line = b"x" * 99 + b"\n"
    blocks = list(splitter.feed(line * 1000))
    assert b"".join(block or b"" for block in blocks) == line * 1000
    assert all(
        block and lines_module.BLOCK_BYTES - 100 < len(block) <= lines_module.BLOCK_BYTES for block in blocks[:-1]
    )
