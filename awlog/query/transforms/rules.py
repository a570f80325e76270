"""Rules of categorize and tag: what a query says about them, checked, and all their patterns searched together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from awlog.query.errors import QueryFunctionException
from awlog.query.patterns import Pattern, PatternSet, compile_pattern

# Of a category's depth: explicit priorities fit between the levels.
_RANK_PER_LEVEL: Final = 10

_NEVER: Final = compile_pattern("[^\\s\\S]")


class Rule(Struct, frozen=True, eq=False):
    """One category or tag and what gets it.

    name         the category as a list of texts, or the tag
    matcher      None: never matches
    select_keys  the keys whose texts are looked at; empty: all
    rank         of the categories that match the highest wins
    """

    name: list[str] | str
    matcher: Pattern | None
    select_keys: tuple[str, ...] = ()
    rank: int = 0

    def text(self) -> Hashable:
        """All that decides what the rule does, as a key for answers that are kept."""
        name = self.name if isinstance(self.name, str) else tuple(self.name)
        matcher = (self.matcher.text, self.matcher.ignore_case) if self.matcher is not None else None
        return name, matcher, self.select_keys, self.rank


def parse_rules(value: object, of: Literal["category", "tag"]) -> list[Rule]:
    """The value of a query's `rules`. Raises QueryFunctionException for a malformed one, by its place in the list."""
    if not isinstance(value, list):
        raise QueryFunctionException("The rules must be a list")
    rules = []
    for place, entry in enumerate(value, start=1):
        if not isinstance(entry, list) or len(entry) != 2:
            raise QueryFunctionException(f"Rule {place} must be a list of a {of} and a dict")
        name, spec = entry
        if of == "tag" and not isinstance(name, str):
            raise QueryFunctionException(f"Rule {place}: a tag is a text")
        if of == "category" and not _is_list_of_texts(name):
            raise QueryFunctionException(f"Rule {place}: a category is a list of texts")
        if not isinstance(spec, dict):
            raise QueryFunctionException(f"Rule {place}: the second value must be a dict")
        rules.append(_rule(place, name, spec))
    return rules


def _rule(place: int, name: list[str] | str, spec: dict[str, Any]) -> Rule:
    regex = spec.get("regex", "")
    if not isinstance(regex, str):
        raise QueryFunctionException(f"Rule {place}: `regex` must be a text")
    select_keys = spec.get("select_keys", [])
    if not _is_list_of_texts(select_keys):
        raise QueryFunctionException(f"Rule {place}: `select_keys` must be a list of texts")
    for field in ("priority", "weight"):
        if field in spec:
            rank = spec[field]
            if isinstance(rank, bool) or not isinstance(rank, int):
                raise QueryFunctionException(f"Rule {place}: `{field}` must be an integer")
            break
    else:
        rank = len(name) * _RANK_PER_LEVEL
    matcher = None
    if regex and spec.get("type") != "none":
        try:
            matcher = compile_pattern(regex, ignore_case=bool(spec.get("ignore_case")))
        except QueryFunctionException as error:
            raise QueryFunctionException(f"Rule {place}: {error.message}") from None
    return Rule(name, matcher, tuple(select_keys), rank)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


class Matcher:
    """Which of some rules match a payload. Each distinct text is searched once for all of them."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        # As many patterns as rules, so that a number means the same for both: a rule that never matches has one, too.
        self._patterns = PatternSet([rule.matcher or _NEVER for rule in rules])
        self._select_keys = {number: rule.select_keys for number, rule in enumerate(rules) if rule.select_keys}

    def matching(self, data: dict[str, Any]) -> Sequence[int]:
        """The positions of the rules that match, ascending."""
        found = self._patterns.found
        matching: Sequence[int] = ()
        for key, value in data.items():
            if isinstance(value, str) and (hits := found(value)):
                if self._select_keys:
                    hits = tuple([hit for hit in hits if key in self._select_keys.get(hit, (key,))])
                matching = sorted({*matching, *hits}) if matching else hits
        return matching
