"""Error class -> status and JSON body: the one table. The nearest class wins; the class name is the `type`."""

from __future__ import annotations

from typing import Final

import msgspec
import structlog

from awlog.model.errors import (
    AwlogError,
    BucketExists,
    Busy,
    ChangesGone,
    Damaged,
    DeleteBucketUnauthorized,
    Forbidden,
    HeadersTooLarge,
    InsufficientStorage,
    MethodNotAllowed,
    MirroredBucket,
    NotFound,
    OriginNotAllowed,
    PayloadTooLarge,
    PushConflict,
    Refused,
    RefusedAt,
    RequestTimeout,
    TooManyConnections,
    Unauthorized,
    UnsupportedMediaType,
    URITooLong,
)

_log: Final = structlog.get_logger(part="api")

STATUS: Final[dict[type[AwlogError], int]] = {
    BucketExists: 304,
    Refused: 400,
    DeleteBucketUnauthorized: 401,
    Unauthorized: 401,
    Forbidden: 403,
    MirroredBucket: 403,
    OriginNotAllowed: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    PushConflict: 409,
    ChangesGone: 410,
    PayloadTooLarge: 413,
    URITooLong: 414,
    UnsupportedMediaType: 415,
    TooManyConnections: 429,
    HeadersTooLarge: 431,
    Damaged: 500,
    Busy: 503,
    InsufficientStorage: 507,
}


def status_of(error: AwlogError) -> int:
    """The status of the nearest class in the table."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def refusal(error: AwlogError, request_id: str = "") -> tuple[int, bytes]:
    """Status and body of the answer that refuses. What is no fault of the caller is logged here."""
    status = status_of(error)
    if status >= 500:
        kind = type(error).__name__
        _log.warning("a request was refused", status=status, type=kind, error=str(error), request_id=request_id)
    return status, body_of(error)


def body_of(error: AwlogError) -> bytes:
    """`{"type": ..., "message": ...}`, the form of every 4xx and 5xx under `/api/`, with the place in the text that was
    refused where there is one. Lone surrogates become `?`.
    """
    message = str(error).encode("utf-8", "replace").decode()
    body: dict[str, str | int | None] = {"type": type(error).__name__, "message": message}
    if isinstance(error, RefusedAt) and error.line is not None:
        body |= {"line": error.line, "column": error.column}
    return msgspec.json.encode(body)
