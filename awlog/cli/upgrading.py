"""The upgrade of an older store at the start of a server: what is told of it, to the log and to the service manager."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from awlog.cli.service_manager import ServiceManager
from awlog.storage.upgrade import upgrade_if_old

_log: Final = structlog.get_logger(part="upgrade")

_TELL_EVERY_S: Final = 5.0
# How long a service manager is asked to wait for the next word: the slowest piece is reading a store once without a word.
_PATIENCE_S: Final = 600


def upgrade(data_dir: Path, *, let_go: Callable[[], object]) -> None:
    """Upgrades the store if it is of an older format. `let_go` as for `run_apart`. Raises CannotStart."""
    manager = ServiceManager()
    began_s = time.monotonic()
    told_s = began_s - _TELL_EVERY_S

    def tell(what: str, done: int, total: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= _TELL_EVERY_S:
            told_s = time.monotonic()
            percent = 100 * done // max(total, 1)
            _log.info("upgrading the store", doing=what, percent=percent)
            manager.wait(_PATIENCE_S, f"upgrading the store: {what}, {percent} %")

    upgraded = upgrade_if_old(data_dir, tell, let_go=let_go)
    if upgraded is not None:
        _log.info(
            "upgraded the store; the snapshot holds it as it was",
            from_format=upgraded.from_format,
            to_format=upgraded.to_format,
            snapshot=str(upgraded.snapshot),
            took_s=round(time.monotonic() - began_s, 1),
        )
