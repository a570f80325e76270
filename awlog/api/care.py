"""`/admin/backup` and `/admin/compact`: the care of the store."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from awlog.api import wire
from awlog.api.call import Call
from awlog.api.describe import Body, Operation, described
from awlog.engine.backups import BackupDone
from awlog.engine.compaction import Compacted


class BackupBody(Struct):
    """`name`: of the file, in the backup directory; without one it gets the name of the time."""

    name: str | None = None


_BACKUP_DECODER: Final = msgspec.json.Decoder(BackupBody)


@described(Operation(BackupDone, bodies=(Body(BackupBody, {"name": "before-the-move.mdb"}),)))
async def back_up(call: Call) -> web.StreamResponse:
    """Makes a backup in the configured directory; the answer comes when it is verified."""
    body = BackupBody()
    if call.request.body_exists:
        body = wire.decode(_BACKUP_DECODER, await call.json_body())
    return call.json(wire.encode(await call.engine.backups.make(body.name)))


@described(Operation(Compacted))
async def compact(call: Call) -> web.StreamResponse:
    """Writes the store anew, without the room of what was deleted; recording waits some hundredths of a second."""
    return call.json(wire.encode(await call.engine.compact()))
