"""Program messages: structlog set up once, and the newest records kept for `GET /api/0/log`.

No recorded data, key or query string goes into a message: events are counted, buckets are named by number.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

LogFormat = Literal["console", "json"]

# What `GET /api/0/log` shows: enough to see a start and what went wrong since.
_KEPT_RECORDS: Final = 1000

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
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _keep,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries say goes the same way, but not aiohttp's: its records quote what is no valid HTTP, tokens and all.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)


def newest_records() -> list[dict[str, Any]]:
    """The newest program messages, newest first, each with `timestamp`, `level` and `message`."""
    return list(reversed(_newest))


def _keep(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    fields = {key: value if isinstance(value, (int, float, bool)) else str(value) for key, value in event.items()}
    fields.pop("exc_info", None)
    fields["message"] = fields.pop("event", "")
    _newest.append(fields)
    return event
