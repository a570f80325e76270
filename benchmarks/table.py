"""The result as plain text for a terminal: one block a workload, medians, and the ratios of rounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Final

from benchmarks import dashboard
from benchmarks.crowd import CONNECTIONS as CROWD_CONNECTIONS
from benchmarks.crowd import STATES as CROWD_STATES
from benchmarks.crowd import Crowd
from benchmarks.document import Document, Group
from benchmarks.figures import Ratio
from benchmarks.footprint import Footprint, Start
from benchmarks.growth import METRICS as GROWTH_METRICS
from benchmarks.growth import READS, Growth
from benchmarks.heartbeat import Case, Metric
from benchmarks.insert import Case as InsertCase
from benchmarks.isolation import STATES, Isolation
from benchmarks.open_loop import CONNECTIONS
from benchmarks.open_loop import Case as OpenLoopCase
from benchmarks.query import METRICS, Query
from benchmarks.read import Case as ReadCase
from benchmarks.slices import Summary
from benchmarks.stream import Case as StreamCase
from benchmarks.transfer import Case as TransferCase

_HEARTBEAT_COLUMNS: Final = (
    "connections",
    "server",
    "per s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "CPU s/1,000",
    "client",
    "n",
)
_RATIOS: Final[dict[Metric, str]] = {"rate": "x the rate", "p99": "x less p99", "cpu": "x less CPU"}
_OVER_FLOOR: Final[dict[Metric, str]] = {"rate": "/ floor's rate", "cpu": "/ floor's CPU"}
_WORKLOAD: Final = {
    "merging": "new data every 20th",
    "inserting": "new data every time",
    "stock client": "as merging, each on a new connection and in two packets",
    "one bucket": "all into the same bucket, never new data",
}
# Above this the load client is what was measured.
_CLIENT_CORES_MAX: Final = 0.9
_STATEMENTS_SHOWN: Final = 4


def render(document: Document) -> str:
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
    machine = document["machine"]
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['file_system']}, "
        + (f"{machine['kernel']}, {machine['python']}")
    )
    for server in document["servers"]:
        yield f"{server['name']} {server['version']}: {server['durability']}"
    for block in blocks(document).values():
        yield ""
        yield from block


def blocks(document: Document) -> dict[str, list[str]]:
    """The lines of each workload."""
    return {name: list(_block(document, name, group)) for name, group in document["groups"].items()}


def _block(document: Document, name: str, group: Group) -> Iterator[str]:
    weather = " -> ".join(
        f"{each['fdatasync_ms']:.2f} ms fdatasync, {each['loop_ms']:.1f} ms loop, load {each['load_average']:.1f}"
        for each in (group["before"], group["after"])
    )
    yield f"{name}  ({group['seconds']:.0f} s; {weather})"
    if group["not_available"]:
        yield f"  n/a: {group['not_available']}"
    elif name == "heartbeat" and document["heartbeat"]:
        yield from _heartbeat(document["heartbeat"])
    elif name == "open loop" and document["open_loop"]:
        yield from _open_loop(document["open_loop"])
    elif name == "stream" and document["stream"]:
        yield from _stream(document["stream"])
    elif name == "insert" and document["insert"]:
        yield from _insert(document["insert"])
    elif name == "documents" and document["documents"]:
        yield from _read(document["documents"])
    elif name == "growth" and document["growth"]:
        yield from _growth(document["growth"])
    elif name == "footprint" and document["footprint"]:
        yield from _footprint(document["footprint"])
    elif name == "transfer" and document.get("transfer"):
        yield from _transfer(document.get("transfer") or [])
    elif name == "read" and document["read"]:
        yield from _read(document["read"])
    elif name == "query" and document["query"]:
        yield from _query(document["query"])
    elif name == "isolation" and document["isolation"]:
        yield from _isolation(document["isolation"])
    elif name == "crowd" and (crowd := document.get("crowd")):
        yield from _crowd(crowd)
    elif name == "dashboard" and (looked := document.get("dashboard")):
        yield f"  {looked['browser']}"
        yield from _columns(dashboard.lines(looked))


def _transfer(cases: list[TransferCase]) -> Iterator[str]:
    rows = [
        (
            case["name"],
            f"{case['events'] / case['seconds']:,.0f}",
            f"{case['cpu_s'] / case['events'] * 1e6:.1f}",
            f"{case['peak_mib']:.0f}",
            f"{case['written_bytes'] / case['events']:.1f}" if case["written_bytes"] else "",
        )
        for case in cases
    ]
    yield from _columns([("", "events/s", "CPU µs each", "peak MiB", "bytes each"), *rows])


def _heartbeat(cases: list[Case]) -> Iterator[str]:
    for kind in dict.fromkeys(case["kind"] for case in cases):
        yield f"{kind}: {_WORKLOAD[kind]}"
        rows: list[tuple[str, ...]] = [_HEARTBEAT_COLUMNS]
        for case in cases:
            if case["kind"] == kind:
                rows.extend(_case_rows(case))
        yield from _columns(rows)


def _case_rows(case: Case) -> Iterator[tuple[str, ...]]:
    for name, result in case["servers"].items():
        summary = result["summary"]
        if summary is None:
            yield (str(case["connections"]), name, f"n/a: {result['not_available']}")
        else:
            yield (str(case["connections"]), name, *_summary_cells(summary), str(summary["n"]))
    for metric, label in _RATIOS.items():
        found = case["ratios"].get(metric)
        if found is not None and found["n"]:
            yield (str(case["connections"]), label, _ratio(found))
    for metric, label in _OVER_FLOOR.items():
        found = case["over_floor"].get(metric)
        if found is not None and found["n"]:
            yield (str(case["connections"]), label, _ratio(found))


def _summary_cells(summary: Summary) -> tuple[str, ...]:
    client = f"{summary['client_cores']:.2f}" + ("!" if summary["client_cores"] > _CLIENT_CORES_MAX else "")
    return (
        f"{summary['rate']:,.0f}",
        _short(summary["p50_ms"]),
        _short(summary["p99_ms"]),
        _short(summary["max_ms"]),
        _short(summary["cpu_s_per_1000"]),
        client,
    )


def _open_loop(cases: list[OpenLoopCase]) -> Iterator[str]:
    yield f"heartbeats on {CONNECTIONS} connections, merging; latency from the moment that each was due"
    rows: list[tuple[str, ...]] = [
        ("due per s", "server", "per s", "p50 ms", "p99 ms", "max ms", "CPU s/1,000", "client", "n")
    ]
    for case in cases:
        due = "closed loop" if case["per_s"] is None else f"{case['per_s']:,}"
        for name, result in case["servers"].items():
            summary = result["summary"]
            if summary is None:
                rows.append((due, name, f"n/a: {result['not_available']}"))
            else:
                behind = "" if result["keeps_up"] else "  falls behind"
                rows.append((due, name, *_summary_cells(summary), str(summary["n"]) + behind))
    yield from _columns(rows)


def _stream(cases: list[StreamCase]) -> Iterator[str]:
    yield f"{cases[0]['heartbeats']:,} heartbeats on one connection, from the first byte to the last acknowledgement"
    rows: list[tuple[str, ...]] = [("", "way", "durable per s", "lowest", "highest", "CPU us each", "client", "n")]
    for case in cases:
        rates = [each["rate"] for each in case["rounds"]]
        client = max(each["client_cores"] for each in case["rounds"])
        figures = (f"{case['rate']:,.0f}", f"{min(rates):,.0f}", f"{max(rates):,.0f}", _short(case["cpu_us"]))
        marked = f"{client:.2f}" + ("!" if client > _CLIENT_CORES_MAX else "")
        rows.append((case["kind"], case["way"], *figures, marked, str(len(rates))))
    yield from _columns(rows)


def _insert(cases: list[InsertCase]) -> Iterator[str]:
    yield "events inserted in batches, one connection"
    rows: list[tuple[str, ...]] = [("batch", "server", "events per s", "lowest", "highest", "CPU us each", "n")]
    for case in cases:
        batch = f"{case['batch']:,}"
        for name, result in case["servers"].items():
            if result["rate"] is None:
                rows.append((batch, name, f"n/a: {result['not_available']}"))
                continue
            rates = [each["rate"] for each in result["rounds"]]
            figures = (f"{result['rate']:,.0f}", f"{min(rates):,.0f}", f"{max(rates):,.0f}", _short(result["cpu_us"]))
            rows.append((batch, name, *figures, str(len(rates))))
        if case["ratio"] is not None:
            rows.append((batch, "x the rate", _ratio(case["ratio"])))
    yield from _columns(rows)


def _growth(growth: Growth) -> Iterator[str]:
    yield "heartbeats on 1 connection, merging, into buckets of so many events"
    rows: list[tuple[str, ...]] = [("events", "CPU s/1,000", "written B each", "read B each", "p50 ms", "per s", "n")]
    for place, summary in growth["summaries"].items():
        written, read = summary["written_bytes_per_beat"], summary["read_bytes_per_beat"]
        figures = (_short(summary["cpu_s_per_1000"]), _short(written), _short(read), _short(summary["p50_ms"]))
        rows.append((_place(place), *figures, f"{summary['rate']:,.0f}", str(summary["n"])))
    for label, ratios in (("smallest", growth["over_smallest"]), ("new store", growth["over_new_store"])):
        rows.append((f"largest / {label}", *(_ratio(ratios[metric]) for metric in GROWTH_METRICS), "", ""))
    yield from _columns(rows)
    yield "reads: p50 and p99 in ms"
    rows = [("events", *(f"{what}" for what in READS))]
    for place, reads in growth["reads_ms"].items():
        cells = (f"{_short(reads[what]['0.5'])}  {_short(reads[what]['0.99'])}" for what in READS)
        rows.append((_place(place), *cells))
    yield from _columns(rows)


def _place(place: str) -> str:
    return f"{int(place):,}" if place.isdigit() else place


def _footprint(footprint: Footprint) -> Iterator[str]:
    disk, read_ms = footprint["disk"], footprint["read_ms"]
    rows = [
        ("events in the bucket", f"{footprint['events']:,}"),
        ("insert", f"{footprint['insert_events_per_s']:,.0f} events/s in batches of 10,000"),
        ("on the disk: the bucket", _each(disk["bucket_bytes_per_event"])),
        ("... all pages in use", _each(disk["live_bytes_per_event"])),
        ("... all files", _each(disk["allocated_bytes_per_event"])),
        ("start to first answer", _seconds([start["ready_s"] for start in footprint["starts"]])),
        ("... with nothing stored", _seconds([start["ready_s"] for start in footprint["empty_starts"]])),
        ("start to first event read", _seconds([start["first_read_s"] for start in footprint["starts"]])),
        ("memory after the start", _memory(footprint["starts"])),
        ("... with nothing stored", _memory(footprint["empty_starts"])),
        ("read of the last 100", f"p50 {_short(read_ms['0.5'])} ms, p99 {_short(read_ms['0.99'])} ms"),
    ]
    yield from _columns(rows)


def _read(cases: list[ReadCase]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("", "server", "p50 ms", "p99 ms", "events/s", "KB sent", "its CPU ms", "n")]
    for case in cases:
        for name, result in case["servers"].items():
            if result["not_available"]:
                rows.append((case["name"], name, f"n/a: {result['not_available']}"))
                continue
            rate = "" if result["events_per_s"] is None else f"{result['events_per_s']:,.0f}"
            figures = (_short(result["p50_ms"]), _short(result["p99_ms"]), rate, f"{result['sent_bytes'] / 1000:,.0f}")
            rows.append((case["name"], name, *figures, _short(result["cpu_ms"]), str(len(result["taken_ms"]))))
        if case["sooner"] is not None:
            rows.append((case["name"], "x sooner", _ratio(case["sooner"])))
    yield from _columns(rows)


def _query(query: Query) -> Iterator[str]:
    """A line for each range and server, p50 in ms with the number of values; then how many times sooner awlog answers."""
    yield (
        f"the desktop query over {query['events']:,} events, {query['titles']:,} distinct titles, 50 rules; p50 in ms (n)"
    )
    yield "; ".join(f"{name}: {how}" for name, how in query["loaded"].items())
    rows: list[tuple[str, ...]] = [("range", "server", "first", "again", "new range, titles met")]
    for case in query["cases"]:
        for name, result in case["servers"].items():
            if result["not_available"]:
                rows.append((case["range"], name, f"n/a: {result['not_available']}"))
                continue
            counts = {
                "first": len(result["samples"]),
                "again": sum(len(sample["again_ms"]) for sample in result["samples"]),
                "new": len(result["new_ms"]),
            }
            cells = (f"{_short(result['p50_ms'][each])} ({counts[each]})" if counts[each] else "" for each in METRICS)
            rows.append((case["range"], name, *cells))
            if any(result["p50_cpu_ms"].values()):
                cpu = (_short(result["p50_cpu_ms"][each]) if counts[each] else "" for each in METRICS)
                rows.append((case["range"], "  its CPU", *cpu))
        for label, ratios in (("x sooner", case["ratios"]), ("x less CPU", case["cpu_ratios"])):
            if ratios:
                rows.append((case["range"], label, *(_ratio(ratios[each]) for each in METRICS)))
    yield from _columns(rows)
    yield f"  start of the first reader process, not counted above: {_short(median(query['reader_start_ms']))} ms"
    spent = sorted(query["statements"], key=lambda each: each["seconds"], reverse=True)[:_STATEMENTS_SHOWN]
    if spent:
        each = (f"line {s['line']} ({', '.join(s['functions'])}) {_short(s['seconds'] * 1000)} ms" for s in spent)
        yield f"  the longest range, first: {'; '.join(each)}"


def _isolation(isolation: Isolation) -> Iterator[str]:
    queries = isolation["query_ms"]
    took = f"p50 {_short(median(queries))} ms" if queries else "none answered"
    yield (
        f"heartbeats on {isolation['connections']} connections beside {isolation['events']:,} events; while busy: "
        f"{len(queries)} queries over all of them, {took}, {len(isolation['query_errors'])} errors"
    )
    rows: list[tuple[str, ...]] = [("", "p50 ms", "p99 ms", "max ms", "per s", "client", "errors", "n")]
    for state in STATES:
        summary = isolation["summaries"][state]
        figures = (_short(summary["p50_ms"]), _short(summary["p99_ms"]), _short(summary["max_ms"]))
        errors = str(summary["refused"] + summary["unanswered"])
        rows.append(
            (state, *figures, f"{summary['rate']:,.0f}", f"{summary['client_cores']:.2f}", errors, str(summary["n"]))
        )
    over = isolation["busy_over_calm"]
    rows.append(("busy / calm", _ratio(over["p50"]), _ratio(over["p99"]), "", _ratio(over["rate"]), "", "", ""))
    yield from _columns(rows)


def _crowd(crowd: Crowd) -> Iterator[str]:
    yield (
        f"heartbeats on {CROWD_CONNECTIONS} connections; the crowd: {crowd['idle']:,} that say nothing, "
        f"{crowd['trickling']} whose headers come letter by letter"
    )
    rows: list[tuple[str, ...]] = [("", "p50 ms", "p99 ms", "max ms", "per s", "client", "errors", "MiB", "n")]
    for state in CROWD_STATES:
        summary = crowd["summaries"][state]
        figures = (_short(summary["p50_ms"]), _short(summary["p99_ms"]), _short(summary["max_ms"]))
        errors = str(summary["refused"] + summary["unanswered"])
        more = (f"{summary['client_cores']:.2f}", errors, f"{crowd['memory_mib'][state]:.0f}", str(summary["n"]))
        rows.append((state, *figures, f"{summary['rate']:,.0f}", *more))
    over = crowd["crowded_over_alone"]
    rows.append(("crowded / alone", _ratio(over["p50"]), _ratio(over["p99"]), "", _ratio(over["rate"]), "", "", "", ""))
    yield from _columns(rows)


def _seconds(taken_s: list[float]) -> str:
    return f"{median(taken_s):.2f} s (highest of {len(taken_s)}: {max(taken_s):.2f} s)"


def _each(event_bytes: float | None) -> str:
    return "n/a" if event_bytes is None else f"{event_bytes:.2f} B an event"


def _memory(starts: list[Start]) -> str:
    resident, pss = (median(start["memory_mib"][key] for start in starts) for key in ("resident", "pss"))
    return f"{resident:.0f} MiB resident, {pss:.0f} MiB Pss"


def _ratio(found: Ratio) -> str:
    if found["median"] is None:
        return "n/a"
    return f"{_short(found['median'])} ({_short(found['lowest'])} to {_short(found['highest'])})"


def _short(value: float | None) -> str:
    """Three significant digits, without an exponent."""
    if value is None:
        return "n/a"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def _columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Cells padded to the widest of their column: the first two left, the others right. Short rows end in free text."""
    known = list(rows)
    full = max(len(row) for row in known)
    widths = [max(len(row[column]) for row in known if len(row) == full) for column in range(full)]
    for row in known:
        padded = [
            cell if column == len(row) - 1 < full - 1 else cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        yield "  " + "  ".join(padded).rstrip()
