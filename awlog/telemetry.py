"""Program messages: structlog set up once, and the newest records kept for `GET /api/0/log`.

What happens again and again is told once a minute, with how often: no attack and no broken disk fills a disk with messages.

No recorded data, key or query string goes into a message: events are counted, buckets are named by number.
"""

from __future__ import annotations

import io
import logging
import math
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

LogFormat = Literal["console", "json"]

# What `GET /api/0/log` shows: enough to see a start and what went wrong since.
_KEPT_RECORDS: Final = 1000

ACCESS: Final = "access"
"""The part of the access log, which is not among the program messages that are kept."""

_newest: deque[dict[str, Any]] = deque(maxlen=_KEPT_RECORDS)


def set_up(log_format: LogFormat, level: str) -> None:
    """Sends program messages to stderr, as coloured lines or as one JSON object a line. `level` is a name like `info`."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        _repeats,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _keep,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(_stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries say goes the same way, but not aiohttp's: its records quote what is no valid HTTP, tokens and all.
    handler = logging.StreamHandler(_stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)


class _Lenient(io.FileIO):
    """A stream without a buffer that loses what it cannot write: a file on a full disk keeps nobody from their work."""

    def write(self, content: Any) -> int:
        with suppress(OSError):
            super().write(content)
        return len(content)


_stderr: Final = io.TextIOWrapper(_Lenient(2, "w", closefd=False), errors="backslashreplace", write_through=True)


class Repeats:
    """A processor: the first message of a cause passes, those like it within a minute are counted, and the next one has the
    count. A cause is what is said, where, and of which error; when there are too many, what is said and where.
    """

    _QUIET_S: Final = 60.0
    _CAUSES_MAX: Final = 256
    _SPOKEN: Final = ("error", "reason", "kind", "type", "status")

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._told: OrderedDict[tuple[object, ...], tuple[float, int]] = OrderedDict()  # when last, how many since

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if event.get("level") not in ("warning", "error", "critical"):
            return event
        cause = (event.get("event"), event.get("part"), *(str(event.get(name)) for name in self._SPOKEN))
        if cause not in self._told and len(self._told) >= self._CAUSES_MAX:
            self._forget_old()
            if len(self._told) >= self._CAUSES_MAX:
                cause = cause[:2]
        now_s = self._now_s()
        told_s, count = self._told.get(cause, (-math.inf, 0))
        if now_s - told_s < self._QUIET_S:
            self._told[cause] = (told_s, count + 1)
            raise structlog.DropEvent
        self._told[cause] = (now_s, 0)
        return {**event, "repeated": count} if count else event

    def untold(self) -> int:
        """How many were counted and not told yet."""
        return sum(count for _, count in self._told.values())

    def _forget_old(self) -> None:
        now_s = self._now_s()
        for cause in [cause for cause, (told_s, _) in self._told.items() if now_s - told_s >= self._QUIET_S]:
            del self._told[cause]


_repeats: Final = Repeats()


def untold_count() -> int:
    """How many messages were like others that were told, and have not been counted in one yet."""
    return _repeats.untold()


def newest_records() -> list[dict[str, Any]]:
    """The newest program messages, newest first, each with `timestamp`, `level` and `message`."""
    return list(reversed(_newest))


def _keep(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if event.get("part") == ACCESS:
        return event
    fields = {key: value if isinstance(value, (int, float, bool)) else str(value) for key, value in event.items()}
    fields.pop("exc_info", None)
    fields["message"] = fields.pop("event", "")
    _newest.append(fields)
    return event
