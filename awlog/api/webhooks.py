"""`/webhooks/deliveries`: what was sent to webhooks, and what came of it. They are named in the configuration only."""

from __future__ import annotations

from aiohttp import web

from awlog.api import wire
from awlog.api.call import Call
from awlog.api.describe import Operation, described
from awlog.engine.webhook_process import Delivery


@described(Operation(list[Delivery]))
async def list_deliveries(call: Call) -> web.StreamResponse:
    """The newest deliveries to webhooks, newest first: when, where to, how many changes, and whether they were taken."""
    hooks = call.engine.webhooks
    return call.json(wire.encode([] if hooks is None else hooks.deliveries()))
