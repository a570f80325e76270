"""O2: what is recorded does not stay in memory, however long its texts are and however many buckets they go to."""

from __future__ import annotations

import random
import string
from pathlib import Path

from tests.contract.wire import Api, at
from tests.faults.test_overload import private_bytes
from tests.server import Server

BUCKETS = 50
ROUNDS = 12
EVENTS_A_ROUND = 6
# Sent are 230 MB of texts that have nothing in common, 72 of 65 KB a bucket: far too few for a segment by their number. Kept
# as records they would take as much; the server itself needs 45, and what all heads may take is 64, twice that for a moment.
MEMORY_BYTES_MAX = 230 << 20


def test_long_texts_in_many_buckets_are_sealed_before_they_fill_the_memory(tmp_path: Path) -> None:
    """Each bucket gets some, round by round, and holds all of it in the end. After the next start there are few records."""
    chosen = random.Random(5)
    pool = "".join(chosen.choices(string.ascii_letters + string.digits, k=1 << 20))

    def event(minute: int, second: int) -> dict[str, object]:
        begin = chosen.randrange(len(pool) // 2)
        return {"timestamp": at(f"10:{minute:02}:{second:02}"), "data": {"text": pool[begin : begin + 65_000]}}

    with Server(tmp_path / "data") as server:
        api = Api(server)
        for bucket in range(BUCKETS):
            api.create(f"b{bucket}")
        peak_bytes = 0
        for minute in range(ROUNDS):
            for bucket in range(BUCKETS):
                api.post(f"/buckets/b{bucket}/events", [event(minute, second) for second in range(EVENTS_A_ROUND)])
                peak_bytes = max(peak_bytes, private_bytes(server.pid))
        assert peak_bytes < MEMORY_BYTES_MAX
        counts = {api.get(f"/buckets/b{bucket}/events/count") for bucket in range(BUCKETS)}
        assert counts == {ROUNDS * EVENTS_A_ROUND}
        server.stop()
        server.start()
        assert private_bytes(server.pid) < MEMORY_BYTES_MAX
