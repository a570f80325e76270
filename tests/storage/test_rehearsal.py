"""R4: opening is rehearsed in a child, so that a store that kills its reader is refused with a message."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from awlog.model.errors import AwlogError, CannotStart, DataDamaged
from awlog.storage.check import check
from awlog.storage.environment import DATA_FILE, Environment
from awlog.storage.rehearsal import rehearse
from tests.engine.harness import Store

PAGE_BYTES: Final = 4096


def test_a_rehearsal_that_ends_well_says_nothing(tmp_path: Path):
    """And happens in another process: what it changes in memory is gone."""
    seen: list[int] = []
    rehearse(tmp_path, lambda: seen.append(os.getpid()))
    assert seen == []


def die_of(number: signal.Signals) -> None:
    """Ends the process; without pytest's fault handler, which would write the stack of every child that dies."""
    faulthandler.disable()
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV, signal.SIGKILL])
def test_the_death_of_the_child_is_reported(tmp_path: Path, number: signal.Signals):
    """The signal by its name, the directory, and the commands to run."""
    with pytest.raises(CannotStart, match=number.name) as refused:
        rehearse(tmp_path, lambda: die_of(number))
    assert str(tmp_path) in str(refused.value)
    assert "awlog verify" in str(refused.value)
    assert "backup" in str(refused.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataDamaged("Record 7 of bucket number 3"), "Record 7 of bucket number 3"),
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh"),
        (SystemExit(0), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("x" * 100_000), "ValueError: xxx"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_child_raises_is_said(tmp_path: Path, error: BaseException, said: str):
    def fail() -> None:
        raise error

    with pytest.raises(CannotStart, match=said):
        rehearse(tmp_path, fail)


def test_the_child_lets_go_of_what_it_inherited(tmp_path: Path):
    """Before it reads: a child that outlives a killed server must hold neither its lock nor its sockets."""
    order = tmp_path / "order"

    def note(text: str) -> Callable[[], object]:
        return lambda: order.open("a").write(text)

    rehearse(tmp_path, note("read"), let_go=note("let go, "))
    assert order.read_text() == "let go, read"


def test_no_child_stays_behind(tmp_path: Path):
    rehearse(tmp_path, lambda: None)
    with pytest.raises(CannotStart):
        rehearse(tmp_path, lambda: die_of(signal.SIGABRT))
    try:
        left_behind, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left_behind = 0  # there is no child at all; else those of other tests, alive
    assert left_behind == 0


def test_the_child_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """LMDB's assertions go to stderr; the parent says it in a better way."""

    def shout() -> None:
        sys.stderr.write("assertion failed")
        sys.stderr.flush()

    rehearse(tmp_path, shout)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


class Garbage(AwlogError):
    """A damaged store was read as if it were whole."""


# Reading a store of a few pages takes milliseconds; a child that loops is ended and then found by its signal.
_CHILD_SECONDS_MAX: Final = 20


def read_whole(store: Store, digest: str) -> None:
    """What a start and `verify` read. Raises Garbage if damage was not seen."""
    faulthandler.disable()
    signal.alarm(_CHILD_SECONDS_MAX)
    environment = Environment(store.data_dir)
    report = check(environment)
    if report.problems:
        raise DataDamaged(report.problems[0])
    if report.digest != digest:
        raise Garbage("garbage: other content than was written, and no problem was found")
    environment.close()


def outcome(store: Store, digest: str) -> str:
    """`whole`, or the message of a refusal. Garbage and endless reading fail the test."""
    try:
        rehearse(store.data_dir, lambda: read_whole(store, digest))
    except CannotStart as refused:
        said = str(refused)
        assert "garbage" not in said
        assert "SIGALRM" not in said
        return said
    return "whole"


def _zeroed(page: bytes, _: random.Random) -> bytes:
    return bytes(len(page))


def _noise(page: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(len(page))


def _one_bit(page: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(page))
    return page[:at] + bytes([page[at] ^ 1 << chance.randrange(8)]) + page[at + 1 :]


def _half(page: bytes, _: random.Random) -> bytes:
    return page[: len(page) // 2] + bytes(len(page) - len(page) // 2)


@pytest.mark.parametrize("damage", [_zeroed, _noise, _one_bit, _half], ids=lambda damage: damage.__name__.strip("_"))
def test_each_page_damaged_in_turn_gives_a_whole_store_or_a_message(
    store: Store, damage: Callable[[bytes, random.Random], bytes]
):
    """Never garbage, never an endless start, never the death of the server."""
    environment = store.environment()
    digest = check(environment).digest
    environment.close()
    path = store.data_dir / DATA_FILE
    good = path.read_bytes()
    chance = random.Random(1)
    outcomes = []
    for at in range(0, len(good), PAGE_BYTES):
        path.write_bytes(good[:at] + damage(good[at : at + PAGE_BYTES], chance) + good[at + PAGE_BYTES :])
        outcomes.append(outcome(store, digest))
    path.write_bytes(good)
    assert outcome(store, digest) == "whole"
    assert set(outcomes) != {"whole"}, "some page was in use"


@pytest.mark.parametrize("left", [0, 1, 100, PAGE_BYTES, 2 * PAGE_BYTES, 3 * PAGE_BYTES, -PAGE_BYTES, -1])
def test_a_data_file_that_was_cut_off_gives_a_whole_store_or_a_message(store: Store, left: int):
    """To nothing, to an odd length, to its meta pages, by its last page."""
    environment = store.environment()
    digest = check(environment).digest
    environment.close()
    path = store.data_dir / DATA_FILE
    os.truncate(path, left if left >= 0 else path.stat().st_size + left)
    said = outcome(store, digest)
    if 0 <= left <= 3 * PAGE_BYTES:
        assert said != "whole"
