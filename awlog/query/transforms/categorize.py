"""categorize and tag: what the rules say about each distinct payload, added to it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, TypeVar

from awlog.query.events import EventList
from awlog.query.patterns import Memo
from awlog.query.transforms.rules import Matcher, Rule

A = TypeVar("A", bound=Hashable)

_UNCATEGORIZED: Final = ["Uncategorized"]


def categorize(events: EventList, rules: Sequence[Rule], memo: Memo | None = None) -> EventList:
    """Sets `$category`: of the matching rules with a category the one of highest rank, of equal ranks the last."""
    # The winner comes first, so that the first that matches is the one.
    candidates = sorted(range(len(rules)), key=lambda position: (rules[position].rank, position), reverse=True)
    named = [rules[position] for position in candidates if rules[position].name]

    def winner(matching: Sequence[int]) -> int:
        return matching[0] if matching else -1

    categories = [rule.name for rule in named] + [_UNCATEGORIZED]  # -1: the last
    return _with_field(events, "$category", named, winner, categories.__getitem__, memo)


def tag(events: EventList, rules: Sequence[Rule], memo: Memo | None = None) -> EventList:
    """Sets `$tags`: the names of all matching rules in their order, repetitions included."""

    def tags(matching: tuple[int, ...]) -> list[object]:
        return [rules[position].name for position in matching]

    return _with_field(events, "$tags", rules, tuple, tags, memo)


def _with_field(
    events: EventList,
    field: str,
    rules: Sequence[Rule],
    choose: Callable[[Sequence[int]], A],
    value_of: Callable[[A], object],
    memo: Memo | None,
) -> EventList:
    """Each payload with the value that follows from the answer that is chosen when some rules match, in their order."""
    payloads = events.payloads
    used, inverse = events.in_use()
    codes = used.tolist()
    question = (field, *(rule.text() for rule in rules))
    known: Mapping[bytes, A] = memo.answers(question) if memo is not None else {}
    answers = [known.get(payloads.texts[code]) for code in codes]
    open_places = [place for place, answer in enumerate(answers) if answer is None]
    if open_places:
        matcher = Matcher(rules)
        open_codes = [codes[place] for place in open_places]
        for place, data in zip(open_places, payloads.data_of(open_codes), strict=True):
            answers[place] = choose(matcher.matching(data))
        if memo is not None:
            memo.keep(question, {payloads.texts[codes[place]]: answers[place] for place in open_places})
    values = {answer: value_of(answer) for answer in set(answers) if answer is not None}  # one object for many payloads
    made = payloads.with_field(used, field, [values[answer] for answer in answers if answer is not None])
    return events.with_payload(made[inverse])
