"""disk.py keeps what was synced and may lose all else: shown on a real store, and on records of a few calls."""

from __future__ import annotations

from pathlib import Path
from random import Random

import lmdb
import pytest

from tests.faults.disk import PAGE_BYTES, Disk, read_in, write_out
from tests.faults.straced import WHOLE_PAYLOADS
from tests.faults.test_trace import REQUESTS, in_hex, record_tiny_store
from tests.faults.trace import answers_started, parse

pytestmark = pytest.mark.needs("strace")

ROOT = Path("/disk")


def record(*steps: str) -> str:
    """A record of one thread in which F stands for the file /disk/f, open as 4, S for the same opened O_DSYNC as 5."""
    lines = []
    for step in steps:
        line = step.replace("(F", f"(4<{in_hex('/disk/f')}>").replace("(S", f"(5<{in_hex('/disk/f')}>")
        lines.append(f"7  {line}")
    return "\n".join(lines)


CREATE = f'openat(9<{in_hex("/disk")}>, "{in_hex("f")}", O_RDWR|O_CREAT, 0600) = 4<{in_hex("/disk/f")}>'
OPEN_SYNCHRONOUS = f'openat(9<{in_hex("/disk")}>, "{in_hex("f")}", O_WRONLY|O_DSYNC) = 5<{in_hex("/disk/f")}>'
SYNC_FOLDER = f"fsync(9<{in_hex('/disk')}>) = 0"
SYNC_FILE = "fdatasync(F) = 0"


def put(where: str, content: str, offset: int) -> str:
    return f'pwrite64({where}, "{in_hex(content)}", {len(content)}, {offset}) = {len(content)}'


def cut(steps: list[str], random: Random | None = None) -> dict[str, bytes]:
    calls = parse(record(*steps).splitlines())
    return {str(path): content for path, content in Disk(ROOT, random).follow(calls, 1 << 60).cut().items()}


def outcomes(steps: list[str]) -> set[bytes | None]:
    """What the file may hold after a power cut; None: it is not there."""
    return {cut(steps, Random(seed)).get("f") for seed in range(300)}


def test_a_synced_file_in_a_synced_folder_is_kept():
    assert cut([CREATE, put("F", "abc", 0), SYNC_FILE, SYNC_FOLDER]) == {"f": b"abc"}


def test_a_file_in_a_folder_that_was_not_synced_may_be_gone():
    steps = [CREATE, put("F", "abc", 0), SYNC_FILE]
    assert cut(steps) == {}
    assert outcomes(steps) == {None, b"abc"}


def test_what_was_not_synced_may_be_there_in_part():
    steps = [CREATE, SYNC_FOLDER, put("F", "a" * PAGE_BYTES + "b", 0)]
    assert cut(steps) == {"f": b""}
    found = {content.rstrip(b"\0") for content in outcomes(steps) if content is not None}
    assert found == {b"", b"a" * PAGE_BYTES, bytes(PAGE_BYTES) + b"b", b"a" * PAGE_BYTES + b"b"}


def test_a_page_never_holds_a_later_write_without_an_earlier_one():
    steps = [CREATE, SYNC_FOLDER, put("F", "one", 0), SYNC_FILE, put("F", "2", 0), put("F", "3", 1)]
    assert outcomes(steps) == {b"one", b"2ne", b"23e"}


def test_a_write_during_a_sync_is_not_made_durable_by_it():
    steps = [CREATE, SYNC_FOLDER, "fdatasync(F <unfinished ...>"]
    lines = record(*steps).splitlines()
    lines += [f"8  {put('4<' + in_hex('/disk/f') + '>', 'abc', 0)}", "7  <... fdatasync resumed>) = 0"]
    assert Disk(ROOT, None).follow(parse(lines), 1 << 60).cut() == {Path("f"): b""}


def test_a_write_through_a_synchronous_descriptor_is_durable_alone():
    steps = [CREATE, SYNC_FOLDER, OPEN_SYNCHRONOUS, put("F", "lost?", 0), put("S", "kept", PAGE_BYTES)]
    assert cut(steps) == {"f": bytes(PAGE_BYTES) + b"kept"}


def test_a_sync_that_failed_cannot_be_mended_by_a_second_one():
    steps = [CREATE, SYNC_FOLDER, put("F", "abc", 0), "fdatasync(F) = -1 EIO (Input/output error)", SYNC_FILE]
    assert cut(steps) == {"f": b""}
    assert outcomes(steps) >= {b"", b"abc"}
    assert cut([*steps, put("F", "again", 0), SYNC_FILE]) == {"f": b"again"}


def test_a_write_that_failed_wrote_nothing():
    steps = [CREATE, SYNC_FOLDER, put("F", "abc", 0).replace("= 3", "= -1 ENOSPC (No space left on device)"), SYNC_FILE]
    assert outcomes(steps) == {b""}


def test_a_plain_write_goes_to_where_the_last_seek_led():
    steps = [CREATE, SYNC_FOLDER, "lseek(F, 2, SEEK_SET) = 2", f'write(F, "{in_hex("ab")}", 2) = 2']
    steps += [f'writev(F, [{{iov_base="{in_hex("c")}", iov_len=1}}, {{iov_base="{in_hex("d")}", iov_len=1}}], 2) = 2']
    assert cut([*steps, SYNC_FILE]) == {"f": b"\0\0abcd"}


def test_a_new_name_needs_a_sync_of_the_folder():
    g = f'rename("{in_hex("/disk/f")}", "{in_hex("/disk/g")}") = 0'
    steps = [CREATE, put("F", "abc", 0), SYNC_FILE, SYNC_FOLDER, g]
    assert cut(steps) == {"f": b"abc"}
    assert cut([*steps, SYNC_FOLDER]) == {"g": b"abc"}


def test_a_length_is_durable_only_when_synced():
    steps = [CREATE, SYNC_FOLDER, put("F", "abcdef", 0), SYNC_FILE, "ftruncate(F, 2) = 0"]
    assert outcomes(steps) == {b"abcdef", b"ab"}
    assert outcomes([*steps, SYNC_FILE]) == {b"ab"}


@pytest.mark.parametrize("random", [None, *[Random(seed) for seed in range(5)]])
def test_a_real_store_holds_what_it_answered(tmp_path, random):
    """At the start of each answer the rebuilt store opens and holds what is being acknowledged."""
    lines, store, port = record_tiny_store(tmp_path, "sync", payload_bytes=WHOLE_PAYLOADS)
    calls = parse(lines)
    (answers,) = answers_started(calls, port).values()
    assert len(answers) == REQUESTS
    for number, line in enumerate(answers):
        rebuilt = tmp_path / f"rebuilt{number}"
        write_out(sync_names(Disk(tmp_path, random)).follow(calls, line).cut(), rebuilt)
        with lmdb.open(str(rebuilt / store.name)).begin() as transaction:
            assert transaction.get(b"key") == b"POST %d" % number


def sync_names(disk: Disk) -> Disk:
    """The tiny store does not sync its folder: here this is taken as given."""
    return disk.holding({Path("store/data.mdb"): b"", Path("store/lock.mdb"): b""})


def test_a_store_that_answers_early_is_caught(tmp_path):
    lines, store, port = record_tiny_store(tmp_path, "early", payload_bytes=WHOLE_PAYLOADS)
    calls = parse(lines)
    (answers,) = answers_started(calls, port).values()
    write_out(sync_names(Disk(tmp_path, None)).follow(calls, answers[-1]).cut(), tmp_path / "rebuilt")
    with lmdb.open(str(tmp_path / "rebuilt" / store.name)).begin() as transaction:
        assert transaction.get(b"key") == b"POST %d" % (REQUESTS - 2)


def test_a_record_that_is_complete_gives_the_disk_as_it_is(tmp_path):
    lines, store, _ = record_tiny_store(tmp_path, "sync", payload_bytes=WHOLE_PAYLOADS)
    rebuilt = sync_names(Disk(tmp_path, None)).follow(parse(lines), 1 << 60).cut()
    assert rebuilt[Path("store/data.mdb")] == read_in(store)[Path("data.mdb")]
