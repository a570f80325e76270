"""Single requests to a server that speaks the ActivityWatch REST API, for everything that is not timed in bulk."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class UnexpectedAnswer(Exception):
    """A status the benchmark cannot go on with."""


def ask(at: Address, method: str, path: str, body: bytes | None = None, *, timeout_s: float = 120.0) -> bytes:
    """The body of a 2xx or 304 answer, on a connection of its own.
    Raises UnexpectedAnswer for any other status, OSError if there is no answer.
    """
    connection = http.client.HTTPConnection(at.host, at.port, timeout=timeout_s)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        answer = response.read()
    except http.client.HTTPException as error:
        raise OSError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
    if response.status // 100 != 2 and response.status != 304:
        raise UnexpectedAnswer(f"{method} {path}: {response.status} {answer[:200].decode(errors='replace')}")
    return answer


def get(at: Address, path: str) -> Any:
    return json.loads(ask(at, "GET", path))


def bucket_path(bucket: str) -> str:
    return f"/api/0/buckets/{quote(bucket, safe='')}"


def create_bucket(at: Address, bucket: str, kind: str) -> None:
    """Creates the bucket, or leaves the one that is there."""
    about = {"client": "awlog-benchmarks", "type": kind, "hostname": "benchmark"}
    ask(at, "POST", bucket_path(bucket), json.dumps(about).encode())


def delete_bucket(at: Address, bucket: str) -> None:
    ask(at, "DELETE", f"{bucket_path(bucket)}?force=1")
