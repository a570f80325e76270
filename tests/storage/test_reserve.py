"""The reserve at the end of the data file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from awlog.storage.environment import DATA_FILE, Environment, create_if_new, prepare_directory
from awlog.storage.reserve import RESERVE_BYTES


def test_the_file_is_made_longer_beside_no_commit(tmp_path: Path) -> None:
    """Where zeros are written to do it, they would land on what the commit writes there."""
    prepare_directory(tmp_path)
    create_if_new(tmp_path)
    with closing(Environment(tmp_path, reserve_bytes=RESERVE_BYTES)) as environment:
        before_bytes = (tmp_path / DATA_FILE).stat().st_size
        assert before_bytes < RESERVE_BYTES
        with environment.reserve.writing:
            assert not environment.reserve.is_there()
        assert (tmp_path / DATA_FILE).stat().st_size == before_bytes
        assert environment.reserve.is_there()
        assert (tmp_path / DATA_FILE).stat().st_size > RESERVE_BYTES
        with environment.reserve.writing:
            assert environment.reserve.is_there(), "it looks, and there it is"
