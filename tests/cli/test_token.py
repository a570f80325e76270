"""`awlog token`: with a server and without one, and what a server then demands."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from awlog.storage.lock import DirectoryLock
from tests.server import Reply, Server

WATCHER = {"client": "c", "type": "t", "hostname": "h"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def run(command: str, data_dir: Path, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`awlog token` as a process of its own: it opens the store in a child, as a server does. `home`: where files of the
    user's configuration are.
    """
    environment = None if home is None else {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
    words = [sys.executable, "-m", "awlog", "token", command, "--data-dir", str(data_dir), *arguments]
    return subprocess.run(words, capture_output=True, check=False, text=True, env=environment)


def made(data_dir: Path, *arguments: str) -> dict[str, Any]:
    done = run("create", data_dir, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def listed(data_dir: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("list", data_dir, "--json").stdout)
    return answer


def test_a_token_is_made_before_the_first_start(tmp_path: Path) -> None:
    """The server then lets in whoever has it, and nobody else."""
    created = made(tmp_path / "data", "--scope", "admin", "--name", "me")
    assert re.fullmatch(r"awlog_[A-Za-z0-9_-]{43}", created["secret"])
    with Server(tmp_path / "data") as server:
        assert server.request("GET", "/api/0/buckets").status == 401
        assert server.request("GET", "/api/0/buckets", headers=bearer(created["secret"])).json() == {}
        assert server.request("GET", "/api/0/buckets", headers=bearer(created["secret"] + "x")).status == 401
        assert server.request("GET", "/api/0/info").status == 200


def test_a_running_server_obeys_at_once(tmp_path: Path) -> None:
    """From the first token on it demands one; one that is revoked is worth nothing; revoking the last opens nothing."""
    with Server(tmp_path / "data") as server:
        assert server.request("POST", "/api/0/buckets/web-1", WATCHER).status == 200
        created = made(server.data_dir, "--scope", "append:web-*", "--scope", "read:web-*", "--name", "browser")
        secret, token_id = created["secret"], created["token"]["id"]

        def ask(method: str, path: str, body: Any = None) -> Reply:
            return server.request(method, path, body, headers=bearer(secret))

        assert server.request("GET", "/api/0/buckets/web-1").status == 401
        beat = {"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {}}
        assert ask("POST", "/api/0/buckets/web-1/heartbeat?pulsetime=5", beat).status == 200
        assert ask("POST", "/api/0/buckets/other/heartbeat?pulsetime=5", beat).status == 403
        assert len(ask("GET", "/api/0/buckets/web-1/events").json()) == 1
        (known,) = listed(server.data_dir)["tokens"]
        assert (known["id"], known["name"], known["scopes"]) == (token_id, "browser", ["append:web-*", "read:web-*"])
        assert run("revoke", server.data_dir, token_id).returncode == 0
        assert ask("POST", "/api/0/buckets/web-1/heartbeat?pulsetime=5", beat).status == 401
        assert listed(server.data_dir) == {"required": True, "tokens": []}
        assert server.request("GET", "/api/0/buckets/web-1").status == 401
        server.kill()
        server.start()
        assert server.request("GET", "/api/0/buckets/web-1").status == 401
        assert run("require", server.data_dir, "--off").returncode == 0
        assert server.request("GET", "/api/0/buckets/web-1").status == 200


def test_what_makes_no_token_is_refused(tmp_path: Path) -> None:
    """With the reason; no token is made, and none is required."""
    refused = {
        ("--scope", "reed"): "A scope is one of read, append, write, admin",
        ("--scope", "read", "--expires", "0d"): "expires in the future",
        ("--scope", "read", "--expires", "soon"): "no period like 90d",
    }
    for arguments, says in refused.items():
        done = run("create", tmp_path / "data", *arguments)
        assert done.returncode != 0
        assert says in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    assert listed(tmp_path / "data") == {"required": False, "tokens": []}
    assert run("list", tmp_path / "elsewhere").returncode == 3
    assert not (tmp_path / "elsewhere").exists()
    assert "no token with this id" in run("revoke", tmp_path / "data", "0123456789ab").stderr


def test_a_directory_that_somebody_else_works_on_is_left_alone(tmp_path: Path) -> None:
    """A server that is starting, for example: it has the directory, and no socket yet."""
    (tmp_path / "data").mkdir()
    with DirectoryLock(tmp_path / "data"):
        done = run("create", tmp_path / "data", "--scope", "read")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_the_stock_client_finds_its_key(tmp_path: Path) -> None:
    """In the file of ActivityWatch's Rust server, whose other keys and comments stay; only its owner may read it. A key for
    another port would not be taken: it is refused, and no token is made.
    """
    path = tmp_path / ".config" / "activitywatch" / "aw-server-rust" / "config.toml"
    made_first = run("create", tmp_path / "data", "--for-aw-client", home=tmp_path)
    assert (made_first.returncode, made_first.stdout) == (0, ""), made_first.stderr
    first = tomllib.loads(path.read_text())
    assert first["port"] == 5600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text(
        '# mine\naddress = "127.0.0.1"\nport = 5600 # the usual\n[auth]\nother = 1\n[custom_static]\na = "/b"\n'
    )
    assert run("create", tmp_path / "data", "--for-aw-client", "--json", home=tmp_path).returncode == 0
    text = path.read_text()
    assert "# mine" in text
    assert "# the usual" in text
    second = tomllib.loads(text)
    secret = second["auth"].pop("api_key")
    assert second == {"address": "127.0.0.1", "port": 5600, "auth": {"other": 1}, "custom_static": {"a": "/b"}}
    other = run("create", tmp_path / "data", "--for-aw-client", "--port", "5700", home=tmp_path)
    assert other.returncode == 1
    assert "is for port 5600, not 5700" in other.stderr
    assert len(listed(tmp_path / "data")["tokens"]) == 2
    with Server(tmp_path / "data") as server:
        assert server.request("GET", "/api/0/buckets", headers=bearer(secret)).json() == {}
        assert (
            server.request("POST", "/api/0/buckets/b", WATCHER, headers=bearer(first["auth"]["api_key"])).status == 200
        )
