"""What the API description says of a handler that its code does not: the parts of the request, and the answer.

It stands above the handler, as types that msgspec understands and examples that work; `openapi.py` makes the document of
that and of the route table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import UNSET, Struct

JSON: Final = "application/json"
_H = TypeVar("_H", bound=Callable[..., Any])


class Parameter(Struct, frozen=True):
    """Of the query or, where it stands among `headers`, a header. With an `example` the examples' test sends it."""

    name: str
    type: Any
    says: str
    required: bool = False
    example: Any = UNSET


class Body(Struct, frozen=True):
    """One form in which a request's body may come. `type` is of its JSON, or `bytes` for what is not JSON as a whole."""

    type: Any
    example: Any
    content_type: str = JSON


class Operation(Struct, frozen=True):
    """The answer to a good request, the parts of that, and what may be answered beside what every route may answer.

    `file_types`: forms of the answer that are files rather than JSON.
    """

    answer: Any
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    bodies: tuple[Body, ...] = ()
    answer_type: str = JSON
    file_types: tuple[str, ...] = ()
    status: int = 200
    others: dict[int, str] = {}


_operations: Final[dict[Any, Operation]] = {}

# Every parameter that a path of the route table may have.
PATH_PARAMETERS: Final = {
    "bucket_id": Parameter("bucket_id", str, "The bucket's id", example="aw-watcher-window_desk"),
    "event_id": Parameter("event_id", str, "The event's id, an integer", example="4294967297"),
    "token_id": Parameter("token_id", str, "The token's id, as the list of tokens shows it", example="3fa94c21b07d"),
    "job_id": Parameter("job_id", str, "The job's id, an integer", example="1"),
    "key": Parameter("key", str, "The setting's key, at most 127 bytes", example="startOfDay"),
}


def described(operation: Operation) -> Callable[[_H], _H]:
    """For a handler: what the API description says of it. Its first sentence comes from its docstring."""

    def note(handler: _H) -> _H:
        _operations[handler] = operation
        return handler

    return note


def operation_of(handler: Any) -> Operation:
    """Raises KeyError if nobody has described it."""
    return _operations[handler]
