"""A process beside the server that reads the store and talks to the network: started, started again if it ends, stopped.

What to do is the first line on its stdin; each line after it asks for a round now. It writes a line after each round.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

_log: Final = structlog.get_logger(part="companion")

# What a stop waits for the last round; what is not done by then is done after the next start.
_LAST_ROUND_S: Final = 5.0
_RESTART_S: Final = 10.0
_LINE_BYTES_MAX: Final = 16 << 20


class Companion:
    """Loop only."""

    def __init__(self, module: str, options: bytes, take: Callable[[bytes], None]) -> None:
        """`options`: a line of JSON. `take` is given each line that the process writes."""
        self._module = module
        self._options = options
        self._take = take
        self._process: asyncio.subprocess.Process | None = None
        self._rounds = asyncio.Condition()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """One more round, if it is quick enough; then the process ends."""
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(_LAST_ROUND_S), self._rounds:
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
                self._module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LINE_BYTES_MAX,
            )
            assert process.stdin is not None, "started with pipes"
            assert process.stdout is not None, "started with pipes"
            process.stdin.write(self._options + b"\n")
            async for line in process.stdout:
                self._take(line)
                async with self._rounds:
                    self._rounds.notify_all()
            _log.warning("a process beside the server ended; it is started again", status=await process.wait())
            await asyncio.sleep(_RESTART_S)
