"""The API description is made of the code, and nothing is left out of it."""

from __future__ import annotations

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from awlog.api.call import Call
from awlog.api.describe import PATH_PARAMETERS, Operation, described, operation_of
from awlog.api.openapi import openapi, openapi_json
from awlog.api.route import Endpoint, Route
from awlog.api.routes import ROUTES
from awlog.model.access import Scope

ENDPOINTS = [(route, method, endpoint) for route in ROUTES for method, endpoint in route.endpoints.items()]
everywhere = pytest.mark.parametrize(
    ("route", "method", "endpoint"), ENDPOINTS, ids=[f"{method} {route.path}" for route, method, _ in ENDPOINTS]
)


@everywhere
def test_every_route_is_described(route: Route, method: str, endpoint: Endpoint) -> None:
    """Whoever adds one says above its handler what it takes and what it answers: `describe.described`."""
    operation = operation_of(endpoint.handler)
    for part in route.path.split("/"):
        assert part[0] != "{" or part[1:-1] in PATH_PARAMETERS
    shown = msgspec.json.decode(openapi_json(ROUTES, "1"))["paths"][f"/api/{route.path}"][method.lower()]
    assert str(operation.status) in shown["responses"]
    assert shown["summary"].endswith(".")


def test_the_document_is_valid() -> None:
    """By the schema of OpenAPI 3.1, and every reference leads somewhere."""
    OpenAPIV31SpecValidator(openapi(ROUTES, "1")).validate()


def test_operations_have_names_of_their_own() -> None:
    """Generators of clients make functions of them."""
    document = openapi(ROUTES, "1")
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names) == len(ENDPOINTS)


def test_the_document_holds_nothing_but_the_routes_of_the_table() -> None:
    """Made of the table that is given, with the scopes in it."""

    @described(Operation(dict[str, int]))
    async def answer(call: Call) -> None:
        """Answers.

        Not shown.
        """

    document = openapi([Route("0/x/{key}", {"GET": Endpoint(answer, Scope.READ)})], "7")  # type: ignore[arg-type]
    assert document["info"]["version"] == "7"
    assert list(document["paths"]) == ["/api/0/x/{key}"]
    shown = document["paths"]["/api/0/x/{key}"]["get"]
    assert shown["summary"] == "Answers."
    assert "`read`" in shown["description"]
    assert [parameter["name"] for parameter in shown["parameters"]] == ["key"]
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert shown["responses"]["200"]["content"] == {"application/json": {"schema": schema}}


def test_a_route_that_nobody_described_is_no_document() -> None:
    """It does not go missing."""

    async def forgotten(call: Call) -> None:
        """Forgotten."""

    with pytest.raises(KeyError):
        openapi([Route("0/x", {"GET": Endpoint(forgotten, None)})], "1")  # type: ignore[arg-type]
