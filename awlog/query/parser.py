"""Tokens -> tree, by recursive descent; one method a rule of the grammar.

All operators have one rank and run from left to right. Only brackets, calls and blocks recurse, and a counter bounds these.
"""

from __future__ import annotations

from math import isinf
from typing import Final

from awlog.query import lexer
from awlog.query.budget import INTEGER_DIGITS_MAX
from awlog.query.errors import QueryLimitExceeded, QueryParseException
from awlog.query.lexer import END, NAME, TEXT, Token, tokens
from awlog.query.syntax import (
    Assignment,
    Branch,
    Call,
    Chain,
    DictOf,
    Evaluation,
    Expression,
    If,
    ListOf,
    Literal,
    Program,
    Statement,
    Step,
    Variable,
    line_starts,
    place,
)

OPERATORS: Final = frozenset({"+", "-", "*", "/", "%", "=="})


def parse_text(text: str, *, nesting_max: int) -> Program:
    """The program that the text is. O(len(text)), about 3 µs a token.

    Raises QueryParseException where the text leaves the grammar, QueryLimitExceeded where brackets and blocks are nested
    deeper than `nesting_max`.
    """
    parser = _Parser(text, nesting_max)
    return Program(parser.statements(until=END), parser.line_starts)


class _Parser:
    """`_token` is the next token, `_ahead` the one after it."""

    def __init__(self, text: str, nesting_max: int) -> None:
        self.line_starts = line_starts(text)
        self._rest = tokens(text)
        self._token = next(self._rest)
        self._ahead = next(self._rest)
        self._depth = 0
        self._nesting_max = nesting_max

    def statements(self, *, until: str) -> tuple[Statement, ...]:
        """{ statement }, up to a token of kind `until` or to the end of the text, which is not taken."""
        found: list[Statement] = []
        while self._token.kind not in (until, END):
            if not self._takes(";"):
                found.append(self._statement(until))
        return tuple(found)

    def _statement(self, until: str) -> Statement:
        first = self._token
        statement: Statement
        if self._takes("if"):
            return self._if(first.offset)
        if self._takes("return"):
            statement = Assignment(first.offset, "RETURN", self._expression())
        elif first.kind == NAME and self._ahead.kind == "=":
            self._next()
            self._next()
            statement = Assignment(first.offset, first.text, self._expression())
        else:
            statement = Evaluation(first.offset, self._expression())
        if self._token.kind == "=":
            raise self._error("Only a variable can be assigned to, found '=' after another expression")
        if not self._takes(";") and self._token.kind not in (until, END):
            raise self._unexpected("';'")
        return statement

    def _if(self, offset: int) -> If:
        """Behind `if`."""
        branches = [Branch(offset, self._expression(), self._block())]
        while True:
            branch_offset = self._token.offset
            if self._takes("elif"):
                branches.append(Branch(branch_offset, self._expression(), self._block()))
            elif self._takes("else"):
                return If(offset, tuple(branches), self._block())
            else:
                return If(offset, tuple(branches), ())

    def _block(self) -> tuple[Statement, ...]:
        self._enter("{")
        block = self.statements(until="}")
        self._leave("}")
        return block

    def _expression(self) -> Expression:
        first = self._operand()
        if self._token.kind not in OPERATORS:
            return first
        steps: list[Step] = []
        while self._token.kind in OPERATORS:
            sign = self._next()
            steps.append(Step(sign.offset, sign.text, self._operand()))
        return Chain(first.offset, first, tuple(steps))

    def _operand(self) -> Expression:
        token = self._token
        match token.kind:
            case lexer.NUMBER:
                return Literal(token.offset, self._number())
            case lexer.TEXT:
                return Literal(token.offset, self._next().text)
            case lexer.NAME:
                self._next()
                if self._token.kind == "(":
                    return Call(token.offset, token.text, self._expressions("(", ")"))
                return Variable(token.offset, token.text)
            case "[":
                return ListOf(token.offset, self._expressions("[", "]"))
            case "{":
                return self._dict()
            case "(":
                self._enter("(")
                inner = self._expression()
                self._leave(")")
                return inner
        raise self._unexpected("an expression")

    def _expressions(self, opening: str, closing: str) -> tuple[Expression, ...]:
        """Expressions between brackets, with commas between them and none after the last."""
        self._enter(opening)
        found: list[Expression] = []
        if self._token.kind != closing:
            found.append(self._expression())
            while self._takes(","):
                found.append(self._expression())
        self._leave(closing, or_else="','")
        return tuple(found)

    def _dict(self) -> DictOf:
        offset = self._token.offset
        self._enter("{")
        entries: list[tuple[str, Expression]] = []
        if self._token.kind != "}":
            entries.append(self._entry())
            while self._takes(","):
                entries.append(self._entry())
        self._leave("}", or_else="','")
        return DictOf(offset, tuple(entries))

    def _entry(self) -> tuple[str, Expression]:
        if self._token.kind != TEXT:
            raise self._unexpected("a text as the key")
        key = self._next().text
        if not self._takes(":"):
            raise self._unexpected("':'")
        return key, self._expression()

    def _number(self) -> int | float:
        token = self._next()
        if "." in token.text:
            value = float(token.text)
            if isinf(value):
                raise QueryParseException("This number is beyond what a float can hold", *self._place(token))
            return value
        digits = token.text.lstrip("0") or "0"
        if len(digits) > INTEGER_DIGITS_MAX:
            raise QueryLimitExceeded(f"An integer has at most {INTEGER_DIGITS_MAX} digits", *self._place(token))
        return int(digits)

    # Tokens

    def _next(self) -> Token:
        token = self._token
        self._token = self._ahead
        self._ahead = next(self._rest)
        return token

    def _takes(self, kind: str) -> bool:
        """Steps over a token of this kind if it comes next."""
        if self._token.kind != kind:
            return False
        self._next()
        return True

    def _enter(self, opening: str) -> None:
        """One level of brackets or blocks more."""
        if self._depth == self._nesting_max:
            raise QueryLimitExceeded(
                f"Brackets and blocks are nested deeper than {self._nesting_max} levels; "
                "the setting `max_query_nesting` sets the limit",
                *self._place(self._token),
            )
        self._depth += 1
        if not self._takes(opening):
            raise self._unexpected(f"'{opening}'")

    def _leave(self, closing: str, *, or_else: str | None = None) -> None:
        if not self._takes(closing):
            raise self._unexpected(f"'{closing}'" if or_else is None else f"{or_else} or '{closing}'")
        self._depth -= 1

    # Errors

    def _place(self, token: Token) -> tuple[int, int]:
        return place(self.line_starts, token.offset)

    def _error(self, message: str) -> QueryParseException:
        return QueryParseException(message, *self._place(self._token))

    def _unexpected(self, expected: str) -> QueryParseException:
        token = self._token
        found = token.kind if token.kind in (TEXT, END) else f"'{token.text[:20]}'"
        return self._error(f"Expected {expected}, found {found}")
