"""categorize and tag: what the rules say about each distinct payload, added to it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from awlog.query.events import EventList
from awlog.query.transforms.rules import Matcher, Rule

if TYPE_CHECKING:
    from awlog.query.payloads import Codes

A = TypeVar("A", bound=Hashable)

_UNCATEGORIZED: Final = ["Uncategorized"]


def categorize(events: EventList, rules: Sequence[Rule]) -> EventList:
    """Sets `$category`: of the matching rules with a category the one of highest rank, of equal ranks the last."""
    # The winner comes first, so that the first that matches is the one.
    candidates = sorted(range(len(rules)), key=lambda position: (rules[position].rank, position), reverse=True)
    named = [rules[position] for position in candidates if rules[position].name]

    def winner(matching: Sequence[int]) -> int:
        return matching[0] if matching else -1

    categories = [rule.name for rule in named] + [_UNCATEGORIZED]  # -1: the last
    return _with_field(events, "$category", named, winner, categories.__getitem__)


def tag(events: EventList, rules: Sequence[Rule]) -> EventList:
    """Sets `$tags`: the names of all matching rules in their order, repetitions included."""

    def tags(matching: tuple[int, ...]) -> str | list[str]:
        return [name for position in matching if isinstance(name := rules[position].name, str)]

    return _with_field(events, "$tags", rules, tuple, tags)


def _with_field(
    events: EventList,
    field: str,
    rules: Sequence[Rule],
    choose: Callable[[Sequence[int]], A],
    value_of: Callable[[A], str | list[str]],
) -> EventList:
    """Each payload with the value that follows from the answer that is chosen when some rules match, in their order."""
    payloads = events.payloads
    used, inverse = events.in_use()

    def make(codes: Codes) -> Codes:
        matcher = Matcher(rules)
        answers = [choose(matcher.matching(data)) for data in payloads.data_of(codes.tolist())]
        values = {answer: value_of(answer) for answer in set(answers)}  # one object for many payloads
        return payloads.with_field(codes, field, [values[answer] for answer in answers])

    made = payloads.derived((field, *(rule.text() for rule in rules)), used, make)
    return events.with_payload(made[inverse])
