"""Patterns: found exactly where `re` finds them, in linear time where that is sure."""

from __future__ import annotations

import os
import random
import re
import time
import warnings
from contextlib import suppress

import pytest

from awlog.query.errors import QueryFunctionException
from awlog.query.pattern_writers import _SPACES, Texts, _complement, _digits
from awlog.query.patterns import Pattern, PatternSet, _KnownPatterns, compile_pattern

EXAMPLES = int(os.environ.get("AWLOG_TEST_EXAMPLES", "2000"))
EVERY_CHARACTER = "".join(map(chr, range(0x110000)))
# All that have to do with case, digits or white space, and some of the rest.
CHARACTERS = [
    c
    for code, c in enumerate(EVERY_CHARACTER)
    if code < 0x600 or code % 61 == 0 or c.isdigit() or c.isspace() or c.lower() != c or c.upper() != c
    if not 0xD800 <= code <= 0xDFFF
]

LINEAR = (
    "x", "", "GitHub|Stack Overflow", r"\.py$", "^a.c", r"\Aa\Z", r"a+?b*?c??", "a{2,5}", "(?P<name>a)(b)", "[a-z_]", "[^x]",
    r"[\d\s]", r"\D\S", r"[\s\S]", r"\u00e5|é", "日本", r"[\]\-^\\]", r"\x41\n\t", "a|b$|c", "(a|b$)", "^$", "()", "(?i)abc",
)  # fmt: skip
LINEAR_IN_ASCII = (r"\bmain\b", r"\w+", r"\W", r"[\w.]+@", r"(?i)\bX", "(?i)å", "(?i)[à-ÿ]")
ONLY_RE = (
    r"(a)\1", "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", r"\Ba", "a$b", "(a$)*", "(?m)^a", "(?s).", "(?i:a)b", "(?a)a",
    "(?P<n>a)(?P=n)", "(a)?(?(1)b|c)", "(?>a)", "a++", r"\ud800", "(?i)\u212a", "(?i)[é-ſ]", r"(?!)",
)  # fmt: skip


@pytest.mark.parametrize("text", LINEAR + LINEAR_IN_ASCII + ONLY_RE)
def test_which_patterns_are_linear(text: str) -> None:
    pattern = Pattern(text)
    assert (pattern.exact is not None) == (text not in ONLY_RE)
    assert (Texts.BEYOND_ASCII in pattern.exact_kinds) == (text in LINEAR)
    assert (Texts.ASCII in pattern.exact_kinds) == (text not in ONLY_RE)


@pytest.mark.parametrize("text", ["a{1001}", "((a{40}){40}){40}"])
def test_what_re2_finds_too_large_goes_to_re_and_the_others_do_not(text: str) -> None:
    patterns = PatternSet([Pattern("b"), Pattern(text), Pattern("c")])
    assert patterns.found("a" * 64_000 + "c") == (1, 2)
    assert patterns._automata[Texts.ASCII]._others == [1]


@pytest.mark.parametrize(
    "bad", ["(", "[", "*", "a**", "(?P<x>", r"\8", "x{99999999999}", "a(?i)", "(?z)", "(" * 5000 + ")" * 5000]
)
def test_a_bad_pattern_is_the_callers_error(bad: str) -> None:
    """The message shows the beginning of it."""
    with pytest.raises(QueryFunctionException) as raised:
        compile_pattern(bad)
    assert len(raised.value.message) < 300


def test_a_pattern_that_never_ends_in_re_ends_here() -> None:
    begun = time.process_time()
    assert PatternSet([Pattern("^(a+)+$")]).found("a" * 5000 + "b") == ()
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(("ranges", "text"), [(_SPACES, r"\s"), (_digits(), r"\d")])
def test_the_classes_written_out_are_those_of_re(ranges: tuple[tuple[int, int], ...], text: str) -> None:
    """Over all code points, whatever Unicode this Python has."""
    written = {chr(code) for low, high in ranges for code in range(low, high + 1)}
    assert written == set(re.findall(text, EVERY_CHARACTER))
    inverse = sum(high - low + 1 for low, high in _complement(ranges))
    assert inverse + len(written) == 0x110000


@pytest.mark.parametrize(
    "text", [r"\s", r"\S", r"\d", r"\D", r"[\s\d]", r"[^\s\d]", r"[\S1]", ".", "[^a]", r"[^\D]", "[à-ÿ]"]
)
def test_classes_hold_the_same_characters_of_all_of_unicode(text: str) -> None:
    pattern = Pattern(text)
    assert pattern.exact is not None
    assert pattern.exact_kinds == set(Texts)
    patterns, compiled = PatternSet([pattern]), re.compile(text)
    assert [c for c in CHARACTERS if bool(patterns.found(c)) != bool(compiled.search(c))] == []


@pytest.mark.parametrize("text", ["[a-z]", "[^a-z]", "k|s|i", r"\s|[!-~]", "[^ks]", "[^i]"])
def test_without_case_the_same_characters_of_all_of_unicode_fold(text: str) -> None:
    """Four letters beyond ASCII fold to i, k and s in `re`, others in re2."""
    pattern = Pattern(text, ignore_case=True)
    assert pattern.exact is not None
    patterns, compiled = PatternSet([pattern]), re.compile(text, re.IGNORECASE)
    assert [c for c in CHARACTERS if bool(patterns.found(c)) != bool(compiled.search(c))] == []


@pytest.mark.parametrize("text", [r"\w", r"\W", r"\b", r"[\W_]", r"[^\w]", r"\bx", "(?i)[^x]", r"(?i)\W"])
def test_words_hold_the_same_characters_of_all_of_unicode(text: str) -> None:
    patterns, compiled = PatternSet([Pattern(text)]), re.compile(text)
    assert [c for c in CHARACTERS if bool(patterns.found(c)) != bool(compiled.search(c))] == []


ATOMS = (
    "(a)?(?(1)b|x)", r"(a|b)\1", "(?>a+)", "a?+", "(?!b)", "(?<=a)", "(?i:b)", "(?s:.)", "(?m:^)", "(?-i:A)",
    "[^aé]", "[é-ß]", "[i-kſ]",
    "a", "b", "A", "x", ".", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"\b", "^", "$", r"\Z", r"\A", "[ab]", "[^a]",
    "[a-cX]", r"[\w-]", r"[^\s]", "é", r"\u00e9", "ß", r"\n", "k", "(?=a)", r"(?<!b)", r"\.", "1", "", r"\B", "İ", r"[\s\S]",
)  # fmt: skip
TEXTS = "aabbAXx kK.1-é\nß\u212aıİſ \u2028É٣"


def random_pattern(rng: random.Random, depth: int = 0) -> str:
    parts = []
    for _ in range(rng.randrange(1, 4)):
        part = rng.choice(ATOMS)
        if depth < 3 and rng.random() < 0.4:
            part = rng.choice(("(%s)", "(?:%s)", "(?:%s)")) % random_pattern(rng, depth + 1)
        if rng.random() < 0.3:
            part += rng.choice(("*", "+", "?", "*?", "+?", "{2}", "{0,2}", "{1,}"))
        parts.append(part)
    if rng.random() < 0.3:
        parts.append("|" + random_pattern(rng, depth + 1))
    return "".join(parts)


def test_any_pattern_finds_what_re_finds() -> None:
    """Alone and among others, with and without case, in texts with letters that fold in odd ways."""
    exact = loose = 0
    for number in range(EXAMPLES):
        rng = random.Random(number)
        texts = [
            "".join(rng.choices(TEXTS[: rng.choice((8, 14, len(TEXTS)))], k=rng.randrange(0, 8))) for _ in range(12)
        ]
        patterns, compiled = [], []
        for _ in range(4):
            text, ignore_case = random_pattern(rng), rng.random() < 0.4
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    compiled.append(re.compile(text, re.IGNORECASE if ignore_case else 0))
            except re.error:
                with pytest.raises(QueryFunctionException):
                    Pattern(text, ignore_case=ignore_case)
                continue
            patterns.append(Pattern(text, ignore_case=ignore_case))
            exact += patterns[-1].exact is not None
            loose += patterns[-1].loose is not None
        together = PatternSet(patterns)
        for text in texts:
            expected = tuple(i for i, one in enumerate(compiled) if one.search(text))
            assert together.found(text) == expected, f"seed {number}: {text!r} {[one.pattern for one in compiled]}"
            alone = tuple(i for i, one in enumerate(patterns) if PatternSet([one]).found(text))
            assert alone == expected, f"seed {number}: {text!r} {[one.pattern for one in compiled]}"
    assert exact > EXAMPLES / 2, "many of these patterns are to have an exact twin"
    assert loose > 2 * EXAMPLES, "nearly all of these patterns are to have a loose twin"


def test_an_automaton_that_says_nothing_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """re2 answers as if nothing were found when it runs out of memory."""
    patterns = PatternSet([Pattern("a"), Pattern("b"), Pattern(r"\bc")])

    class Speechless:
        def Match(self, text: str) -> None:  # noqa: N802
            return None

    assert patterns.found("b") == (1,)
    assert patterns.found("é") == ()
    for automaton in patterns._automata.values():
        monkeypatch.setattr(automaton, "_automaton", Speechless())
    assert patterns.found("a c") == (0, 2)
    assert patterns.found("b é") == (1,)


def test_texts_that_were_seen_are_forgotten_in_time() -> None:
    patterns = PatternSet([Pattern("7$")])
    assert sum(bool(patterns.found(str(number))) for number in range(40_000)) == 4000
    assert len(patterns._seen) < 20_000


def test_patterns_that_are_known_are_bounded() -> None:
    """In bytes: those asked for longest ago go first, and huge ones are not kept."""
    known = _KnownPatterns(1 << 20)
    first = known.get("first", False)
    assert known.get("first", False) is first
    assert known.get("first", True) is not first
    huge = "(?=a)b" * 200
    assert known.get(huge, False) is not known.get(huge, False)
    for number in range(20_000):
        known.get(rf"\d{number}", False)
        assert known._bytes <= 1 << 20
    assert known._bytes == sum(pattern.size_bytes for pattern in known._kept.values()) > 1 << 19
    assert known.get("first", False) is not first


def test_a_pattern_that_re_fails_at_is_the_callers_error() -> None:
    """Some Pythons end this search with a SystemError; its asker is told."""
    pattern = Pattern(r"(?:[^A-Zs\w\W]|\s|([&0-9k])|[kk\w\n])++")
    with suppress(QueryFunctionException):
        assert pattern.search("&axK-I")
    assert pattern.search("a")
