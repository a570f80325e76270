"""Backups of a running server: on demand and by the clock, each made in a process of its own, the newest few kept."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from awlog.engine.backup_process import ANSWER, Made
from awlog.engine.clock import Clock
from awlog.model.errors import AwlogError, BadRequest, DataDamaged, InsufficientStorage, Unavailable
from awlog.model.times import format_timestamp

_log: Final = structlog.get_logger(part="backups")

BACKUP_INTERVAL_S: Final = 86_400.0
BACKUP_KEEP: Final = 7
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
# Those made by the clock; only these are ever removed.
_BY_THE_CLOCK: Final = "awlog-*Z.mdb"
# How often the clock is looked at: it may jump.
_LOOK_S: Final = 30.0
_TRY_AGAIN_S: Final = 600.0
_ERRORS: Final[dict[str, type[AwlogError]]] = {kind.__name__: kind for kind in (InsufficientStorage, Unavailable)}


class BackupPlan(Struct, frozen=True):
    """Where backups go, how many seconds apart (0: only on demand), and how many of these are kept."""

    folder: Path | None = None
    interval_s: float = BACKUP_INTERVAL_S
    keep: int = BACKUP_KEEP


class BackupDone(Struct, frozen=True):
    """A backup as clients see it: its name in the backup directory."""

    file: str
    bytes: int
    buckets: int
    events: int
    digest: str
    made: str


class Backups:
    """Makes one backup at a time. Loop only."""

    def __init__(self, data_dir: Path, plan: BackupPlan, clock: Clock) -> None:
        self._data_dir = data_dir
        self._plan = plan
        self._clock = clock
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        if plan.folder is not None and plan.interval_s > 0:
            self._task = asyncio.get_running_loop().create_task(self._run(plan.folder))

    async def make(self, name: str | None) -> BackupDone:
        """A backup in the backup directory, under this name or that of the time.

        Raises BadRequest if none is configured or for a bad name, DataDamaged, InsufficientStorage, Unavailable.
        """
        folder = self._plan.folder
        if folder is None:
            raise BadRequest("There is no directory for backups; the setting `backup_dir` names one")
        if name is not None and not _NAME.fullmatch(name):
            raise BadRequest(
                "A backup's name has up to 100 letters, digits, `.`, `_` and `-`, and does not begin with `.`"
            )
        async with self._turn:
            try:
                return await self._make(folder, name)
            except (InsufficientStorage, Unavailable) as error:
                # Where the directory is is nothing for whoever asks from elsewhere.
                _log.error("the backup failed", error=str(error))
                raise type(error)(
                    "The backup cannot be made in the directory that the setting `backup_dir` names; the log says why"
                ) from error

    async def close(self) -> None:
        """Ends what is under way; what it left is removed by the next backup of that name."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _make(self, folder: Path, name: str | None) -> BackupDone:
        made_us = self._clock()
        path = folder / (name or f"awlog-{re.sub('[-:]', '', format_timestamp(made_us)[:19])}Z.mdb")
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "awlog.engine.backup_process", str(self._data_dir), str(path), str(made_us),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            raise Unavailable(f"The backup cannot be made: {error.strerror}: {error.filename}") from None
        try:
            told, _ = await self._process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                self._process.kill()
            raise
        status = self._process.returncode
        self._process = None
        if status != 0:
            raise DataDamaged(f"The store ended the process that was to copy it (status {status}): something in it")
        answer = ANSWER.decode(told)
        if not isinstance(answer, Made):
            kind = _ERRORS.get(answer.error)
            if kind is None:
                raise DataDamaged(answer.message.partition(" does not match")[0])
            raise kind(answer.message)
        backup = answer.backup
        _log.info("backed up", file=path.name, bytes=backup.size_bytes, events=backup.events)
        made = format_timestamp(made_us)
        return BackupDone(path.name, backup.size_bytes, backup.buckets, backup.events, backup.digest, made)

    async def _run(self, folder: Path) -> None:
        while True:
            wait_s = _LOOK_S
            if await asyncio.to_thread(self._is_due, folder):
                try:
                    async with self._turn:
                        await self._make(folder, None)
                    await asyncio.to_thread(self._remove_old, folder)
                except (AwlogError, OSError) as error:
                    _log.error("the backup failed; it is tried again", error=str(error), retry_s=_TRY_AGAIN_S)
                    wait_s = _TRY_AGAIN_S
            await asyncio.sleep(min(wait_s, self._plan.interval_s))

    def _is_due(self, folder: Path) -> bool:
        """Is no backup younger than the interval? One from a future that the clock has left since says nothing."""
        now_s = self._clock() / 1e6
        made_s = (file.stat().st_mtime for file in folder.glob(_BY_THE_CLOCK))
        return not any(0 <= now_s - each_s < self._plan.interval_s for each_s in made_s)

    def _remove_old(self, folder: Path) -> None:
        """Those from a future first: else they would stay, and each new one would go."""
        now_s = self._clock() / 1e6
        made_s = {file: file.stat().st_mtime for file in folder.glob(_BY_THE_CLOCK)}
        files = sorted(made_s, key=lambda file: (made_s[file] <= now_s, made_s[file]))
        for file in files[: -self._plan.keep]:
            file.unlink(missing_ok=True)
