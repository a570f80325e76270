"""Stored results: two of one machine are compared, two of different machines are not."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from benchmarks import document, releases
from benchmarks.document import Document

RESULTS = Path(document.__file__).parent / "results"


@pytest.fixture
def stored() -> Document:
    return document.read(max(RESULTS.glob("*.json")))


def test_the_result_of_a_release_is_stored_under_its_version(stored: Document) -> None:
    """So that the next one can be compared with it."""
    assert (RESULTS / f"{releases.version_of(stored)}.json").exists()


def test_a_figure_that_doubled_is_twice_as_good_or_half(stored: Document) -> None:
    """A rate is better when higher, a latency when lower."""
    other = copy.deepcopy(stored)
    assert other["insert"] is not None
    result = other["insert"][0]["servers"]["awlog"]
    assert result["rate"] is not None
    assert result["cpu_us"] is not None
    result["rate"] *= 2
    result["cpu_us"] *= 2
    better = [line.split()[-1] for line in releases.compare(stored, other)[1:]]
    assert sorted(times for times in better if times in ("2.00", "0.50")) == ["0.50", "2.00"]


def test_results_of_different_machines_are_not_compared(stored: Document) -> None:
    """The refusal says in what they differ."""
    other = copy.deepcopy(stored)
    other["machine"]["cores"] += 2
    with pytest.raises(ValueError, match="cores"):
        releases.compare(stored, other)
