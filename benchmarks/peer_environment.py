"""The virtual environment of the peer: made once, kept in the cache folder, checked before each use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.progress import say
from benchmarks.servers import CannotMeasure

# peewee 3.18 breaks its database layer, flask 2.3 its queries with `sum_durations`.
REQUIREMENTS: Final = ("aw-server", "peewee<3.18", "flask<2.3")


def python_of_peer(cache: Path) -> str:
    """The interpreter that has `REQUIREMENTS`. The first call downloads them, which takes some 30 s.
    Raises CannotMeasure if pip cannot.
    """
    folder = cache / f"aw-server-py{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    wanted = "\n".join(REQUIREMENTS)
    if not done.exists() or done.read_text() != wanted:
        say(f"installing {', '.join(REQUIREMENTS)}")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run([*pip, *REQUIREMENTS], check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError as error:
            raise CannotMeasure("the peer cannot be installed; `run` measures awlog alone") from error
        done.write_text(wanted)
    return str(python)
