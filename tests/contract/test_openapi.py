"""What the API description says is what the server does: every example in it is sent, and answered as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema
import pytest

from tests.server import Reply, Server

_SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
_CONFIG = str(Path(__file__).with_name("schemathesis.toml"))
# Examples lean on each other: what is deleted is deleted last, what is read was written.
_ORDER = ("put", "post", "get", "delete")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server outside testing mode, empty, for the examples alone: the first id in it is the one they name."""
    folder = tmp_path_factory.mktemp("openapi")
    flags = ("--backup-dir", str(folder / "backups"), "--backup-interval-s", "0")
    with Server(folder / "data", *flags, testing=False) as running:
        yield running


def test_every_example_works_and_is_answered_as_described(desk: Server) -> None:
    """With each body that a route takes. The answer has the status and the schema that the document gives."""
    document = desk.request("GET", "/api/0/openapi.json").json()
    made = [desk.request("POST", "/api/0/tokens", {"scopes": ["admin"]}).json()]
    token = {"Authorization": f"Bearer {made[0]['secret']}"}
    made.append(desk.request("POST", "/api/0/tokens", {"scopes": ["read"]}, headers=token).json())
    known = {"token_id": made[1]["token"]["id"]}  # no document can know it
    rule = {"enabled": True, "pattern": "^secret$", "action": "drop", "field": "title"}
    assert desk.request("POST", "/api/0/settings/privacy_filters", [rule], headers=token).status == 200
    sent = []
    for path, method, operation in in_order(document):
        bodies = list(operation.get("requestBody", {}).get("content", {}).items()) or [(None, {})]
        for content_type, media in bodies:
            reply = send(desk, method, path, operation, content_type, media.get("example"), token, known)
            check(document, operation, reply, f"{method} {path} {content_type}")
            sent.append((method, path))
    assert len(sent) > len(document["paths"])


def in_order(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """First the bucket of the examples is made, then the rest, in an order in which each can work."""
    every = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    made = "/api/0/buckets/{bucket_id}"
    return sorted(every, key=lambda one: (one[:2] != (made, "post"), _ORDER.index(one[1]), -len(one[0])))


def send(
    server: Server,
    method: str,
    path: str,
    operation: dict[str, Any],
    content_type: str | None,
    example: Any,
    token: dict[str, str],
    known: dict[str, str],
) -> Reply:
    query, headers = {}, dict(token)
    for parameter in operation["parameters"]:
        if "example" not in parameter:
            assert not parameter["required"]
        elif parameter["in"] == "path":
            path = path.replace(
                f"{{{parameter['name']}}}", quote(known.get(parameter["name"], parameter["example"]), safe="")
            )
        elif parameter["in"] == "query":
            query[parameter["name"]] = parameter["example"]
        else:
            headers[parameter["name"]] = parameter["example"]
    if content_type == "multipart/form-data":
        part = json.dumps(example["file"])
        raw = f'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n{part}\r\n--x--\r\n'.encode()
        content_type = "multipart/form-data; boundary=x"
    elif content_type == "application/json":
        raw = json.dumps(example).encode()
    else:
        raw = b"" if example is None else example.encode()
    if content_type is not None:
        headers["Content-Type"] = content_type
    return server.request(method.upper(), f"{path}?{urlencode(query)}", raw=raw or None, headers=headers)


def check(document: dict[str, Any], operation: dict[str, Any], reply: Reply, what: str) -> None:
    """The status is the one of the good answer, and its body fits the schema."""
    good = [
        int(status)
        for status, answer in operation["responses"].items()
        if answer.get("description") in ("Done", "Always")
    ]
    assert reply.status in good, f"{what}: {reply.status} {reply.body!r}"
    content = operation["responses"][str(reply.status)].get("content", {})
    if content and "$ref" not in content:
        assert reply.headers.get_content_type() in content, what
        media = content[reply.headers.get_content_type()]
        schema = {**media["schema"], "components": document["components"]}
        jsonschema.validate(reply.json(), schema)


def test_the_document_is_what_the_command_prints(server: Server) -> None:
    """`awlog openapi` prints it without a server."""
    printed = subprocess.run([sys.executable, "-m", "awlog", "openapi"], capture_output=True, check=True).stdout
    assert server.request("GET", "/api/0/openapi.json").json() == json.loads(printed)


def test_schemathesis_finds_no_contradiction(tmp_path: Path) -> None:
    """It asks every route in good and bad ways of its own, the same in every run: no 5xx, no status, type or body that the
    document does not know, nothing bad accepted. More cases for each route: AWLOG_SCHEMATHESIS_EXAMPLES=1000.
    """
    count = os.environ.get("AWLOG_SCHEMATHESIS_EXAMPLES", "8")
    with Server(tmp_path / "data") as server:
        url = f"{server.url}/api/0/openapi.json"
        words = [_SCHEMATHESIS, "--config-file", _CONFIG, "run", url, "--phases", "coverage,fuzzing", "-n", count]
        words += ["--generation-database", "none", "--continue-on-failure", "--no-color"]
        # It makes tokens, and says whether they are needed: as an admin it is let in all the while.
        token = server.request("POST", "/api/0/tokens", {"scopes": ["admin"]}).json()["secret"]
        words += ["--header", f"Authorization: Bearer {token}"]
        done = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()
        assert "InternalError" not in server.log_text()
