"""The page at `/api/`: it works offline under a strict policy, and shows every route."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.contract.wire import exchange
from tests.server import Server

FILES = ("explorer.css", "explorer.js", "swagger-ui.css", "swagger-ui-bundle.js")


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_the_page_lists_every_route_without_javascript_too(server: Server, path: str) -> None:
    """And names only files of this server."""
    answer = exchange(server, "GET", path)
    page = answer.body.decode()
    for described in server.request("GET", "/api/0/openapi.json").json()["paths"]:
        assert f"<code>{described}</code>" in page
    for link in re.findall(r"(?:src|href|data-description)=([^ >]+)", page):
        assert server.request("GET", urljoin(path, link)).status == 200


@pytest.mark.parametrize("name", FILES)
def test_its_files_come_compressed_or_not_and_only_once(server: Server, name: str) -> None:
    """Whoever takes no gzip gets the same, and whoever has it gets nothing."""
    plain = exchange(server, "GET", f"/api/explorer/{name}")
    small = exchange(server, "GET", f"/api/explorer/{name}", "Accept-Encoding: gzip, zstd")
    assert gzip.decompress(small.body) == plain.body
    again = exchange(server, "GET", f"/api/explorer/{name}", f"If-None-Match: {plain.headers['ETag']}")
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path", ["explorer", "explorer/", "explorer/README.md", "explorer/..%2Fwire.py", "explorer/a/b"]
)
def test_nothing_else_comes_from_there(server: Server, path: str) -> None:
    """Not what lies beside the files either."""
    assert exchange(server, "GET", f"/api/{path}").status == 404


def test_its_policy_lets_nothing_in_from_elsewhere(server: Server) -> None:
    """No inline script, no eval, no other host: scripts, styles and requests are this server's."""
    policy = exchange(server, "GET", "/api/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.needs("chromium")
def test_a_browser_shows_every_route(server: Server, tmp_path: Path) -> None:
    """Nothing is blocked by the policy, and nothing complains on the console."""
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    words += ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", f"{server.url}/api/"]
    done = subprocess.run(words, capture_output=True, check=True, timeout=120)
    shown = done.stdout.decode()
    for described in server.request("GET", "/api/0/openapi.json").json()["paths"]:
        assert f'data-path="{described}"' in shown
    assert "Authorize" in shown
    complaints = [line for line in done.stderr.decode().splitlines() if "CONSOLE" in line]
    assert complaints == []
