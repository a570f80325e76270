"""What is known of payloads: a number for each code, kept by question."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np

from awlog.query.distinct import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint32]
    Numbers = NDArray[np.int64]

Q = TypeVar("Q", bound=Hashable)

UNKNOWN: Final = -1


class CodeColumn:
    """A number per payload code, UNKNOWN until it is known."""

    def __init__(self) -> None:
        self.numbers: Numbers = np.empty(0, np.int64)

    def grow(self, length: int) -> None:
        if len(self.numbers) < length:
            grown = np.full(max(2 * len(self.numbers), length), UNKNOWN, np.int64)
            grown[: len(self.numbers)] = self.numbers
            self.numbers = grown

    def missing(self, codes: Codes, length: int) -> Codes:
        """The distinct codes without a number yet; afterwards there is room for all codes below `length`."""
        self.grow(length)
        unknown = codes[self.numbers[codes] == UNKNOWN]
        return distinct(unknown)[0] if len(unknown) else unknown

    def inherit(self, codes: Codes, made: Codes, length: int) -> None:
        self.grow(length)
        numbers = self.numbers[codes]
        known = numbers != UNKNOWN
        self.numbers[made[known]] = numbers[known]


class KeptColumns(Generic[Q]):
    """A column for each question, of which the one used longest ago is forgotten first."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._columns: OrderedDict[Q, CodeColumn] = OrderedDict()

    def __len__(self) -> int:
        return len(self._columns)

    def questions(self) -> list[Q]:
        return list(self._columns)

    def column(self, question: Q) -> CodeColumn:
        column = self._columns.get(question)
        if column is None:
            column = self._columns[question] = CodeColumn()
            if len(self._columns) > self._count_max:
                self._columns.popitem(last=False)
        self._columns.move_to_end(question)
        return column
