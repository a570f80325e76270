"""`awlog token`: with a server and without one, and what a server then demands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from awlog.storage.lock import DirectoryLock
from tests.server import Reply, Server

WATCHER = {"client": "c", "type": "t", "hostname": "h"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def run(command: str, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`awlog token` as a process of its own: it opens the store in a child, as a server does."""
    words = [sys.executable, "-m", "awlog", "token", command, "--data-dir", str(data_dir), *arguments]
    return subprocess.run(words, capture_output=True, check=False, text=True)


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
    assert "no token with this id" in run("revoke", tmp_path / "data", "0123456789ab").stderr


def test_a_directory_that_somebody_else_works_on_is_left_alone(tmp_path: Path) -> None:
    """A server that is starting, for example: it has the directory, and no socket yet."""
    (tmp_path / "data").mkdir()
    with DirectoryLock(tmp_path / "data"):
        done = run("create", tmp_path / "data", "--scope", "read")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
