"""What a process and its children have used, from Linux's /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Usage:
    """Since the start of a process tree.

    written_bytes   handed to write calls: files, and the answers of servers that write() them (a few hundred bytes each)
    dirtied_bytes   of the page cache. Where a file system keeps large folios (ext4 since Linux 6.16), one page of 4 KiB
                    counts as its whole folio, up to some hundred KiB, though the disk gets only the page. So it compares
                    nothing: the same writes count twelve times as much in a file that was written in long stretches.
    read_bytes      taken by read calls: files, and requests; and what the disk had to give, for mapped files too
    """

    cpu_s: float
    written_bytes: int
    dirtied_bytes: int
    read_bytes: int

    def since(self, before: Usage) -> Usage:
        return Usage(
            self.cpu_s - before.cpu_s,
            self.written_bytes - before.written_bytes,
            self.dirtied_bytes - before.dirtied_bytes,
            self.read_bytes - before.read_bytes,
        )


@dataclass(frozen=True)
class Memory:
    """Of a process tree, in MiB. `pss`: shared pages divided among those that map them; `anonymous`: not file pages."""

    resident: float
    pss: float
    anonymous: float


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    found = [pid]
    for parent in found:
        for task in _tasks(parent):
            try:
                found.extend(int(child) for child in (task / "children").read_text().split())
            except OSError:  # the thread has ended
                continue
    return found


def usage(pid: int) -> Usage:
    """Of the tree at this moment; children that ended count if they were waited for. About 0.1 ms a process."""
    cpu_s = 0.0
    written_bytes = dirtied_bytes = read_bytes = 0
    for each in tree(pid):
        try:
            # The kernel's CPU clock of the process: all threads, ended ones too, in ns. /proc/PID/stat counts 10 ms.
            cpu_s += time.clock_gettime((~each << 3) | 2)
            ended_children = (_PROC / str(each) / "stat").read_text().rpartition(")")[2].split()[13:15]
            cpu_s += sum(int(ticks) for ticks in ended_children) / _TICKS_PER_S
            io = _fields(each, "io")
            written_bytes += io["wchar"]
            dirtied_bytes += io["write_bytes"]
            read_bytes += io["rchar"] + io["read_bytes"]
        except OSError:  # it has ended
            continue
    return Usage(cpu_s, written_bytes, dirtied_bytes, read_bytes)


def memory(pid: int) -> Memory:
    resident = pss = anonymous = 0
    for each in tree(pid):
        try:
            kib = _fields(each, "smaps_rollup")
        except OSError:
            continue
        resident += kib["Rss"]
        pss += kib["Pss"]
        anonymous += kib["Anonymous"]
    return Memory(*(total * 1024 / _MIB for total in (resident, pss, anonymous)))


def _tasks(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _fields(pid: int, name: str) -> dict[str, int]:
    """The `Key: number` lines of a file below /proc/PID."""
    lines = (_PROC / str(pid) / name).read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key: int(rest.split()[0]) for key, rest in pairs if rest.split()[0].isdigit()}
