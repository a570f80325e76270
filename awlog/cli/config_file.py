"""The TOML file of settings: what may stand in it, and in which form."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, get_origin, get_type_hints

import click

from awlog.cli.server_config import ServerConfig

# A setting is of the table whose name its own begins with: `[forward]` and `url`, for `forward_url`.
_TABLES: Final = ("forward", "webhook")
# Where the rest of the name is not the key in the table.
_IN_TABLE: Final = {"bucket_prefixes": "prefixes"}


def _kinds(hint: Any) -> tuple[type, ...]:
    """What a setting of this type may be in the file: a text, if it is nothing else."""
    kinds: dict[Any, tuple[type, ...]] = {
        bool: (bool,),
        int: (int,),
        float: (int, float),
        tuple: (list,),
        dict: (list, dict),
    }
    return kinds.get(get_origin(hint) or hint, (str,))


_HINTS: Final = {name: hint for name, hint in get_type_hints(ServerConfig).items() if name != "testing"}
_KINDS: Final = {name: _kinds(hint) for name, hint in _HINTS.items()}
_PATHS: Final = {name for name, hint in _HINTS.items() if hint in (Path, Path | None)}


def load_file(path: Path, *, testing: bool) -> dict[str, Any]:
    """The settings of a file: top-level keys, in testing mode overridden by those of `[testing]`;
    port and data directory then come from there only.

    Raises UsageError that names the file for bad TOML and for a setting that does not exist.
    """
    document = _read(path)
    for table in _TABLES:
        inner = document.pop(table, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"{path}: `{table}` is a table: [{table}], and its settings below it")
        document |= {f"{table}_{_IN_TABLE.get(name, name)}": value for name, value in inner.items()}
    overrides = document.pop("testing", {}) if isinstance(document.get("testing", {}), dict) else {}
    # In testing mode the file's own port and data directory are somebody else's: those of the server for real.
    shared = {name: value for name, value in document.items() if not (testing and name in ("port", "data_dir"))}
    values = {**shared, **(overrides if testing else {})}
    unknown = sorted(({*document, *overrides}) - _HINTS.keys())
    if unknown:
        raise click.UsageError(f"{path}: there is no setting {unknown[0]!r}; there are {', '.join(sorted(_HINTS))}")
    for name, value in values.items():
        kinds = _KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise click.UsageError(f"{path}: the value of {name!r} is of the wrong kind")
    for name in _PATHS & values.keys():  # a shell would have done it
        values[name] = str(Path(values[name]).expanduser())
    pages = values.get("custom_static")
    if isinstance(pages, dict):
        values["custom_static"] = [f"{name}={folder}" for name, folder in pages.items()]
    return values


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} is no valid TOML: {error}") from None
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
