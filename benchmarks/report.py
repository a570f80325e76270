"""`benchmarks/README.md` from results: the machine, the versions, the commands, and for each workload a table and a plot."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, cast

from benchmarks import document, plot, table
from benchmarks.document import Document
from benchmarks.releases import version_of

# What each workload is about, and how to read its figures.
_TITLES: Final = {
    "heartbeat": "Heartbeats: how many a second, how soon, at what cost",
    "open loop": "Open loop: how soon, when so many become due in a second",
    "stream": "Streams: many heartbeats on one connection",
    "insert": "Inserts in batches",
    "documents": "Documents: the list of many buckets, import, export",
    "growth": "Growth: does a heartbeat cost more when its bucket is large?",
    "footprint": "Footprint: disk, start, memory",
    "read": "Reads of a year's bucket",
    "query": "Queries: the web UI's activity view",
    "transfer": "Moving in and out",
    "isolation": "Isolation: heartbeats while queries run without pause",
    "crowd": "Crowd: heartbeats beside two thousand connections that do nothing",
    "dashboard": "The dashboard: what one who looks at it waits for",
}
_TEXTS: Final = {
    "heartbeat": "Every answer comes after the sync of the commit that holds it. `floor` is the least that a heartbeat "
    "can cost on this machine: a bare protocol that cuts the request by hand and commits in groups. Lower is better for "
    "latency and CPU.",
    "open loop": "A latency begins when a heartbeat was due, whether or not a connection was free: what waits behind a "
    "stall counts (no coordinated omission). In the closed loop below, each of the same connections sends its next "
    "heartbeat when the last is answered.",
    "stream": "The body of one request, and the messages of one WebSocket; all are durable when the clock stops.",
    "insert": "On one connection that is kept. Batches of 10,000 are what an import or a backfill sends.",
    "documents": "Each server starts empty; an import is one request, and durable when it is answered.",
    "growth": "A thousand times as many events, and the same cost: ratios near 1 mean that the size does not matter.",
    "footprint": "All files of the store, and the server process before it has answered anything large.",
    "read": "Each request asks for another place of the year. Long ranges come from a reader process.",
    "query": "Window and afk buckets, 50 rules. *first*: on a server just started; *new*: a range never asked, titles "
    "met before; *again*: the same once more, nothing written meanwhile.",
    "transfer": "Each line is one run of `awlog import` or `awlog export`, from the start of its process to its end; an "
    "import ends when all of it was read back from the store and compared.",
    "isolation": "The ratio of the 99th percentiles is what watchers feel of analysts.",
    "crowd": "The ratio of the 99th percentiles is to stay below 3. Memory is the server's own, without files, at its most.",
    "dashboard": "In a Chromium without a window. A frame is to work for less than 50 ms, a paint to take less than 500 ms, "
    "a heartbeat to be seen within a second, the first load to stay below 150 KB and any answer below 300 KB.",
}
_PLOTS: Final = frozenset({"heartbeat", "open loop", "stream", "growth", "read", "query", "isolation"})


def write(results: Sequence[Path], folder: Path) -> list[Path]:
    """`README.md` in `folder`, the merged result under the version of awlog and the plots in `folder/results`.

    Of workloads that several results hold the last one counts. Raises ValueError if they are of different machines or
    versions, or no results; ImportError without matplotlib.
    """
    merged = _merged([document.read(path) for path in results])
    kept = folder / "results"
    kept.mkdir(parents=True, exist_ok=True)
    stored = kept / f"{version_of(merged)}.json"
    document.write(merged, stored)
    with tempfile.TemporaryDirectory() as drawn:
        pictures = [Path(shutil.copy(path, kept / path.name)) for path in plot.draw(merged, Path(drawn))]
    page = folder / "README.md"
    page.write_text("\n".join(_page(merged)) + "\n")
    return [page, stored, *pictures]


def _merged(found: list[Document]) -> Document:
    first = found[0]
    for other in found[1:]:
        if other["machine"] != first["machine"]:
            raise ValueError("the results are of different machines: their figures do not belong on one page")
    merged = dict(first)
    merged["groups"] = {name: group for each in found for name, group in each["groups"].items()}
    merged["servers"] = list({server["name"]: server for each in found for server in each["servers"]}.values())
    lengths = {each["settings"]["slice_s"] for each in found}
    merged["settings"] = {**first["settings"], "slice_s": lengths.pop() if len(lengths) == 1 else None}
    for each in found:
        for name in _TITLES:
            key = name.replace(" ", "_")
            value = cast("dict[str, object]", each).get(key)
            if value is not None:
                merged[key] = value
    return cast(Document, merged)


def _page(result: Document) -> Iterator[str]:
    machine = result["machine"]
    yield "# Benchmarks"
    yield ""
    yield "Written by `python -m benchmarks report`; do not edit. `python -m benchmarks --help` says how to repeat it:"
    yield ""
    yield "```sh"
    yield "pip install -e '.[bench]'"
    yield "python -m benchmarks compare            # against aw-server from PyPI, in an environment of its own"
    yield "python -m benchmarks report benchmarks/out/result.json"
    yield "```"
    yield ""
    yield (
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['file_system']}, {machine['kernel']}, {machine['python']}, begun {result['started']}. "
        "The machine was shared, and the weather stands in the head of each table: the time of one sync, of a fixed Python "
        "loop, and the load. So compare ratios, not rates. What a server could not do says n/a, with the reason."
    )
    yield ""
    for server in result["servers"]:
        yield f"- **{server['name']} {server['version']}**: {server['durability']}"
    blocks = table.blocks(result)
    for name, title in _TITLES.items():
        if name not in blocks:
            continue
        yield ""
        yield f"## {title}"
        yield ""
        yield _TEXTS[name]
        if name in _PLOTS and not result["groups"][name]["not_available"]:
            yield ""
            yield f"![{title}](results/{name.replace(' ', '-')}.svg)"
        yield ""
        yield "```"
        yield from blocks[name]
        yield "```"
