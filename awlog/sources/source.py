"""What every source gives: its buckets, its settings, and its events in steps of bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from awlog.model.bucket import EMPTY_PAYLOAD
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest, Refused
from awlog.model.event import Payload
from awlog.model.payload import canonical_object, mend_lone_surrogates
from awlog.model.times import Micros

# What a step reads at most, apart from one event more.
STEP_BYTES: Final = 8 << 20
# Distinct reasons that are told apart; what comes after them is counted together.
_REASONS_MAX: Final = 20
_OTHER_REASONS: Final = "other reasons"


class SourceUnreadable(Refused):
    """A source cannot be opened, is none of the kinds that are known, or ends in the middle."""


class SourceBucket(Struct, frozen=True):
    """A bucket as its source describes it; None where it says nothing."""

    id: str
    type: str
    client: str
    hostname: str
    created_us: Micros | None = None
    name: str | None = None
    data: Payload = EMPTY_PAYLOAD

    def named(self, bucket_id: str) -> SourceBucket:
        """One that is like this but for its id."""
        return replace(self, id=bucket_id)


class Found(Struct):
    """Some events of one bucket in the order of the source, and why others cannot be taken."""

    events: list[NewEvent] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    # Taken with a duration of 0, as the API does.
    negative_count: int = 0

    def refuse(self, reason: str, count: int = 1) -> None:
        known = reason in self.refused or len(self.refused) < _REASONS_MAX
        self.refused[reason if known else _OTHER_REASONS] += count


class Step(Struct):
    """What was read at once: by bucket, and how much of `Source.size` it was. `orphan_count`: events of no bucket."""

    found: dict[str, Found]
    read: int
    orphan_count: int = 0

    def add(self, keys: Sequence[Any], events: list[NewEvent], ids: dict[Any, str], negative: Sequence[bool]) -> None:
        """Events of many buckets, each with the key of its own; `negative`: it had a duration below zero."""
        of_keys: dict[Any, list[NewEvent]] = {key: [] for key in set(keys)}
        for key, event in zip(keys, events, strict=True):
            of_keys[key].append(event)
        for key, of_key in of_keys.items():
            if key in ids:
                self.found.setdefault(ids[key], Found()).events += of_key
            else:
                self.orphan_count += len(of_key)
        if any(negative):
            for key, is_negative in zip(keys, negative, strict=True):
                if is_negative and key in ids:
                    self.found[ids[key]].negative_count += 1


class Source(Protocol):
    """Read-only, bounded memory; the order of a bucket's events is the same each time.

    `size` is in whatever unit `Step.read` counts; 0 if it is not known beforehand. Everything raises SourceUnreadable.
    """

    title: str
    size: int

    def buckets(self) -> list[SourceBucket]:
        """Those that can be told without reading events."""
        ...

    def bucket(self, bucket_id: str) -> SourceBucket:
        """The bucket of events that `steps` has given."""
        ...

    def settings(self) -> dict[str, bytes]:
        """JSON texts."""
        ...

    def steps(self) -> Iterator[Step]: ...

    def close(self) -> None: ...


class NamedByEvents:
    """The part of a `Source` whose events say themselves which bucket they are of.

    `described` is the bucket of those that name none; the others are like it.
    """

    def __init__(self, described: SourceBucket) -> None:
        self._described = described

    def buckets(self) -> list[SourceBucket]:
        """Each is made when its first event comes."""
        return []

    def bucket(self, bucket_id: str) -> SourceBucket:
        return self._described.named(bucket_id)

    def settings(self) -> dict[str, bytes]:
        """Files of events hold none."""
        return {}


class PayloadTexts:
    """JSON texts of `data` -> payloads; those that come again and again are parsed once."""

    _ENTRIES_MAX: Final = 65_536
    _TEXT_BYTES_MAX: Final = 512

    def __init__(self) -> None:
        self._known: dict[bytes, Payload] = {}

    def payloads(self, texts: Sequence[bytes]) -> list[Payload]:
        """As `payload`, of many."""
        known = self._known
        return [known.get(text) or self.payload(text) for text in texts]

    def payload(self, text: bytes) -> Payload:
        """0.1 µs for a text that was met lately, else some µs. Raises BadRequest; half surrogate pairs become U+FFFD."""
        payload = self._known.get(text)
        if payload is not None:
            return payload
        if not isinstance(text, bytes):  # a database holds what it likes
            raise BadRequest("`data` must be a JSON object")
        try:
            payload = canonical_object(text)
        except BadRequest:
            payload = canonical_object(mend_lone_surrogates(text))
        if len(text) <= self._TEXT_BYTES_MAX:
            if len(self._known) >= self._ENTRIES_MAX:
                self._known.clear()
            self._known[text] = payload
        return payload


def bucket_data(text: bytes | None) -> Payload:
    """The `data` of a bucket; what cannot be read is left out, as its events are worth more."""
    try:
        return PayloadTexts().payload(text) if text else EMPTY_PAYLOAD
    except BadRequest:
        return EMPTY_PAYLOAD


def shown(value: object) -> str:
    """A text of a database as text, whatever is in its column."""
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)
