"""How fine a picture of a range may be: what bounds its size on the wire, whatever is stored."""

from __future__ import annotations

from typing import Final

# Bars that can be told apart on a wide screen. On the wire one takes 50 bytes and a name of its own.
EVENTS_MAX: Final = 1_500
BINS_MAX: Final = 2_000
# Of a name, as JSON.
NAME_BYTES_MAX: Final = 96
PICTURE_BYTES_MAX: Final = 300_000
assert EVENTS_MAX * (50 + NAME_BYTES_MAX) < PICTURE_BYTES_MAX, "bars, each with another name"
assert BINS_MAX * (30 + NAME_BYTES_MAX) < PICTURE_BYTES_MAX, "bins, each with another name"
# Of all buckets together, without bars.
ALL_BINS_MAX: Final = PICTURE_BYTES_MAX // (30 + NAME_BYTES_MAX)
