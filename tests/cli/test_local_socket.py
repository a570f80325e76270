"""The socket in the data directory: commands reach the server that owns the data, and nobody else does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from awlog.cli.local_socket import SOCKET_FILE, LocalServer, ServerRefused, running_server
from tests.server import Server


def test_a_command_reaches_the_server_of_a_data_directory(tmp_path: Path) -> None:
    """By the directory alone, whatever the port; several requests on one connection, and refusals in the server's words."""
    with Server(tmp_path / "data") as server, LocalServer(server.data_dir) as local:
        assert local.ask("GET", "/api/0/info") == server.request("GET", "/api/0/info").json()
        created = local.ask("POST", "/api/0/buckets/tea", {"client": "c", "type": "t", "hostname": "h"})
        assert created == {}
        assert list(local.ask("GET", "/api/0/buckets")) == ["tea"]
        with pytest.raises(ServerRefused, match="no bucket named 'coffee'"):
            local.ask("GET", "/api/0/buckets/coffee")


def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    """Whoever can open it may do everything."""
    with Server(tmp_path / "data") as server:
        mode = (server.data_dir / SOCKET_FILE).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


def test_the_owner_needs_no_token_for_what_lasts_either(tmp_path: Path) -> None:
    """The change feed and streams of heartbeats go on when tokens are required of others."""
    with Server(tmp_path / "data") as server, LocalServer(server.data_dir) as local:
        local.ask("POST", "/api/0/buckets/tea", {"client": "c", "type": "t", "hostname": "h"})
        local.ask("POST", "/api/0/tokens", {"scopes": ["admin"]})
        assert server.request("GET", "/api/0/changes?since=0").status == 401
        assert b'"bucket":"tea"' in local.open("GET", "/api/0/changes?since=0").read()


def test_no_server_is_running_on_a_socket_that_a_crash_left(tmp_path: Path) -> None:
    """And the next server puts its own in that place."""
    server = Server(tmp_path / "data").start()
    server.kill()
    assert (server.data_dir / SOCKET_FILE).exists()
    assert running_server(server.data_dir) is None
    with server.start():
        found = running_server(server.data_dir)
        assert found is not None
        with found:
            assert found.ask("GET", "/api/0/buckets") == {}


def test_a_long_path_to_the_data_is_no_obstacle(tmp_path: Path) -> None:
    """A socket's address holds 108 bytes; a directory's name may be longer."""
    parent = tmp_path / ("a" * 100)
    parent.mkdir()
    with Server(parent / ("b" * 100)) as server, LocalServer(server.data_dir) as local:
        assert local.ask("GET", "/api/0/info")["testing"] is True
