"""The record that strace writes, read as calls in order; and the rule of promise D1 checked on it.

Made for `strace -f -yy -xx -o RECORD`: every text and path is in hex, so nothing inside one can look like syntax.
With `-f` a call that waits is written in two parts (`<unfinished ...>`, `<... resumed>`); `Call.started` and
`Call.ended` are the numbers of these lines. strace stops a thread at both, so "A ended on a line before the one B
started on" means that A was over when B began. Order in the record counts, never clocks.

A tracer stopped half-way leaves calls that never ended: `ended` is None, and nothing may be concluded from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

RECEIVES = frozenset({"read", "readv", "recvfrom", "recvmsg"})
SENDS = frozenset({"write", "writev", "sendto", "sendmsg"})
POSITIONED_WRITES = frozenset({"pwrite64", "pwritev", "pwritev2"})
PLAIN_WRITES = frozenset({"write", "writev"})
SYNCS = frozenset({"fsync", "fdatasync"})
OPENS = frozenset({"openat", "open", "creat"})
FORKS = frozenset({"clone", "clone3", "fork", "vfork"})
NAMES = frozenset(
    {"mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "link", "linkat", "symlink"}
)
# Ways to write a file that the checks below cannot follow. None of them may ever touch the store.
UNFOLLOWED = frozenset(
    {"msync", "sync_file_range", "copy_file_range", "sendfile", "splice", "process_vm_writev", "truncate"}
)
TRACED = (
    RECEIVES
    | SENDS
    | POSITIONED_WRITES
    | SYNCS
    | OPENS
    | FORKS
    | NAMES
    | UNFOLLOWED
    | {"mmap", "ftruncate", "fallocate", "lseek", "close", "dup", "dup2", "dup3", "fcntl"}
)


@dataclass(frozen=True)
class Call:
    """One system call. `args` is strace's text between the brackets; `result` is None while it has not ended."""

    thread: int
    name: str
    args: str
    result: int | None
    error: str | None
    started: int
    ended: int | None
    returned: str = ""  # what strace wrote behind the result: "<path of the new descriptor>", "(INJECTED)"

    @property
    def succeeded(self) -> bool:
        return self.result is not None and self.error is None

    @cached_property
    def descriptor(self) -> int:
        """The number of the descriptor in the first argument, -1 if it is none."""
        found = _DESCRIPTOR.match(self.args)
        return int(found[1]) if found else -1

    @cached_property
    def target(self) -> str:
        """What the descriptor in the first argument stands for: a path, or `TCP:[here->there]`."""
        found = _DESCRIPTOR.match(self.args)
        return plain(found[2]) if found else ""

    @cached_property
    def payload(self) -> bytes:
        """The bytes that were written or read, as far as the record holds them, joined over all parts."""
        body = self.args[self.args.find(">") + 1 :]
        return b"".join(unescape(text) for text in _TEXT.findall(body))

    def texts(self) -> list[str]:
        return [unescape(text).decode(errors="surrogateescape") for text in _TEXT.findall(self.args)]

    def whole_payload(self) -> bytes:
        """As payload; raises AssertionError if strace cut it short."""
        assert '"...' not in self.args, f"line {self.started}: strace cut the payload of {self.name}: raise -s"
        return self.payload


_DESCRIPTOR = re.compile(r"\s*(\d+)<(.*?)>(?=,|\)|$|\()")
_TEXT = re.compile(r'"([^"]*)"')
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})*")  # then, maybe, "(deleted)", or "<char 1:3" of a device
_LINE = re.compile(r"(\d+)\s+(.*)", re.DOTALL)
_BEGUN = re.compile(r"(\w+)\((.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_RESULT = re.compile(r"\s*(-?\d+|0x[0-9a-f]+|\?)\s*([A-Z][A-Z0-9_]+)?(.*)", re.DOTALL)
_TCP = re.compile(r"TCP(?:v6)?:\[(.*):(\d+)->(.*):(\d+)\]")
_UNFINISHED = "<unfinished ...>"


def unescape(text: str) -> bytes:
    """`\\x41\\x42` to b"AB". O(n): records of a store's pages are long."""
    return bytes.fromhex(text.replace("\\x", ""))


def plain(text: str) -> str:
    """A path as strace -xx writes it inside <...>, made readable; sockets (`TCP:[...]`) are readable already."""
    found = _HEX.match(text)
    assert found
    return unescape(found[0]).decode(errors="surrogateescape") + text[found.end() :]


def parse(lines: Iterable[str]) -> list[Call]:
    """All calls, ordered by the line on which they started. Lines of signals and exits are left out."""
    calls: list[Call] = []
    open_calls: dict[int, tuple[str, str, int]] = {}  # thread -> name, first part of the arguments, line

    def close(thread: int, name: str, text: str, started: int, ended: int) -> None:
        args, separator, outcome = text.rpartition(" = ")
        found = _RESULT.fullmatch(outcome.rstrip("\n"))
        args = args.rstrip()
        assert separator, f"line {ended}: no result in {text[-200:]!r}"
        assert found, f"line {ended}: the result is not understood: {outcome[:200]!r}"
        assert args.endswith(")"), f"line {ended}: the arguments do not end: {args[-200:]!r}"
        value, word, rest = found.groups()
        if value == "?":  # the thread was killed inside the call
            inside = args[:-1].replace(_UNFINISHED, "").rstrip()
            calls.append(Call(thread, name, inside, None, None, started, None))
            return
        failed = value == "-1"
        error = word if failed else None
        calls.append(Call(thread, name, args[:-1].rstrip(), int(value, 0), error, started, ended, rest.strip()))

    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line.rstrip("\n"))
        if not found:
            continue
        thread, text = int(found[1]), found[2]
        if text.startswith(("+++", "---", "strace:")):
            continue
        resumed = _RESUMED.match(text)
        if resumed:
            begun = open_calls.pop(thread, None)
            if begun is None:  # strace attached while the thread was inside
                continue
            name, head, started = begun
            assert name == resumed[1], f"line {number}: {resumed[1]} resumed, {name} waits since line {started}"
            close(thread, name, head + resumed[2], started, number)
            continue
        begun_now = _BEGUN.match(text)
        if not begun_now:
            continue
        name, rest = begun_now.groups()
        if rest.rstrip().endswith(_UNFINISHED):
            open_calls[thread] = (name, rest.rstrip().removesuffix(_UNFINISHED), number)
        else:
            close(thread, name, rest, number, number)
    for thread, (name, head, started) in open_calls.items():
        calls.append(Call(thread, name, head, None, None, started, None))
    calls.sort(key=lambda call: call.started)
    return calls


def read_record(path: Path) -> list[Call]:
    with path.open(errors="surrogateescape") as lines:
        return parse(lines)


@dataclass
class Descriptors:
    """Which descriptors of which process were opened how: the record names the path of each, but not its flags.

    Threads share a table, a forked process gets a copy. `flags[process, descriptor]` is the text of the open.
    """

    process_of: dict[int, int] = field(default_factory=dict)
    flags: dict[tuple[int, int], str] = field(default_factory=dict)

    def process(self, thread: int) -> int:
        return self.process_of.setdefault(thread, thread)

    def follow(self, call: Call) -> None:
        """Takes one call into account, in the order of the record."""
        process = self.process(call.thread)
        if not call.succeeded or call.result is None:
            return
        if call.name in FORKS and call.result > 0:
            if "CLONE_THREAD" in call.args or "CLONE_FILES" in call.args:
                self.process_of[call.result] = process
            else:
                self.process_of[call.result] = call.result
                for (owner, descriptor), text in list(self.flags.items()):
                    if owner == process:
                        self.flags[call.result, descriptor] = text
        elif call.name in OPENS:
            self.flags[process, call.result] = call.args
        elif call.name in {"dup", "dup2", "dup3"} or (call.name == "fcntl" and "F_DUPFD" in call.args):
            self.flags[process, call.result] = self.flags.get((process, call.descriptor), "")

    def is_synchronous(self, call: Call) -> bool:
        """Was the descriptor that `call` writes to opened so that each write is on the disk when it returns?"""
        opened = self.flags.get((self.process(call.thread), call.descriptor), "")
        return bool(re.search(r"\bO_D?SYNC\b", opened))


class NotDurableError(AssertionError):
    """An answer left before what it acknowledges was on the disk."""


@dataclass(frozen=True)
class Exchange:
    """One answer on one connection: the receive it answers, its send, and what was done to the store between them."""

    client_port: int
    request: bytes  # what the record holds of the last bytes received before the answer
    answer: bytes
    received: int  # the line on which the receive ended
    answered: int  # the line on which the send started
    writes: int
    syncs: int


# The two lock files say who is running: they mean nothing after a crash.
MEANINGLESS = frozenset({"lock.mdb", "awlog.lock"})


def is_store_file(path: str, store: Path) -> bool:
    """Must this file be durable?"""
    return Path(path).is_relative_to(store) and Path(path).name not in MEANINGLESS


def exchanges(calls: list[Call], store: Path, port: int) -> Iterator[Exchange]:
    """Every answer that the server sent from `port`, with what happened in the store since its request was received.

    Raises NotDurableError if, when an answer's send starts, anything written to the store is not synced yet: neither
    by an fsync or fdatasync of that file which began after the write had ended and which succeeded, nor because the
    descriptor is O_DSYNC. An answer is the first send on a connection after a receive; further parts of a long answer
    count as the same one.
    """
    descriptors = Descriptors()
    received: dict[str, tuple[int, bytes]] = {}
    done: list[tuple[int, str]] = []  # (line on which it ended, "write" or "sync") of the store's calls
    unsynced: dict[str, list[Call]] = {}
    steps = [(call.started, 0, call) for call in calls]
    steps += [(call.ended, 1, call) for call in calls if call.ended is not None]
    for line, end, call in sorted(steps, key=lambda step: step[:2]):
        target = call.target if call.name not in OPENS else ""
        on_store = is_store_file(target, store)
        if call.name == "mmap":
            _refuse_writable_map(call, store)
        elif call.name in UNFOLLOWED and on_store:
            raise NotDurableError(f"line {line}: {call.name} on {target}: a way to write that is not followed")
        elif not end:
            if on_store and call.name in PLAIN_WRITES | POSITIONED_WRITES | {"ftruncate"}:
                unsynced.setdefault(target, []).append(call)
            connection = _connection(target, port)
            if connection and call.name in SENDS and connection in received:
                begun, request = received.pop(connection)
                for path, writes in unsynced.items():
                    if writes:
                        first = writes[0]
                        raise NotDurableError(
                            f"line {line}: an answer to {request[:60]!r} leaves while {path}, written on line "
                            f"{first.started}, is not synced"
                        )
                between = [kind for at, kind in done if begun < at < line]
                yield Exchange(
                    client_port(connection),
                    request,
                    call.payload,
                    begun,
                    line,
                    writes=between.count("write"),
                    syncs=between.count("sync"),
                )
        else:
            descriptors.follow(call)
            if not call.succeeded:
                if on_store and call.name not in SYNCS and call in unsynced.get(target, []):
                    unsynced[target].remove(call)
                continue
            connection = _connection(target, port)
            if connection and call.name in RECEIVES and call.result:
                received[connection] = (line, call.payload)
            if not on_store:
                continue
            if call.name in SYNCS:
                before = unsynced.get(target, [])
                unsynced[target] = [w for w in before if w.ended is None or w.ended >= call.started]
                done.append((line, "sync"))
            elif call.name in PLAIN_WRITES | POSITIONED_WRITES | {"ftruncate"}:
                done.append((line, "write"))
                if call.name != "ftruncate" and descriptors.is_synchronous(call):
                    unsynced[target].remove(call)
                    done.append((line, "sync"))


def check_synced(exchange: Exchange) -> None:
    """Raises NotDurableError unless the store was written and synced between the request and its answer."""
    if not exchange.writes or not exchange.syncs:
        raise NotDurableError(
            f"line {exchange.answered}: {exchange.request[:60]!r} was answered after {exchange.writes} writes to the "
            f"store and {exchange.syncs} syncs of it since its receive on line {exchange.received}"
        )


def answers_started(calls: list[Call], port: int) -> dict[int, list[int]]:
    """For each client's port: the lines on which the server began to send an answer to it, in order."""
    lines: dict[int, list[int]] = {}
    for call in calls:
        if call.name in SENDS:
            connection = _connection(call.target, port)
            if connection and call.payload.startswith(b"HTTP/1."):
                lines.setdefault(client_port(call.target), []).append(call.started)
    return lines


@dataclass
class Seen:
    """One request and its answer, as the record shows them."""

    client_port: int
    request: bytes
    received: int  # the line on which its last receive ended
    answer: bytes = b""
    sent: int = 0  # the line on which its last send started
    first_sent: int = 0

    @property
    def path(self) -> str:
        return self.request.split(b" ", 2)[1].decode().removeprefix("/api/0")

    def is_whole_request(self) -> bool:
        head, end, body = self.request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        return bool(end) and len(body) == (int(length[1]) if length else 0)

    def body(self) -> Any:
        head, _, body = self.answer.partition(b"\r\n\r\n")
        return json.loads(_unchunked(body) if b"chunked" in head.lower() else body)


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return whole


def all_seen(calls: list[Call], port: int) -> list[Seen]:
    """Every request of a connection that sends the next one after the answer, in order. Needs whole payloads."""
    seen: list[Seen] = []
    current: dict[str, Seen] = {}
    steps = [(call.started, call) for call in calls if call.name in SENDS]
    steps += [(call.ended, call) for call in calls if call.name in RECEIVES and call.ended is not None]
    for line, call in sorted(steps, key=lambda step: step[0]):
        if f":{port}->" not in call.target:
            continue
        if call.name in RECEIVES and call.target not in current:
            current[call.target] = Seen(0, b"", 0)
        one = current.get(call.target)
        if call.name in SENDS and one is not None:
            one.answer += call.whole_payload()
            one.sent, one.first_sent = line, one.first_sent or line
        elif call.name in RECEIVES and call.result:
            if one is None or one.answer or not one.request:
                one = current[call.target] = Seen(client_port(call.target), b"", line)
                seen.append(one)
            one.request, one.received = one.request + call.whole_payload(), line
    return seen


def client_port(target: str) -> int:
    found = _TCP.fullmatch(target)
    assert found, f"{target} is no TCP connection"
    return int(found[4])


def _connection(target: str, port: int) -> str:
    found = _TCP.fullmatch(target)
    return target if found and int(found[2]) == port else ""


def _refuse_writable_map(call: Call, store: Path) -> None:
    if "MAP_SHARED" in call.args and "PROT_WRITE" in call.args:
        for path in re.findall(r"\d+<([^>]*)>", call.args):
            if is_store_file(plain(path), store):
                raise NotDurableError(
                    f"line {call.started}: {plain(path)} is mapped writable, out of the record's sight"
                )
