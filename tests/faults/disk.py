"""The disk as a power cut leaves it, rebuilt from a record of the calls that a server made.

What a call wrote is *pending* from the start of the call until a sync makes it durable:

data of a file     fsync or fdatasync of that file, begun after the write had ended; O_DSYNC: the write's own end
name in a folder   fsync of the folder: a file that was created, renamed or removed without one may come back or go

A cut keeps what is durable. Without a random generator it drops all that is pending. With one it keeps some of it, in
any order: of each 4 KiB page the first 0 to n of the writes that touched it (a page cache holds one version of a page
at a time and may have sent any of them to the disk), a length from the durable one up to the longest written one,
filled with zeros, and of the names the first 0 to n changes (file systems keep a journal of these, in order).

A sync that *fails* is believed, as promise D7 demands: the kernel marks the pages clean that it could not write, so
what was pending is settled there and then (dropped, or kept in part), and no later sync can bring it back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.trace import (
    MEANINGLESS,
    NAMES,
    OPENS,
    PLAIN_WRITES,
    POSITIONED_WRITES,
    RECEIVES,
    SYNCS,
    UNFOLLOWED,
    Call,
    Descriptors,
    plain,
)

PAGE_BYTES = 4096


@dataclass
class Change:
    """One write of `data` at `offset`; or, with data None, a new length `offset`. `ended` None: still going on."""

    offset: int
    data: bytes | None
    ended: int | None = None


@dataclass
class File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    length: int = 0  # as the processes see it

    def make_durable(self, before: int) -> None:
        """A sync that began on line `before` has succeeded: what ended earlier is on the disk, in order."""
        for change in [c for c in self.pending if c.ended is not None and c.ended < before]:
            _apply(self.durable, change)
            self.pending.remove(change)

    def settle(self, random: Random | None, before: int) -> None:
        """A sync that began on line `before` has failed: what ended earlier is kept in part or lost, for good."""
        lost = [c for c in self.pending if c.ended is not None and c.ended < before]
        self.durable = bytearray(_after_cut(bytes(self.durable), lost, random))
        self.pending = [c for c in self.pending if c not in lost]

    def after_cut(self, random: Random | None) -> bytes:
        return _after_cut(bytes(self.durable), self.pending, random)


def _apply(content: bytearray, change: Change) -> None:
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _after_cut(durable: bytes, pending: list[Change], random: Random | None) -> bytes:
    """`durable` with a random part of `pending`; without a generator, with nothing of it."""
    content = bytearray(durable)
    if random is None or not pending:
        return bytes(content)
    lengths = [index for index, change in enumerate(pending) if change.data is None]
    kept_lengths = random.randint(0, len(lengths))
    last = lengths[kept_lengths] if kept_lengths < len(lengths) else len(pending)
    pages: dict[int, list[tuple[int, Change]]] = {}
    for order, change in enumerate(pending[:last]):
        if change.data is not None:
            for page in range(change.offset // PAGE_BYTES, -(-(change.offset + len(change.data)) // PAGE_BYTES)):
                pages.setdefault(page, []).append((order, change))
    kept = [
        (order, page, change)
        for page, changes in pages.items()
        for order, change in changes[: random.randint(0, len(changes))]
    ]
    kept += [(order, -1, change) for order, change in enumerate(pending[:last]) if change.data is None]
    for _, page, change in sorted(kept, key=lambda piece: piece[:2]):
        if change.data is None:
            _apply(content, change)
            continue
        first = max(change.offset, page * PAGE_BYTES)
        end = min(change.offset + len(change.data), (page + 1) * PAGE_BYTES)
        _apply(content, Change(first, change.data[first - change.offset : end - change.offset]))
    longest = max([change.offset + len(change.data or b"") for change in pending[:last]], default=0)
    if longest > len(content) and random.random() < 0.5:
        content.extend(bytes(random.randint(0, longest - len(content))))
    return bytes(content)


@dataclass
class NameChange:
    """`path` now names `file`; None: nothing any more. A rename takes the name `removed` away in the same moment."""

    path: Path
    file: File | None
    ended: int
    is_folder: bool = False
    removed: Path | None = None


class Disk:
    """Follows the calls of a record, in order; `root` and what is above it were there before and stay."""

    def __init__(self, root: Path, random: Random | None) -> None:
        self.root = root
        self.random = random
        self.names: dict[Path, File] = {}  # as the processes see them
        self.durable_names: dict[Path, File] = {}
        self.durable_folders: set[Path] = {root}
        self.pending_names: list[NameChange] = []
        self._descriptors = Descriptors()
        self._positions: dict[tuple[int, int], int] = {}
        self._going_on: dict[int, tuple[File, Change]] = {}  # line on which the write started -> what it changes

    def holding(self, files: dict[Path, bytes]) -> Disk:
        """Puts files, named relative to root, on the disk before the record begins: durable, in durable folders."""
        for path, content in files.items():
            file = File(bytearray(content), length=len(content))
            self.names[self.root / path] = self.durable_names[self.root / path] = file
            self.durable_folders |= {above for above in (self.root / path).parents if above.is_relative_to(self.root)}
        return self

    def follow(self, calls: list[Call], until_line: int) -> Disk:
        """Takes in everything that the record holds before `until_line`. To be called once."""
        steps = [(call.started, 0, call) for call in calls if call.started < until_line]
        steps += [(c.ended, 1, c) for c in calls if c.ended is not None and c.ended < until_line]
        for line, end, call in sorted(steps, key=lambda step: step[:2]):
            if end:
                self._end(call, line)
            else:
                self._start(call)
        return self

    def cut(self) -> dict[Path, bytes]:
        """What a power cut at this moment leaves: the path of each file, relative to root, and its content."""
        names, folders = dict(self.durable_names), set(self.durable_folders)
        kept = self.random.randint(0, len(self.pending_names)) if self.random else 0
        for change in self.pending_names[:kept]:
            _rename(names, folders, change)
        return {
            path.relative_to(self.root): file.after_cut(self.random)
            for path, file in names.items()
            if all(above in folders for above in path.parents if above.is_relative_to(self.root))
        }

    def _file(self, call: Call) -> File | None:
        return self.names.get(Path(call.target))

    def _start(self, call: Call) -> None:
        file = self._file(call)
        if file is None:
            return
        if Path(call.target).name in MEANINGLESS:
            return
        assert call.name not in UNFOLLOWED, f"line {call.started}: {call.name} on {call.target} cannot be followed"
        change = None
        if call.name in POSITIONED_WRITES:
            change = Change(int(call.args.rpartition(",")[2]), call.whole_payload())
            if call.name == "pwritev2":
                change.offset = int(call.args.split(",")[-2])
        elif call.name in PLAIN_WRITES:
            where = (self._descriptors.process(call.thread), call.descriptor)
            at_end = "O_APPEND" in self._descriptors.flags.get(where, "")
            change = Change(file.length if at_end else self._positions.get(where, 0), call.whole_payload())
        elif call.name == "ftruncate":
            change = Change(int(call.args.rpartition(",")[2]), None)
        elif call.name == "fallocate":
            mode, offset, length = call.args.split(",")[-3:]
            longer = int(offset) + int(length)
            assert (int(mode), longer >= file.length) == (0, True), (
                f"line {call.started}: {call.args} cannot be followed"
            )
            change = Change(longer, None)
        if change is not None:
            file.pending.append(change)
            self._going_on[call.started] = (file, change)

    def _end(self, call: Call, line: int) -> None:
        self._descriptors.follow(call)
        file = self._file(call)
        if call.started in self._going_on:
            self._end_of_change(call, line)
        elif call.name in SYNCS:
            folder = Path(call.target)
            if file is not None and call.succeeded:
                file.make_durable(call.started)
            elif file is not None:
                file.settle(self.random, call.started)
            elif call.succeeded:
                self._sync_folder(folder, call.started)
        elif not call.succeeded:
            return
        elif call.name in OPENS:
            self._open(call, line)
        elif call.name in NAMES:
            self._change_names(call, line)
        elif call.name == "lseek" and file is not None and call.result is not None:
            self._positions[self._descriptors.process(call.thread), call.descriptor] = call.result
        elif call.name in RECEIVES and file is not None and call.result is not None:
            where = (self._descriptors.process(call.thread), call.descriptor)
            self._positions[where] = self._positions.get(where, 0) + call.result

    def _end_of_change(self, call: Call, line: int) -> None:
        file, change = self._going_on.pop(call.started)
        if not call.succeeded or call.result is None:
            file.pending.remove(change)
            return
        change.ended = line
        if change.data is not None:
            change.data = change.data[: call.result]
            file.length = max(file.length, change.offset + len(change.data))
            if call.name in PLAIN_WRITES:
                where = (self._descriptors.process(call.thread), call.descriptor)
                self._positions[where] = change.offset + len(change.data)
            if self._descriptors.is_synchronous(call):
                file.pending.remove(change)
                _apply(file.durable, change)
        else:
            file.length = change.offset

    def _sync_folder(self, folder: Path, before: int) -> None:
        for change in [c for c in self.pending_names if c.path.parent == folder and c.ended < before]:
            _rename(self.durable_names, self.durable_folders, change)
            self.pending_names.remove(change)

    def _open(self, call: Call, line: int) -> None:
        assert call.result is not None
        self._positions[self._descriptors.process(call.thread), call.result] = 0
        path = _paths(call)[0]
        if not path.is_relative_to(self.root):
            return
        if path not in self.names and "O_CREAT" in call.args:
            self._name(NameChange(path, File(), line))
        elif path in self.names and "O_TRUNC" in call.args:
            self.names[path].pending.append(Change(0, None, line))
            self.names[path].length = 0

    def _change_names(self, call: Call, line: int) -> None:
        paths = _paths(call)
        if not all(path.is_relative_to(self.root) for path in paths):
            return
        if call.name.startswith("mkdir"):
            self._name(NameChange(paths[0], File(), line, is_folder=True))
        elif call.name.startswith("rename"):
            self._name(NameChange(paths[1], self.names.get(paths[0]), line, removed=paths[0]))
        elif call.name.startswith(("unlink", "rmdir")):
            self._name(NameChange(paths[0], None, line))
        elif call.name.startswith("link"):
            self._name(NameChange(paths[1], self.names.get(paths[0]), line))

    def _name(self, change: NameChange) -> None:
        _rename(self.names, set(), change)
        self.pending_names.append(change)


def _rename(names: dict[Path, File], folders: set[Path], change: NameChange) -> None:
    if change.is_folder:
        folders.add(change.path)
    elif change.file is None:
        names.pop(change.path, None)
        folders.discard(change.path)
    else:
        names[change.path] = change.file
        if change.removed is not None:
            names.pop(change.removed, None)


def _paths(call: Call) -> list[Path]:
    """The paths in the arguments, absolute: each text is relative to the folder whose descriptor stands before it."""
    paths = []
    parts = call.args.split('"')
    for before, text in zip(parts[0::2], parts[1::2], strict=False):
        folder = plain(before.rpartition("<")[2].partition(">")[0]) if "<" in before else str(Path.cwd())
        name = bytes.fromhex(text.replace("\\x", "")).decode(errors="surrogateescape")
        paths.append(Path(os.path.normpath(Path(folder) / name)))
    return paths


def read_in(folder: Path) -> dict[Path, bytes]:
    """All files below `folder`, named relative to it."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_out(files: dict[Path, bytes], folder: Path) -> None:
    """Puts the files of a cut into `folder`."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
