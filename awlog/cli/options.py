"""Options and where their values come from: a flag, else `AWLOG_…` in the environment, else the file, else a default."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin

import click
import platformdirs
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields

from awlog.api.configuration import EdgeLimits
from awlog.cli.config_file import load_file
from awlog.cli.server_config import ServerConfig
from awlog.cli.setting import Setting

_F = TypeVar("_F", bound=Callable[..., Any])

PORT: Final = 5600
TESTING_PORT: Final = 5666
# Open files of the server itself: the store, reader processes and their pipes, sockets, backups.
_OWN_FILES: Final = 128
_CONFIG_FILE: Final = Path(platformdirs.user_config_dir("awlog", appauthor=False)) / "config.toml"


def connections_max() -> int:
    """As many as files may be open, but for those that the server itself needs."""
    if sys.platform == "win32":
        return EdgeLimits().connections
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return EdgeLimits().connections if hard == resource.RLIM_INFINITY else max(16, hard - _OWN_FILES)


def default_data_dir(*, testing: bool) -> Path:
    return Path(platformdirs.user_data_dir("awlog-testing" if testing else "awlog", appauthor=False))


def _read_config(context: click.Context, _parameter: click.Parameter, given: Path | None) -> Path | None:
    """Makes the file's settings the defaults of the other options."""
    path = given or _CONFIG_FILE
    if given is not None or _may_be_there(path):
        context.default_map = load_file(path, testing=bool(context.params.get("testing")))
    return path


def _may_be_there(path: Path) -> bool:
    """Also where that is not to be seen: whoever reads it says so."""
    try:
        return path.exists()
    except OSError:
        return True


# Not eager, like --testing, which it asks for; and declared before the options that it gives defaults to.
_CONFIG: Final = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="AWLOG_CONFIG",
    callback=_read_config,
    help=f"TOML file with these settings (data_dir, host, ...).  [default: {_CONFIG_FILE.name} where `awlog paths` says]",
)


def _option(field: FieldInfo) -> Callable[[_F], _F]:
    """The option of a field of `ServerConfig`."""
    hint, setting = get_args(field.type)
    assert isinstance(setting, Setting), "each field is annotated with what there is to say of it"
    flag = setting.flag or f"--{field.name.replace('_', '-')}"
    how: dict[str, Any] = {
        "envvar": f"AWLOG_{field.name.upper()}",
        "help": setting.says or None,
        "type": setting.kind,
        "metavar": setting.metavar,
    }
    if hint is bool and "/" not in flag:
        how |= {"is_flag": True, "is_eager": field.name == "testing"}
    elif get_origin(hint) in (tuple, dict):
        how |= {"multiple": True}
    elif field.default not in (NODEFAULT, None):
        how |= {"default": field.default, "show_default": bool(field.default != "") and "[default" not in setting.says}
    return click.option(flag, field.name, **how)


_OPTIONS: Final = {field.name: _option(field) for field in fields(ServerConfig)}


def _with(options: list[Callable[[_F], _F]], command: _F) -> _F:
    for option in reversed(options):
        command = option(command)
    return command


def data_dir_options(command: _F) -> _F:
    """`--testing`, `--config` and `--data-dir`: for commands that only look at a data directory."""
    return _with([_OPTIONS["testing"], _CONFIG, _OPTIONS["data_dir"]], command)


def server_options(command: _F) -> _F:
    """Every setting of a server."""
    testing, *others = _OPTIONS.values()
    return _with([testing, _CONFIG, *others], command)


def server_config(values: dict[str, Any]) -> ServerConfig:
    """The values of `server_options`, with the defaults that depend on others."""
    testing = values["testing"]
    resolved = {
        **{name: values[name] for name in _OPTIONS},
        "data_dir": values["data_dir"] or default_data_dir(testing=testing),
        "max_connections": values["max_connections"] or connections_max(),
        "port": values["port"] or (TESTING_PORT if testing else PORT),
        "custom_static": dict(values["custom_static"]),
    }
    return ServerConfig(**resolved)
