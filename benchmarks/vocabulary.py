"""The words of the generated person: applications, and what their pages and titles are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["browser", "editor", "terminal", "chat", "mail", "document", "player", "tool"]


@dataclass(frozen=True)
class App:
    """One application. `new_page_share` of its visits open a page never seen before; the others return to one."""

    name: str
    kind: Kind
    new_page_share: float


# In the order of use: the share of time falls with the rank (Zipf), so the first is used most.
APPS: Final = (
    App("Firefox", "browser", 0.19),
    App("Code", "editor", 0.055),
    App("Alacritty", "terminal", 0.08),
    App("Slack", "chat", 0.006),
    App("Google-chrome", "browser", 0.19),
    App("Thunderbird", "mail", 0.12),
    App("libreoffice-writer", "document", 0.03),
    App("Spotify", "player", 0.2),
    App("Zoom", "chat", 0.03),
    App("Nautilus", "tool", 0.04),
    App("Obsidian", "document", 0.05),
    App("Gimp", "document", 0.06),
    App("Signal", "chat", 0.006),
    App("系统设置", "tool", 0.02),
    App("Evince", "document", 0.09),
    App("gnome-calculator", "tool", 0.005),
)

SITES: Final = (
    ("github.com", "GitHub"),
    ("stackoverflow.com", "Stack Overflow"),
    ("docs.python.org", "Python 3 documentation"),
    ("en.wikipedia.org", "Wikipedia"),
    ("www.youtube.com", "YouTube"),
    ("news.ycombinator.com", "Hacker News"),
    ("mail.example.org", "Webmail"),
    ("www.reddit.com", "Reddit"),
    ("calendar.example.org", "Calendar"),
    ("de.wikipedia.org", "Wikipedia – Die freie Enzyklopädie"),
    ("lwn.net", "LWN.net"),
    ("www.example.com", "Example Shop"),
    ("localhost:8080", "Dashboard"),
    ("ja.wikipedia.org", "ウィキペディア"),
)

_TOPICS: Final = """
append log segment columns snapshot recovery commit bucket query planner regex timeline heartbeat latency benchmark
compiler kernel memory cache socket protocol invoice holiday recipe garden camera bicycle train weather budget meeting
agenda roadmap release review design interview contract translation naïve façade Zürich Müller señal été прогноз заметки
時間 記録 café smörgåsbord résumé
"""
_VERBS: Final = "fix add remove explain compare measure write read merge split plan debug test build deploy draft"
TOPICS: Final = tuple(_TOPICS.split())
VERBS: Final = tuple(_VERBS.split())

PROJECTS: Final = ("awlog", "website", "thesis", "dotfiles", "firmware", "invoices", "übersetzer")

LANGUAGES: Final = (("py", "python"), ("md", "markdown"), ("rs", "rust"), ("ts", "typescript"), ("toml", "toml"))

PEOPLE: Final = ("general", "random", "Ana", "Björn", "Chloé", "team-storage", "support", "家族", "Дмитрий", "builds")
