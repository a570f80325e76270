"""R1, R2, R4, R6, S12: a start waits for nobody, refuses what it must, in words, and makes private files."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lmdb
import pytest

from awlog.cli.local_socket import SOCKET_FILE
from tests.faults.conftest import awlog, verify
from tests.faults.pages import PAGE_BYTES
from tests.faults.straced import recorded, wait_for_end
from tests.faults.trace import OPENS, read_record
from tests.server import Server

FIELDS = {"type": "t", "client": "c", "hostname": "h"}
EVENTS = "/api/0/buckets/b/events"
BEAT = "/api/0/buckets/b/heartbeat?pulsetime=10"
CANNOT_START = 3
# Not the store: LMDB's table of readers, and the socket of the running server.
_VOLATILE = {"lock.mdb", SOCKET_FILE}


def event(number: int) -> dict[str, Any]:
    return {"timestamp": f"2024-05-01T10:00:{number % 60:02}Z", "data": {"number": number}}


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path / "data") as running:
        assert running.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        yield running


def refusal(server: Server) -> str:
    """The one message of a server that cannot start. Raises AssertionError if it starts, hangs, or ends otherwise."""
    before = len(server.log_text())
    server.start(wait=False)
    assert server.process is not None
    try:
        status = server.process.wait(30)
    finally:
        server.kill()
    said = server.log_text()[before:]
    assert status == CANNOT_START, f"exit status {status}:\n{said}"
    assert "Traceback" not in said, said
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) == 1, said
    assert lines[0].startswith("awlog cannot start: "), said
    return lines[0]


# R2: connections wait


@pytest.mark.needs("strace")
@pytest.mark.parametrize("crashed", [False, True])
def test_connections_made_during_the_start_wait_for_it_and_are_answered(server, tmp_path, crashed):
    """The start is slowed down behind the moment when it listens; heartbeats sent in that time are all answered."""
    if crashed:
        server.kill()
    else:
        assert server.stop() == 0
    data_file = str(server.data_dir / "data.mdb")
    server.wrapper = (
        "strace",
        "-D",
        "-f",
        "-o",
        "/dev/null",
        "-P",
        data_file,
        "-e",
        "inject=openat:delay_enter=200000",
    )
    said_before = server.log_text().count('"serving"')
    server.start(wait=False)
    clients = [connect_when_listening(server)]
    clients += [socket.create_connection((server.host, server.port), timeout=60) for _ in range(30)]
    for number, client in enumerate(clients):
        body = json.dumps(event(number)).encode()
        head = (
            f"POST {BEAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        client.sendall(f"{head}\r\n\r\n".encode() + body)
    assert server.log_text().count('"serving"') == said_before, "the start was over too early to prove anything"
    for client in clients:
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        client.close()
    assert server.request("GET", f"{EVENTS}/count").json() == len(clients)


def connect_when_listening(server: Server) -> socket.socket:
    """The first connection that is not refused: before it nobody listened."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection((server.host, server.port), timeout=60)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"it does not listen:\n{server.log_text()}"
            time.sleep(0.002)


@pytest.mark.needs("strace")
def test_it_listens_before_it_touches_the_store(server, tmp_path):
    """However long the store takes to open: nobody is refused in that time."""
    server.kill()
    record = tmp_path / "record"
    server.wrapper = recorded(record, calls=frozenset({"listen", "openat"}))
    server.start()
    process = server.pid
    assert server.stop() == 0
    wait_for_end(record, process)
    calls = read_record(record)
    listens = [call for call in calls if call.name == "listen"]
    opens = [call for call in calls if call.name == "openat" and call.texts()[0].endswith("data.mdb")]
    assert listens
    assert opens
    assert listens[0].ended is not None
    assert listens[0].ended < opens[0].started


# R1: it starts


def first_pages(folder: Path) -> tuple[bytes, bytes]:
    """The two meta pages as LMDB writes them when it makes a store, before anything is in it."""
    lmdb.open(str(folder)).close()
    content = (folder / "data.mdb").read_bytes()
    return content[:PAGE_BYTES], content[PAGE_BYTES : 2 * PAGE_BYTES]


@pytest.mark.parametrize("left", ["", "z", "zz", "1", "1z", "z2", "12"])
def test_a_first_start_that_was_cut_short_begins_again(tmp_path, left):
    """A power cut may leave any part of a file that was not synced: here the pages 1 and 2, or zeros in their place.

    There is no identity yet, so nothing was ever answered and nothing can be lost.
    """
    one, two = first_pages(tmp_path / "made")
    server = Server(tmp_path / "data")
    server.data_dir.mkdir()
    pages = {"z": bytes(PAGE_BYTES), "1": one, "2": two}
    (server.data_dir / "data.mdb").write_bytes(b"".join(pages[page] for page in left))
    with server:
        assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
        server.kill()
        verify(server.data_dir)


@pytest.mark.needs("strace")
def test_a_crash_during_the_start_does_not_keep_the_next_start_out(server):
    """A start reads the store in a child first. A child that outlives its parent must not own the directory or port."""
    server.kill()
    data_file = str(server.data_dir / "data.mdb")
    held = ("strace", "-D", "-f", "-o", "/dev/null", "-P", data_file, "-e", "inject=openat:delay_exit=3000000")
    server.wrapper = held
    server.start(wait=False)
    child = child_that_reads(server.pid, data_file)
    server.kill()
    server.wrapper = ()
    server.start(wait=False).wait_until_ready(timeout_s=15)
    assert Path(f"/proc/{child}").exists(), "the child was gone: nothing was shown"
    assert server.request("GET", f"{EVENTS}/count").json() == 0


def child_that_reads(process: int, data_file: str) -> int:
    """The child of a process that has this file open; it is held there for three seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError):
                if any(str(link.readlink()) == data_file for link in Path(f"/proc/{child}/fd").iterdir()):
                    return int(child)
        time.sleep(0.001)
    raise AssertionError("the start had no child that reads")


# R6: one owner


def test_a_second_server_is_refused_and_the_first_does_not_notice(server, tmp_path):
    assert server.request("POST", EVENTS, event(0)).status == 200
    files = {path.name: path.read_bytes() for path in server.data_dir.iterdir() if path.name not in _VOLATILE}
    said = server.log_text()
    second = Server(server.data_dir)
    second.log_path = tmp_path / "second.log"
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(refusal, second)
        answers = 0
        while not refused.done() or not answers:
            assert server.request("GET", EVENTS).json()[0]["data"] == {"number": 0}
            answers += 1
        message = refused.result()
    assert str(server.pid) in message, message
    assert str(server.data_dir) in message, message
    assert {path.name: path.read_bytes() for path in server.data_dir.iterdir() if path.name not in _VOLATILE} == files
    assert server.request("POST", EVENTS, event(1)).status == 200
    assert server.log_text() == said
    verify(server.data_dir)


# R4: it says why it cannot start


def newer_format(data_dir: Path) -> None:
    identity = json.loads((data_dir / "identity.json").read_text())
    (data_dir / "identity.json").write_text(json.dumps(identity | {"format_version": 4711}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: (d / "data.mdb").unlink(), ["{}", "missing", "backup"]),
        (lambda d: (d / "data.mdb").write_bytes(b""), ["{}", "empty", "backup"]),
        (lambda d: (d / "data.mdb").write_bytes(b"something else" * 1000), ["{}", "Nothing was", "awlog verify"]),
        (lambda d: (d / "data.mdb").write_bytes(bytes(20_000)), ["{}", "Nothing was", "awlog verify"]),
        (lambda d: (d / "identity.json").write_bytes(b""), ["{}", "identity.json", "damaged"]),
        (newer_format, ["4711", " 1", "Nothing was"]),
    ],
    ids=["removed", "emptied", "another file", "zeros", "empty identity", "newer format"],
)
def test_a_store_that_cannot_be_opened_is_refused_in_words(server, spoil, words):
    """And nothing is made in its place: the files are as they were."""
    assert server.request("POST", EVENTS, event(0)).status == 200
    assert server.stop() == 0
    spoil(server.data_dir)

    def state() -> dict[str, bytes]:
        kept = (path for path in server.data_dir.iterdir() if path.name not in {"awlog.lock", *_VOLATILE})
        return {path.name: path.read_bytes() for path in kept}

    before = state()
    message = refusal(server)
    for word in words:
        assert word.format(server.data_dir) in message, message
    assert state() == before


def test_a_directory_that_cannot_be_made_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("in the way")
    server = Server(tmp_path / "file" / "data")
    server.log_path = tmp_path / "log"
    assert str(server.data_dir) in refusal(server)


def test_a_port_that_is_taken_is_refused_in_words(server, tmp_path):
    second = Server(tmp_path / "other")
    second.port = server.port
    message = refusal(second)
    assert str(server.port) in message
    assert "--port" in message


def test_a_lost_identity_is_written_anew_from_the_store(server):
    device_id = server.request("GET", "/api/0/info").json()["device_id"]
    assert server.stop() == 0
    (server.data_dir / "identity.json").unlink()
    server.start()
    assert server.request("GET", "/api/0/info").json()["device_id"] == device_id
    assert "b" in server.request("GET", "/api/0/buckets/").json()


@pytest.mark.parametrize("name", ["lock.mdb", "awlog.lock"])
@pytest.mark.parametrize("content", [None, b"", b"\xff" * 10_000])
def test_the_lock_files_hold_nothing_that_matters(server, name, content):
    assert server.request("POST", EVENTS, event(0)).status == 200
    server.kill()
    if content is None:
        (server.data_dir / name).unlink()
    else:
        (server.data_dir / name).write_bytes(content)
    server.start()
    assert server.request("POST", EVENTS, event(1)).status == 200
    assert server.request("GET", f"{EVENTS}/count").json() == 2
    verify(server.data_dir)


# S12: private files


@pytest.mark.parametrize("umask", ["000", "022", "777"])
def test_files_are_private_whatever_the_umask(tmp_path, umask):
    data_dir = tmp_path / "new" / "data"
    data_dir.parent.mkdir()
    server = Server(data_dir, wrapper=("sh", "-c", f'umask {umask}; exec "$@"', "sh"))
    server.log_path = tmp_path / "log"
    with server:
        write_something_of_everything(server)
        assert mode(data_dir) == 0o700
        for path in data_dir.rglob("*"):
            assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    assert {path.name for path in data_dir.iterdir()} >= {"data.mdb", "lock.mdb", "identity.json"}


def test_a_directory_that_was_there_is_made_private(tmp_path):
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o755)
    with Server(data_dir):
        assert mode(data_dir) == 0o700


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_something_of_everything(server: Server) -> None:
    documents = {"c": {**FIELDS, "id": "c", "events": [event(n) for n in range(9_000)]}}
    content = json.dumps({"buckets": documents}).encode()
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.json"\r\n\r\n' + content + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert server.request("POST", "/api/0/buckets/b", FIELDS).status == 200
    assert server.request("POST", EVENTS, [event(n) for n in range(9_000)]).status == 200
    assert server.request("POST", "/api/0/import", {"buckets": documents}).status == 200
    assert server.request("POST", "/api/0/import", raw=form, headers=headers).status == 200
    assert server.request("POST", "/api/0/settings/key", "x" * 100_000).status == 200
    assert server.request("GET", "/api/0/export").status == 200


@pytest.mark.needs("strace")
def test_nothing_is_made_outside_the_data_directory(tmp_path):
    """The record shows each file that the server made, temporary ones of an import too, and with which mode."""
    record, data_dir = tmp_path / "record", tmp_path / "data"
    server = Server(data_dir, env={"PYTHONDONTWRITEBYTECODE": "1"}, wrapper=recorded(record)).start()
    try:
        write_something_of_everything(server)
        process = server.pid
        assert server.stop() == 0
    finally:
        server.kill()
    wait_for_end(record, process)
    made = [c for c in read_record(record) if c.name in OPENS and ("O_CREAT" in c.args or "O_TMPFILE" in c.args)]
    assert len(made) >= 4
    for call in made:
        path = Path(call.texts()[0])
        if call.succeeded and path != Path(os.devnull):
            assert path.is_relative_to(data_dir), f"line {call.started}: {path}"
            assert call.args.endswith(" 0600"), f"line {call.started}: {path} is made with {call.args}"


def test_verify_changes_nothing(server):
    assert server.request("POST", EVENTS, event(0)).status == 200
    server.kill()
    before = {path.name: path.read_bytes() for path in server.data_dir.iterdir() if path.name not in _VOLATILE}
    done = awlog("verify", "--data-dir", str(server.data_dir), "--digest")
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in server.data_dir.iterdir() if path.name not in _VOLATILE} == before
