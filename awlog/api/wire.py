"""Bodies of requests: Structs, and decoders made once. Those that hold events are in `event_bodies.py`.

Input is decoded once, here. Unknown keys are ignored, null counts as missing.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from awlog.model.errors import BadRequest
from awlog.model.event import Payload
from awlog.model.payload import canonical_object, canonical_value, mend_lone_surrogates

_T = TypeVar("_T")

# What a `data` field holds when its key is not there; null counts as that too.
_NULLS: Final = (b"", b"null")

# What the API description says of a type that msgspec does not see; decoding takes no notice of it.
Timestamp = Annotated[
    str,
    Meta(
        description="ISO 8601, to the microsecond; without an offset it is UTC",
        extra_json_schema={"format": "date-time"},
    ),
]
Seconds = Annotated[float | int | None, Meta(description="A negative one counts as 0")]
DataObject = Annotated[Raw, Meta(description="Any JSON object", extra_json_schema={"type": ["object", "null"]})]
ShownObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
EventId = Annotated[int, Meta(description="Unique in the server, never given twice", ge=1, le=(1 << 53) - 1)]


class StreamHello(Struct):
    """The first message of a producer that numbers what it sends."""

    producer: str
    sequence: int | None = None
    bucket: Raw | UnsetType = UNSET


class FollowBody(Struct):
    """Which changes a follower on a WebSocket is told."""

    since: int | None = None
    bucket_prefix: str = ""


class StreamFollow(Struct):
    """The first message of a follower."""

    follow: FollowBody


class StreamFollowing(Struct):
    """Is this such a message, whatever it asks for?"""

    follow: Raw | UnsetType = UNSET


class CreateBucketBody(Struct):
    type: str
    client: str
    hostname: str
    name: str | None = None
    data: DataObject = field(default_factory=Raw)
    created: Timestamp | None = None


class UpdateBucketBody(Struct):
    type: str | None = None
    client: str | None = None
    hostname: str | None = None
    name: str | None = None
    data: DataObject = field(default_factory=Raw)


class CreateTokenBody(Struct):
    """`scopes`: read, append, write or admin, each perhaps with a prefix of bucket ids, `append:my-bucket*`. `device`: the
    id of the only device as which it pushes; by itself the one that it pushes as first.
    """

    scopes: list[str]
    name: str = ""
    expires: str | None = None
    device: str | None = None


class RequiredBody(Struct):
    """Do requests need a token?"""

    required: bool


class QueryBody(Struct):
    query: list[str]
    timeperiods: list[str]


RAW_LIST: Final = msgspec.json.Decoder(list[Raw])
STREAM_HELLO: Final = msgspec.json.Decoder(StreamHello)
STREAM_FOLLOW: Final = msgspec.json.Decoder(StreamFollow)
STREAM_FOLLOWING: Final = msgspec.json.Decoder(StreamFollowing)
CREATE_BUCKET: Final = msgspec.json.Decoder(CreateBucketBody)
UPDATE_BUCKET: Final = msgspec.json.Decoder(UpdateBucketBody)
QUERY: Final = msgspec.json.Decoder(QueryBody)
CREATE_TOKEN: Final = msgspec.json.Decoder(CreateTokenBody)
REQUIRED: Final = msgspec.json.Decoder(RequiredBody)
ANY_VALUE: Final = msgspec.json.Decoder(Raw)


def decode(decoder: msgspec.json.Decoder[_T], raw: bytes) -> _T:
    """A request body. Raises BadRequest, which names the field; half surrogate pairs become U+FFFD."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return decoder.decode(mend_lone_surrogates(raw))
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8") from None
    except RecursionError:
        raise BadRequest("The JSON is nested too deep") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is no valid JSON: {error}") from None


def payload_or_none(raw: Raw) -> Payload | None:
    """None if `data` is missing or null. Raises BadRequest."""
    return None if bytes(raw) in _NULLS else canonical_object(bytes(raw))


def value_or_none(raw: Raw) -> bytes | None:
    """Canonical JSON; None if it is missing or null. Raises BadRequest."""
    return None if bytes(raw) in _NULLS else canonical_value(bytes(raw))


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)
