"""`/info` and `/log`."""

from __future__ import annotations

from aiohttp import web

from awlog import telemetry
from awlog.api.answer_bodies import InfoBody, LogRecordBody
from awlog.api.call import Call
from awlog.api.describe import Operation, described
from awlog.api.wire import encode


@described(Operation(InfoBody))
async def get_info(call: Call) -> web.StreamResponse:
    """Who this server is. Needs no key."""
    settings = call.settings
    return call.json(
        encode(
            {
                "hostname": settings.hostname,
                # Not a release number: the web UI compares those with ActivityWatch's and nags.
                "version": f"awlog {settings.version}",
                "testing": settings.testing,
                "device_id": settings.device_id,
            }
        )
    )


@described(Operation(list[LogRecordBody]))
async def get_log(call: Call) -> web.StreamResponse:
    """The newest program messages, newest first. They hold no recorded data."""
    return call.json(encode(telemetry.newest_records()))
