r"""The tree of Python's regular expression parser, written out again as a pattern for google-re2: exact or loose.

What differs and how it is kept apart:

    \d \s            written out as the characters that `re` takes
    \w \b            depend on all of Unicode: exact in texts of ASCII only; loose: any character beyond; any place
    ignoring case     exact for patterns or texts in ASCII, but for the four letters beyond that fold to i, k and s
    $                 also before a newline at the end of the text; translated where nothing follows it, else left out
    (?=) (?<!) \1 (?>) a++ (?(1)) \B and flags other than (?i)        loose only
"""

from __future__ import annotations

import importlib
import re
import warnings
from abc import ABC, abstractmethod
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import numpy as np

try:
    _parser = importlib.import_module("re._parser")
except ImportError:  # another Python: everything goes to `re`
    _parser = None  # type: ignore[assignment]


class Texts(Enum):
    """Kinds of texts: what means the same in both engines depends on the letters there are."""

    ASCII = 0
    BEYOND_ASCII = 1
    FOLDING_TO_ASCII = 2  # with one of the four letters that `re` takes for i, k and s when case is ignored


def kind_of(text: str) -> Texts:
    if text.isascii():
        return Texts.ASCII
    return Texts.FOLDING_TO_ASCII if _FOLDING_TO_ASCII.search(text) else Texts.BEYOND_ASCII


class NotTheSame(Exception):
    """Here a pattern has no twin in re2."""


def parsed(text: str, ignore_case: bool) -> tuple[Any, int]:
    """The tree of Python's parser and the flags that hold for all of it; None if `re` must say what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _parser.parse(text, re.IGNORECASE if ignore_case else 0)
    except (AttributeError, re.error, OverflowError, RecursionError):
        return None, 0
    return tree, tree.state.flags


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
                    raise NotTheSame
                return f"(?:{self.sequence(inner, last=last)})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                low, high, inner = value
                high_text = "" if high is _parser.MAXREPEAT else str(high)
                return f"(?:{self.sequence(inner, last=False)}){{{low},{high_text}}}"
            case "AT":
                return self.place(str(value), last)
        raise NotTheSame

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


class ExactWriter(_Writer):
    """`not_for`: the kinds of texts in which what was written is not the same."""

    def __init__(self, ignores_case: bool) -> None:
        super().__init__(ignores_case)
        self.not_for = {Texts.FOLDING_TO_ASCII} if ignores_case else set[Texts]()

    def char(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF:
            raise NotTheSame
        if self.ignores_case and code > _ASCII_MAX:
            self._only_for_ascii()  # where it is never found, unless it folds to a letter of ASCII
            if code in _FOLDING:
                raise NotTheSame
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
                        raise NotTheSame
                    written.append(f"{self.char(value[0])}-{self.char(value[1])}")
                case "CATEGORY":
                    written.append(self._category(str(value)))
                case _:
                    raise NotTheSame
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
        raise NotTheSame

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
                raise NotTheSame
        return _written(ranges if category == f"CATEGORY_{name}" else _complement(ranges, code_max))


_ASCII_CATEGORIES: Final[dict[str, _Ranges]] = {
    "SPACE": ((0x09, 0x0D), (0x1C, 0x20)),
    "DIGIT": ((0x30, 0x39),),
    "WORD": _ASCII_WORD,
}


class LooseWriter(_Writer):
    """Where in doubt, more characters and more places."""

    any_char = _ANYTHING  # `.` may stand under a flag

    def char(self, code: int) -> str:
        if 0xD800 <= code <= 0xDFFF:
            raise NotTheSame
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
                        raise NotTheSame
                    ranges = _ASCII_CATEGORIES[name]
                    written.append(_written(ranges if "NOT_" not in str(value) else _complement(ranges, _ASCII_MAX)))
                    if not negated:
                        written.append(_BEYOND_ASCII)
                case _:
                    raise NotTheSame
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
