"""The tree of a program: frozen values that hold no state of a run and can be sent to another process.

Each node knows its offset in the text; `Program.place` makes a line and a column of it. A chain of operators is one node, as
is a chain of elifs, so that only brackets and blocks make the tree deep, and these the parser bounds.
"""

from __future__ import annotations

from bisect import bisect_right

from msgspec import Struct


class Literal(Struct, frozen=True, gc=False):
    """A number or a text."""

    offset: int
    value: int | float | str


class Variable(Struct, frozen=True, gc=False):
    offset: int
    name: str


class Call(Struct, frozen=True, gc=False):
    offset: int
    function: str
    arguments: tuple[Expression, ...]


class ListOf(Struct, frozen=True, gc=False):
    offset: int
    items: tuple[Expression, ...]


class DictOf(Struct, frozen=True, gc=False):
    """A key may come twice: the later counts."""

    offset: int
    entries: tuple[tuple[str, Expression], ...]


class Step(Struct, frozen=True, gc=False):
    """One operator and what stands to its right."""

    offset: int
    operator: str
    operand: Expression


class Chain(Struct, frozen=True, gc=False):
    """`first op operand op operand ...`, from left to right."""

    offset: int
    first: Expression
    steps: tuple[Step, ...]


Expression = Literal | Variable | Call | ListOf | DictOf | Chain


class Assignment(Struct, frozen=True, gc=False):
    """`name = value`; `return value` is an assignment to RETURN."""

    offset: int
    name: str
    value: Expression


class Evaluation(Struct, frozen=True, gc=False):
    """An expression alone: evaluated and dropped."""

    offset: int
    value: Expression


class Branch(Struct, frozen=True, gc=False):
    offset: int
    condition: Expression
    block: tuple[Statement, ...]


class If(Struct, frozen=True, gc=False):
    """The first branch whose condition holds, else `otherwise`."""

    offset: int
    branches: tuple[Branch, ...]
    otherwise: tuple[Statement, ...]


Statement = Assignment | Evaluation | If


class Program(Struct, frozen=True, gc=False):
    """A parsed query. `line_starts` are the offsets at which its lines begin."""

    statements: tuple[Statement, ...]
    line_starts: tuple[int, ...]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1; a column is a character."""
        return place(self.line_starts, offset)


def line_starts(text: str) -> tuple[int, ...]:
    """The offsets at which the lines of a text begin; a line ends with its newline."""
    starts = [0]
    at = text.find("\n")
    while at != -1:
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    return tuple(starts)


def place(starts: tuple[int, ...], offset: int) -> tuple[int, int]:
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1
