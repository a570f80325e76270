"""The manual: the pages of `awlog/docs/`, which are Markdown, as HTML at `/awlog/docs/`.

The same files are read in the repository. Links between them end in `.md` there and lead to the pages here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from aiohttp import web
from markdown_it import MarkdownIt
from markdown_it.token import Token

from awlog.api.call import Call
from awlog.model.errors import NotFound

FOLDER: Final = "docs"
_INDEX: Final = "index"
_STYLE: Final = "manual.css"
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A link to another page of the manual, and perhaps to a heading on it.
_PAGE_LINK: Final = re.compile(r"([a-z-]+)\.md(#[a-z0-9-]+)?")
# Where links to files of the repository begin, as seen from the pages in it.
_REPOSITORY: Final = "../../"


def serve_manual(call: Call, path: str, below: Sequence[str]) -> web.StreamResponse:
    """A page by its name below `/awlog/docs/`, or the style sheet. Raises NotFound."""
    if not below and not path.endswith("/"):
        target = f"{call.settings.base_path}{quote(path)}/"
        return web.Response(status=308, headers={"Location": target})
    name = "/".join(below) or _INDEX
    if name == _STYLE:
        return web.Response(text=_read(_STYLE), content_type="text/css", headers=_HEADERS)
    if name not in page_titles():
        raise NotFound("The manual has no page of this name")
    return web.Response(text=_page(name), content_type="text/html", headers=_HEADERS)


@cache
def page_titles() -> dict[str, str]:
    """Name -> title of each page: the index, then the others as the index lists them."""
    listed = [_INDEX, *(link[1] for link in _PAGE_LINK.finditer(_read(f"{_INDEX}.md")))]
    return {name: _read(f"{name}.md").partition("\n")[0].removeprefix("# ") for name in dict.fromkeys(listed)}


@cache
def _page(name: str) -> str:
    titles = page_titles()
    here = ' aria-current="page"'
    links = "".join(
        f'<li><a href="./{"" if page == _INDEX else page}"{here if page == name else ""}>{html.escape(title)}</a></li>'
        for page, title in titles.items()
    )
    names = list(titles)
    following = names[(names.index(name) + 1) % len(names)]
    then = f'<a href="./{"" if following == _INDEX else following}">{html.escape(titles[following])}</a>'
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(titles[name])}: awlog</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="../icon.svg"><link rel="stylesheet" href="./manual.css">'
        '<nav aria-label="Pages"><a class="home" href="../" aria-label="awlog, to the dashboard">'
        f'<img src="../icon.svg" alt="" width="22" height="22">awlog</a><ul>{links}</ul></nav>'
        f'<main>{_as_html(_read(f"{name}.md"))}<p class="then"><span>Next</span> {then}</p></main></html>'
    )


def _as_html(markdown: str) -> str:
    """What the page says. HTML that stands in it is shown as text, but for comments, which go."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(re.sub(r"<!--.*?-->\n?", "", markdown, flags=re.DOTALL))
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[at + 1].content))
        _set_links(token.children or ())
    return str(parser.renderer.render(tokens, parser.options, {}))


def _set_links(tokens: Sequence[Token]) -> None:
    """Links to other pages lead there; those to files of the repository, which is not served, become their texts."""
    for opening, closing in zip(_of_type(tokens, "link_open"), _of_type(tokens, "link_close"), strict=True):
        href = str(opening.attrGet("href") or "")
        found = _PAGE_LINK.fullmatch(href)
        if found is not None:
            opening.attrSet("href", f"./{'' if found[1] == _INDEX else found[1]}{found[2] or ''}")
        elif href.startswith(_REPOSITORY):
            opening.tag = closing.tag = "span"
            opening.attrs = {"title": href.removeprefix(_REPOSITORY)}


def _of_type(tokens: Sequence[Token], name: str) -> list[Token]:
    return [token for token in tokens if token.type == name]


def _anchor(heading: str) -> str:
    """As code hosts make them: small letters, dashes for spaces."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _read(name: str) -> str:
    return (files("awlog") / FOLDER / name).read_text("utf-8")
