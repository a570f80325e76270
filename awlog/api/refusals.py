"""What was refused lately, why, and who sent it: whoever wonders why nothing arrives finds the watcher that sends nonsense.

Equal ones are one entry with a count. Nothing that was recorded or is secret gets here: the name of a program, the origin
of a page, the id of a bucket, all cut, and the text of the error, but not of those in queries, which quote them.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from awlog.model.access import Access, Scope
from awlog.model.errors import AwlogError, RefusedAt
from awlog.model.times import Micros, format_timestamp

_KEPT_MAX: Final = 50
_TEXT_CHARS_MAX: Final = 200
# A program's name and version at the beginning of a User-Agent: `aw-client/0.5.15`, `Mozilla/5.0`.
_PRODUCT: Final = re.compile(r"[\w.+-]{1,40}(?:/[\w.+-]{1,20})?", re.ASCII)


class RefusedRequest(Struct):
    """`client`: the program, `origin`: the web page, by their own words; `message`: null where it quotes what was sent."""

    last: str
    count: int
    status: int
    type: str
    message: str | None
    method: str
    route: str
    client: str | None
    origin: str | None
    bucket: str | None


class Refusals:
    """Kinds of refusal, at most 50 of them: the newest of each type. Loop only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str | int | None, ...], tuple[str | None, RefusedRequest]] = OrderedDict()

    def note(
        self,
        error: AwlogError,
        *,
        status: int,
        now_us: Micros,
        method: str,
        route: str,
        headers: Mapping[str, str],
        bucket_id: str | None,
    ) -> None:
        """`route`: of the table. O(1), some 5 µs."""
        product = _PRODUCT.match(headers.get("User-Agent", ""))
        body = RefusedRequest(
            format_timestamp(now_us),
            1,
            status,
            type(error).__name__,
            None if isinstance(error, RefusedAt) else _cut(str(error)),
            method,
            route,
            None if product is None else product.group(),
            _cut(headers.get("Origin")),
            _cut(bucket_id),
        )
        key = (body.status, body.type, body.message, body.method, body.route, body.client, body.origin, bucket_id)
        before = self._kept.pop(key, None)
        if before is not None:
            body.count += before[1].count
        self._kept[key] = (bucket_id, body)
        if len(self._kept) > _KEPT_MAX:
            self._forget_one()

    def _forget_one(self) -> None:
        """The oldest of the type that has most: who is refused under a thousand names pushes out no other's. 5 µs."""
        counts = Counter(body.type for _, body in self._kept.values())
        frequent = max(counts, key=counts.__getitem__)
        del self._kept[next(key for key, (_, body) in self._kept.items() if body.type == frequent)]

    def newest_first(self, access: Access) -> list[RefusedRequest]:
        """Those that whoever asks may know of."""
        return [body for bucket_id, body in reversed(self._kept.values()) if access.may(Scope.READ, bucket_id)]


def _cut(text: str | None) -> str | None:
    if text is None:
        return None
    printable = text.encode("utf-8", "replace").decode()
    return printable if len(printable) <= _TEXT_CHARS_MAX else printable[: _TEXT_CHARS_MAX - 1] + "…"
