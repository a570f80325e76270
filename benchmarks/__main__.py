"""`python -m benchmarks`: run, compare, floor, steps, plot, report."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from benchmarks import (
    crowd,
    dashboard,
    document,
    documents,
    footprint,
    growth,
    heartbeat,
    history,
    insert,
    isolation,
    large_store,
    machine,
    open_loop,
    plot,
    query,
    read,
    releases,
    report,
    stream,
    table,
    transfer,
)
from benchmarks.document import Document, Group
from benchmarks.peer_environment import python_of_peer
from benchmarks.progress import say
from benchmarks.servers import Awlog, AwServer, CannotMeasure, Contestant, Elsewhere, Floor
from benchmarks.settings import FULL, QUICK, Settings

WORKLOADS: Final = (
    "heartbeat",
    "open loop",
    "stream",
    "insert",
    "documents",
    "growth",
    "footprint",
    "read",
    "query",
    "isolation",
    "crowd",
    "transfer",
    "dashboard",
)
# Needs programs that are not everywhere: a run without them is whole all the same.
_OPTIONAL: Final = frozenset({"dashboard"})
_WITH_PEER: Final = frozenset({"heartbeat", "open loop", "insert", "documents", "query", "read"})
_EPILOG: Final = """\
examples:
  python -m benchmarks                                  awlog against aw-server from PyPI: about 20 minutes
  python -m benchmarks run --quick                      awlog alone, within a minute
  python -m benchmarks floor                            heartbeats, and the least that they can cost on this machine
  python -m benchmarks steps                            µs and system calls of each stop of a heartbeat
  python -m benchmarks compare --only query,isolation   the desktop query, and heartbeats beside it
  python -m benchmarks compare --peer http://127.0.0.1:5600#pid=4711 --only heartbeat
  python -m benchmarks compare OLD.json NEW.json        two results that were kept, of benchmarks/results
  python -m benchmarks plot benchmarks/out/result.json
  python -m benchmarks report benchmarks/out/result.json   writes benchmarks/README.md
"""


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "compare")
    options = _parser().parse_args(given)
    if options.command == "compare" and options.stored:
        return _compare_stored(options.stored)
    if options.command == "plot":
        return _plot(options.result, options.out)
    if options.command == "steps":
        return _steps(options)
    if options.command == "report":
        return _report(options.results, options.out)
    return _measure(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures awlog: heartbeats, also at fixed rates, streams of them, inserts, documents, growth with the "
        "size of a bucket, footprint, queries, heartbeats beside queries, the dashboard in a browser. "
        "Without a command: compare, against the aw-server package.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{run,compare,floor,steps,plot,report}")
    run = commands.add_parser("run", help="measure awlog alone")
    compare = commands.add_parser("compare", help="measure awlog and a peer in alternation, with ratios")
    floor = commands.add_parser("floor", help="measure the heartbeats of awlog and the least that they can cost here")
    for command in (run, compare, floor):
        command.epilog = _EPILOG
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        _add_measuring(command)
    for command in (run, compare):
        command.add_argument("--only", metavar="NAMES", help=f"some of {','.join(WORKLOADS)}, with commas; default all")
    floor.set_defaults(only="heartbeat")
    compare.add_argument(
        "stored",
        type=Path,
        nargs="*",
        metavar="RESULT",
        help="compare two stored results instead of measuring, the older one first; refused if their machines differ",
    )
    compare.add_argument(
        "--peer",
        default="aw-server",
        metavar="NAME|URL",
        help="aw-server (from PyPI, in a virtual environment of its own, made once), or the URL of a running server, "
        "with #pid=N to read its CPU too; default aw-server",
    )
    compare.add_argument("--peer-python", metavar="FILE", help="an interpreter that has aw-server installed already")
    steps = commands.add_parser("steps", help="what each stop of a heartbeat costs inside the server")
    _add_scratch(steps)
    draw = commands.add_parser("plot", help="draw a result again")
    draw.add_argument("result", type=Path, help="the JSON of a run")
    draw.add_argument("--out", type=Path, metavar="DIR", help="default: beside the result")
    page = commands.add_parser("report", help="write a page with tables and plots of one result, or of several")
    page.add_argument("results", type=Path, nargs="+", help="the JSON of a run; of several, the last one counts")
    page.add_argument("--out", type=Path, default=Path("benchmarks"), metavar="DIR", help="default benchmarks")
    return parser


def _add_measuring(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quick", action="store_true", help="end within a minute: fewer, shorter, smaller")
    command.add_argument(
        "--rounds", type=_positive_int, metavar="N", help=f"default {FULL.rounds}, quick {QUICK.rounds}"
    )
    command.add_argument(
        "--seconds",
        type=_positive_float,
        metavar="S",
        help=f"length of one slice; default {FULL.slice_s}, quick {QUICK.slice_s}",
    )
    command.add_argument(
        "--events",
        type=_positive_int,
        metavar="N",
        help=f"in the large bucket of growth and footprint; default {FULL.bucket_events:,}, quick {QUICK.bucket_events:,}",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("benchmarks/out"),
        metavar="DIR",
        help="where result.json and the plots go; default benchmarks/out",
    )
    _add_scratch(command)


def _add_scratch(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--scratch",
        type=Path,
        metavar="DIR",
        help="where the servers keep their data: on the disk to be measured, not in memory; default the user's cache",
    )


def _measure(options: argparse.Namespace) -> int:
    names = options.only.split(",") if options.only else list(WORKLOADS)
    unknown = set(names) - set(WORKLOADS)
    if unknown:
        print(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}", file=sys.stderr)
        return 2
    cache = options.scratch or _cache()
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    try:
        settings = _settings(options, scratch)
        awlog = Awlog(scratch)
        contestants: list[Contestant] = [awlog]
        if options.command == "compare" and not _WITH_PEER.isdisjoint(names):
            contestants.append(_peer(options, cache, scratch))
        result = _run(names, awlog, contestants, settings)
    except CannotMeasure as reason:
        print(reason, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    document.write(result, options.out / "result.json")
    sys.stdout.write(table.render(result))
    _plot(options.out / "result.json", None)
    return 1 if _failures(result, awlog.name) else 0


def _compare_stored(paths: list[Path]) -> int:
    if len(paths) != 2:
        print("give two results to compare, or none to measure", file=sys.stderr)
        return 2
    try:
        lines = releases.compare(*(document.read(path) for path in paths))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _steps(options: argparse.Namespace) -> int:
    from benchmarks import steps  # the only part that needs awlog in the interpreter that measures

    scratch = options.scratch or _cache()
    scratch.mkdir(parents=True, exist_ok=True)
    for line in steps.measure(scratch):
        print(line, flush=True)
    return 0


def _run(names: Sequence[str], awlog: Awlog, contestants: Sequence[Contestant], settings: Settings) -> Document:
    scratch = settings.scratch
    groups: dict[str, Group] = {}
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    shown = {key: value for key, value in asdict(settings).items() if key != "scratch"}
    result = Document(
        format=document.FORMAT,
        started=started,
        settings=shown,
        machine=machine.describe(scratch),
        servers=[asdict(contestant.about()) for contestant in contestants],
        groups=groups,
        heartbeat=None,
        open_loop=None,
        stream=None,
        insert=None,
        documents=None,
        growth=None,
        footprint=None,
        read=None,
        query=None,
        isolation=None,
        transfer=None,
        crowd=None,
        dashboard=None,
    )
    if "heartbeat" in names:
        beside = [*contestants, Floor(scratch)]
        result["heartbeat"] = document.timed(groups, "heartbeat", scratch, lambda: heartbeat.measure(beside, settings))
    if "open loop" in names:
        result["open_loop"] = document.timed(
            groups, "open loop", scratch, lambda: open_loop.measure(contestants, settings)
        )
    if "stream" in names:
        result["stream"] = document.timed(groups, "stream", scratch, lambda: stream.measure(awlog, settings))
    if "insert" in names:
        result["insert"] = document.timed(groups, "insert", scratch, lambda: insert.measure(contestants, settings))
    if "documents" in names:
        result["documents"] = document.timed(
            groups, "documents", scratch, lambda: documents.measure(contestants, settings)
        )
    if "growth" in names or "footprint" in names:
        store = document.timed(
            groups,
            "large store",
            scratch,
            lambda: large_store.make(awlog, scratch / "large", event_count=settings.bucket_events, seed=settings.seed),
        )
        if store is not None and "footprint" in names:
            result["footprint"] = document.timed(
                groups, "footprint", scratch, lambda: footprint.measure(awlog, store, settings)
            )
        if store is not None and "growth" in names:
            result["growth"] = document.timed(groups, "growth", scratch, lambda: growth.measure(awlog, store, settings))
    if "crowd" in names:
        result["crowd"] = document.timed(groups, "crowd", scratch, lambda: crowd.measure(awlog, settings))
    if "transfer" in names:
        result["transfer"] = document.timed(groups, "transfer", scratch, lambda: transfer.measure(settings))
    if "dashboard" in names:
        result["dashboard"] = document.timed(groups, "dashboard", scratch, lambda: dashboard.measure(awlog, settings))
    if not {"read", "query", "isolation"}.isdisjoint(names):
        _run_queries(result, names, awlog, contestants, settings)
    return result


def _run_queries(
    result: Document, names: Sequence[str], awlog: Awlog, contestants: Sequence[Contestant], settings: Settings
) -> None:
    scratch, groups = settings.scratch, result["groups"]
    store = document.timed(
        groups,
        "history",
        scratch,
        lambda: history.store(awlog, scratch / "history", day_count=settings.history_days, seed=settings.seed),
    )
    if store is None:
        return
    peer = next((each for each in contestants if each is not awlog), None)
    if "read" in names:
        result["read"] = document.timed(groups, "read", scratch, lambda: read.measure(awlog, peer, store, settings))
    if "query" in names:
        result["query"] = document.timed(groups, "query", scratch, lambda: query.measure(awlog, peer, store, settings))
    if "isolation" in names:
        result["isolation"] = document.timed(
            groups, "isolation", scratch, lambda: isolation.measure(awlog, store, settings)
        )


def _peer(options: argparse.Namespace, cache: Path, scratch: Path) -> Contestant:
    if options.peer == "aw-server":
        return AwServer(scratch, options.peer_python or python_of_peer(cache))
    return Elsewhere(options.peer)


def _settings(options: argparse.Namespace, scratch: Path) -> Settings:
    settings = replace(QUICK if options.quick else FULL, scratch=scratch)
    changed: dict[str, Any] = {}
    if options.rounds is not None:
        changed["rounds"] = options.rounds
    if options.seconds is not None:
        changed["slice_s"] = options.seconds
    if options.events is not None:
        changed["bucket_events"] = options.events
    return replace(settings, **changed)


def _failures(result: Document, own_name: str) -> list[str]:
    """What of awlog itself could not be measured or was wrong: the exit status of the run."""
    reasons = [group["not_available"] for name, group in result["groups"].items() if name not in _OPTIONAL]
    reasons += [case["servers"][own_name]["not_available"] for case in result["heartbeat"] or []]
    reasons += [case["servers"][own_name]["not_available"] for case in result["insert"] or []]
    if result["query"]:
        reasons += [case["servers"][own_name]["not_available"] for case in result["query"]["cases"]]
    return [reason for reason in reasons if reason is not None]


def _plot(result: Path, folder: Path | None) -> int:
    try:
        found = document.read(result)
        written = plot.draw(found, folder or result.parent)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except ImportError:
        print("no plot: it needs matplotlib, pip install 'awlog[bench]'", file=sys.stderr)
        return 1
    for path in written:
        say(f"drawn: {path.name}")
    return 0


def _report(results: list[Path], folder: Path) -> int:
    try:
        written = report.write(results, folder)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except ImportError:
        print("no report: its plots need matplotlib, pip install 'awlog[bench]'", file=sys.stderr)
        return 1
    for path in written:
        say(f"written: {path}")
    return 0


def _cache() -> Path:
    """The user's cache folder: on a disk, where the platform's temporary folder may be in memory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "awlog-benchmarks"


def _positive_int(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise ValueError(text)
    return number


def _positive_float(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
