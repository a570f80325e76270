"""What the figures were taken on: enough to compare, nothing that names the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TypedDict


class Machine(TypedDict):
    processor: str
    cores: int
    memory_gib: float
    kernel: str
    file_system: str
    python: str


def describe(folder: Path) -> Machine:
    """`file_system` is that of `folder`."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory_bytes / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        file_system=_file_system(folder),
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the mount that holds `folder`, for example ext4."""
    best, kind = -1, "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mounted_at, mounted_kind, *_ = line.split()
        if folder.resolve().is_relative_to(mounted_at) and len(mounted_at) >= best:
            best, kind = len(mounted_at), mounted_kind
    return kind
