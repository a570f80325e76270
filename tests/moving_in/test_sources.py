"""Exports of all servers, lines, tables and running servers come in whole."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from awlog.sources.lines import Lines
from awlog.sources.source import SourceBucket
from tests.moving_in.stores import awlog, canonical, contents, imported, rows, settings
from tests.server import Server

EVENTS = [
    {"timestamp": "2024-05-01T10:00:00.250000+00:00", "duration": 12.5, "data": {"app": 'a ] } " ,', "n": 1}},
    {"timestamp": "2024-05-01T10:00:00.250000+00:00", "duration": 12.5, "data": {"app": 'a ] } " ,', "n": 1}},
    {"timestamp": "2024-05-01T10:05:00+00:00", "duration": 0.0, "data": {"x": [1, {"y": None}], "big": 2**70}},
]
STORED = {
    (1714557600_250000, 12_500_000, canonical(EVENTS[0]["data"])): 2,
    (1714557900_000000, 0, canonical(EVENTS[2]["data"])): 1,
}
# As each server writes it: fields in its order, ids or none, its way to write times.
OF_AWLOG = {
    "id": "b", "name": None, "type": "t", "client": "c", "hostname": "h",
    "created": "2024-01-01T00:00:00+00:00", "data": {"k": 1}, "events": EVENTS,
}  # fmt: skip
OF_PYTHON = {
    "client": "c", "created": "2024-01-01T00:00:00+00:00", "data": {"k": 1}, "events": EVENTS,
    "hostname": "h", "id": "b", "name": None, "type": "t",
}  # fmt: skip
OF_RUST = {
    "id": "b", "type": "t", "client": "c", "hostname": "h", "created": "2024-01-01T00:00:00Z", "data": {"k": 1},
    "metadata": {"start": None, "end": None},
    "events": [
        {**event, "id": 7 + place, "timestamp": str(event["timestamp"]).replace("+00:00", "Z").replace(".25", ".2500009")}
        for place, event in enumerate(EVENTS)
    ],
    "last_updated": None,
}  # fmt: skip


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def as_server(data_dir: Path, path: str) -> Any:
    with Server(data_dir) as server:
        return server.request("GET", path).json()


@pytest.mark.parametrize("bucket", [OF_AWLOG, OF_PYTHON, OF_RUST], ids=["awlog", "python", "rust"])
def test_an_export_of_each_server_comes_in(tmp_path: Path, data_dir: Path, bucket: dict[str, Any]) -> None:
    """Bucket and events, copies included; again, and nothing changes."""
    file = tmp_path / "export.json"
    file.write_text(json.dumps({"buckets": {"b": bucket}}))
    assert rows(imported(file, "--data-dir", data_dir))["b"][:5] == ["3", "3", "0", "0", "0"]
    assert rows(imported(file, "--data-dir", data_dir))["b"][:5] == ["3", "0", "3", "0", "0"]
    assert contents(data_dir) == {"b": STORED}
    made = as_server(data_dir, "/api/0/buckets/b")
    described = {"type": "t", "client": "c", "hostname": "h", "data": {"k": 1}}
    assert {**described, "created": "2024-01-01T00:00:00+00:00"}.items() <= made.items()


def test_an_export_that_is_cut_off_brings_nothing(tmp_path: Path, data_dir: Path) -> None:
    """Exit status 1, and it says what is wrong with it."""
    file = tmp_path / "export.json"
    file.write_text(json.dumps({"buckets": {"b": OF_PYTHON}})[:-30])
    done = awlog("import", file, "--data-dir", data_dir)
    assert done.returncode == 1
    assert "ends in the middle" in done.stderr
    assert not data_dir.exists()


def test_what_awlog_exports_as_lines_comes_back(tmp_path: Path, data_dir: Path) -> None:
    """Of all buckets, by the names that the lines carry; of one, into the bucket that is named."""
    (tmp_path / "export.json").write_text(json.dumps({"buckets": {"b": OF_AWLOG, "c": {**OF_AWLOG, "id": "c"}}}))
    imported(tmp_path / "export.json", "--data-dir", data_dir)
    lines, of_one = tmp_path / "all.ndjson", tmp_path / "one.ndjson"
    assert awlog("export", "--data-dir", data_dir, "-o", lines).returncode == 0
    assert awlog("export", "--data-dir", data_dir, "-o", of_one, "--bucket", "b").returncode == 0
    imported(lines, "--data-dir", tmp_path / "other")
    imported(of_one, "--data-dir", tmp_path / "other", "--bucket", "named", "--type", "note")
    assert contents(tmp_path / "other") == {"b": STORED, "c": STORED, "named": STORED}
    assert as_server(tmp_path / "other", "/api/0/buckets/named")["type"] == "note"


def test_bad_lines_are_counted_and_the_others_come_in(tmp_path: Path, data_dir: Path) -> None:
    """Exit status 1."""
    file = tmp_path / "events.jsonl"
    good = json.dumps({"timestamp": "2024-05-01T10:00:00Z", "data": {"half": "\ud83d"}})
    file.write_text(f"{good}\n\nno json\n" + '{"timestamp": 1}\n{"duration": 1}\n')
    done = awlog("import", file, "--data-dir", data_dir)
    assert done.returncode == 1
    assert rows(done.stdout)["imported"][:5] == ["4", "1", "0", "0", "3"]
    assert "1 refused: Malformed JSON" in done.stdout
    assert list(contents(data_dir)["imported"]) == [(1714557600_000000, 0, '{"half":"\ufffd"}')]


def test_a_table_comes_in_by_its_mapping(tmp_path: Path, data_dir: Path) -> None:
    """Names with commas, an end instead of a duration, JSON where it is asked for, empty fields left out."""
    file = tmp_path / "time sheet.csv"
    file.write_text(
        '\ufeff"Begin, UTC",End,What,Count,Tags\r\n'
        '2024-05-01 10:00,2024-05-01 10:30,"tea, ""hot""",3,"[1,2]"\r\n'
        "2024-05-02,,,,\r\n"
        "nonsense,,,,\r\n"
    )
    mapping = '"timestamp=Begin, UTC",end=End,data.label=What,data.count=Count:json,data.tags=Tags:json'
    done = awlog("import", file, "--data-dir", data_dir, "--bucket", "sheet", "--map", mapping)
    assert done.returncode == 1
    assert rows(done.stdout)["sheet"][:5] == ["3", "2", "0", "0", "1"]
    assert contents(data_dir)["sheet"] == {
        (1714557600_000000, 1_800_000_000, '{"count":3,"label":"tea, \\"hot\\"","tags":[1,2]}'): 1,
        (1714608000_000000, 0, "{}"): 1,
    }


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("data.x=What", "name it with --map timestamp="),
        ("timestamp=Nope", "There is no column 'Nope'"),
        ("timestamp=Begin,title=What", "Nothing of an event is called 'title'"),
        ("timestamp=Begin,data=What,data.x=What", "one column or several"),
        ("timestamp", "FIELD=COLUMN"),
        ("timestamp=Begin,data.x=Twice", "There are 2 columns 'Twice'"),
        ("timestamp=Begin,data.x=What,data.x=Begin", "names a field twice"),
    ],
)
def test_a_mapping_that_means_nothing_is_refused(tmp_path: Path, data_dir: Path, mapping: str, says: str) -> None:
    """Before anything is written."""
    file = tmp_path / "sheet.csv"
    file.write_text("Begin,What,Twice,Twice\n2024-05-01,x,a,b\n")
    done = awlog("import", file, "--data-dir", data_dir, "--map", mapping)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_number_is_one_for_every_other_program_too(tmp_path: Path, data_dir: Path) -> None:
    """Python would read 1_0 as ten, and digits of other scripts; a number beyond a double is none."""
    file = tmp_path / "sheet.csv"
    durations = ["1_0", "nan", "inf", "٣", "1e999", "0x10", " 2.5 ", "1e1", ".5"]
    lines = [f"2024-05-01T00:00:0{n}Z,{duration}\n" for n, duration in enumerate(durations)]
    file.write_text("timestamp,duration\n" + "".join(lines))
    done = awlog("import", file, "--data-dir", data_dir)
    assert done.returncode == 1
    assert "6 refused: A duration that is no number of seconds" in done.stdout
    assert sorted(duration_us for _, duration_us, _ in contents(data_dir)["imported"]) == [
        500_000,
        2_500_000,
        10_000_000,
    ]


def test_a_source_without_a_bucket_is_no_success(tmp_path: Path, data_dir: Path) -> None:
    """An empty export, and a database that was copied without the file beside it that holds everything."""
    (tmp_path / "empty.json").write_text('{"buckets": {}}')
    done = awlog("import", tmp_path / "empty.json", "--data-dir", data_dir)
    assert (done.returncode, "No bucket was found" in done.stdout) == (1, True)
    original, copy = tmp_path / "sqlite.db", tmp_path / "copy.db"
    server = sqlite3.connect(original, isolation_level=None)
    server.execute("PRAGMA journal_mode = wal")
    server.execute("CREATE TABLE buckets (id INTEGER)")
    shutil.copy(original, copy)
    done = awlog("import", copy, "--data-dir", data_dir)
    server.close()
    assert done.returncode == 1
    assert "copy.db-wal" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_awlog_exports_as_csv_comes_back_as_texts(tmp_path: Path, data_dir: Path) -> None:
    """Without a mapping, by the names that the export writes."""
    lines = tmp_path / "events.ndjson"
    lines.write_text('{"timestamp":"2024-05-01T10:00:00.5Z","duration":1.5,"data":{"app":"a\\n\\"b\\""}}\n' * 2)
    imported(lines, "--data-dir", data_dir, "--bucket", "b")
    assert awlog("export", "--data-dir", data_dir, "-o", tmp_path / "all.csv").returncode == 0
    imported(tmp_path / "all.csv", "--data-dir", tmp_path / "other")
    assert contents(tmp_path / "other") == contents(data_dir)


@pytest.fixture
def source_server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "source") as server:
        server.request("POST", "/api/0/import", {"buckets": {"b, é/": {**OF_AWLOG, "id": "b, é/"}, "empty": {
            **OF_AWLOG, "id": "empty", "events": []}}})  # fmt: skip
        server.request("POST", "/api/0/settings/classes", [{"name": ["Work"]}])
        server.request("POST", "/api/0/settings/theme", "dark")
        yield server


def test_a_running_server_comes_in_by_its_url(source_server: Server, data_dir: Path) -> None:
    """Buckets, also empty ones, events and settings; what is set here already stays, and is named."""
    with Server(data_dir) as server:
        server.request("POST", "/api/0/settings/theme", "light")
        table = imported(source_server.url, "--data-dir", data_dir)
        assert list(server.request("GET", "/api/0/buckets").json()) == ["b, é/", "empty"]
    assert "settings imported: classes" in table
    assert "another value, which stays: theme" in table
    assert contents(data_dir) == {"b, é/": STORED, "empty": {}}
    assert settings(data_dir) == {"classes": [{"name": ["Work"]}], "theme": "light"}


def test_a_server_that_is_not_there_is_named(data_dir: Path) -> None:
    """Exit status 1, no traceback."""
    done = awlog("import", "http://127.0.0.1:9", "--data-dir", data_dir)
    assert done.returncode == 1
    assert "http://127.0.0.1:9 cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_texts_that_are_not_utf8_are_refused_and_not_changed(tmp_path: Path) -> None:
    """In another encoding a text would come in as another text, and nobody would know."""
    (tmp_path / "a.csv").write_bytes(b"timestamp,data.a\n2024-01-01T00:00:00Z,\xe4\n2024-01-01T00:00:01Z,a\n")
    (tmp_path / "b.csv").write_bytes("timestamp\n2024-01-01T00:00:00Z\n".encode("utf-16"))
    done = awlog("import", tmp_path / "a.csv", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert "1 refused: A row that is not UTF-8" in done.stdout
    assert [data for _, _, data in contents(tmp_path / "data")["imported"]] == ['{"a":"a"}']
    assert "b.csv is not UTF-8" in awlog("import", tmp_path / "b.csv", "--data-dir", tmp_path / "data").stderr


def test_a_quotation_that_never_ends_does_not_swallow_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'timestamp,data.a\n2024-01-01T00:00:00Z,"a\n2024-01-01T00:00:01Z,b\n')
    done = awlog("import", tmp_path / "a.csv", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert "a.csv, line 3: unexpected end of data" in done.stderr


def test_the_first_line_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    line = b'{"timestamp":"2024-01-01T00:00:00Z"}\n'
    (tmp_path / "a.ndjson").write_bytes(b"\xef\xbb\xbf" + line + line.replace(b"00Z", b"01Z"))
    assert rows(imported(tmp_path / "a.ndjson", "--data-dir", tmp_path / "data"))["imported"][:2] == ["2", "2"]


def test_what_is_left_of_a_line_that_is_too_long_is_no_line(tmp_path: Path) -> None:
    """Else its end could be an event that nobody recorded."""
    event = b'{"timestamp":"2024-01-01T00:00:00Z"}\n'
    (tmp_path / "a.ndjson").write_bytes(b"x" * 100 + event + event)
    source = Lines(tmp_path / "a.ndjson", SourceBucket("b", "t", "c", "h"), line_bytes_max=100)
    found = [each for step in source.steps() for each in step.found.values()]
    assert (sum(len(each.events) for each in found), sum(each.refused.total() for each in found)) == (1, 1)
