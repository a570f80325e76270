"""Which page of an LMDB file holds what: just enough of the format (0.9, 64 bit) to spoil a page of every class.

page    16 bytes: number u64, padding u16, flags u16, lower u16, upper u16 (overflow pages: their count u32); then slots u16
node    low u16, high u16, flags u16, length of the key u16, key; leaf: data of low | high << 16 bytes, or the number of
        their first overflow page; branch: no data, the child's number is low | high << 16 | flags << 32
meta    behind the page header: magic u32, version u32, address u64, map size u64, two tables of 48 bytes (the free list,
        the main table), last page u64, transaction u64
table   padding u32, flags u16, depth u16, branch, leaf, overflow pages u64, entries u64, root u64
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

PAGE_BYTES = 4096
HEADER_BYTES = 16
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_OVERFLOW_NODE, _TABLE_NODE = 0x01, 0x02
_NO_PAGE = (1 << 64) - 1
_TABLE_BYTES = 48
_TABLES_AT, _TRANSACTION_AT = 40, 144


def newest_meta(content: bytes | bytearray) -> int:
    """Which of the two meta pages counts: 0 or 1."""
    first, second = (struct.unpack_from("<Q", content, page * PAGE_BYTES + _TRANSACTION_AT)[0] for page in (0, 1))
    assert abs(first - second) == 1, "LMDB writes its meta pages in turn"
    return 0 if first > second else 1


def pages_by_class(content: bytes | bytearray) -> dict[str, list[int]]:
    """The pages in use: "free list leaf", "main leaf", "log branch", "log leaf", "segments overflow" and so on."""
    tables = newest_meta(content) * PAGE_BYTES + _TABLES_AT
    found: dict[str, list[int]] = {}
    for name, at in (("free list", tables), ("main", tables + _TABLE_BYTES)):
        for kind, page in _walk(content, name, _root(content, at)):
            found.setdefault(kind, []).append(page)
    return found


def value_spans(content: bytes | bytearray, page: int) -> list[tuple[int, int]]:
    """Where the values of a page stand in the file: of a leaf those kept in it, of an overflow page all behind its head."""
    at = page * PAGE_BYTES
    flags = struct.unpack_from("<H", content, at + 10)[0]
    if flags & _OVERFLOW:
        return [(at + HEADER_BYTES, at + PAGE_BYTES)]
    spans = []
    for slot in range(_slot_count(content, page) if flags & _LEAF else 0):
        node = at + struct.unpack_from("<H", content, at + HEADER_BYTES + 2 * slot)[0]
        low, high, node_flags, key_bytes = struct.unpack_from("<HHHH", content, node)
        start, length = node + 8 + key_bytes, low | high << 16
        if not node_flags & (_OVERFLOW_NODE | _TABLE_NODE) and length:
            spans.append((start, start + length))
    return spans


def _slot_count(content: bytes | bytearray, page: int) -> int:
    lower = struct.unpack_from("<H", content, page * PAGE_BYTES + 12)[0]
    return int(lower - HEADER_BYTES) // 2


def _root(content: bytes | bytearray, table_at: int) -> int:
    return int(struct.unpack_from("<Q", content, table_at + 40)[0])


def _walk(content: bytes | bytearray, name: str, page: int) -> Iterator[tuple[str, int]]:
    if page == _NO_PAGE:
        return
    at = page * PAGE_BYTES
    flags = struct.unpack_from("<H", content, at + 10)[0]
    assert flags & (_BRANCH | _LEAF), f"page {page} of {name} has flags {flags:#x}"
    yield f"{name} {'branch' if flags & _BRANCH else 'leaf'}", page
    for slot in range(_slot_count(content, page)):
        node = at + struct.unpack_from("<H", content, at + HEADER_BYTES + 2 * slot)[0]
        low, high, node_flags, key_bytes = struct.unpack_from("<HHHH", content, node)
        data = node + 8 + key_bytes
        if flags & _BRANCH:
            yield from _walk(content, name, low | high << 16 | node_flags << 32)
        elif node_flags & _TABLE_NODE:
            yield from _walk(content, bytes(content[node + 8 : data]).decode(), _root(content, data))
        elif node_flags & _OVERFLOW_NODE:
            yield f"{name} overflow", int(struct.unpack_from("<Q", content, data)[0])
