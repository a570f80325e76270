"""`/settings` and `/settings/<key>`: any JSON value under a key, for the web UI's views and categories."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from msgspec import Raw

from awlog.api import wire
from awlog.api.answer_bodies import EmptyBody, RefusalBody
from awlog.api.call import Call
from awlog.api.describe import Body, Operation, described
from awlog.model.commands import ChangeSetting
from awlog.model.errors import BadRequest
from awlog.model.payload import canonical_value

KEY_BYTES_MAX: Final = 127
_NULL: Final = b"null"


@described(Operation(dict[str, Any]))
async def all_settings(call: Call) -> web.StreamResponse:
    """All settings, by key."""
    return call.json(wire.encode({key: Raw(value) for key, value in call.engine.reads.settings().items()}))


@described(Operation(RefusalBody, bodies=(Body(Any, "04:00"),), status=400))
async def without_key(call: Call) -> web.StreamResponse:
    """Refused: a setting is stored under its key."""
    await call.json_body()
    raise BadRequest("A setting is stored under a key: POST /api/0/settings/<key>")


@described(Operation(Any))
async def get_setting(call: Call) -> web.StreamResponse:
    """The value, `null` if it is not set."""
    return call.json(call.engine.reads.setting(_key(call)) or _NULL)


@described(Operation(Any, bodies=(Body(Any, "04:00"),)))
async def set_setting(call: Call) -> web.StreamResponse:
    """Stores the value as it is; `null` removes the key."""
    value = canonical_value(bytes(wire.decode(wire.ANY_VALUE, await call.json_body())))
    await call.engine.submit(ChangeSetting(_key(call), None if value == _NULL else value))
    return call.json(value)


@described(Operation(EmptyBody))
async def remove_setting(call: Call) -> web.StreamResponse:
    """Removes the key; nothing happens if there was none."""
    await call.engine.submit(ChangeSetting(_key(call), None))
    return call.json(b"{}")


def _key(call: Call) -> str:
    key = call.params["key"]
    if not 0 < len(key.encode()) <= KEY_BYTES_MAX:
        raise BadRequest(f"A setting's key has 1 to {KEY_BYTES_MAX} bytes of UTF-8")
    return key
