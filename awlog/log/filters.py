r"""Privacy filters: rules that each event passes before anything else sees it. Pure.

A rule looks at one text in an event's `data` and drops the event or puts another text in its place. Patterns are those of
RE2, which takes linear time whatever the pattern: what it cannot do (look-around, back-references) is refused when the rule
is stored, so that no rule ever stalls a heartbeat. Letters of `\w`, `\b` and `\d` are those of ASCII there.

Verdicts are kept by bucket and payload. A heartbeat that repeats itself costs a lookup, and nothing where no rule applies; a
payload that was never seen costs each rule about 2 µs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec
import re2  # type: ignore[import-untyped]
from msgspec import Struct

from awlog.log.rule_list import decode_rules
from awlog.model.errors import BadRequest
from awlog.model.event import Event, Payload
from awlog.model.payload import decoded, encoded
from awlog.model.rules import RULES_MAX, FilterRule, check_pattern_length

SETTING: Final = "privacy_filters"

# Verdicts kept in all buckets together: some MiB. Long payloads seldom come again.
_KNOWN_MAX: Final = 16_384
_KNOWN_PAYLOAD_BYTES_MAX: Final = 2048

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False  # they would show patterns on stderr
_OPTIONS.max_mem = 8 << 20
_NEVER_A_BOUNDARY: Final = re.compile(r"\\[bB][^\x00-\x7f]|[^\x00-\x7f]\\[bB]")
_DECODER: Final = msgspec.json.Decoder(FilterRule)


class Judgement(Struct, frozen=True):
    """What the rules say of one payload: which of them apply, by their places, and what is left; None if it is dropped."""

    hits: tuple[int, ...]
    kept: Payload | None


class Filters:
    """The rules of one setting, compiled. One thread's own, because of what it remembers: others make one `of` the same
    text.
    """

    def __init__(self, text: bytes, *, are_new: bool = False) -> None:
        """`text`: the setting, as JSON. Raises BadRequest, which names the rule and says why. Only `are_new` rules must be
        within the limits.
        """
        self.text = text
        self.rules = decode_rules(text, SETTING, _DECODER, _check_new if are_new else _check, are_new=are_new)
        self._compiled = [_Compiled(at, rule) for at, rule in enumerate(self.rules) if rule.enabled]
        self._by_bucket: dict[str, _BucketVerdicts | None] = {}
        self._known_count = 0

    @property
    def apply_somewhere(self) -> bool:
        """Is any rule switched on?"""
        return bool(self._compiled)

    def apply_in(self, bucket_id: str) -> bool:
        """Is any rule switched on for this bucket?"""
        return self._of_bucket(bucket_id) is not None

    @property
    def known_count(self) -> int:
        """How many payloads it remembers."""
        return self._known_count

    def kept(self, bucket_id: str, payload: Payload) -> Payload | None:
        """What is left of the payload of an event for this bucket; None if the event is dropped.

        The same object if no rule applies. 0.2 µs if the payload is known.
        """
        verdicts = self._of_bucket(bucket_id)
        if verdicts is None:
            return payload
        try:
            known = verdicts.known[payload]
        except KeyError:
            kept = _judged(verdicts.rules, payload).kept
            if len(payload) <= _KNOWN_PAYLOAD_BYTES_MAX:
                self._remember(verdicts, payload, kept)
            return kept
        return payload if known == payload else known

    def kept_event(self, bucket_id: str, event: Event) -> Event | None:
        """As `kept`, for an event that has its seq already."""
        kept = self.kept(bucket_id, event.payload)
        if kept is None or kept is event.payload:
            return None if kept is None else event
        return Event(event.seq, event.start_us, event.duration_us, kept)

    def judged(self, bucket_id: str, payload: Payload) -> Judgement:
        """As `kept`, with the rules that apply; nothing is remembered."""
        verdicts = self._of_bucket(bucket_id)
        return Judgement((), payload) if verdicts is None else _judged(verdicts.rules, payload)

    def forget(self) -> None:
        """Lets go of the payloads that it remembers."""
        self._by_bucket.clear()
        self._known_count = 0

    def _of_bucket(self, bucket_id: str) -> _BucketVerdicts | None:
        try:
            return self._by_bucket[bucket_id]
        except KeyError:
            rules = [rule for rule in self._compiled if bucket_id.startswith(rule.bucket_prefix)]
            found = self._by_bucket[bucket_id] = _BucketVerdicts(rules) if rules else None
            return found

    def _remember(self, verdicts: _BucketVerdicts, payload: Payload, kept: Payload | None) -> None:
        if self._known_count >= _KNOWN_MAX:
            for each in self._by_bucket.values():
                if each is not None:
                    each.known.clear()
            self._known_count = 0
        verdicts.known[payload] = kept
        self._known_count += 1


class _BucketVerdicts:
    """The rules that apply in one bucket, and what they said."""

    __slots__ = ("known", "rules")

    def __init__(self, rules: list[_Compiled]) -> None:
        self.rules = rules
        self.known: dict[Payload, Payload | None] = {}


class _Compiled:
    """One rule that is switched on."""

    __slots__ = ("_search", "bucket_prefix", "path", "place", "replacement")

    def __init__(self, place: int, rule: FilterRule) -> None:
        self.place = place
        self.path = rule.field.split(".")
        self.bucket_prefix = rule.bucket_prefix or ""
        self.replacement = rule.replacement if rule.action == "redact" else None
        self._search = compile_pattern(rule.pattern).search

    def found_in(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """The object that holds the text which the pattern matches; None if the rule does not apply."""
        holder: Any = data
        *parents, last = self.path
        for part in parents:
            holder = holder.get(part)
            if not isinstance(holder, dict):
                return None
        text = holder.get(last)
        return holder if isinstance(text, str) and self._search(text) is not None else None


def _judged(rules: Iterable[_Compiled], payload: Payload) -> Judgement:
    """Runs the rules in their order on one payload."""
    data = decoded(payload)
    hits: list[int] = []
    for rule in rules:
        holder = rule.found_in(data)
        if holder is None:
            continue
        hits.append(rule.place)
        if rule.replacement is None:
            return Judgement(tuple(hits), None)
        holder[rule.path[-1]] = rule.replacement
    return Judgement(tuple(hits), encoded(data) if hits else payload)


def filters_of(text: bytes | None) -> Filters | None:
    """The filters that a setting's JSON text means; None if nothing is filtered. Raises BadRequest."""
    if text is None:
        return None
    filters = Filters(text)
    return filters if filters.apply_somewhere else None


def check_filters(text: bytes) -> None:
    """For filters that are to be stored. Raises BadRequest."""
    Filters(text, are_new=True)


def _check_new(rule: FilterRule) -> None:
    check_pattern_length(rule.pattern)
    _check(rule)


def _check(rule: FilterRule) -> None:
    """Raises BadRequest for what the types do not say."""
    if not rule.field:
        raise BadRequest("`field` is empty: it names the text in `data` that the pattern is searched in")
    if rule.replacement == "":
        raise BadRequest("`replacement` is empty: give a text that stands in for what is not shown")
    if rule.action == "redact" and rule.replacement is None:
        raise BadRequest('`replacement` is missing: "redact" puts it in place of the field')
    compile_pattern(rule.pattern)


# What a rule is checked with is what it is used with: nothing is compiled twice.
@lru_cache(maxsize=2 * RULES_MAX)
def compile_pattern(pattern: str) -> Any:
    """For RE2. Raises BadRequest, which says why it is none."""
    if _NEVER_A_BOUNDARY.search(pattern):
        raise BadRequest(
            r"`pattern` has \b or \B beside a letter beyond ASCII, which is in no word for RE2: "
            r"write (?:^|[^\pL]) or (?:$|[^\pL]) instead"
        )
    try:
        return re2.compile(pattern, options=_OPTIONS)
    except re2.error as error:
        # Behind a colon it quotes the pattern, which says what somebody hides: that is for no list of errors.
        reason = error.args[0].partition(b":")[0].decode(errors="replace") if error.args else "malformed"
        raise BadRequest(
            f"`pattern` is no regular expression of RE2 (no look-around, no back-references): {reason}"
        ) from None
