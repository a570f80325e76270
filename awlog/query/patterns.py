r"""Regular expressions as Python's `re` means them, all of a query searched in one pass over each text.

Python's own parser reads the pattern, and the tree is written out again for google-re2, twice. The *exact* pattern is found
in the same texts; there is one only if the tree holds just what is a regular language with one meaning in both engines. The
*loose* pattern is found in those texts and perhaps in others: what cannot be said in re2 is left out, and `re` has the last
word about what it finds. Nearly all texts hold nearly none of the patterns, so that is rare. The answer is always yes or no
(is it found somewhere?): greedy and lazy, and groups that capture, do not matter.

What differs and how it is kept apart:

    \d \s            written out as the characters that `re` takes
    \w \b            depend on all of Unicode: exact in texts of ASCII only; loose: any character beyond; any place
    ignoring case     exact for patterns or texts in ASCII, but for the four letters beyond that fold to i, k and s
    $                 also before a newline at the end of the text; translated where nothing follows it, else left out
    (?=) (?<!) \1 (?>) a++ (?(1)) \B and flags other than (?i)        loose only

Exact patterns are linear. One that `re` has to confirm may never end: queries belong in processes that can be killed.
"""

from __future__ import annotations

import importlib
import re
import warnings
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import re2  # type: ignore[import-untyped]

from awlog.query.errors import QueryFunctionException

try:
    _parser = importlib.import_module("re._parser")
except ImportError:  # another Python: everything goes to `re`
    _parser = None  # type: ignore[assignment]

# Errors would show patterns on stderr. The memory is a bound for one automaton, room for some hundred rules.
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 32 << 20

_MESSAGE_CHARS_MAX: Final = 40


class Texts(Enum):
    """Kinds of texts: what means the same in both engines depends on the letters there are."""

    ASCII = 0
    BEYOND_ASCII = 1
    FOLDING_TO_ASCII = 2  # with one of the four letters that `re` takes for i, k and s when case is ignored


def _kind_of(text: str) -> Texts:
    if text.isascii():
        return Texts.ASCII
    return Texts.FOLDING_TO_ASCII if _FOLDING_TO_ASCII.search(text) else Texts.BEYOND_ASCII


# Most rules are lists of words: what both engines plainly take for itself, and `|`. Not worth a parser's 0.2 ms.
_PLAIN: Final = re.compile(r"""(?:[A-Za-z0-9 _|,:;'"@&=<>~/!%-]|\\[.+*?()\[\]{}|^$\\/-])*""")


class Pattern:
    """One compiled regular expression. Raises QueryFunctionException if it is none."""

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        self.text = text
        self.ignore_case = ignore_case
        self._re: re.Pattern[str] | None = None
        self.exact: str | None = None  # for re2: found in the same texts, if they are of these kinds
        self.exact_kinds: frozenset[Texts] = frozenset()
        if _PLAIN.fullmatch(text):
            self.exact = f"(?i:{text})" if ignore_case else text
            self.exact_kinds = frozenset({Texts.ASCII, Texts.BEYOND_ASCII} if ignore_case else Texts)
            return
        tree, flags = self._parsed
        if tree is not None and not flags & ~(re.UNICODE | re.IGNORECASE):
            writer = _ExactWriter(bool(flags & re.IGNORECASE))
            with suppress(_NotTheSame, RecursionError):
                self.exact = writer.whole(tree)
                self.exact_kinds = frozenset(Texts) - writer.not_for
        if self.exact is None:  # what has a twin compiles; the others may still hold mistakes
            self._re = _compile(text, ignore_case)

    @cached_property
    def _parsed(self) -> tuple[Any, int]:
        """The tree of Python's parser and the flags that hold for all of it; None if `re` must say what is wrong."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = _parser.parse(self.text, re.IGNORECASE if self.ignore_case else 0)
        except (AttributeError, re.error, OverflowError, RecursionError):
            return None, 0
        return tree, tree.state.flags

    @cached_property
    def loose(self) -> str | None:
        """For re2: found wherever the pattern is found, and perhaps elsewhere. None if re2 cannot even have that."""
        tree, flags = self._parsed
        # Flags that hold for a part of the pattern count for all of it: then more is found, never less.
        local_flags = "".join(_LOCAL_FLAGS.findall(self.text))
        if tree is not None and not (flags & re.ASCII or "a" in local_flags):
            with suppress(_NotTheSame, RecursionError):
                return _LooseWriter(bool(flags & re.IGNORECASE) or "i" in local_flags).whole(tree)
        return None

    def search(self, text: str) -> bool:
        """Is it found somewhere in the text? For one text; many texts or many patterns: PatternSet."""
        if self._re is None:
            self._re = _compile(self.text, self.ignore_case)
        try:
            return self._re.search(text) is not None
        except SystemError:  # some Pythons lose count of the groups in `(?:(a)|b)++`
            raise QueryFunctionException(f"A regular expression that `re` cannot search: {_shown(self.text)}") from None

    @property
    def size_bytes(self) -> int:
        """In memory, about, with what is made when it is first wanted."""
        return _CHAR_BYTES * (1 + len(self.text)) + len(self.exact or "")


# A character's nodes in the tree, its code in `re`, its part of the loose pattern.
_CHAR_BYTES: Final = 150


class PatternSet:
    """Many patterns searched in one pass over each text. Remembers the texts it has seen, some thousand of them."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._automata: dict[Texts, _Automaton] = {}
        self._seen: dict[str, tuple[int, ...]] = {}

    def found(self, text: str) -> tuple[int, ...]:
        """The positions of the patterns that are found somewhere in the text, ascending."""
        known = self._seen.get(text)
        if known is None:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.clear()
            kind = _kind_of(text)
            automaton = self._automata.get(kind)
            if automaton is None:
                automaton = self._automata[kind] = _Automaton(self._patterns, kind)
            known = self._seen[text] = automaton.found(text)
        return known


# Texts of a few hundred bytes: some MiB.
_SEEN_MAX: Final = 16_384


class _Automaton:
    """All patterns as one automaton of re2, and what it cannot decide alone by `re`."""

    def __init__(self, patterns: Sequence[Pattern], kind: Texts) -> None:
        self._patterns = patterns
        # Positions of which `re` has the last word.
        self._confirmed = {position for position, pattern in enumerate(patterns) if kind not in pattern.exact_kinds}
        texts = [
            pattern.loose if position in self._confirmed else pattern.exact for position, pattern in enumerate(patterns)
        ]
        automaton, self._positions = _re2_set(texts)
        if automaton is None:  # too large as a whole: without those that are too large alone
            automaton, self._positions = _re2_set([t if t and _re2_set([t])[0] else None for t in texts])
        self._automaton = automaton
        in_automaton = set(self._positions) if automaton is not None else set()
        self._others = [position for position in range(len(patterns)) if position not in in_automaton]

    def found(self, text: str) -> tuple[int, ...]:
        patterns = self._patterns
        found: list[int] = []
        if self._automaton is not None:
            hits = self._automaton.Match(text)  # in no order
            if hits is None:  # not even the empty pattern: re2 ran out of memory
                return tuple([i for i, pattern in enumerate(patterns) if pattern.search(text)])
            if len(hits) > 1:
                confirmed = self._confirmed
                found = [position for hit in hits if hit for position in (self._positions[hit],)
                         if position not in confirmed or patterns[position].search(text)]  # fmt: skip
        found += [i for i in self._others if patterns[i].search(text)]
        return tuple(sorted(found)) if found else ()


def _re2_set(texts: Sequence[str | None]) -> tuple[Any, list[int]]:
    """An automaton of the empty pattern, as number 0, and of all texts that re2 takes; and the position of each number.

    The automaton is None if it would be too large.
    """
    automaton = re2.Set.SearchSet(_OPTIONS)
    automaton.Add("")
    positions = [-1]
    for position, text in enumerate(texts):
        if text is not None:
            try:
                automaton.Add(text)
            except re2.error:  # too many repetitions
                continue
            positions.append(position)
    try:
        automaton.Compile()
    except re2.error:
        return None, positions
    return automaton, positions


class _KnownPatterns:
    """Those that were asked for last, bounded in bytes. One that is larger than a part of that is not kept."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, bool], Pattern] = OrderedDict()

    def get(self, text: str, ignore_case: bool) -> Pattern:
        pattern = self._kept.get((text, ignore_case))
        if pattern is not None:
            self._kept.move_to_end((text, ignore_case))
            return pattern
        pattern = Pattern(text, ignore_case=ignore_case)
        if pattern.size_bytes <= self._bytes_max // 8:
            self._kept[text, ignore_case] = pattern
            self._bytes += pattern.size_bytes
            while self._bytes > self._bytes_max:
                self._bytes -= self._kept.popitem(last=False)[1].size_bytes
        return pattern


# Room for some thousand rules as people write them.
_KNOWN: Final = _KnownPatterns(32 << 20)


def compile_pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """Raises QueryFunctionException if the text is no regular expression. What was asked for before is known."""
    return _KNOWN.get(text, ignore_case)


def _compile(text: str, ignore_case: bool) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise QueryFunctionException(f"Not a regular expression: {_shown(text)}: {error}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MESSAGE_CHARS_MAX else text[:_MESSAGE_CHARS_MAX] + "…")


class _NotTheSame(Exception):
    """Here a pattern has no twin in re2."""


_LOCAL_FLAGS: Final = re.compile(r"\(\?([a-zA-Z-]+)")

_CODE_POINT_MAX: Final = 0x10FFFF
_ASCII_MAX: Final = 0x7F
_DIGITS_END: Final = 0x20000  # beyond are no digits
_Ranges = tuple[tuple[int, int], ...]

# As `re` has them; the digits are read off `re` itself, because they grow with Unicode.
_SPACES: Final[_Ranges] = (
    (0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
_ASCII_WORD: Final[_Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))

_ANYTHING: Final = "(?s:.)"
_BEYOND_ASCII: Final = r"\x{80}-\x{10ffff}"
# The letters beyond ASCII that `re` takes for i, i, s and k when case is ignored; re2 takes two of them.
_FOLDING: Final = (0x130, 0x131, 0x17F, 0x212A)
_FOLDING_TO_ASCII: Final = re.compile("[" + "".join(map(chr, _FOLDING)) + "]")
_WRITTEN_FOLDING: Final = "".join(f"\\x{{{code:x}}}" for code in _FOLDING)
_ASCII_FOLDED_TO: Final = frozenset(map(ord, "iIsSkK"))


@lru_cache(maxsize=1)
def _digits() -> _Ranges:
    every = np.arange(_DIGITS_END, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return tuple((ord(run[0]), ord(run[-1])) for run in re.findall(r"\d+", every))


def _complement(ranges: _Ranges, code_max: int = _CODE_POINT_MAX) -> _Ranges:
    lows = [0, *(high + 1 for _, high in ranges)]
    highs = [*(low - 1 for low, _ in ranges), code_max]
    return tuple((low, high) for low, high in zip(lows, highs, strict=True) if low <= high)


def _written(ranges: _Ranges) -> str:
    return "".join([f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges])


class _Writer(ABC):
    """Writes the tree of Python's parser as a pattern for re2: what the two kinds have in common."""

    def __init__(self, ignores_case: bool) -> None:
        self.ignores_case = ignores_case

    def whole(self, tree: Any) -> str:
        written = self.sequence(tree, last=True)
        return f"(?i:{written})" if self.ignores_case else written

    def sequence(self, items: Any, *, last: bool) -> str:
        """`last`: nothing can follow what is written."""
        parts = list(items)
        return "".join([self.item(str(op), value, last and i == len(parts) - 1) for i, (op, value) in enumerate(parts)])

    def item(self, op: str, value: Any, last: bool) -> str:
        match op:
            case "LITERAL":
                return self.char(value)
            case "NOT_LITERAL":
                return self.class_of([("NEGATE", None), ("LITERAL", value)])
            case "ANY":
                return self.any_char
            case "IN":
                return self.class_of([(str(op), value) for op, value in value])
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
                return self.place(str(value), last)
        raise _NotTheSame

    any_char = "."

    @abstractmethod
    def char(self, code: int) -> str:
        """One character."""

    @abstractmethod
    def class_of(self, members: list[tuple[str, Any]]) -> str:
        """One character of a class."""

    @abstractmethod
    def place(self, place: str, last: bool, /) -> str:
        """A place between characters."""


class _ExactWriter(_Writer):
    """`not_for`: the kinds of texts in which what was written is not the same."""

    def __init__(self, ignores_case: bool) -> None:
        super().__init__(ignores_case)
        self.not_for = {Texts.FOLDING_TO_ASCII} if ignores_case else set[Texts]()

    def char(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF:
            raise _NotTheSame
        if self.ignores_case and code > _ASCII_MAX:
            self._only_for_ascii()  # where it is never found, unless it folds to a letter of ASCII
            if code in _FOLDING:
                raise _NotTheSame
        return f"\\x{{{code:x}}}"

    def _only_for_ascii(self) -> None:
        self.not_for |= {Texts.BEYOND_ASCII, Texts.FOLDING_TO_ASCII}

    def class_of(self, members: list[tuple[str, Any]]) -> str:
        written = []
        for op, value in members:
            match op:
                case "NEGATE":
                    written.append("^")
                case "LITERAL":
                    written.append(self.char(value))
                case "RANGE":
                    if self.ignores_case and any(value[0] <= code <= value[1] for code in _FOLDING):
                        raise _NotTheSame
                    written.append(f"{self.char(value[0])}-{self.char(value[1])}")
                case "CATEGORY":
                    written.append(self._category(str(value)))
                case _:
                    raise _NotTheSame
        return f"[{''.join(written)}]"

    def place(self, place: str, last: bool, /) -> str:
        match place:
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return r"\A"
            case "AT_END_STRING":
                return r"\z"
            case "AT_END" if last:
                return r"(?:\n?\z)"
            case "AT_BOUNDARY":
                self._only_for_ascii()
                return r"\b"
        raise _NotTheSame

    def _category(self, category: str) -> str:
        name = category.removeprefix("CATEGORY_").removeprefix("NOT_")
        code_max = _CODE_POINT_MAX
        match name:
            case "SPACE":
                ranges = _SPACES
            case "DIGIT":
                ranges = _digits()
            case "WORD":
                self._only_for_ascii()
                ranges = _ASCII_WORD
                code_max = _ASCII_MAX  # beyond there are letters that re2 folds to k and s
            case _:
                raise _NotTheSame
        return _written(ranges if category == f"CATEGORY_{name}" else _complement(ranges, code_max))


_ASCII_CATEGORIES: Final[dict[str, _Ranges]] = {
    "SPACE": ((0x09, 0x0D), (0x1C, 0x20)),
    "DIGIT": ((0x30, 0x39),),
    "WORD": _ASCII_WORD,
}


class _LooseWriter(_Writer):
    """Where in doubt, more characters and more places."""

    any_char = _ANYTHING  # `.` may stand under a flag

    def char(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF:
            raise _NotTheSame
        if not self.ignores_case:
            return f"\\x{{{code:x}}}"
        if code in _ASCII_FOLDED_TO:
            return f"[\\x{{{code:x}}}{_WRITTEN_FOLDING}]"
        if code in _FOLDING:
            return _ANYTHING
        return f"\\x{{{code:x}}}" if code <= _ASCII_MAX else f"[{_BEYOND_ASCII}]"

    def class_of(self, members: list[tuple[str, Any]]) -> str:
        negated = members[0][0] == "NEGATE"
        if self.ignores_case and (negated or any(_reaches_beyond_ascii(op, value) for op, value in members)):
            return _ANYTHING
        written = ["^" if negated else _WRITTEN_FOLDING if self.ignores_case else ""]
        for op, value in members[negated:]:
            match op:
                case "LITERAL":
                    written.append(f"\\x{{{value:x}}}")
                case "RANGE":
                    written.append(f"\\x{{{value[0]:x}}}-\\x{{{value[1]:x}}}")
                case "CATEGORY":
                    name = str(value).removeprefix("CATEGORY_").removeprefix("NOT_")
                    if name not in _ASCII_CATEGORIES:
                        raise _NotTheSame
                    ranges = _ASCII_CATEGORIES[name]
                    written.append(_written(ranges if "NOT_" not in str(value) else _complement(ranges, _ASCII_MAX)))
                    if not negated:
                        written.append(_BEYOND_ASCII)
                case _:
                    raise _NotTheSame
        return f"[{''.join(written)}]"

    def place(self, place: str, _last: bool, /) -> str:
        return r"\A" if place == "AT_BEGINNING_STRING" else ""

    def item(self, op: str, value: Any, last: bool) -> str:
        match op:
            case "SUBPATTERN":
                return f"(?:{self.sequence(value[3], last=last)})"
            case "ATOMIC_GROUP":
                return f"(?:{self.sequence(value, last=last)})"
            case "POSSESSIVE_REPEAT":
                return super().item("MAX_REPEAT", value, last)
            case "ASSERT" | "ASSERT_NOT":
                return ""
            case "GROUPREF":
                return f"{_ANYTHING}*"
            case "GROUPREF_EXISTS":
                _, yes, no = value
                return f"(?:{self.sequence(yes, last=last)}|{self.sequence(no or [], last=last)})"
        return super().item(op, value, last)


def _reaches_beyond_ascii(op: str, value: Any) -> bool:
    return (op == "LITERAL" and value > _ASCII_MAX) or (op == "RANGE" and value[1] > _ASCII_MAX)
