"""`identity.json`: proof, outside LMDB, that a store was made here, and the device id that goes with it.

An empty `data.mdb` opens as a new, empty store; without a second witness a lost store would look like a fresh one.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Final

import msgspec

from awlog.model.errors import CannotStart

IDENTITY_FILE: Final = "identity.json"


class Identity(msgspec.Struct, frozen=True):
    format_version: int
    device_id: str


def new_device_id() -> str:
    return str(uuid.uuid4())


def read_identity(data_dir: Path) -> Identity | None:
    """None if there never was a store here. Raises CannotStart if the file is there and cannot be read."""
    path = data_dir / IDENTITY_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}. Nothing was touched.") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CannotStart(
            f"{path} is damaged; the events beside it are in data.mdb and were not touched. "
            f"Move {IDENTITY_FILE} away: awlog writes it anew from data.mdb."
        ) from None


def write_identity(data_dir: Path, identity: Identity) -> None:
    """Durable when it returns, and never half: written aside, synced, renamed, the directory synced."""
    path, aside = data_dir / IDENTITY_FILE, data_dir / f"{IDENTITY_FILE}.tmp"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(identity) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_directory(data_dir)


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable. A directory cannot be opened on Windows, whose names are journaled."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
