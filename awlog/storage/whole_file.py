"""A small file beside the store that is read whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from awlog.storage.identity import sync_directory


def write_whole(path: Path, content: bytes) -> None:
    """Written aside, synced, put in place, and the folder synced: whole after a power cut. Raises OSError."""
    aside = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_directory(path.parent)
