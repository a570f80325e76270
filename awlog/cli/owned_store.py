"""A store that this command owns while it works: made if there is none, locked, and opened as a server would open it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from awlog.storage.environment import Environment, create_if_new, prepare_directory, require_this_format
from awlog.storage.lock import DirectoryLock
from awlog.storage.recovery import recover
from awlog.storage.rehearsal import rehearse


@contextmanager
def owned_store(data_dir: Path) -> Iterator[Environment]:
    """Raises CannotStart if a server owns the directory, or if the store cannot be opened; OtherFormat."""
    os.umask(0o077)  # whatever is made from here on is the owner's alone
    prepare_directory(data_dir)
    with DirectoryLock(data_dir) as lock:
        require_this_format(data_dir)
        create_if_new(data_dir)
        rehearse(data_dir, lambda: _open_once(data_dir), let_go=lock.release)
        environment = Environment(data_dir)
        try:
            yield environment
        finally:
            environment.close()


def _open_once(data_dir: Path) -> None:
    environment = Environment(data_dir)
    recover(environment)
    environment.close()
