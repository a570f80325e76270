"""LMDB's file, read without LMDB: for files that are damaged, which end a process that reads them with LMDB.

Every read is checked against the file's length and the page's own, so that a damaged page is an exception and nothing worse.
Just enough of the format (data version 1, as LMDB 0.9 writes it on little-endian machines):

page    16 bytes: number u64, padding u16, flags u16, lower u16, upper u16 (of overflow pages: their count, u32); then
        slots u16
node    low u16, high u16, flags u16, length of the key u16, key; leaf: data of low | high << 16 bytes, or the number of
        their first overflow page; branch: the child's number is low | high << 16 | flags << 32
meta    behind the page header: magic u32, version u32, address u64, map size u64, two tables (the free list, the main
        table), last page u64, transaction u64
table   size of a page u32, flags u16, depth u16, branch, leaf, overflow pages u64, entries u64, root u64
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

_PAGE: Final = struct.Struct("<QHHHH")
_NODE: Final = struct.Struct("<HHHH")
_META: Final = struct.Struct("<IIQQ")
_TABLE: Final = struct.Struct("<IHHQQQQQ")
_TAIL: Final = struct.Struct("<QQ")
_SLOT: Final = struct.Struct("<H")
_NUMBER: Final = struct.Struct("<Q")
_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_IN_OVERFLOW, _TABLE_NODE = 0x01, 0x02
NO_PAGE: Final = (1 << 64) - 1
_DEPTH_MAX: Final = 32
_METAS: Final = 2
_PAGE_SIZES: Final = frozenset(1 << power for power in range(9, 17))


class PageDamaged(Exception):
    """A page is not what it must be at its place."""


class Node(NamedTuple):
    """A key, and its value or where in the file that is."""

    key: bytes
    value: bytes | None
    first_page: int
    length: int
    is_table: bool


_LOST_NODE: Final = Node(b"", None, 0, 0, is_table=False)
"""In the place of one that leads out of its page; the others of the page may be whole."""


class LostPage(NamedTuple):
    """A page that cannot be read. Its keys were at least `first_key`, and below `end_key` if that is not None."""

    first_key: bytes
    end_key: bytes | None


class Meta(NamedTuple):
    """Of the newest meta page that can be read."""

    page_bytes: int
    free_root: int
    main_root: int
    last_page: int
    txn_id: int


class PageFile:
    """A data file, opened for reading. Raises PageDamaged if neither of its meta pages is whole."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._length = path.stat().st_size
        metas = [meta for meta in map(self._meta, range(_METAS)) if meta is not None]
        if not metas:
            self._file.close()
            raise PageDamaged("both meta pages are damaged")
        self.meta = max(metas, key=lambda meta: meta.txn_id)
        # The transaction before the newest is whole in the file as well; so it may be that the newest was lost.
        self.is_newest_certain = len(metas) == _METAS
        self._page_bytes = self.meta.page_bytes
        self._seen: set[int] = set(range(_METAS))

    def close(self) -> None:
        self._file.close()

    def tables(self, lost: Callable[[LostPage], None]) -> dict[bytes, int]:
        """The roots of the named tables. Tells pages of the main table that cannot be read."""
        roots = {}
        for node in self.nodes(self.meta.main_root, lost):
            if not node.key:
                lost(LostPage(b"", None))
            if node.is_table and node.value is not None and len(node.value) == _TABLE.size:
                roots[node.key] = int(_TABLE.unpack(node.value)[-1])
        return roots

    def nodes(self, root: int, lost: Callable[[LostPage], None]) -> Iterator[Node]:
        """All keys of a table, in order, each page once; a node that cannot be read has an empty key.

        Tells of pages that cannot be read, and goes on behind them.
        """
        if root != NO_PAGE:
            yield from self._walk(root, b"", None, 0, lost)

    def value(self, node: Node) -> bytes:
        """Raises PageDamaged."""
        if node.value is not None:
            return node.value
        self.claim(node)
        return self._read(node.first_page * self._page_bytes + _PAGE.size, node.length)

    def check_extent(self, node: Node) -> None:
        """Do a node and its first overflow page agree about the length, and is it all in the file? Raises PageDamaged.

        LMDB does not look: it would touch every page of what the node says is the length, and die. About 10 µs.
        """
        if node.value is not None:
            return
        end = node.first_page + self._page_count(node)
        if end > self.meta.last_page + 1 or end * self._page_bytes > self._length:
            raise PageDamaged(f"overflow page {node.first_page}")

    def claim(self, node: Node) -> None:
        """Notes that a node's overflow pages are its own, without reading all of them. Raises PageDamaged as above."""
        self.check_extent(node)
        if node.value is None:
            self._seen.update(range(node.first_page, node.first_page + self._page_count(node)))

    def _page_count(self, node: Node) -> int:
        """As the first page says: more than the length needs where LMDB wrote a shorter value over one of the same
        transaction. Raises PageDamaged.
        """
        number, _, flags, low, high = _PAGE.unpack(self._read(node.first_page * self._page_bytes, _PAGE.size))
        page_count: int = low | high << 16
        if (
            number != node.first_page
            or not flags & _OVERFLOW
            or page_count * self._page_bytes < _PAGE.size + node.length
        ):
            raise PageDamaged(f"overflow page {node.first_page}")
        return page_count

    def free_pages(self) -> set[int] | None:
        """The pages that hold nothing now, the free list's own among them. None if that cannot be told."""
        lost: list[LostPage] = []
        free: set[int] = set()
        before = set(self._seen)
        try:
            for node in self.nodes(self.meta.free_root, lost.append):
                if not node.key:
                    return None
                numbers = struct.unpack(f"<{node.length // 8}Q", self.value(node)[: node.length // 8 * 8])
                if not numbers or numbers[0] > len(numbers) - 1:
                    return None
                pages = numbers[1 : 1 + numbers[0]]
                # LMDB sorts them, the greatest first; it would write to whatever page stood there.
                if any(
                    page <= following for page, following in pairwise((self.meta.last_page + 1, *pages, _METAS - 1))
                ):
                    return None
                free.update(pages)
        except PageDamaged:
            return None
        return None if lost else free | (self._seen - before)

    def orphans(self) -> Iterator[Node]:
        """The nodes of leaf pages that no table that was walked leads to, and that are not free: a damaged page led there.

        To be called when all tables were walked, and the values in overflow pages looked at. Gives nothing if the list of
        free pages is damaged: old pages, with what was deleted or changed since, could not be told apart.
        """
        free = self.free_pages()
        if free is None:
            return
        for number in range(_METAS, min(self.meta.last_page + 1, self._length // self._page_bytes)):
            if number in free or number in self._seen:
                continue
            try:
                page, flags = self._page(number)
                nodes = list(self._nodes_of(page)) if flags == _LEAF else []
            except PageDamaged:
                continue
            yield from (node for node in nodes if node.key)

    def _walk(
        self, number: int, first_key: bytes, end_key: bytes | None, depth: int, lost: Callable[[LostPage], None]
    ) -> Iterator[Node]:
        try:
            if number in self._seen or depth > _DEPTH_MAX:
                raise PageDamaged(f"page {number} is met twice")
            page, flags = self._page(number)
            if flags & (_BRANCH | _LEAF) not in (_BRANCH, _LEAF):
                raise PageDamaged(f"page {number} has flags {flags:#x}")
            nodes = list(self._nodes_of(page))
            children = list(self._children_of(page)) if flags & _BRANCH else []
        except PageDamaged:
            lost(LostPage(first_key, end_key))
            return
        self._seen.add(number)
        if not flags & _BRANCH:
            yield from nodes
            return
        for at, (key, child) in enumerate(children):
            following = children[at + 1][0] if at + 1 < len(children) else end_key
            yield from self._walk(child, key if at else first_key, following, depth + 1, lost)

    def _page(self, number: int) -> tuple[bytes, int]:
        page = self._read(number * self._page_bytes, self._page_bytes)
        found, _, flags, lower, upper = _PAGE.unpack_from(page)
        if found != number or not _PAGE.size <= lower <= upper <= self._page_bytes or lower % 2:
            raise PageDamaged(f"page {number}")
        return page, flags

    def _slots(self, page: bytes) -> Iterator[int | None]:
        """Where the nodes are; None for one that would lead out of the page."""
        lower = _PAGE.unpack_from(page)[3]
        for at in range(_PAGE.size, lower, 2):
            node = _SLOT.unpack_from(page, at)[0]
            yield node if lower <= node <= len(page) - _NODE.size else None

    def _nodes_of(self, page: bytes) -> Iterator[Node]:
        """Of a leaf; of a branch nothing."""
        if _PAGE.unpack_from(page)[2] & _BRANCH:
            return
        for at in self._slots(page):
            if at is None:
                yield _LOST_NODE
                continue
            low, high, flags, key_bytes = _NODE.unpack_from(page, at)
            length, start = low | high << 16, at + _NODE.size + key_bytes
            key = page[at + _NODE.size : start]
            in_page = _NUMBER.size if flags & _IN_OVERFLOW else length
            if start + in_page > len(page) or not key:
                yield _LOST_NODE
            elif flags & _IN_OVERFLOW:
                yield Node(key, None, _NUMBER.unpack_from(page, start)[0], length, is_table=False)
            else:
                yield Node(key, page[start : start + length], 0, length, bool(flags & _TABLE_NODE))

    def _children_of(self, page: bytes) -> Iterator[tuple[bytes, int]]:
        for at in self._slots(page):
            if at is None:
                raise PageDamaged("a slot leads out of its page")
            low, high, flags, key_bytes = _NODE.unpack_from(page, at)
            if at + _NODE.size + key_bytes > len(page):
                raise PageDamaged("a key leads out of its page")
            yield page[at + _NODE.size : at + _NODE.size + key_bytes], low | high << 16 | flags << 32

    def _meta(self, number: int) -> Meta | None:
        """None if it is not whole. Where the second one is depends on the size of a page, which the first one says."""
        for page_bytes in sorted(_PAGE_SIZES) if number else [4096]:
            try:
                content = self._read(number * page_bytes, _PAGE.size + _META.size + 2 * _TABLE.size + _TAIL.size)
            except PageDamaged:
                continue
            magic, version, _, _ = _META.unpack_from(content, _PAGE.size)
            free = _TABLE.unpack_from(content, _PAGE.size + _META.size)
            main = _TABLE.unpack_from(content, _PAGE.size + _META.size + _TABLE.size)
            last_page, txn_id = _TAIL.unpack_from(content, _PAGE.size + _META.size + 2 * _TABLE.size)
            if (
                magic == _MAGIC
                and version == _VERSION
                and free[0] in _PAGE_SIZES
                and (number == 0 or free[0] == page_bytes)
            ):
                return Meta(free[0], free[-1], main[-1], last_page, txn_id)
        return None

    def _read(self, at: int, length: int) -> bytes:
        if at + length > self._length:
            raise PageDamaged("the file is cut short")
        self._file.seek(at)
        content = self._file.read(length)
        if len(content) != length:
            raise PageDamaged("the file is cut short")
        return content
