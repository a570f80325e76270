"""Cut texts, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from awlog.log.columns import columns_of
from awlog.model.event import Event, Payload, Seq
from awlog.model.times import Micros
from awlog.query.brief import brief, brief_columns


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"a": "x" * 11, "b": ["y" * 10, {"c": "z" * 99}]},
            {"a": "x" * 9 + "…", "b": ["y" * 10, {"c": "z" * 9 + "…"}]},
        ),
        ({"k" * 20: 1}, {"k" * 9 + "…": 1}),
        (["ä" * 11], ["ä" * 9 + "…"]),
        ([1.5, 10**30, True, None, "t" * 30], [1.5, 10**30, True, None, "t" * 9 + "…"]),
        ("short", "short"),
    ],
)
def test_longer_texts_are_cut(value: object, expected: object) -> None:
    assert json.loads(brief(json.dumps(value, ensure_ascii=False).encode(), 10)) == expected


def test_what_is_nested_too_deep_stays() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert brief(deep, 10) == deep


def test_columns_keep_their_events() -> None:
    """Those of a part share the payloads of a whole segment: only what the part uses is looked at."""
    payloads = [Payload(b'{"app":"%b"}' % (b"x" * length)) for length in (3, 2000, 3000)]
    events = [Event(Seq(at), Micros(at), Micros(2), payloads[at % 3]) for at in range(1, 7)]
    part = brief_columns(columns_of(events).take(slice(2)), 10)
    assert part.seq.tolist() == [1, 2]
    assert np.array_equal(part.duration_us, [2, 2])
    cut = Payload(b'{"app":"%b"}' % (b"x" * 9 + "…".encode()))
    assert [each.payload for each in part.events()] == [cut, cut]
