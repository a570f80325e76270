"""What the words on a command line mean: a file of some kind, or a server's URL -> its source."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from awlog.sources.aw_server import AwServerDatabase
from awlog.sources.aw_server_rust import AwServerRustDatabase
from awlog.sources.json_export import JsonExport
from awlog.sources.lines import Lines
from awlog.sources.running_server import RunningServer
from awlog.sources.source import Source, SourceBucket, SourceUnreadable
from awlog.sources.sqlite_file import SqliteFile
from awlog.sources.table import Table

Kind = Literal["sqlite", "json", "ndjson", "csv"]
_BY_SUFFIX: Final[dict[str, Kind]] = {
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
}


def open_source(
    where: str, kind: Kind | None, described: SourceBucket, mapping: dict[str, str], token: str | None
) -> Source:
    """A file of this kind, by default of the one that its name tells, or a server. `described` and `mapping` are for
    files that say nothing of their bucket and of what is what. Raises SourceUnreadable.
    """
    if where.startswith(("http://", "https://")):
        return RunningServer(where, token)
    path = Path(where)
    match kind or _BY_SUFFIX.get(path.suffix.lower()):
        case "json":
            return JsonExport(path)
        case "ndjson":
            return Lines(path, described)
        case "csv":
            return Table(path, described, mapping)
        case "sqlite" | None:
            return open_database(path, None)


def open_database(path: Path, settings_path: Path | None) -> Source:
    """A database of one of ActivityWatch's servers. Raises SourceUnreadable."""
    file = SqliteFile(path)
    tables = file.tables()
    if AwServerDatabase.wrote(tables):
        return AwServerDatabase(file, settings_path)
    if not tables and file.is_without_wal:
        file.close()
        raise SourceUnreadable(
            f"There is nothing in {path}. It is a copy of a file that was in use: what was recorded is in {path.name}-wal, "
            "which was beside the original. Copy both, or stop that server first."
        )
    if AwServerRustDatabase.wrote(tables) or not tables:
        return AwServerRustDatabase(file)
    file.close()
    raise SourceUnreadable(f"{path} is no database of an ActivityWatch server: it has other tables")
