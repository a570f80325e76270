"""What the table of settings says of each, and the kinds of values that click does not know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click
from msgspec import Struct

from awlog.api.proxies import UNIX_PEER, Proxies

_BASE_PATH: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+")
_FILE_MODE: Final = re.compile(r"[0-7]{3}")


class Setting(Struct, frozen=True):
    """How a setting is given. Its name says its flag, its variable `AWLOG_…` and its key in the file.

    says     its line in --help; what it says of a default stands instead of the default
    kind     what may be given; None: any text, or nothing behind a switch
    metavar  what stands for the value in --help, if not the kind's name
    flag     if it is not the name: that of one value of many, or both of a switch that has two
    """

    says: str
    kind: click.ParamType[Any] | None = None
    metavar: str | None = None
    flag: str | None = None


class Seconds(click.FloatRange):
    """A range of floats, which `nan` is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if seconds != seconds:
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


class NamedFolder(click.ParamType[tuple[str, Path]]):
    name = "NAME=DIRECTORY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        name, equals, folder = value.partition("=")
        if not equals or not name or "/" in name or not folder:
            self.fail(f"{value!r} is not of the form NAME=DIRECTORY", param, ctx)
        return name, Path(folder)


class BasePath(click.ParamType[str]):
    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path: str = value.rstrip("/")
        if path and _BASE_PATH.fullmatch(path) is None:
            self.fail(f"{value!r} is no path like /awlog, of letters, digits, `-`, `_` and `.`", param, ctx)
        return path


class ProxyAddress(click.ParamType[str]):
    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            Proxies((value,))
        except ValueError as error:
            self.fail(f"{error}; give an address, a network, or `{UNIX_PEER}`", param, ctx)
        return str(value)


class FileMode(click.ParamType[str]):
    name = "mode"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if _FILE_MODE.fullmatch(value) is None:
            self.fail(f"{value!r} is no file mode like 600 or 660", param, ctx)
        return str(value)
