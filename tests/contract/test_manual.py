"""The manual at `/awlog/docs/`: every page that the index lists is there, and says what its Markdown says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import awlog
from tests.server import Server

DOCS = Path(awlog.__file__).parent / "docs"
NAMES = sorted(path.stem for path in DOCS.glob("*.md"))


def page(server: Server, name: str) -> str:
    reply = server.request("GET", f"/awlog/docs/{name}")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/html")
    assert "script-src" not in reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    return reply.body.decode()


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_served_and_listed(desk_server: Server, name: str) -> None:
    """Under its own name, with its title, and in the navigation of the first page."""
    title = (DOCS / f"{name}.md").read_text("utf-8").partition("\n")[0].removeprefix("# ")
    assert f">{title}</h1>" in page(desk_server, "" if name == "index" else name)
    assert f'href="./{"" if name == "index" else name}"' in page(desk_server, "")


@pytest.mark.parametrize("name", NAMES)
def test_links_between_pages_lead_to_headings_that_exist(desk_server: Server, name: str) -> None:
    """In the form of the served page; also those with a fragment."""
    for target, anchor in re.findall(
        r'href="\./([a-z-]*)(?:#([a-z0-9-]+))?"', page(desk_server, name if name != "index" else "")
    ):
        shown = page(desk_server, target)
        assert not anchor or f'id="{anchor}"' in shown, (target, anchor)


def test_links_into_the_repository_are_texts_that_name_the_file(desk_server: Server) -> None:
    """The server has no repository to lead to."""
    shown = page(desk_server, "promises")
    assert 'title="tests/faults/test_sigkill.py#' in shown
    assert 'href="../../' not in shown


def test_what_is_no_page_is_not_found(desk_server: Server) -> None:
    """Whatever it looks like; the folder without a slash leads to the one with it."""
    for path in ("nothing", "index.md", "manual.css/x", "..%2findex", "a/b"):
        assert desk_server.request("GET", f"/awlog/docs/{path}").status == 404
    reply = desk_server.request("GET", "/awlog/docs")
    assert (reply.status, reply.headers["Location"]) == (308, "/awlog/docs/")
    assert desk_server.request("GET", "/awlog/docs/manual.css").headers["Content-Type"].startswith("text/css")
