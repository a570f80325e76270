"""A process that makes one backup: `python -m awlog.engine.backup_process DATA_DIR FILE MADE_US`.

Apart from the server, and with a lower priority, so that it slows no watcher; a damaged store ends this process and not
the server. Its answer, one JSON object, is what it writes to stdout.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from awlog.model.errors import AwlogError
from awlog.model.times import Micros
from awlog.storage.backup import Copied, back_up

NICENESS = 10


class Made(Struct, frozen=True, tag="made"):
    backup: Copied


class NotMade(Struct, frozen=True, tag="not made"):
    """`error` is the name of its class."""

    error: str
    message: str


ANSWER = msgspec.json.Decoder(Made | NotMade)


def main(data_dir: str, file: str, made_us: str) -> None:
    os.umask(0o077)
    if os.name == "posix":
        os.nice(NICENESS)
    answer: Made | NotMade
    try:
        answer = Made(back_up(Path(data_dir), Path(file), made_us=Micros(int(made_us))))
    except AwlogError as error:
        answer = NotMade(type(error).__name__, str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
