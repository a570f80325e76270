"""Runs a program for one period: variables, statements, expressions. An error gets the place of the innermost of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from awlog.model.errors import BadRequest
from awlog.model.times import Micros, parse_timestamp
from awlog.query.budget import Budget
from awlog.query.errors import (
    QueryError,
    QueryFunctionException,
    QueryInterpretException,
    QueryLimitExceeded,
    QueryParseException,
)
from awlog.query.events import EventList
from awlog.query.explain import Recorder
from awlog.query.functions import FUNCTIONS, WRONG, Context
from awlog.query.operators import apply_operator
from awlog.query.syntax import (
    Assignment,
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
    Variable,
)
from awlog.query.values import Value, description, size_bytes

_START: Final = "STARTTIME"
_END: Final = "ENDTIME"
_INTERVAL: Final = "TIMEINTERVAL"


class Variables:
    """Names and their values. STARTTIME, ENDTIME and TIMEINTERVAL follow each other; the last assignment counts."""

    def __init__(self, name: str, start_text: str, end_text: str) -> None:
        self._values: dict[str, Value] = {
            "true": True,
            "True": True,
            "false": False,
            "False": False,
            "NAME": name,
            _START: start_text,
            _END: end_text,
            _INTERVAL: f"{start_text}/{end_text}",
        }
        self._interval_is_good = True

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __setitem__(self, name: str, value: Value) -> None:
        values = self._values
        values[name] = value
        if name in (_START, _END):
            self._interval_is_good = True  # or else its ends say what is wrong
            start, end = values[_START], values[_END]
            if isinstance(start, str) and isinstance(end, str):
                values[_INTERVAL] = f"{start}/{end}"
        elif name == _INTERVAL:
            self._interval_is_good = isinstance(value, str) and value.count("/") == 1
            if isinstance(value, str) and self._interval_is_good:
                values[_START], values[_END] = value.split("/")

    def values(self) -> list[Value]:
        return list(self._values.values())

    def interval(self) -> tuple[Micros, Micros]:
        """The range for the next bucket. Raises QueryFunctionException if a variable holds no time."""
        if not self._interval_is_good:
            raise QueryFunctionException(f"{_INTERVAL} must be a text of two times with one '/' between them")
        return self._time(_START), self._time(_END)

    def _time(self, name: str) -> Micros:
        value = self._values[name]
        try:
            if isinstance(value, str):
                return parse_timestamp(value)
        except BadRequest:
            pass
        raise QueryFunctionException(f"{name} must be a time, found {description(value)}")


class Evaluator:
    """One run of a program."""

    def __init__(self, program: Program, variables: Variables, context: Context, recorder: Recorder | None) -> None:
        self._program = program
        self._variables = variables
        self._context = context
        self._budget: Budget = context.budget
        self._recorder = recorder

    def run(self) -> Value:
        """The value of RETURN at the end. Raises QueryError."""
        self._statements(self._program.statements)
        if "RETURN" not in self._variables:
            raise QueryParseException("The query must assign a value to RETURN, which is the answer")
        return self._variables["RETURN"]

    def _statements(self, statements: tuple[Statement, ...]) -> None:
        for statement in statements:
            try:
                self._budget.begin_statement()
                match statement:
                    case Assignment():
                        self._variables[statement.name] = self._measured(statement.offset, statement.value)
                    case Evaluation():
                        self._measured(statement.offset, statement.value)
                    case If():
                        self._if(statement)
            except QueryError as error:
                raise self._placed(error, statement.offset) from None

    def _if(self, statement: If) -> None:
        for branch in statement.branches:
            condition = self._measured(branch.offset, branch.condition)
            if not isinstance(condition, bool):
                message = f"A condition must be a boolean, found {description(condition)}"
                raise self._placed(QueryInterpretException(message), branch.condition.offset)
            if condition:
                self._statements(branch.block)
                return
        self._statements(statement.otherwise)

    def _measured(self, offset: int, node: Expression) -> Value:
        """The value of a statement's expression, recorded if anybody wants to know."""
        if self._recorder is None:
            return self._value(node)
        with self._recorder.statement(offset, self._program.place(offset)[0]):
            value = self._value(node)
            self._recorder.gave(len(value) if isinstance(value, EventList) else 0)
        return value

    # Expressions

    def _value(self, node: Expression) -> Value:
        try:
            return self._evaluate[type(node)](self, node)
        except QueryError as error:
            raise self._placed(error, node.offset) from None

    def _variable(self, node: Variable) -> Value:
        if node.name not in self._variables:
            hint = "; it is a function and needs brackets" if node.name in FUNCTIONS else ""
            raise QueryInterpretException(f"There is no variable {_shown(node.name)}{hint}")
        return self._variables[node.name]

    def _list(self, node: ListOf) -> Value:
        values = [self._value(item) for item in node.items]
        self._budget.take(size_bytes(values))
        return values

    def _dict(self, node: DictOf) -> Value:
        values = {key: self._value(value) for key, value in node.entries}
        self._budget.take(size_bytes(values))
        return values

    def _chain(self, node: Chain) -> Value:
        value = self._value(node.first)
        for step in node.steps:
            self._budget.step()
            operand = self._value(step.operand)
            try:
                value = apply_operator(step.operator, value, operand, self._budget)
            except QueryError as error:
                raise self._placed(error, step.offset) from None
        return value

    def _call(self, node: Call) -> Value:
        name = node.function
        function = FUNCTIONS.get(name)
        if function is None:
            raise QueryInterpretException(f"There is no function {_shown(name)}")
        values = [self._value(argument) for argument in node.arguments]
        if not function.takes(len(values)):
            raise QueryInterpretException(f"{name} takes {function.counts()}, found {len(values)}")
        arguments = []
        for position, value in enumerate(values):
            wanted = function.kind(position)
            taken = wanted.taken(self._context, value)
            if taken is WRONG:
                message = f"{name}: argument {position + 1} must be {wanted.expected}, found {description(value)}"
                raise self._placed(QueryFunctionException(message), node.arguments[position].offset)
            arguments.append(taken)
        self._budget.check()
        if self._recorder is not None:
            self._recorder.called(name, sum(len(value) for value in arguments if isinstance(value, EventList)))
        try:
            result = function.run(self._context, *arguments)
        except QueryError as error:
            raise type(error)(f"{name}: {error.message}", error.line, error.column) from None
        except (RecursionError, MemoryError):
            self._context.payloads.is_doubtful = True
            raise QueryLimitExceeded(f"{name}: the values are too large or nested too deep") from None
        self._budget.take(size_bytes(result))
        return result

    # Of the class: bound methods would tie a run to itself, and all its events would wait for the collector.
    _evaluate: ClassVar[dict[type, Callable[..., Value]]] = {
        Literal: lambda _self, node: node.value,
        Variable: _variable,
        Call: _call,
        ListOf: _list,
        DictOf: _dict,
        Chain: _chain,
    }

    def _placed(self, error: QueryError, offset: int) -> QueryError:
        return error.at(*self._program.place(offset))


def _shown(name: str) -> str:
    return f"'{name}'" if len(name) <= 40 else f"'{name[:40]}…'"
