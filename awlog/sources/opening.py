"""What the words on a command line mean: a file of some kind, or a server's URL -> its source."""

from __future__ import annotations

from pathlib import Path

from awlog.sources.aw_server import AwServerDatabase
from awlog.sources.aw_server_rust import AwServerRustDatabase
from awlog.sources.source import Source, SourceUnreadable
from awlog.sources.sqlite_file import SqliteFile


def open_source(where: str) -> Source:
    """The kind of a file is told by what is in it. Raises SourceUnreadable."""
    return open_database(Path(where), None)


def open_database(path: Path, settings_path: Path | None) -> Source:
    """A database of one of ActivityWatch's servers. Raises SourceUnreadable."""
    file = SqliteFile(path)
    tables = file.tables()
    if AwServerDatabase.wrote(tables):
        return AwServerDatabase(file, settings_path)
    if AwServerRustDatabase.wrote(tables) or not tables:
        return AwServerRustDatabase(file)
    file.close()
    raise SourceUnreadable(f"{path} is no database of an ActivityWatch server: it has other tables")
