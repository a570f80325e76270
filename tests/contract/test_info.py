"""Section 4: what the server says of itself."""

from __future__ import annotations

import re
import socket
import uuid
from pathlib import Path

from tests.contract.wire import Api
from tests.server import Server


def test_info_has_the_four_fields_that_clients_need(api: Api) -> None:
    """The Rust client refuses the answer if one is missing."""
    info = api.get("/info")
    assert info["hostname"] == socket.gethostname()
    assert info["testing"] is True
    assert isinstance(info["version"], str)
    assert str(uuid.UUID(info["device_id"])) == info["device_id"].lower()


def test_the_version_is_no_release_number_for_the_web_ui(api: Api) -> None:
    """Cut at the first space or `+` it must not look like 0.13.2, or the web UI nags people to upgrade."""
    version = api.get("/info")["version"]
    first = re.split(r"[ +]", version)[0]
    assert first
    assert not re.match(r"v?\d", first)
    assert "rust" not in version


def test_a_server_outside_testing_mode_says_so(desk: Api) -> None:
    assert desk.get("/info")["testing"] is False


def test_each_store_has_a_device_id_that_is_kept_with_the_data(api: Api, tmp_path: Path) -> None:
    """It survives a restart and a crash, and no other store has it."""
    with Server(tmp_path / "data") as server:
        first = Api(server).get("/info")["device_id"]
        server.stop()
        server.start()
        assert Api(server).get("/info")["device_id"] == first
        server.kill()
        server.start()
        assert Api(server).get("/info")["device_id"] == first
    assert api.get("/info")["device_id"] != first
