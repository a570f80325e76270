"""trace.py reads what strace writes, and finds every way in which an answer can leave too early."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.straced import recorded, wait_for_end
from tests.faults.trace import NotDurableError, answers_started, check_synced, exchanges, parse

pytestmark = pytest.mark.needs("strace")

REQUESTS = 3


def record_tiny_store(tmp_path: Path, mode: str, payload_bytes: int = 64) -> tuple[list[str], Path, int]:
    """The record of the tiny server while it answers three requests; its directory, its port."""
    store, record = tmp_path / "store", tmp_path / "record"
    store.mkdir()
    program = str(Path(__file__).with_name("tiny_store.py"))
    process = subprocess.Popen(
        [*recorded(record, payload_bytes=payload_bytes), sys.executable, program, str(store), mode],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with socket.create_connection(("127.0.0.1", port)) as client:
        for number in range(REQUESTS):
            client.sendall(b"POST %d" % number)
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert process.wait(30) == 0
    process.stdout.close()
    wait_for_end(record, process.pid)
    return record.read_text().splitlines(), store, port


def verdict(lines: list[str], store: Path, port: int) -> int:
    """How many answers are proven durable. Raises NotDurableError at the first that is not."""
    found = list(exchanges(parse(lines), store, port))
    for exchange in found:
        check_synced(exchange)
    return len(found)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path, int]:
    """A record in which each call on the store is one line: that is what the tests below edit."""
    while True:
        lines, store, port = record_tiny_store(tmp_path_factory.mktemp("sound"), "sync")
        if not any(" <unfinished ...>" in line and in_hex("data.mdb") in line for line in lines):
            return lines, store, port


def test_a_store_that_syncs_before_it_answers_passes(sound):
    lines, store, port = sound
    assert verdict(lines, store, port) == REQUESTS
    (answers,) = answers_started(parse(lines), port).values()
    assert len(answers) == REQUESTS


@pytest.mark.parametrize("mode", ["nosync", "early"])
def test_a_store_that_answers_before_the_sync_is_rejected(tmp_path, mode):
    with pytest.raises(NotDurableError, match="POST 0"):
        verdict(*record_tiny_store(tmp_path, mode))


def of_store(line: str, name: str) -> bool:
    return f" {name}(" in line and "".join(f"\\x{byte:02x}" for byte in b"data.mdb") in line


def last_index(lines: list[str], name: str) -> int:
    return max(index for index, line in enumerate(lines) if of_store(line, name))


def test_a_record_without_the_sync_is_rejected(sound):
    lines, store, port = sound
    index = last_index(lines, "fdatasync")
    with pytest.raises(NotDurableError, match="is not synced"):
        verdict(lines[:index] + lines[index + 1 :], store, port)


def test_a_sync_that_failed_is_no_sync(sound):
    lines, store, port = sound
    index = last_index(lines, "fdatasync")
    failed = lines[index].replace(" = 0", " = -1 EIO (Input/output error) (INJECTED)")
    with pytest.raises(NotDurableError, match="is not synced"):
        verdict([*lines[:index], failed, *lines[index + 1 :]], store, port)


def test_a_sync_that_ends_after_the_answer_started_is_too_late(sound):
    lines, store, port = sound
    index = last_index(lines, "fdatasync")
    head, result = re.fullmatch(r"(.*)\)\s+= (0)", lines[index]).groups()  # type: ignore[union-attr]
    resumed = f"{head.split()[0]}  <... fdatasync resumed>) = {result}"
    late = [*lines[:index], head + " <unfinished ...>", *lines[index + 1 :]]
    answer = max(i for i, line in enumerate(late) if f"TCP:[127.0.0.1:{port}->" in line and in_hex("HTTP") in line)
    with pytest.raises(NotDurableError, match="is not synced"):
        verdict([*late[: answer + 1], resumed, *late[answer + 1 :]], store, port)


def test_a_write_that_began_during_the_sync_is_not_synced_by_it(sound):
    lines, store, port = sound
    sync, write = last_index(lines, "fdatasync"), last_index(lines, "fdatasync") - 1
    assert of_store(lines[write], "pwrite64") or of_store(lines[write], "writev")
    head = lines[sync].rpartition(")")[0]
    overlapping = [head + " <unfinished ...>", lines[write].replace(lines[write].split()[0], "999999", 1)]
    resumed = f"{head.split()[0]}  <... fdatasync resumed>) = 0"
    with pytest.raises(NotDurableError, match="is not synced"):
        verdict([*lines[:write], *overlapping, resumed, *lines[sync + 1 :]], store, port)


def test_the_meta_page_needs_its_synchronous_descriptor(sound):
    lines, store, port = sound
    plain = [line.replace("O_WRONLY|O_DSYNC", "O_WRONLY") for line in lines]
    assert plain != lines
    with pytest.raises(NotDurableError, match="is not synced"):
        verdict(plain, store, port)


def test_an_answer_without_any_write_is_rejected(sound):
    lines, store, port = sound
    first = next(i for i, line in enumerate(lines) if f"TCP:[127.0.0.1:{port}->" in line)
    idle = lines[:first] + [line for line in lines[first:] if b"data.mdb".hex() not in line.replace("\\x", "")]
    with pytest.raises(NotDurableError, match="after 0 writes"):
        verdict(idle, store, port)


def test_a_writable_map_of_the_store_is_rejected(sound):
    lines, store, port = sound
    index = max(i for i, line in enumerate(lines) if of_store(line, "mmap"))
    mapped = lines[index].replace("PROT_READ,", "PROT_READ|PROT_WRITE,")
    assert mapped != lines[index]
    with pytest.raises(NotDurableError, match="mapped writable"):
        verdict([*lines[:index], mapped, *lines[index + 1 :]], store, port)


def in_hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def test_calls_in_two_parts_are_joined_and_ordered_by_their_start():
    record = [
        f"10  fdatasync(4<{in_hex('/s/data.mdb')}> <unfinished ...>",
        "11  read(5<TCP:[127.0.0.1:5600->127.0.0.1:9]>,  <unfinished ...>",
        f'12  write(1<{in_hex("/dev/null")}<char 1:3>>, "{in_hex("hi")}", 2) = 2',
        "10  <... fdatasync resumed>)            = -1 EIO (Input/output error) (INJECTED)",
        "--- not a line of the record",
        "12  --- SIGTERM {si_signo=SIGTERM} ---",
        f'11  <... read resumed>"{in_hex("POST")}"..., 8192) = 400',
        f"10  fdatasync(4<{in_hex('/s/data.mdb')}> <unfinished ...>) = ?",
        "10  +++ killed by SIGKILL +++",
        "11  pwrite64(4<" + in_hex("/s/data.mdb") + '>, "' + in_hex("abc") + '", 3, 8192 <unfinished ...>',
    ]
    calls = parse(record)
    assert [(call.name, call.started, call.ended) for call in calls] == [
        ("fdatasync", 1, 4),
        ("read", 2, 7),
        ("write", 3, 3),
        ("fdatasync", 8, None),
        ("pwrite64", 10, None),
    ]
    sync, read, write, killed, begun = calls
    assert (sync.target, sync.error, sync.succeeded) == ("/s/data.mdb", "EIO", False)
    assert (read.target, read.payload, read.result) == ("TCP:[127.0.0.1:5600->127.0.0.1:9]", b"POST", 400)
    assert (write.descriptor, write.payload) == (1, b"hi")
    assert write.target.startswith("/dev/null")
    assert killed.result is None
    assert begun.payload == b"abc"
    with pytest.raises(AssertionError, match="raise -s"):
        read.whole_payload()
