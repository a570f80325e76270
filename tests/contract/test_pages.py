"""Section 13: the web UI's files and custom pages, and no way out of their folders (S6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.contract.wire import Wire, check_error, exchange, request_bytes
from tests.server import Server

SECRET = b"top-secret-4c1d"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
FILES = {
    "index.html": (b"<!doctype html><title>UI</title>", {"text/html"}),
    "assets/app-1a2b.js": (b"export const a = 1;", {"text/javascript", "application/javascript"}),
    "assets/app-1a2b.css": (b"body { color: red }", {"text/css"}),
    "dark.css": (b"body { color: white }", {"text/css"}),
    "sw.js": (b"self.skipWaiting();", {"text/javascript", "application/javascript"}),
    "manifest.json": (b"{}", {"application/json"}),
    "manifest.webmanifest": (b"{}", {"application/manifest+json"}),
    "logo.png": (PNG, {"image/png"}),
    "logo.svg": (b"<svg/>", {"image/svg+xml"}),
    "favicon.ico": (PNG, {"image/x-icon", "image/vnd.microsoft.icon"}),
    "fonts/a.woff2": (PNG, {"font/woff2"}),
    "static/with space.txt": (b"space", {"text/plain"}),
    "static/ümlaut.txt": (b"umlaut", {"text/plain"}),
    "static/empty.txt": (b"", {"text/plain"}),
    "static/large.txt": (b"0123456789" * 100_000, {"text/plain"}),
}
PAGE = {"index.html": b"<title>viz</title>", "viz.js": b"let viz;", "sub/data.json": b"[1]", "sub/index.html": b"sub"}


@dataclass
class Site:
    server: Server
    folder: Path


def write(path: Path, contents: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A web UI and two custom pages, with a secret beside them and links that lead to it."""
    folder = tmp_path_factory.mktemp("site")
    for name, (contents, _) in FILES.items():
        write(folder / "ui" / name, contents)
    for name, contents in PAGE.items():
        write(folder / "viz" / name, contents)
    write(folder / "other" / "index.html", b"other")
    for name in ("secret.txt", "uix/secret.txt", "secrets/secret.txt", "secrets/index.html"):
        write(folder / name, SECRET)
    for inside in ("ui", "viz"):
        (folder / inside / "link.txt").symlink_to(folder / "secret.txt")
        (folder / inside / "linked").symlink_to(folder / "secrets")
        (folder / inside / "up").symlink_to("..")
    args = ("--webui", str(folder / "ui"))
    pages = ("--custom-static", f"viz={folder / 'viz'}", "--custom-static", f"aw-watcher-other={folder / 'other'}")
    with Server(folder / "data", *args, *pages) as server:
        yield Site(server, folder)


# --- the web UI


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_web_ui_is_served_with_its_type(site: Site, name: str) -> None:
    contents, types = FILES[name]
    answer = exchange(site.server, "GET", "/" + quote(name))
    assert (answer.status, answer.body) == (200, contents)
    assert answer.headers.get_content_type() in types
    head = exchange(site.server, "HEAD", "/" + quote(name))
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(contents)))


@pytest.mark.parametrize("target", ["/", "/?token=abc", "/?a=b#c", "/index.html?x=/api/0/info"])
def test_the_root_is_the_index_of_the_web_ui(site: Site, target: str) -> None:
    answer = exchange(site.server, "GET", target)
    assert (answer.status, answer.body) == (200, FILES["index.html"][0])
    assert answer.headers.get_content_type() == "text/html"


@pytest.mark.parametrize("name", ["index.html", "sw.js", ""])
def test_what_names_the_other_files_is_asked_for_anew_each_time(site: Site, name: str) -> None:
    """`no-cache` and an ETag for the index and the service worker, so that an upgrade shows."""
    answer = exchange(site.server, "GET", f"/{name}")
    assert "no-cache" in answer.headers["Cache-Control"]
    assert answer.headers["ETag"]
    with Wire(site.server) as wire:
        wire.send(request_bytes("GET", f"/{name}", f"If-None-Match: {answer.headers['ETag']}"))
        again = wire.answer()
        assert (again.status, again.body) == (304, b"")
        wire.send(request_bytes("GET", "/api/0/info"))
        assert wire.answer().status == 200


@pytest.mark.parametrize(
    "path", ["/nowhere", "/assets/missing.js", "/assets", "/assets/", "/nowhere/", "/index.htm", "/Index.html", "/ui"]
)
def test_what_is_not_there_is_404_and_not_the_index(site: Site, path: str) -> None:
    """Folders have no listing."""
    answer = exchange(site.server, "GET", path)
    assert answer.status == 404
    assert b"<title>UI</title>" not in answer.body
    assert b"app-1a2b" not in answer.body


@pytest.mark.parametrize("path", ["/api/0/nowhere", "/api/index.html", "/api/0/index.html"])
def test_the_api_is_not_shadowed_by_the_web_ui(site: Site, path: str) -> None:
    check_error(exchange(site.server, "GET", path), 404, "NotFound")
    assert json.loads(exchange(site.server, "GET", "/api/0/info").body)["testing"] is True


def test_many_files_come_over_one_connection(site: Site) -> None:
    with Wire(site.server) as wire:
        for name, (contents, _) in list(FILES.items()) * 3:
            wire.send(request_bytes("GET", "/" + quote(name)))
            assert wire.answer().body == contents


def test_without_a_web_ui_there_is_a_page_all_the_same(server: Server) -> None:
    answer = exchange(server, "GET", "/")
    assert answer.status == 200
    assert answer.headers.get_content_type() == "text/html"
    assert answer.body
    assert exchange(server, "GET", "/index.htm").status == 404
    assert exchange(server, "GET", "/etc/passwd").status == 404


# --- custom pages


def test_pages_lists_the_names(site: Site, server: Server) -> None:
    answer = exchange(site.server, "GET", "/pages/")
    assert answer.status == 200
    assert answer.headers.get_content_type() == "application/json"
    assert sorted(json.loads(answer.body)) == ["aw-watcher-other", "viz"]
    assert json.loads(exchange(server, "GET", "/pages/").body) == []


@pytest.mark.parametrize("query", ["", "?a=1&b=%2F%20x", "?start=2024-05-01T10:00:00%2B02:00"])
def test_a_page_without_its_slash_is_redirected_to_it(site: Site, query: str) -> None:
    """308, the query string kept, and to this server."""
    answer = exchange(site.server, "GET", f"/pages/viz{query}")
    assert answer.status == 308
    assert answer.headers["Location"] == f"/pages/viz/{query}"


@pytest.mark.parametrize(
    ("path", "contents", "content_type"),
    [
        ("viz/", PAGE["index.html"], "text/html"),
        ("viz/?a=1", PAGE["index.html"], "text/html"),
        ("viz/index.html", PAGE["index.html"], "text/html"),
        ("viz/sub/data.json", PAGE["sub/data.json"], "application/json"),
        ("aw-watcher-other/", b"other", "text/html"),
    ],
)
def test_a_page_is_its_index_and_its_files(site: Site, path: str, contents: bytes, content_type: str) -> None:
    answer = exchange(site.server, "GET", f"/pages/{path}")
    assert (answer.status, answer.body) == (200, contents)
    assert answer.headers.get_content_type() == content_type
    assert exchange(site.server, "HEAD", f"/pages/{path}").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "nope",
        "nope/",
        "nope/index.html",
        "viz/missing.js",
        "VIZ/",
        "viz2/",
        "ui/",
        "viz/sub",
        "index.html",
        "%2e/",
        "viz%2fviz.js",
    ],
)
def test_an_unknown_page_or_file_is_404(site: Site, path: str) -> None:
    assert exchange(site.server, "GET", f"/pages/{path}").status == 404


@pytest.mark.parametrize("name", ["x%0d%0aLocation:%20http://evil.example", "%2f%2fevil.example", "viz%0d%0aX: y"])
def test_a_redirect_leads_nowhere_else(site: Site, name: str) -> None:
    """S7: neither by a line break nor by a second slash."""
    answer = exchange(site.server, "GET", f"/pages/{quote(name, safe='%:/')}")
    assert answer.status == 404
    assert "Location" not in answer.headers


# --- no way out

WAYS_OUT = [
    "../secret.txt",
    "../../secret.txt",
    "./../secret.txt",
    "x/../../secret.txt",
    "assets/../../secret.txt",
    "sub/../../secret.txt",
    "%2e%2e/secret.txt",
    "%2E%2E/secret.txt",
    ".%2e/secret.txt",
    "%2e./secret.txt",
    "..%2fsecret.txt",
    "%2e%2e%2fsecret.txt",
    "%2e%2e%2Fsecret.txt",
    "assets%2f..%2f..%2fsecret.txt",
    "..%5csecret.txt",
    "..\\secret.txt",
    "%2e%2e%5csecret.txt",
    "%252e%252e/secret.txt",
    "%252e%252e%252fsecret.txt",
    "..%252fsecret.txt",
    "....//secret.txt",
    "..;/secret.txt",
    "..%00/secret.txt",
    "%c0%ae%c0%ae/secret.txt",
    "%u002e%u002e/secret.txt",
    "..//secret.txt",
    "/../secret.txt",
    "//../secret.txt",
    "../uix/secret.txt",
    "..%2fuix%2fsecret.txt",
    "x/secret.txt",
    "../viz/../secret.txt",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "../../../../../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "%2f%2fetc/passwd",
    "file:///etc/passwd",
    "{secret}",
    "/{secret}",
    "%2f{encoded}",
    "{encoded}",
    "link.txt",
    "link%2etxt",
    "linked/secret.txt",
    "linked/",
    "linked",
    "linked/index.html",
    "up/secret.txt",
    "up/uix/secret.txt",
    "up/",
    "index.html/../../secret.txt",
    "index.html%00.txt",
    "link.txt%00.png",
    "..",
    "%2e%2e",
    "../",
    "~/secret.txt",
    "~root/.profile",
]


@pytest.mark.parametrize("base", ["/", "/pages/viz/", "/pages/", "/pages/aw-watcher-other/"])
@pytest.mark.parametrize("way", WAYS_OUT)
def test_nothing_outside_a_folder_is_ever_served(site: Site, base: str, way: str) -> None:
    """`..` in any encoding, absolute paths, links that lead out: 404, and never a byte of what is there."""
    secret = str(site.folder / "secret.txt")
    target = base + way.format(secret=secret.lstrip("/"), encoded=quote(secret.lstrip("/"), safe=""))
    answer = exchange(site.server, "GET", target)
    malformed = any(mark in way for mark in ("%00", "%c0", "%u"))
    assert answer.status in ({400, 404} if malformed else {404}), answer.body[:80]
    assert SECRET not in answer.body
    assert b"root:" not in answer.body


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "target", ["*", "secret.txt", "../secret.txt", "//localhost/../secret.txt", "http://localhost/../secret.txt"]
)
def test_an_odd_request_target_leads_nowhere(site: Site, method: str, target: str) -> None:
    answer = exchange(site.server, method, target, body=b"" if method == "POST" else None)
    assert answer.status < 500
    assert SECRET not in answer.body


def test_names_of_buckets_settings_and_form_files_are_no_paths(site: Site) -> None:
    """S6: what looks like a path is a name and touches no file."""
    before = sorted(str(path) for path in site.folder.rglob("*") if "data" not in path.relative_to(site.folder).parts)
    made = json.dumps({"type": "t", "client": "c", "hostname": "h"}).encode()
    for name in ("../../secret.txt", "/etc/passwd", "..", "../ui/index.html"):
        for kind in ("buckets", "settings"):
            path = f"/api/0/{kind}/{quote(name, safe='')}"
            assert exchange(site.server, "POST", path, "Content-Type: application/json", body=made).status == 200
            assert SECRET not in exchange(site.server, "GET", path).body
            assert exchange(site.server, "DELETE", path).status == 200
    after = sorted(str(path) for path in site.folder.rglob("*") if "data" not in path.relative_to(site.folder).parts)
    assert after == before
    assert (site.folder / "ui/index.html").read_bytes() == FILES["index.html"][0]
