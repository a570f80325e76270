"""What a command does with a store that may be damaged: in a child process, whose death is reported in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO, TypeVar

import click
import msgspec
from msgspec import Struct

from awlog.model.errors import CannotStart, DataDamaged, NotDone, OtherFormat, Refused
from awlog.storage.check import Progress
from awlog.storage.copying import remove_abandoned
from awlog.storage.rehearsal import DiedApart, run_apart

_T = TypeVar("_T", bound=Struct)

# The server's answers come first.
_NICENESS: Final = 10


class _Format(Struct, frozen=True):
    """The store is of another format: what to do about that is all that there is to say."""

    message: str


def apart(work: Callable[[], _T], kind: type[_T], *, making: Path | None = None, otherwise: str) -> _T:
    """What `work` gives, done in a child with a lower priority. Raises Refused and OtherFormat as it does, else NotDone with
    the cause and what to do `otherwise`; then what was begun beside `making` is removed.
    """

    def encoded() -> bytes:
        if os.name == "posix":
            os.nice(_NICENESS)
        try:
            return msgspec.json.encode([None, work()])
        except Refused as refused:
            return msgspec.json.encode([str(refused), None])
        except OtherFormat as other:
            return msgspec.json.encode([_Format(str(other)), None])
        except DataDamaged as damaged:
            raise CannotStart(f"{damaged.where} does not match its checksum") from damaged

    try:
        answer = run_apart(encoded)
    except DiedApart as died:
        if making is not None:
            remove_abandoned(making)
        raise NotDone(f"{str(died).rstrip('.')}. {otherwise}") from None
    refusal, result = msgspec.json.decode(answer, type=tuple[str | _Format | None, kind | None])  # type: ignore[valid-type]
    if isinstance(refusal, _Format):
        raise OtherFormat(refusal.message)
    if refusal is not None:
        raise Refused(refusal)
    assert result is not None, "it was refused, or it was done"
    return result


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar on stderr, if that is a terminal; drawn by whichever process makes the progress."""
    if not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    shown: TextIO
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w") as shown,
        click.progressbar(length=1, label=label, file=shown) as bar,
    ):

        def advance(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield advance
