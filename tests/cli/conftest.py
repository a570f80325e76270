"""The command line in this process, away from the configuration and the environment of whoever runs the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from awlog.cli import options
from awlog.cli.main import awlog

Run = Callable[..., Result]


@pytest.fixture
def default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration file is expected; it is not there."""
    path = tmp_path / "home" / "config.toml"
    path.parent.mkdir()
    monkeypatch.setattr(options, "_CONFIG_FILE", path)
    return path


@pytest.fixture
def run(default_file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `awlog` with these arguments; keywords are its environment. The file is where `default_file` says."""
    import os

    for name in [name for name in os.environ if name.startswith("AWLOG_")]:
        monkeypatch.delenv(name)

    def invoke(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(awlog, arguments, env=environment, prog_name="awlog")

    return invoke
