"""The table of payloads that lasts from query to query: bounded, and right after whatever ended a query."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from awlog.query.errors import QueryLimitExceeded
from awlog.query.payloads import Payloads, Tables, json_text
from awlog.query.transforms import categorize, flood, parse_rules
from tests.query.transforms.lists import made, rows


def test_a_run_that_met_the_limit_leaves_no_class_half_known() -> None:
    """Payloads that are equal as Python compares are so for the next run, too."""
    payloads = Payloads(bytes_max=4000)
    padding = "x" * 1000
    rules = parse_rules([[["A"], {"regex": "x"}]], "category")
    lists = [
        categorize(made(payloads.begin_run(), [(0, 9, {"a": value, "b": padding})]), rules)
        for value in (1, 1.0, True, 2)
    ]
    codes = np.concatenate([events.payload for events in lists])
    with pytest.raises(QueryLimitExceeded):
        payloads.begin_run().classes(codes)
    payloads._bytes_max = 1 << 20
    one, also_one, true, two = payloads.begin_run().classes(codes).tolist()
    assert one == also_one == true != two


def test_a_table_that_memory_ran_out_for_is_not_used_again() -> None:
    """Nobody knows what was half done, or how much it holds."""
    renewals: list[int] = []
    tables = Tables(on_renewed=lambda: renewals.append(1))
    table = tables.for_next_run()
    assert tables.for_next_run() is table
    table.is_doubtful = True
    assert tables.for_next_run() is not table
    assert renewals == [1]


@pytest.mark.parametrize("form", ["long categories", "many small parts", "wide letters"])
def test_the_size_of_a_table_is_about_what_it_holds(form: str) -> None:
    """Values and texts that it learnt are counted, not only payloads."""
    tracemalloc.start()
    try:
        before_bytes = tracemalloc.get_traced_memory()[0]
        payloads = Payloads()
        for i in range(40):
            if form == "long categories":
                rules = parse_rules([[[f"{i}" + "c" * 100_000], {"regex": "x"}]], "category")
                events = categorize(made(payloads.begin_run(), [(0, 9, {"a": "x"})]), rules)
                assert rows(flood(events))
            else:
                value = [[[]] * 10_000, i] if form == "many small parts" else f"{i}\U0001f600" + "x" * 100_000
                code = payloads.begin_run().add_json(json_text({"a": value}))
                payloads.value_numbers(np.array([code], np.uint32), "a")
        payloads.begin_run()
        held_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    finally:
        tracemalloc.stop()
    assert payloads.size_bytes > 0.85 * held_bytes > 1 << 20
