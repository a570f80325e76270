"""Owns the process that pushes to a hub: starts it, again if it ends, asks for a last round at the stop."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from awlog.engine.forward_process import ForwardOptions, ForwardStatus
from awlog.engine.push import Hub

_log: Final = structlog.get_logger(part="forwarder")

FORWARD_INTERVAL_S: Final = 30.0
# What a stop waits for the last round; what is not sent by then is sent after the next start.
_FLUSH_S: Final = 5.0
_RESTART_S: Final = 10.0
_LINE_BYTES_MAX: Final = 16 << 20


class ForwardPlan(Struct, frozen=True):
    hub: Hub
    interval_s: float = FORWARD_INTERVAL_S


class Forwarder:
    """Loop only."""

    def __init__(self, data_dir: Path, plan: ForwardPlan) -> None:
        self._options = ForwardOptions(str(data_dir), plan.hub, plan.interval_s)
        self.status = ForwardStatus(plan.hub.url)
        self._process: asyncio.subprocess.Process | None = None
        self._rounds = asyncio.Condition()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """One more round, if it is quick enough; then the process ends."""
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(_FLUSH_S):
                    async with self._rounds:
                        process.stdin.write(b"\n")
                        await self._rounds.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def _run(self) -> None:
        while True:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "awlog.engine.forward_process",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LINE_BYTES_MAX,
            )
            assert process.stdin is not None, "started with pipes"
            assert process.stdout is not None, "started with pipes"
            process.stdin.write(msgspec.json.encode(self._options) + b"\n")
            async for line in process.stdout:
                await self._take(msgspec.json.decode(line, type=ForwardStatus))
            _log.warning("the process that pushes to the hub ended; it is started again", status=await process.wait())
            await asyncio.sleep(_RESTART_S)

    async def _take(self, status: ForwardStatus) -> None:
        if status.error is not None and status.error != self.status.error:
            # Why it failed names buckets: that is for `awlog push --status`, not for the log.
            _log.warning("pushing to the hub failed; it is tried again, and `awlog push --status` says why")
        elif status.error is None and self.status.error is not None:
            _log.info("pushing to the hub works again")
        self.status = status
        async with self._rounds:
            self._rounds.notify_all()
