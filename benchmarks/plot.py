"""The result as SVG: one figure a workload. Needs matplotlib (`awlog[bench]`); everything else runs without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks import growth, heartbeat, open_loop, query
from benchmarks.document import Document
from benchmarks.growth import NEW_STORE, READS, Growth
from benchmarks.heartbeat import Case
from benchmarks.isolation import STATES, Isolation
from benchmarks.open_loop import Case as OpenLoopCase
from benchmarks.query import Query
from benchmarks.read import Case as ReadCase
from benchmarks.servers import Floor
from benchmarks.stream import Case as StreamCase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by their markers too.
_COLOURS: Final = ("#0b62c4", "#bc4c00", "#6e7781")
_MARKERS: Final = ("o", "s", "^")
_FLOOR_LOOK: Final = 2
_INK: Final = "#24292f"
_FAINT: Final = "#d0d7de"
_WORKLOAD: Final = {
    "merging": "merging: new data every 20th",
    "inserting": "inserting: new data every time",
    "stock client": "stock client: a connection for each",
    "one bucket": "all into one bucket",
}
_PANELS: Final[dict[heartbeat.Metric, str]] = {
    "rate": "heartbeats per second",
    "p99": "p99 latency, ms",
    "cpu": "CPU of the server, s per 1,000",
}
_GROWTH_PANELS: Final[dict[growth.Metric, tuple[str, float]]] = {
    "cpu": ("CPU of the server, s per 1,000", 1),
    "written": ("written, KiB a heartbeat", 1024),
    "read": ("read, KiB a heartbeat", 1024),
    "p50": ("p50 latency, ms", 1),
}
# What is asked, how the line is drawn, how its points are.
_QUERY_LINES: Final[dict[query.Metric, tuple[str, str, str]]] = {
    "first": ("first time", "-", "o"),
    "new": ("new range, titles met before", "--", "D"),
    "again": ("same query again", ":", "v"),
}
_ASIDE: Final = 2.6
_SHOWN_QUANTILES: Final = {
    "0.25": "p25",
    "0.5": "p50",
    "0.75": "p75",
    "0.9": "p90",
    "0.95": "p95",
    "0.99": "p99",
    "0.999": "p99.9",
    "1.0": "max",
}
_STYLE: Final[Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # text stays text: it can be searched, and the file stays small
    "svg.hashsalt": "awlog",  # the same result draws the same bytes
}


def draw(result: Document, folder: Path) -> list[Path]:
    """Writes the figures the result has data for. Raises ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        if result["heartbeat"]:
            written.append(_save(_draw_heartbeat(result, result["heartbeat"]), folder / "heartbeat.svg"))
        if result["open_loop"]:
            written.append(_save(_draw_open_loop(result, result["open_loop"]), folder / "open-loop.svg"))
        if result["stream"]:
            written.append(_save(_draw_stream(result, result["stream"]), folder / "stream.svg"))
        if result["read"]:
            written.append(_save(_draw_read(result, result["read"]), folder / "read.svg"))
        if result["growth"]:
            written.append(_save(_draw_growth(result, result["growth"]), folder / "growth.svg"))
        if result["query"]:
            written.append(_save(_draw_query(result, result["query"]), folder / "query.svg"))
        if result["isolation"]:
            written.append(_save(_draw_isolation(result, result["isolation"]), folder / "isolation.svg"))
    return written


def _save(figure: Figure, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return path


def _draw_heartbeat(result: Document, cases: Sequence[Case]) -> Figure:
    """A row for each kind of workload: rate, latency and CPU over the number of connections, all logarithmic."""
    import matplotlib.pyplot as plt

    # A kind that was measured with one number of connections has no line: the table has it.
    counts = Counter(case["kind"] for case in cases)
    kinds = [kind for kind, count in counts.items() if count > 1] or list(counts)
    height = 3.1 * len(kinds) + 0.8
    figure, grid = plt.subplots(len(kinds), 3, figsize=(11, height), squeeze=False, layout="constrained")
    for row, kind in zip(grid, kinds, strict=True):
        chosen = [case for case in cases if case["kind"] == kind]
        for axes, (metric, title) in zip(row, _PANELS.items(), strict=True):
            axes.set_title(title)
            _draw_lines(axes, chosen, metric)
            axes.set_xlabel("connections")
        row[0].set_ylabel(_WORKLOAD[kind])
    handles, labels = grid[0][0].get_legend_handles_labels()
    versions = {server["name"]: f"{server['name']} {server['version']}" for server in result["servers"]}
    figure.legend(
        handles,
        [versions.get(name, name) for name in labels],
        loc="outside upper left",
        ncols=len(labels),
        frameon=False,
    )
    figure.supxlabel(f"medians of slices, lines: lowest to highest; {_circumstances(result)}", fontsize=8)
    return figure


def _draw_lines(axes: Axes, cases: Sequence[Case], metric: heartbeat.Metric) -> None:
    """Medians, a line from the lowest to the highest slice, and how many times better the first server is."""
    for index, server in enumerate(cases[0]["servers"]):
        at, lowest, middle, highest = [], [], [], []
        for place, case in enumerate(cases):
            found = case["servers"][server]
            values = [heartbeat.value(each, metric) for each in found["slices"]]
            if found["summary"] is None or not any(values):
                continue
            at.append(place)
            lowest.append(min(values))
            middle.append(median(values))
            highest.append(max(values))
        which = _FLOOR_LOOK if server == Floor.name else index
        look: dict[str, Any] = {"color": _COLOURS[which], "linewidth": 1.8}
        axes.plot(at, middle, marker=_MARKERS[which], label=server, **look)
        axes.vlines(at, lowest, highest, **look)
        if index == 0:
            # Away from the other server's line, beyond the slices.
            ends = highest if metric == "rate" else lowest
            _label_ratios(axes, cases, metric, dict(zip(at, ends, strict=True)))
    axes.set_yscale("log")
    axes.margins(x=0.15, y=0.25)
    axes.set_xticks(range(len(cases)), [str(case["connections"]) for case in cases])
    _quiet(axes)


def _label_ratios(axes: Axes, cases: Sequence[Case], metric: heartbeat.Metric, ends: dict[int, float]) -> None:
    for place, value in ends.items():
        better = cases[place]["ratios"].get(metric)
        if better is not None and better["median"] is not None:
            above = metric == "rate"
            axes.annotate(
                _times(better["median"]),
                (place, value),
                xytext=(0, 9 if above else -9),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                color=_COLOURS[0],
                fontweight="bold",
            )


def _draw_growth(result: Document, found: Growth) -> Figure:
    """Above, what a heartbeat costs in buckets of each size: every slice as a dot, medians as a line, from zero on. Below,
    what reads take: p50 and p99, logarithmic.
    """
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
    names = [place if place == NEW_STORE else _count_name(int(place)) for place in found["places"]]
    for axes, (metric, (title, unit)) in zip(grid[0], _GROWTH_PANELS.items(), strict=True):
        axes.set_title(title)
        taken = [[growth.value(each, metric) / unit for each in slices] for slices in found["places"].values()]
        for place, values in enumerate(taken):
            spread = [place + 0.22 * ((index + 0.5) / len(values) * 2 - 1) for index in range(len(values))]
            axes.scatter(spread, values, s=12, color=_COLOURS[0], alpha=0.4, linewidths=0)
        axes.plot([median(values) for values in taken], color=_COLOURS[0], marker="o", markersize=4, linewidth=1.8)
        axes.set_ylim(0, 1.35 * max(max(values) for values in taken))
        over = found["over_smallest"][metric]["median"]
        if over is not None:
            axes.annotate(f"largest / smallest {over:.2f}", (0.03, 0.93), xycoords="axes fraction", color=_COLOURS[0])
        axes.set_xticks(range(len(names)), [name.replace("new ", "new\n") for name in names], fontsize=9)
        _quiet(axes)
    sizes = list(found["reads_ms"])
    for axes, what in zip(grid[1], READS, strict=False):
        axes.set_title(f"{what}, ms")
        for index, (q, label) in enumerate((("0.5", "p50"), ("0.99", "p99"))):
            values = [found["reads_ms"][size][what][q] for size in sizes]
            axes.plot(values, color=_COLOURS[0], linestyle=("-", "--")[index], marker=_MARKERS[index], label=label)
        axes.set_ylim(0, 1.5 * max(found["reads_ms"][size][what]["0.99"] for size in sizes))
        axes.set_xticks(range(len(sizes)), [_count_name(int(size)) for size in sizes], fontsize=9)
        axes.legend(frameon=False, loc="upper left", ncols=2, fontsize=8)
        _quiet(axes)
    grid[1][-1].set_axis_off()
    figure.supxlabel(
        f"events in the bucket; above: a dot for each slice, lines: medians; {_circumstances(result)}", fontsize=8
    )
    return figure


def _count_name(count: int) -> str:
    """`10 k`, `1 M`."""
    for unit, letter in ((1_000_000, "M"), (1000, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {letter}"
    return str(count)


def _draw_open_loop(result: Document, cases: Sequence[OpenLoopCase]) -> Figure:
    """Latency over the rate at which heartbeats become due, both logarithmic; hollow where a server falls behind."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, row = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    rates = [case["per_s"] for case in cases if case["per_s"] is not None]
    for axes, metric in zip(row, open_loop.METRICS, strict=True):
        axes.set_title(f"{metric} latency from when it was due, ms")
        for index, server in enumerate(cases[0]["servers"]):
            at, values = [], []
            for place, case in enumerate(case for case in cases if case["per_s"] is not None):
                found = case["servers"][server]
                if found["summary"] is None:
                    continue
                taken = [open_loop.value(each, metric) for each in found["slices"]]
                at.append(place)
                values.append(median(taken))
                axes.vlines(place, min(taken), max(taken), color=_COLOURS[index], linewidth=1.8)
                if not found["keeps_up"]:
                    axes.annotate(
                        "falls behind", (place, values[-1]), xytext=(8, 0), textcoords="offset points", va="center"
                    )
            axes.plot(at, values, color=_COLOURS[index], marker=_MARKERS[index], linewidth=1.8, label=server)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.margins(x=0.08, y=0.15)
        axes.set_xticks(range(len(rates)), [f"{rate:,}" for rate in rates])
        axes.set_xlabel("heartbeats due in a second")
        _quiet(axes)
    handles, labels = row[0].get_legend_handles_labels()
    versions = {server["name"]: f"{server['name']} {server['version']}" for server in result["servers"]}
    names = [versions.get(name, name) for name in labels]
    figure.legend(handles, names, loc="outside upper left", ncols=len(labels), frameon=False)
    figure.supxlabel(
        f"{open_loop.CONNECTIONS} connections; medians of slices, lines: lowest to highest; {_circumstances(result)}",
        fontsize=8,
    )
    return figure


def _draw_stream(result: Document, cases: Sequence[StreamCase]) -> Figure:
    """A bar for each way and kind: durable heartbeats a second, and CPU of each."""
    import matplotlib.pyplot as plt

    figure, row = plt.subplots(1, 2, figsize=(11, 2.8), layout="constrained", sharey=True)
    names = [f"{case['kind']}, {case['way']}" for case in cases]
    panels = (
        ("durable heartbeats a second", [[each["rate"] for each in case["rounds"]] for case in cases]),
        ("CPU of the server, µs each", [[each["cpu_us"] or 0.0 for each in case["rounds"]] for case in cases]),
    )
    for axes, (title, taken) in zip(row, panels, strict=True):
        axes.set_title(title)
        middle = [median(values) for values in taken]
        axes.barh(names, middle, color=_COLOURS[0], height=0.55)
        axes.hlines(
            names, [min(values) for values in taken], [max(values) for values in taken], color=_INK, linewidth=1.2
        )
        for name, value, values in zip(names, middle, taken, strict=True):
            text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            axes.annotate(text, (max(values), name), xytext=(6, 0), textcoords="offset points", va="center")
        axes.margins(x=0.18)
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.grid(axis="x", color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", length=0)
    row[0].invert_yaxis()  # shared: turned twice by now
    machine = result["machine"]
    figure.supxlabel(
        f"{cases[0]['heartbeats']:,} heartbeats on one connection; medians, lines: lowest to highest; server and load "
        f"client share {machine['cores']} cores ({machine['processor']}, {machine['file_system']})",
        fontsize=8,
    )
    return figure


def _draw_read(result: Document, cases: Sequence[ReadCase]) -> Figure:
    """A row for each kind of request: p50 of each server, logarithmic, and how many times sooner the first one is."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 0.42 * len(cases) + 1.6), layout="constrained")
    for index, server in enumerate(cases[0]["servers"]):
        at = [place for place, case in enumerate(cases) if case["servers"][server]["p50_ms"] is not None]
        values = [cases[place]["servers"][server]["p50_ms"] or 0.0 for place in at]
        axes.plot(
            values, at, color=_COLOURS[index], marker=_MARKERS[index], linestyle="none", markersize=7, label=server
        )
        if index == 0:
            for place, value in zip(at, values, strict=True):
                sooner = cases[place]["sooner"]
                if sooner is not None and sooner["median"] is not None:
                    text = _times(sooner["median"])
                    look: dict[str, Any] = {"color": _COLOURS[0], "fontweight": "bold", "ha": "right", "va": "center"}
                    axes.annotate(text, (value, place), xytext=(-9, 0), textcoords="offset points", **look)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.08)
    axes.set_yticks(range(len(cases)), [case["name"] for case in cases])
    axes.invert_yaxis()
    axes.set_title("request to last byte, p50, ms")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(axis="both", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0)
    versions = {server["name"]: f"{server['name']} {server['version']}" for server in result["servers"]}
    handles, labels = axes.get_legend_handles_labels()
    names = [versions.get(name, name) for name in labels]
    figure.legend(handles, names, loc="outside upper left", ncols=len(labels), frameon=False)
    machine = result["machine"]
    figure.supxlabel(f"{machine['cores']} cores ({machine['processor']}, {machine['file_system']})", fontsize=8)
    return figure


def _draw_query(result: Document, found: Query) -> Figure:
    """Time over the length of the range, both logarithmic; a year in twelve periods beside the year, hollow."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    own = result["servers"][0]["name"]
    lines: list[tuple[str, query.Metric, str, dict[str, Any]]] = []
    for server in result["servers"][1:2]:
        look = {"color": _COLOURS[1], "marker": _MARKERS[1], "linestyle": "-"}
        lines.append((server["name"], "first", f"{server['name']} {server['version']}", look))
    for metric, (label, linestyle, marker) in _QUERY_LINES.items():
        look = {"color": _COLOURS[0], "marker": marker, "linestyle": linestyle}
        lines.append((own, metric, f"{own}, {label}", look))
    for server_name, metric, label, look in lines:
        for whole in (True, False):
            at, values = _query_values(found, server_name, metric, in_one_period=whole)
            if not at:
                continue
            middle = [median(each) for each in values]
            shape: dict[str, Any] = {**look, "linewidth": 1.8, "markersize": 6}
            if not whole:
                shape.update(linestyle="none", markerfacecolor="white")
            axes.plot(at, middle, label=label if whole else None, **shape)
            axes.vlines(at, [min(each) for each in values], [max(each) for each in values], color=look["color"])
            _label_query_ratios(axes, found, metric, server_name, dict(zip(at, middle, strict=True)), whole=whole)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.14, y=0.12)
    places = {_query_place(case): case["range"].replace(" ", "\n") for case in found["cases"]}
    axes.set_xticks(list(places), list(places.values()))
    axes.set_xticks([], minor=True)
    axes.set_title("the desktop query with 50 rules: request to last byte, ms")
    _quiet(axes)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    machine = result["machine"]
    figure.supxlabel(
        f"{found['events']:,} events, {found['titles']:,} distinct titles; medians, lines: lowest to highest; "
        f"{machine['cores']} cores ({machine['processor']}, {machine['file_system']})",
        fontsize=8,
    )
    return figure


def _query_place(case: query.Case) -> float:
    """Where on the axis: its days; one of several periods stands aside of the same in one."""
    return case["days"] * (1 if case["periods"] == 1 else _ASIDE)


def _query_values(
    found: Query, server: str, metric: query.Metric, *, in_one_period: bool
) -> tuple[list[float], list[list[float]]]:
    """The places of the ranges that this server was asked for, and all values at each."""
    at, values = [], []
    for case in found["cases"]:
        asked = case["servers"].get(server)
        if asked is None or asked["not_available"] or (case["periods"] == 1) != in_one_period:
            continue
        match metric:
            case "first":
                taken_ms = [sample["first_ms"] for sample in asked["samples"]]
            case "again":
                taken_ms = [value for sample in asked["samples"] for value in sample["again_ms"]]
            case "new":
                taken_ms = asked["new_ms"]
        if taken_ms:
            at.append(_query_place(case))
            values.append(taken_ms)
    return at, values


def _label_query_ratios(
    axes: Axes, found: Query, metric: query.Metric, server: str, middle: dict[float, float], *, whole: bool
) -> None:
    """How many times sooner than the peer, right of the points of the first time and of the second."""
    for case in found["cases"]:
        better = case["ratios"].get(metric)
        place = _query_place(case)
        if metric == "new" or (case["periods"] == 1) != whole or better is None or better["median"] is None:
            continue
        if next(iter(case["servers"])) != server or place not in middle:
            continue
        axes.annotate(
            _times(better["median"]),
            (place, middle[place]),
            xytext=(9, 4 if metric == "first" else 8),
            textcoords="offset points",
            color=_COLOURS[0],
            fontweight="bold",
        )


def _draw_isolation(result: Document, found: Isolation) -> Figure:
    """Latency over percentile, calm and busy: medians of the slices, and between the lowest and the highest."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for index, state in enumerate(STATES):
        taken = [each["latency_ms"] for each in found["slices"][state]]
        at = range(len(_SHOWN_QUANTILES))
        lowest, middle, highest = (
            [how([each[q] for each in taken]) for q in _SHOWN_QUANTILES] for how in (min, median, max)
        )
        label = "calm" if state == "calm" else "while one client asks for the whole history without pause"
        axes.plot(at, middle, color=_COLOURS[index], marker=_MARKERS[index], linewidth=1.8, label=label)
        axes.fill_between(at, lowest, highest, color=_COLOURS[index], alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # all within a decade or two
    axes.margins(x=0.05, y=0.1)
    axes.set_xticks(range(len(_SHOWN_QUANTILES)), list(_SHOWN_QUANTILES.values()))
    p99 = found["busy_over_calm"]["p99"]["median"]
    beside = "" if p99 is None else f"; p99 busy / calm {p99:.3g}"
    axes.set_title(f"latency of heartbeats on {found['connections']} connections, ms{beside}")
    _quiet(axes)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    figure.supxlabel(f"medians of slices, bands: lowest to highest; {_circumstances(result)}", fontsize=8)
    return figure


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}×" if ratio >= 100 else f"{ratio:.3g}×"


def _quiet(axes: Axes) -> None:
    """Grid lines instead of ticks, plain numbers instead of powers."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.yaxis.set_minor_formatter("")
    axes.grid(axis="y", color=_FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0)


def _circumstances(result: Document) -> str:
    machine, slice_s = result["machine"], result["settings"]["slice_s"]
    length = "" if slice_s is None else f" of {slice_s:g} s"
    return (
        f"slices{length} in alternation; server and load client share {machine['cores']} cores"
        f" ({machine['processor']}, {machine['file_system']})"
    )
