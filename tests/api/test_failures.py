"""Error class -> status and body: `rest-api.md` section 3."""

from __future__ import annotations

import inspect
import json

import pytest

from awlog.api.failures import STATUS, body_of, status_of
from awlog.model import errors
from awlog.model.errors import AwlogError, BadRequest

# Every error that is raised on purpose, as the contract names it.
EXPECTED = {
    errors.BadRequest("why"): 400,
    errors.RefusedAt("why"): 400,
    errors.HostNotAllowed("why"): 400,
    errors.DeleteBucketUnauthorized("why"): 401,
    errors.Unauthorized("why"): 401,
    errors.Forbidden("why"): 403,
    errors.ChangesGone(7): 410,
    errors.MirroredBucket("b", "d"): 403,
    errors.PushConflict(1, 7): 409,
    errors.OriginNotAllowed("why"): 403,
    errors.NotFound("why"): 404,
    errors.NoSuchBucket("notes"): 404,
    errors.NoSuchEvent("notes", "7"): 404,
    errors.NoSuchJob(7): 404,
    errors.NoSuchToken("why"): 404,
    errors.MethodNotAllowed("PATCH", "GET"): 405,
    errors.RequestTimeout("why"): 408,
    errors.PayloadTooLarge("why"): 413,
    errors.URITooLong("why"): 414,
    errors.UnsupportedMediaType("why"): 415,
    errors.TooManyConnections("why"): 429,
    errors.HeadersTooLarge("why"): 431,
    errors.Overloaded("why"): 503,
    errors.BucketExists("why"): 304,
    errors.Unavailable("why"): 503,
    errors.InsufficientStorage("why"): 507,
    errors.DataDamaged("Segment 1 of bucket number 2"): 500,
    errors.NotDone("why"): 500,
    errors.CannotStart("why"): 500,
    errors.FormatTooNew(2, 1): 500,
    errors.OtherFormat("why"): 500,
    errors.FormatTooOld(1, 2): 500,
}
# The groups: who has to act.
GROUPS = {errors.AwlogError, errors.Refused, errors.Busy, errors.Damaged}


@pytest.mark.parametrize(("error", "status"), EXPECTED.items(), ids=lambda value: type(value).__name__)
def test_each_error_has_its_status(error: AwlogError, status: int) -> None:
    """The nearest class in the table wins."""
    assert status_of(error) == status


@pytest.mark.parametrize("error", EXPECTED, ids=lambda error: type(error).__name__)
def test_the_body_names_the_class_and_says_why(error: AwlogError) -> None:
    """`type` for programs, `message` for people, and nothing else."""
    body = json.loads(body_of(error))
    assert body == {"type": type(error).__name__, "message": str(error)}
    assert body["message"]


def test_no_error_is_left_out_here() -> None:
    """A new error class needs a line above, so that somebody thinks about its status."""
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AwlogError)}
    assert classes == {type(error) for error in EXPECTED} | GROUPS


def test_a_new_error_has_the_status_of_its_group() -> None:
    """Refused is 400, busy 503, damaged 500; there is one even before anybody thinks about it."""
    for group, status in ((errors.Refused, 400), (errors.Busy, 503), (errors.Damaged, 500)):
        assert status_of(type("Unheard", (group,), {})("why")) == status
    assert set(STATUS) >= GROUPS - {errors.AwlogError}


def test_what_no_client_can_cause_is_the_only_500() -> None:
    """No input may cause a 5xx but those of a server in trouble."""
    assert all(status < 500 for error, status in EXPECTED.items() if isinstance(error, errors.Refused))
    assert all(status >= 500 for error, status in EXPECTED.items() if not isinstance(error, errors.Refused))


@pytest.mark.parametrize("text", ["half a pair \ud83d", "\udcff", "日本", '"quoted"\n', "\x00"])
def test_a_message_is_strict_json_whatever_it_quotes(text: str) -> None:
    """Lone surrogates become a question mark, the rest stays."""
    message = json.loads(body_of(BadRequest(text)))["message"]
    assert message == text.encode("utf-8", "replace").decode()
