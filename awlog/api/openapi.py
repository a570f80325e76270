"""The API description, OpenAPI 3.1: made of the route table, the handlers' descriptions, and the msgspec types.

Nothing is written twice: paths, methods and scopes come from the table, sentences from docstrings, schemas from the types
that decode. A route that nobody described is an error, which a test meets first.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from awlog.api.answer_bodies import RefusalBody
from awlog.api.call import Call
from awlog.api.describe import JSON, PATH_PARAMETERS, Body, Operation, Parameter, described, operation_of
from awlog.api.route import Endpoint, Handler, Route

_REF: Final = "#/components/schemas/{name}"
# What requests may be answered beside what they ask for.
_ALWAYS: Final = {400: "The request means nothing, or is for another host", 401: "A token is missing or not valid"}
_WITH_PARAMETERS: Final = {404: "There is nothing of this name"}
_WITH_BODY: Final = {
    408: "Nothing came for too long inside the body",
    413: "The body is longer than a limit; the message names the setting",
    415: "The body is not of a type that is taken here",
}
_WITH_SCOPE: Final = {
    403: "The token does not allow it, or a foreign web page asks",
    500: "Stored data are damaged and not served",
    503: "Later it works: nothing of the request was kept",
    507: "There is no room on the disk; nothing of the request was kept",
}
_ABOUT: Final = """\
It is ActivityWatch's API, with more beside it: every client of that works here.

Times are ISO 8601, kept to the microsecond, and answered in UTC. Durations are seconds.
A write is answered when it is on the disk, and is done as a whole or not at all.
Every refusal has the form `{"type": ..., "message": ...}`.
"""


_LICENSE: Final = {"name": "MPL-2.0", "identifier": "MPL-2.0"}


def telling(routes: Callable[[], Sequence[Route]]) -> Handler:
    """A handler that answers with the document; it asks for the routes when it is asked, because it is one of them."""

    @cache
    def document(version: str) -> bytes:
        return openapi_json(routes(), version)

    @described(Operation(dict[str, Any]))
    async def get_openapi(call: Call) -> web.StreamResponse:
        """The description of this API, OpenAPI 3.1."""
        return await call.long_json(await asyncio.to_thread(document, call.settings.version))

    return get_openapi


def openapi_json(routes: Sequence[Route], version: str) -> bytes:
    """10 ms."""
    return msgspec.json.encode(openapi(routes, version))


def openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The document as plain values. Raises KeyError for a handler, or a parameter of a path, that is not described."""
    types = _Types()
    for _, _, endpoint in _endpoints(routes):
        types.note(operation_of(endpoint.handler))
    schema_of, components = types.schemas()
    paths: dict[str, Any] = {}
    for route, method, endpoint in _endpoints(routes):
        described_path = paths.setdefault(f"/api/{route.path}", {})
        described_path[method.lower()] = _operation(route, endpoint, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "awlog", "version": version, "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                str(status): _refusal(says)
                for status, says in {**_ALWAYS, **_WITH_PARAMETERS, **_WITH_SCOPE, **_WITH_BODY}.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Only where tokens are in use; `awlog token create` makes one",
                }
            },
        },
    }


def _endpoints(routes: Sequence[Route]) -> Iterator[tuple[Route, str, Endpoint]]:
    for route in routes:
        for method, endpoint in route.endpoints.items():
            yield route, method, endpoint


class _Types:
    """All types that the operations name, so that one Struct becomes one schema."""

    def __init__(self) -> None:
        self._types: list[Any] = [RefusalBody]

    def note(self, operation: Operation) -> None:
        self._types += [operation.answer, *(body.type for body in operation.bodies)]
        self._types += [parameter.type for parameter in (*operation.query, *operation.headers)]

    def schemas(self) -> tuple[_SchemaOf, dict[str, Any]]:
        wanted = [each for each in self._types if each not in (None, bytes)]
        made, components = msgspec.json.schema_components(wanted, ref_template=_REF)
        return _SchemaOf(wanted, list(made)), components


class _SchemaOf:
    def __init__(self, types: list[Any], schemas: list[dict[str, Any]]) -> None:
        self._types = types
        self._schemas = schemas

    def __call__(self, wanted: Any) -> dict[str, Any]:
        if wanted is bytes:
            return {"type": "string"}
        return self._schemas[self._types.index(wanted)]


def _operation(route: Route, endpoint: Endpoint, schema_of: _SchemaOf) -> dict[str, Any]:
    handler, operation = endpoint.handler, operation_of(endpoint.handler)
    says = (inspect.getdoc(handler) or "").partition("\n")[0]
    in_path = [part[1:-1] for part in route.path.split("/") if part[0] == "{"]
    parameters = [_parameter(PATH_PARAMETERS[name], "path", {"type": "string"}) for name in in_path]
    parameters += [_parameter(each, "query", schema_of(each.type)) for each in operation.query]
    parameters += [_parameter(each, "header", schema_of(each.type)) for each in operation.headers]
    made: dict[str, Any] = {
        "operationId": getattr(handler, "__name__", ""),
        "summary": says,
        "tags": [handler.__module__.rpartition(".")[2]],
        "parameters": parameters,
        "responses": _responses(endpoint, operation, schema_of, has_parameters=bool(in_path)),
    }
    if endpoint.scope is not None:
        where = " in this bucket" if "bucket_id" in in_path else ""
        other = "" if endpoint.other_scope is None else f" or `{endpoint.other_scope}`"
        made["description"] = f"{says}\n\nWhere tokens are in use it needs the scope `{endpoint.scope}`{other}{where}."
        made["security"] = [{}, {"token": []}]
    if operation.bodies:
        content = {body.content_type: _media(body, schema_of) for body in operation.bodies}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _parameter(parameter: Parameter, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    made = {
        "name": parameter.name,
        "in": place,
        "description": parameter.says,
        "required": parameter.required or place == "path",
        "schema": schema,
    }
    if parameter.example is not UNSET:
        made["example"] = parameter.example
    return made


def _media(body: Body, schema_of: _SchemaOf) -> dict[str, Any]:
    if body.type is not bytes and body.content_type == "multipart/form-data":
        return {
            "schema": {"type": "object", "additionalProperties": schema_of(body.type)},
            "example": {"file": body.example},
        }
    return {"schema": schema_of(body.type), "example": body.example}


def _responses(
    endpoint: Endpoint, operation: Operation, schema_of: _SchemaOf, *, has_parameters: bool
) -> dict[str, Any]:
    refusals = {
        **_ALWAYS,
        **(_WITH_PARAMETERS if has_parameters else {}),
        **(_WITH_SCOPE if endpoint.scope is not None else {}),
        **(_WITH_BODY if operation.bodies else {}),
    }
    made: dict[str, Any] = {str(status): {"$ref": f"#/components/responses/{status}"} for status in refusals}
    for status, says in operation.others.items():
        made[str(status)] = {"description": says} if status < 400 else _refusal(says)
    good: dict[str, Any] = {"description": "Done" if operation.status < 400 else "Always"}
    if operation.answer is not None:
        files = {file_type: {"schema": {"type": "string", "format": "binary"}} for file_type in operation.file_types}
        good["content"] = {operation.answer_type: {"schema": schema_of(operation.answer)}, **files}
    made[str(operation.status)] = good
    return dict(sorted(made.items()))


def _refusal(says: str) -> dict[str, Any]:
    return {"description": says, "content": {JSON: {"schema": {"$ref": _REF.format(name=RefusalBody.__name__)}}}}
