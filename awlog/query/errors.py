"""Errors of a query: each is the caller's to mend, each says where in the text.

The class name is the `type` on the wire. Whoever knows the place gives it; what is raised without one (by a transform, say)
gets the place of the call or statement from the evaluator on its way up.
"""

from __future__ import annotations

from typing import Self

from awlog.model.errors import RefusedAt


class QueryError(RefusedAt):
    """What is wrong, and where. The message names the function or variable and what was expected, and shows at most the
    beginning of a value.
    """

    def __str__(self) -> str:
        if self.line is None:
            return self.message
        return f"{self.message} (line {self.line}, column {self.column})"

    def at(self, line: int, column: int) -> Self:
        """The same error with this place, if it has none yet."""
        return self if self.line is not None else type(self)(self.message, line, column)


class QueryParseException(QueryError):
    """The text does not fit the grammar, or the program has no RETURN."""


class QueryInterpretException(QueryError):
    """An unknown name, a wrong number of arguments, operands that do not go together, division by zero."""


class QueryFunctionException(QueryError):
    """A wrong kind of argument; no such bucket; nothing found; a bad regex, rule or time."""


class QueryLimitExceeded(QueryError):
    """The text, its nesting, the periods, the run time or the memory is beyond a limit; the message names the setting."""
