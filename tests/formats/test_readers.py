"""Every form of an export, read back by the programs that it is for, holds what is stored."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from awlog.client import frame
from tests.server import Server

# Every column of `data` that a table can have, and what is hard about it.
ODD: list[dict[str, Any]] = [
    {},
    {"text": 'quotes " and, commas\nand\r\nlines', "integer": 1, "real": 1.5, "flag": True, "mixed": "one"},
    {"text": "=1+1", "integer": -(2**62), "real": 7, "flag": False, "mixed": 1},
    {"text": "", "large": 2**70, "list": [1, {"a": None}], "null": None, "": "empty key"},
    {"text": "größer, 家族 🎉\t\x01", "large": 1, "dot.in.key": 0, "real": -1e-300},
]
TIMES = [
    ("0001-01-01T00:00:00+00:00", 0.0),
    ("1969-12-31T23:59:59.999999+00:00", 0.000001),
    ("2024-02-29T12:00:00.250000+00:00", 86400.5),
    ("9999-12-31T23:00:00+00:00", 3599.999999),
    ("2024-05-01T10:00:00+00:00", 12.345678),
]
BUCKET = 'odd, "bucket" 家'
Event = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("formats") / "data") as running:
        for bucket in (BUCKET, "plain"):
            body = {"type": "t", "client": "c", "hostname": "h"}
            assert running.request("POST", _path(bucket), body).status == 200
        odd = [
            {"timestamp": at, "duration": duration, "data": data}
            for (at, duration), data in zip(TIMES, ODD, strict=True)
        ]
        many = [
            {"timestamp": f"2024-01-{day:02}T{hour:02}:00:00+00:00", "duration": 1, "data": {"app": f"a{hour % 5}"}}
            for day in range(1, 29)
            for hour in range(24)
        ]
        assert running.request("POST", f"{_path(BUCKET)}/events", odd).status == 200
        assert running.request("POST", f"{_path('plain')}/events", many * 30).status == 200
        yield running


@pytest.fixture(scope="module")
def stored(server: Server) -> list[Event]:
    """As the JSON of always gives them."""
    events: list[Event] = server.request("GET", f"{_path(BUCKET)}/events").json()
    return events


def _path(bucket: str) -> str:
    from urllib.parse import quote

    return f"/api/0/buckets/{quote(bucket, safe='')}"


def fetched(server: Server, form: str, path: str = "events") -> bytes:
    reply = server.request("GET", f"{_path(BUCKET)}/{path}?format={form}")
    assert reply.status == 200, reply.body
    return reply.body


def events_of(rows: list[dict[str, Any]], json_columns: set[str]) -> list[Event]:
    """The rows of a table as the events they were made of."""
    return [
        {
            "id": row["id"],
            "timestamp": row["timestamp"].astimezone(UTC).isoformat(),
            "duration": row["duration"],
            "data": {
                name.removeprefix("data."): json.loads(value) if name in json_columns else value
                for name, value in row.items()
                if name.startswith("data.") and value is not None
            },
        }
        for row in rows
    ]


JSON_COLUMNS = {"data.mixed", "data.large", "data.list", "data.null"}


def by_pyarrow_stream(body: bytes) -> list[Event]:
    table = pa.ipc.open_stream(body).read_all()
    marked = {field.name for field in table.schema if (field.metadata or {}).get(b"awlog") == b"json"}
    assert marked == JSON_COLUMNS
    return events_of(table.to_pylist(), marked)


def by_pyarrow_parquet(body: bytes) -> list[Event]:
    return events_of(pq.read_table(io.BytesIO(body)).to_pylist(), JSON_COLUMNS)


def by_polars_stream(body: bytes) -> list[Event]:
    return events_of(pl.read_ipc_stream(body).to_dicts(), JSON_COLUMNS)


def by_polars_parquet(body: bytes) -> list[Event]:
    return events_of(pl.read_parquet(io.BytesIO(body)).to_dicts(), JSON_COLUMNS)


def by_json_lines(body: bytes) -> list[Event]:
    return [json.loads(line) for line in body.split(b"\n")[:-1]]


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("ndjson", by_json_lines),
        ("arrow", by_pyarrow_stream),
        ("arrow", by_polars_stream),
        ("parquet", by_pyarrow_parquet),
        ("parquet", by_polars_parquet),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_read_back_is_what_is_stored(
    server: Server, stored: list[Event], form: str, read: Callable[[bytes], list[Event]]
) -> None:
    """Times to the microsecond, numbers with their kind, texts with all that is in them, missing keys missing."""
    assert read(fetched(server, form)) == stored


def test_duckdb_reads_the_parquet_file(server: Server, stored: list[Event], tmp_path: Path) -> None:
    """By its own reader, in SQL."""
    file = tmp_path / "events.parquet"
    file.write_bytes(fetched(server, "parquet"))
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        table = database.sql(f"SELECT * FROM '{file}'").arrow()
        rows = (table.read_all() if hasattr(table, "read_all") else table).to_pylist()
    assert events_of(rows, JSON_COLUMNS) == stored


def test_duckdb_and_polars_read_the_lines(server: Server, tmp_path: Path) -> None:
    """All of the larger bucket."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(server.request("GET", f"{_path('plain')}/events?format=ndjson").body)
    with duckdb.connect() as database:
        answer = database.sql(f"SELECT count(*), sum(duration), count(DISTINCT data.app) FROM read_json('{file}')")
        assert answer.fetchall() == [(28 * 24 * 30, 28 * 24 * 30.0, 5)]
    lines = pl.read_ndjson(file)
    assert (lines.height, lines["duration"].sum()) == (28 * 24 * 30, 28 * 24 * 30.0)


def test_csv_is_read_back_by_three_readers(server: Server, stored: list[Event], tmp_path: Path) -> None:
    """Texts as they are; numbers, booleans and JSON as JSON; nothing at all for a missing key."""
    body = fetched(server, "csv")
    read = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    for row, event in zip(read, stored, strict=True):
        assert (row["id"], row["timestamp"]) == (str(event["id"]), event["timestamp"])
        assert float(row["duration"]) == event["duration"]
        for name, cell in row.items():
            key = name.removeprefix("data.")
            if name == "data.text" or name == "data.":
                assert cell == event["data"].get(key, "")
            elif name.startswith("data.") and key in event["data"]:
                assert json.loads(cell) == event["data"][key]
            elif name.startswith("data."):
                assert cell == ""
    file = tmp_path / "events.csv"
    file.write_bytes(body)
    frame_read = pl.read_csv(file, infer_schema=False)
    assert frame_read["data.text"].to_list() == [event["data"].get("text") for event in stored]
    with duckdb.connect() as database:
        texts = database.sql(
            f"SELECT \"data.text\" FROM read_csv('{file}', all_varchar = true, header = true)"
        ).fetchall()
    assert [text or "" for (text,) in texts] == [event["data"].get("text", "") for event in stored]


def test_csv_for_spreadsheets_runs_no_formula(server: Server) -> None:
    """An apostrophe stands before what a spreadsheet would calculate, and before nothing else."""
    body = server.request("GET", f"{_path(BUCKET)}/events?format=csv&spreadsheet=1").body.decode()
    texts = [row["data.text"] for row in csv.DictReader(io.StringIO(body, newline=""))]
    assert "'=1+1" in texts
    assert [text for text in texts if text.startswith("'")] == ["'=1+1"]


@pytest.mark.parametrize("form", ["ndjson", "csv", "arrow", "parquet"])
def test_an_export_of_all_buckets_names_the_bucket_of_each_event(server: Server, form: str) -> None:
    """In a column of its own, or a field; without ids, which mean nothing elsewhere."""
    body = server.request("GET", f"/api/0/export?format={form}").body
    match form:
        case "ndjson":
            rows = [json.loads(line) for line in body.splitlines()]
        case "csv":
            rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
        case "arrow":
            rows = pa.ipc.open_stream(body).read_all().to_pylist()
        case _:
            rows = pq.read_table(io.BytesIO(body)).to_pylist()
    assert [row["bucket"] for row in rows].count("plain") == 28 * 24 * 30
    assert [row["bucket"] for row in rows].count(BUCKET) == len(ODD)
    assert "id" not in rows[0]


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow", "parquet"])
def test_the_command_writes_what_the_server_sends(server: Server, tmp_path: Path, form: str) -> None:
    """Beside the running server, byte for byte; a file that is there is left alone without --force."""
    file = tmp_path / f"out.{form}"
    command = [sys.executable, "-m", "awlog", "export", "--data-dir", str(server.data_dir), "--format", form]
    done = subprocess.run([*command, "-o", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes() == server.request("GET", f"/api/0/export?format={form}").body
    file.write_bytes(b"mine")
    again = subprocess.run([*command, "-o", str(file)], capture_output=True, text=True, check=False)
    assert (again.returncode, file.read_bytes()) == (1, b"mine")
    assert "--force" in again.stderr
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert subprocess.run([*command, "-o", str(file), "--force"], check=False).returncode == 0
    assert len(file.read_bytes()) > 4


def test_a_range_is_cut_in_every_form_as_a_read_of_json_is(server: Server) -> None:
    """The range of the request and of the command."""
    span = "start=2024-01-05T10:00:00.5%2B00:00&end=2024-01-05T12:00:00%2B00:00"
    events = server.request("GET", f"{_path('plain')}/events?{span}").json()
    table = pq.read_table(
        io.BytesIO(server.request("GET", f"{_path('plain')}/events?{span}&format=parquet&limit=50").body)
    )
    assert events_of(table.to_pylist(), set()) == events[:50]
    where = ["--data-dir", str(server.data_dir), "--bucket", "plain", "--format", "ndjson"]
    times = ["--start", "2024-01-05T10:00:00.5Z", "--end", "2024-01-05T12:00:00Z"]
    done = subprocess.run([sys.executable, "-m", "awlog", "export", *where, *times], capture_output=True, check=True)
    without_ids = [{key: value for key, value in event.items() if key != "id"} for event in events]
    assert [json.loads(line) for line in done.stdout.splitlines()] == without_ids


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/csv", "text/csv"),
        ("application/json;q=0.5, application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("application/vnd.apache.arrow.stream;q=0.1, application/x-ndjson;q=0.2", "application/x-ndjson"),
        ("text/csv;q=0", "application/json"),
        ("nonsense", "application/json"),
    ],
)
def test_the_accept_header_chooses_the_form(server: Server, accept: str, content_type: str) -> None:
    """As HTTP says; who asks for nothing of it gets JSON, as always."""
    reply = server.request("GET", f"{_path(BUCKET)}/events", headers={"Accept": accept})
    assert reply.status == 200
    assert reply.headers.get_content_type() == content_type
    assert "Accept" in reply.headers["Vary"].replace("Accept-Encoding", "")


def test_a_form_that_does_not_exist_is_refused(server: Server) -> None:
    """400, with the names of those that do."""
    reply = server.request("GET", f"{_path(BUCKET)}/events?format=xml")
    assert reply.status == 400
    assert "parquet" in reply.json()["message"]


def test_without_the_extra_the_answer_says_what_to_install(tmp_path: Path) -> None:
    """A server and a command in an environment without pyarrow: 400 and exit status 1; the other forms work."""
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def hidden(name, path=None, target=None):\n"
        "    return None if name.split('.')[0] == 'pyarrow' else find(name, path, target)\n"
        "PathFinder.find_spec = hidden\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    with Server(tmp_path / "data", env=env) as server:
        server.request("POST", _path("b"), {"type": "t", "client": "c", "hostname": "h"})
        reply = server.request("GET", f"{_path('b')}/events?format=parquet")
        assert reply.status == 400
        assert "pip install 'awlog[arrow]'" in reply.json()["message"]
        assert server.request("GET", f"{_path('b')}/events?format=csv").body == b'"id","timestamp","duration"\r\n'
        where = ["--data-dir", str(server.data_dir)]
        command = [sys.executable, "-m", "awlog", "export", *where, "--format", "arrow"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=server.env)
    assert done.returncode == 1
    assert "pip install 'awlog[arrow]'" in done.stderr


def test_a_frame_is_one_call_away(server: Server, stored: list[Event]) -> None:
    """For pyarrow, Polars, pandas and DuckDB."""
    table = frame(BUCKET, host=server.host, port=server.port)
    assert events_of(table.to_pylist(), JSON_COLUMNS) == stored
    from_day = datetime(2024, 1, 28, tzinfo=UTC)
    plain = frame("plain", from_day, datetime(2024, 1, 28, 23, 59, tzinfo=UTC), host=server.host, port=server.port)
    assert plain.to_pandas()["duration"].sum() == 24 * 30
    assert pl.from_arrow(plain)["data.app"].n_unique() == 5  # type: ignore[index]
    with duckdb.connect() as database:
        assert database.sql("SELECT count(*) FROM plain").fetchall() == [(24 * 30,)]
