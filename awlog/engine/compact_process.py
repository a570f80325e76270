"""A process that writes a compact copy of the store: `python -m awlog.engine.compact_process DATA_DIR COPY_DIR`.

Apart from the server and with a lower priority, as backups are. Exit status 0: the copy is whole. Else it has said why.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from awlog.engine.backup_process import NICENESS
from awlog.model.errors import AwlogError
from awlog.storage.copying import copy_whole
from awlog.storage.room import told_as_ours


def main(data_dir: str, copy_dir: str) -> None:
    os.umask(0o077)
    if os.name == "posix":
        os.nice(NICENESS)
    try:
        with told_as_ours(Path(data_dir)):
            copy_whole(Path(data_dir), Path(copy_dir))
    except AwlogError as error:
        sys.stdout.write(f"{type(error).__name__}\n{error}")
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
