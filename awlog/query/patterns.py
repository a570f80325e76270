r"""Regular expressions as Python's `re` means them, searched in linear time where that is provably the same.

Python's own parser reads the pattern. If the tree holds only what is a regular language with one meaning in both engines,
it is written out again for google-re2; everything else, and everything about the text that is not sure, goes to `re`. The
answer is always yes or no (is it found somewhere?), so greedy and lazy, and groups that capture, do not matter.

What differs and how it is kept apart:

    \d \s            written out as the characters that `re` takes
    \w \b            depend on all of Unicode: re2 for texts in ASCII only
    ignoring case     re2 for patterns in ASCII, and texts without the four letters that fold to i, k and s
    $                 also before a newline at the end of the text; translated where nothing follows it
    (?=) (?<!) \1 (?>) a++ (?(1)) \B and flags other than (?i)        `re`

A pattern that `re` runs may never end: queries belong in processes that can be killed.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from awlog.query.errors import QueryFunctionException

try:
    _parser = importlib.import_module("re._parser")
except ImportError:  # another Python: everything goes to `re`
    _parser = None  # type: ignore[assignment]

# The letters beyond ASCII that `re` takes for i, i, s and k when case is ignored; re2 takes two of them.
_FOLDING_TO_ASCII: Final = re.compile("[\u0130\u0131\u017f\u212a]")

# Errors would show patterns on stderr. The memory is a bound for one automaton, room for some hundred rules.
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 32 << 20

_MESSAGE_CHARS_MAX: Final = 40


class Pattern:
    """One compiled regular expression. Raises QueryFunctionException if it is none."""

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        self.text = text
        self.ignore_case = ignore_case
        self._re = _compile(text, ignore_case)
        self.re2_text: str | None = None
        self.only_ascii_texts = False
        self.ignores_case = ignore_case
        if (translated := _translate(text, ignore_case)) is not None:
            self.re2_text, self.only_ascii_texts, self.ignores_case = translated

    def search(self, text: str) -> bool:
        """Is it found somewhere in the text? For one text; many texts or many patterns: PatternSet."""
        return self._re.search(text) is not None


class PatternSet:
    """Many patterns searched in one pass over each text. Remembers the texts it has seen, some thousand of them."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        everywhere = [i for i, pattern in enumerate(patterns) if pattern.re2_text and not pattern.only_ascii_texts]
        ascii_only = [i for i, pattern in enumerate(patterns) if pattern.re2_text]
        self._everywhere = _Linear(patterns, everywhere)
        self._ascii = _Linear(patterns, ascii_only) if ascii_only != everywhere else self._everywhere
        self._ignores_case = any(pattern.ignores_case for pattern in patterns)
        self._seen: dict[str, tuple[int, ...]] = {}

    def found(self, text: str) -> tuple[int, ...]:
        """The positions of the patterns that are found somewhere in the text, ascending."""
        known = self._seen.get(text)
        if known is None:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.clear()
            known = self._seen[text] = self._search(text)
        return known

    def _search(self, text: str) -> tuple[int, ...]:
        if text.isascii():
            return self._ascii.found(text)
        if self._ignores_case and _FOLDING_TO_ASCII.search(text):
            return tuple([i for i, pattern in enumerate(self._patterns) if pattern.search(text)])
        return self._everywhere.found(text)


# Texts of a few hundred bytes: some MiB.
_SEEN_MAX: Final = 16_384


class _Linear:
    """All patterns, of which those at some positions are searched as one automaton."""

    def __init__(self, patterns: Sequence[Pattern], positions: list[int]) -> None:
        self._patterns = patterns
        self._positions = (-1, *positions)  # number 0 of the automaton is found in every text
        self._automaton = _re2_set([patterns[i].re2_text or "" for i in positions]) if positions else None
        in_automaton = set(positions) if self._automaton is not None else set()
        self._others = [i for i in range(len(patterns)) if i not in in_automaton]

    def found(self, text: str) -> tuple[int, ...]:
        found: list[int] = []
        if self._automaton is not None:
            hits = self._automaton.Match(text)  # in no order
            if hits is None:  # not even the empty pattern: re2 ran out of memory
                return tuple([i for i, pattern in enumerate(self._patterns) if pattern.search(text)])
            if len(hits) > 1:
                found = [self._positions[hit] for hit in hits if hit]
        found += [i for i in self._others if self._patterns[i].search(text)]
        return tuple(sorted(found)) if found else ()


def _re2_set(texts: list[str]) -> Any:
    """An automaton of the empty pattern, as number 0, and of these; None if it would be too large."""
    automaton = re2.Set.SearchSet(_OPTIONS)
    try:
        for text in ("", *texts):
            automaton.Add(text)
        automaton.Compile()
    except re2.error:
        return None
    return automaton


class Memo:
    """Answers per payload text that outlive one query, under the whole text of the question; owned by one process.

    Bounded: the question asked longest ago is forgotten first, and long payloads are not remembered.
    """

    def __init__(self, bytes_max: int = 64 << 20) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._answers: OrderedDict[Hashable, tuple[dict[bytes, Any], list[int]]] = OrderedDict()  # and their size

    def answers(self, question: Hashable) -> Mapping[bytes, Any]:
        """What is known: payload text -> answer."""
        if question not in self._answers:
            return {}
        self._answers.move_to_end(question)
        return self._answers[question][0]

    def keep(self, question: Hashable, new: Mapping[bytes, Any]) -> None:
        kept, size = self._answers.setdefault(question, ({}, [0]))
        self._answers.move_to_end(question)
        for text, answer in new.items():
            if len(text) <= _MEMO_TEXT_BYTES_MAX and text not in kept:
                kept[text] = answer
                size[0] += len(text) + _MEMO_ENTRY_BYTES
                self._bytes += len(text) + _MEMO_ENTRY_BYTES
        while self._bytes > self._bytes_max:
            _, (_, (dropped_bytes,)) = self._answers.popitem(last=False)
            self._bytes -= dropped_bytes


_MEMO_TEXT_BYTES_MAX: Final = 1024
_MEMO_ENTRY_BYTES: Final = 150  # the head of a bytes object and a slot of a dict, about


@lru_cache(maxsize=512)
def compile_pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """Raises QueryFunctionException if the text is no regular expression."""
    return Pattern(text, ignore_case=ignore_case)


def _compile(text: str, ignore_case: bool) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        shown = text if len(text) <= _MESSAGE_CHARS_MAX else text[:_MESSAGE_CHARS_MAX] + "…"
        raise QueryFunctionException(f"Not a regular expression: {shown!r}: {error}") from None


class _NotTheSame(Exception):
    """Here a pattern has no proven twin in re2."""


def _translate(text: str, ignore_case: bool) -> tuple[str, bool, bool] | None:
    """The pattern for re2, does it hold for texts in ASCII only, does it ignore case; None: only `re` will do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _parser.parse(text, re.IGNORECASE if ignore_case else 0)
        flags = re.RegexFlag(tree.state.flags)
        if flags & ~(re.UNICODE | re.IGNORECASE):
            return None
        ignores_case = bool(flags & re.IGNORECASE)
        writer = _Writer(ignores_case)
        written = writer.sequence(tree, last=True)
        if ignores_case:
            written = f"(?i:{written})"
        # One pattern alone, to learn whether re2 takes it: too many repetitions, too large.
        return (written, writer.only_ascii_texts, ignores_case) if _re2_set([written]) is not None else None
    except (_NotTheSame, AttributeError, TypeError, ValueError, RecursionError):
        return None


_CODE_POINT_MAX: Final = 0x10FFFF
_ASCII_MAX: Final = 0x7F
_Ranges = tuple[tuple[int, int], ...]

# As `re` has them; the digits are read off `re` itself, because they grow with Unicode.
_SPACES: Final[_Ranges] = (
    (0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
_ASCII_WORD: Final[_Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))


@lru_cache(maxsize=1)
def _digits() -> _Ranges:
    return tuple(
        (ord(run[0]), ord(run[-1])) for run in re.findall(r"\d+", "".join(map(chr, range(_CODE_POINT_MAX + 1))))
    )


def _complement(ranges: _Ranges, code_max: int = _CODE_POINT_MAX) -> _Ranges:
    lows = [0, *(high + 1 for _, high in ranges)]
    highs = [*(low - 1 for low, _ in ranges), code_max]
    return tuple((low, high) for low, high in zip(lows, highs, strict=True) if low <= high)


def _written(ranges: _Ranges) -> str:
    return "".join([f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges])


class _Writer:
    """Writes the tree of Python's parser as a pattern for re2."""

    def __init__(self, ignores_case: bool) -> None:
        self._ignores_case = ignores_case
        self.only_ascii_texts = False

    def sequence(self, items: Any, *, last: bool) -> str:
        """`last`: nothing can follow what is written."""
        parts = list(items)
        return "".join([self._item(op, value, last and i == len(parts) - 1) for i, (op, value) in enumerate(parts)])

    def _item(self, op: Any, value: Any, last: bool) -> str:
        match str(op):
            case "LITERAL":
                return self._char(value)
            case "NOT_LITERAL":
                return f"[^{self._char(value)}]"
            case "ANY":
                return "."
            case "IN":
                return self._class(value)
            case "BRANCH":
                _, branches = value
                return "(?:" + "|".join([self.sequence(branch, last=last) for branch in branches]) + ")"
            case "SUBPATTERN":
                _, flags_added, flags_removed, inner = value
                if flags_added or flags_removed:
                    raise _NotTheSame
                return f"(?:{self.sequence(inner, last=last)})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                low, high, inner = value
                high_text = "" if high is _parser.MAXREPEAT else str(high)
                return f"(?:{self.sequence(inner, last=False)}){{{low},{high_text}}}"
            case "AT":
                return self._place(str(value), last)
        raise _NotTheSame

    def _place(self, place: str, last: bool) -> str:
        match place:
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return r"\A"
            case "AT_END_STRING":
                return r"\z"
            case "AT_END" if last:
                return r"(?:\n?\z)"
            case "AT_BOUNDARY":
                self.only_ascii_texts = True
                return r"\b"
        raise _NotTheSame

    def _char(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF or (self._ignores_case and code > 0x7F):
            raise _NotTheSame
        return f"\\x{{{code:x}}}"

    def _class(self, members: Any) -> str:
        written = []
        negated = False
        for op, value in members:
            match str(op):
                case "NEGATE":
                    negated = True
                case "LITERAL":
                    written.append(self._char(value))
                case "RANGE":
                    written.append(f"{self._char(value[0])}-{self._char(value[1])}")
                case "CATEGORY":
                    written.append(self._category(str(value)))
                case _:
                    raise _NotTheSame
        return f"[{'^' if negated else ''}{''.join(written)}]"

    def _category(self, category: str) -> str:
        name = category.removeprefix("CATEGORY_").removeprefix("NOT_")
        code_max = _CODE_POINT_MAX
        match name:
            case "SPACE":
                ranges = _SPACES
            case "DIGIT":
                ranges = _digits()
            case "WORD":
                self.only_ascii_texts = True
                ranges = _ASCII_WORD
                code_max = _ASCII_MAX  # beyond there are letters that re2 folds to k and s
            case _:
                raise _NotTheSame
        return _written(ranges if category == f"CATEGORY_{name}" else _complement(ranges, code_max))
