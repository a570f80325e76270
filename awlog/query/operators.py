"""The six operators. Integers stay integers but for `/`; a boolean is no number here; what is beyond a float is an error."""

from __future__ import annotations

from collections.abc import Callable
from math import fmod, isinf
from typing import Final, TypeGuard

from awlog.query.budget import INTEGER_DIGITS_MAX, INTEGER_MAX, Budget
from awlog.query.errors import QueryInterpretException, QueryLimitExceeded
from awlog.query.events import EventList
from awlog.query.values import Value, equal, joined, kind

_Number = int | float
_UNICODE_BYTES: Final = 4  # of a character at most


def apply_operator(operator: str, left: Value, right: Value, budget: Budget) -> Value:
    """Raises QueryInterpretException if the operands do not go together, or for a division by zero."""
    if operator == "==":
        if kind(left) != kind(right):
            raise QueryInterpretException(f"'==' does not compare {kind(left)} with {kind(right)}")
        return equal(left, right, budget)
    if _is_number(left) and _is_number(right):
        return _calculated(operator, left, right)
    if operator == "+":
        if isinstance(left, str) and isinstance(right, str):
            width = 1 if left.isascii() and right.isascii() else _UNICODE_BYTES
            budget.take(width * (len(left) + len(right)))
            return left + right
        if isinstance(left, list | EventList) and isinstance(right, list | EventList):
            return joined(left, right, budget)
    raise QueryInterpretException(f"'{operator}' does not take {kind(left)} and {kind(right)}")


def _is_number(value: Value) -> TypeGuard[_Number]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _calculated(operator: str, left: _Number, right: _Number) -> _Number:
    try:
        result = _ARITHMETIC[operator](left, right)
        if isinstance(result, float) and isinf(result):
            raise OverflowError
    except ZeroDivisionError:
        raise QueryInterpretException(f"'{operator}' by zero") from None
    except OverflowError:
        raise QueryInterpretException(f"The result of '{operator}' is beyond what a float can hold") from None
    if isinstance(result, int) and abs(result) > INTEGER_MAX:
        raise QueryLimitExceeded(f"The result of '{operator}' has more than {INTEGER_DIGITS_MAX} digits")
    return result


def _remainder(left: _Number, right: _Number) -> _Number:
    """With the sign of the left operand."""
    if right == 0:
        raise ZeroDivisionError
    if isinstance(left, int) and isinstance(right, int):
        remainder = abs(left) % abs(right)
        return remainder if left >= 0 else -remainder
    return fmod(left, right)


_ARITHMETIC: Final[dict[str, Callable[[_Number, _Number], _Number]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": _remainder,
}
