"""Where ActivityWatch's servers keep their data is known for each system, and in testing mode."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest
from platformdirs.api import PlatformDirsABC
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from awlog.sources.places import Place, found_places, searched_folders


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "AW_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_both_servers_are_found_with_the_settings_that_belong_to_them(home: Path) -> None:
    """On Linux; the Python server's first."""
    share, config = home / ".local/share/activitywatch", home / ".config/activitywatch"
    rust = touched(share / "aw-server-rust/sqlite.db")
    python = touched(share / "aw-server/peewee-sqlite.v2.db")
    settings = touched(config / "aw-server/settings.json")
    touched(share / "aw-server/peewee-sqlite-testing.v2.db")
    assert found_places(testing=False) == [Place(python, settings), Place(rust)]


def test_testing_mode_has_files_of_its_own_and_sometimes_a_folder(home: Path) -> None:
    """Older servers put `-testing` into the file's name, newer ones into the folder's."""
    share, config = home / ".local/share", home / ".config"
    touched(share / "activitywatch/aw-server/peewee-sqlite.v2.db")
    old = touched(share / "activitywatch/aw-server/peewee-sqlite-testing.v2.db")
    old_settings = touched(config / "activitywatch/aw-server/settings-testing.json")
    new = touched(share / "activitywatch-testing/aw-server/peewee-sqlite.v2.db")
    new_settings = touched(config / "activitywatch-testing/aw-server/settings.json")
    rust = touched(share / "activitywatch/aw-server-rust/sqlite-testing.db")
    assert found_places(testing=True) == [Place(old, old_settings), Place(new, new_settings), Place(rust)]


def test_a_profile_has_a_folder_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the servers' own variable names it."""
    there = touched(home / ".local/share/activitywatch-work/aw-server-rust/sqlite.db")
    assert found_places(testing=False) == []
    monkeypatch.setenv("AW_PROFILE", "work")
    assert found_places(testing=False) == [Place(there)]


@pytest.mark.parametrize(
    ("system", "folder"),
    [(Unix, ".local/share/activitywatch"), (MacOS, "Library/Application Support/activitywatch")],
)
def test_each_system_has_its_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, system: type[PlatformDirsABC], folder: str
) -> None:
    """As platformdirs knows them."""
    monkeypatch.setattr(platformdirs, "PlatformDirs", system)
    assert searched_folders(testing=False) == [home / folder]
