"""Two stored results side by side: what became faster or slower from one version to the next on one machine."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.document import Document
from benchmarks.servers import Awlog

# Below this the two are the same, as far as a shared machine can tell.
_NOISE = 0.1


def compare(old: Document, new: Document) -> list[str]:
    """A line for each figure that both have: old, new, and how many times better.

    Raises ValueError if the machines differ.
    """
    if old["machine"] != new["machine"]:
        differ = [key for key, value in old["machine"].items() if new["machine"].get(key) != value]
        raise ValueError(
            f"the results are of different machines ({', '.join(differ)}): their figures are not comparable"
        )
    before, after = dict(_figures(old)), dict(_figures(new))
    common = [name for name in before if name in after]
    width = max(map(len, common), default=0)
    lines = [f"{'':{width}}  {version_of(old):>12}  {version_of(new):>12}  times better"]
    for name in common:
        (was, more_is_better), (now, _) = before[name], after[name]
        if was > 0 and now > 0:
            better = now / was if more_is_better else was / now
            note = "" if abs(better - 1) > _NOISE else "  (the same, within the noise)"
            lines.append(f"{name:{width}}  {was:12,.4g}  {now:12,.4g}  {better:.2f}{note}")
    return lines


def version_of(result: Document) -> str:
    """Of the awlog that was measured. Raises ValueError if there was none."""
    for server in result["servers"]:
        if server["name"] == Awlog.name:
            return str(server["version"])
    raise ValueError("awlog was not measured in this result")


def _figures(result: Document) -> Iterator[tuple[str, tuple[float, bool]]]:
    """Name -> (value, is more better?), of awlog alone."""
    own = Awlog.name
    for case in result["heartbeat"] or []:
        summary = case["servers"][own]["summary"]
        if summary is not None:
            name = f"heartbeat, {case['kind']}, {case['connections']} connections"
            yield f"{name}: per s", (summary["rate"], True)
            yield f"{name}: CPU s per 1,000", (summary["cpu_s_per_1000"] or 0.0, False)
            yield f"{name}: p99 ms", (summary["p99_ms"], False)
    for open_case in result["open_loop"] or []:
        summary = open_case["servers"][own]["summary"]
        if summary is not None and open_case["per_s"] is not None:
            yield f"open loop, {open_case['per_s']:,} per s: p99 ms", (summary["p99_ms"], False)
    for stream in result["stream"] or []:
        yield f"stream, {stream['kind']}, {stream['way']}: per s", (stream["rate"], True)
        yield f"stream, {stream['kind']}, {stream['way']}: CPU us each", (stream["cpu_us"] or 0.0, False)
    for inserted in result["insert"] or []:
        taken = inserted["servers"][own]
        yield f"insert, batches of {inserted['batch']:,}: events per s", (taken["rate"] or 0.0, True)
        yield f"insert, batches of {inserted['batch']:,}: CPU us an event", (taken["cpu_us"] or 0.0, False)
    if result["growth"] is not None:
        for place, each in result["growth"]["summaries"].items():
            yield f"growth, {place}: CPU s per 1,000", (each["cpu_s_per_1000"] or 0.0, False)
    for read in [*(result["read"] or []), *(result["documents"] or [])]:
        yield f"read, {read['name']}: p50 ms", (read["servers"][own]["p50_ms"] or 0.0, False)
    if result["query"] is not None:
        for query in result["query"]["cases"]:
            for metric, p50_ms in query["servers"][own]["p50_ms"].items():
                yield f"query, {query['range']}, {metric}: p50 ms", (p50_ms or 0.0, False)
    if result["isolation"] is not None:
        p99 = result["isolation"]["busy_over_calm"]["p99"]["median"]
        yield "isolation: p99 busy / calm", (p99 or 0.0, False)
