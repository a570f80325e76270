"""Where the stock `aw-client` looks for its key: the configuration file of aw-server-rust, `[auth] api_key`.

It takes the key only if `port` in that file is the port it talks to.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs
import tomlkit
from tomlkit.exceptions import TOMLKitError

from awlog.model.errors import Refused


class AwClientFile:
    """The file for one port, as it is now. Other keys in it, and comments, stay."""

    def __init__(self, port: int, *, testing: bool) -> None:
        """Raises Refused if it cannot be read, or is for another port."""
        folder = Path(platformdirs.user_config_dir("activitywatch")) / "aw-server-rust"
        self.path = folder / ("config-testing.toml" if testing else "config.toml")
        try:
            self._document = tomlkit.parse(self.path.read_text("utf-8") if self.path.exists() else "")
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise Refused(f"{self.path} cannot be read: {error}") from None
        known = self._document.get("port", port)
        if known != port:
            raise Refused(
                f"{self.path} is for port {known}, not {port}: `aw-client` would not take the key. Edit `port` there."
            )
        self._document["port"] = port
        if not isinstance(self._document.setdefault("auth", tomlkit.table()), dict):
            raise Refused(f"{self.path}: `auth` is no table")

    def write(self, api_key: str) -> None:
        """In place of the file that is there, whole or not at all; its owner alone may read it. Raises Refused."""
        self._document["auth"]["api_key"] = api_key
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.path.parent, encoding="utf-8", delete=False
            ) as beside:  # 0600
                beside.write(tomlkit.dumps(self._document))
                beside.flush()
                os.fsync(beside.fileno())
            Path(beside.name).replace(self.path)
        except OSError as error:
            raise Refused(f"{self.path} cannot be written: {error.strerror or error}") from None
