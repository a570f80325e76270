r"""Regular expressions as Python's `re` means them, all of a query searched in one pass over each text.

Python's own parser reads the pattern, and the tree is written out again for google-re2, twice. The *exact* pattern is found
in the same texts; there is one only if the tree holds just what is a regular language with one meaning in both engines. The
*loose* pattern is found in those texts and perhaps in others: what cannot be said in re2 is left out, and `re` has the last
word about what it finds. Nearly all texts hold nearly none of the patterns, so that is rare. The answer is always yes or no
(is it found somewhere?): greedy and lazy, and groups that capture, do not matter.

`pattern_writers.py` says what differs and how it is kept apart.

Exact patterns are linear. One that `re` has to confirm may never end: queries belong in processes that can be killed.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from awlog.query.errors import QueryFunctionException
from awlog.query.pattern_writers import ExactWriter, LooseWriter, NotTheSame, Texts, kind_of, parsed

# Errors would show patterns on stderr. The memory is a bound for one automaton, room for some hundred rules.
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 32 << 20

_MESSAGE_CHARS_MAX: Final = 40

_LOCAL_FLAGS: Final = re.compile(r"\(\?([a-zA-Z-]+)")
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
            writer = ExactWriter(bool(flags & re.IGNORECASE))
            with suppress(NotTheSame, RecursionError):
                self.exact = writer.whole(tree)
                self.exact_kinds = frozenset(Texts) - writer.not_for
        if self.exact is None:  # what has a twin compiles; the others may still hold mistakes
            self._re = _compile(text, ignore_case)

    @cached_property
    def _parsed(self) -> tuple[Any, int]:
        return parsed(self.text, self.ignore_case)

    @cached_property
    def loose(self) -> str | None:
        """For re2: found wherever the pattern is found, and perhaps elsewhere. None if re2 cannot even have that."""
        tree, flags = self._parsed
        # Flags that hold for a part of the pattern count for all of it: then more is found, never less.
        local_flags = "".join(_LOCAL_FLAGS.findall(self.text))
        if tree is not None and not (flags & re.ASCII or "a" in local_flags):
            with suppress(NotTheSame, RecursionError):
                return LooseWriter(bool(flags & re.IGNORECASE) or "i" in local_flags).whole(tree)
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
            kind = kind_of(text)
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
