"""Where ActivityWatch's servers keep their data, on each system, for real and in testing mode."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import platformdirs
from msgspec import Struct

_PYTHON: Final = "aw-server"
_RUST: Final = "aw-server-rust"


class Place(Struct, frozen=True):
    """A database that is there, and the settings that belong to it, if they are kept elsewhere."""

    database: Path
    settings: Path | None = None


def found_places(*, testing: bool) -> list[Place]:
    """The databases of this user, the Python server's first."""
    suffix = "-testing" if testing else ""
    # In a profile's folder the names are the plain ones.
    names = [f"peewee-sqlite{suffix}.v2.db", "peewee-sqlite.v2.db"]
    rust_names = [f"sqlite{suffix}.db", "sqlite.db"]
    places: list[Place] = []
    for app, data_root, config_root in _roots(testing=testing):
        whole = 1 if app == "activitywatch" else 2
        for name in names[:whole]:
            settings = config_root / _PYTHON / (f"settings{suffix}.json" if name == names[0] else "settings.json")
            places.append(Place(data_root / _PYTHON / name, settings if settings.is_file() else None))
        places += [Place(data_root / _RUST / name) for name in rust_names[:whole]]
    there = {place.database: place for place in places if place.database.is_file()}
    return sorted(there.values(), key=lambda place: place.database.parent.name)


def searched_folders(*, testing: bool) -> list[Path]:
    """Where `found_places` looks."""
    return list(dict.fromkeys(data for _, data, _ in _roots(testing=testing)))


def _roots(*, testing: bool) -> Iterator[tuple[str, Path, Path]]:
    """Name, data folder and configuration folder. Servers of different ages do not agree about Windows."""
    apps = ["activitywatch"]
    profile = os.environ.get("AW_PROFILE", "") or ("testing" if testing else "")
    if profile:
        apps.append(f"activitywatch-{profile}")
    for app in apps:
        yield app, platformdirs.user_data_path(app), platformdirs.user_config_path(app)
        if sys.platform == "win32":
            for roaming in (False, True):
                yield (
                    app,
                    platformdirs.user_data_path(app, appauthor=False, roaming=roaming),
                    platformdirs.user_config_path(app, appauthor=False, roaming=roaming),
                )
