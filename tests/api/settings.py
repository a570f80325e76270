"""The settings of an HTTP edge that the tests need."""

from __future__ import annotations

from typing import Any

from awlog.api.configuration import ApiSettings


def api_settings(**changes: Any) -> ApiSettings:
    """A server on 127.0.0.1:5600, but for the changes."""
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 5600,
        "testing": False,
        "hostname": "desk",
        "device_id": "6f1c0000-0000-4000-8000-000000000000",
        "version": "0.1.0",
    }
    return ApiSettings(**{**given, **changes})
