"""Where an import goes: a store that this process owns; a store that a server owns is in `cli/served_store.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final, Protocol

from awlog.engine.engine import Engine
from awlog.model.commands import ChangeSetting, CreateBucket, InsertEvents, NewEvent
from awlog.model.errors import BucketExists
from awlog.model.event import Seq
from awlog.sources.source import SourceBucket
from awlog.storage.environment import Environment
from awlog.storage.live_view import LiveView, ViewAtOnce

# What is compared is read once, in the order of time.
_CACHE_BYTES: Final = 8 << 20


class Target(Protocol):
    """`is_recording`: a server goes on recording into it meanwhile. `is_rehearsal`: nothing is written."""

    is_recording: bool
    is_rehearsal: bool

    def make(self, bucket: SourceBucket) -> bool:
        """False if there is a bucket of that name, which stays as it is."""
        ...

    def insert(self, batches: list[tuple[str, list[NewEvent]]]) -> list[list[tuple[Seq, Seq]]]:
        """Events of some buckets, in one commit if that can be. Durable when it returns: for each batch the spans of the
        seqs that its events got, in ascending order, both ends inside.
        """
        ...

    def settings(self) -> dict[str, bytes]: ...

    def set_setting(self, key: str, value: bytes) -> None: ...

    def view(self) -> AbstractContextManager[ViewAtOnce | None]:
        """What the store holds now; None if there is no store."""
        ...


class OwnStore:
    """An engine on an environment that nobody else has open for writing. It has no server: nothing waits for it."""

    is_recording = False
    is_rehearsal = False

    def __init__(self, environment: Environment) -> None:
        """Raises DataDamaged."""
        # No asyncio.Runner: its `run` shows the result as text, all of it, only to look at a signal's handler.
        self._loop = asyncio.new_event_loop()
        self._view = LiveView(environment, _CACHE_BYTES)
        self._engine = self._loop.run_until_complete(self._open(environment))

    @staticmethod
    async def _open(environment: Environment) -> Engine:
        return Engine(environment)

    def make(self, bucket: SourceBucket) -> bool:
        created_us = self._engine.clock() if bucket.created_us is None else bucket.created_us
        create = CreateBucket(
            bucket.id, bucket.type, bucket.client, bucket.hostname, created_us, bucket.name, bucket.data
        )
        try:
            self._loop.run_until_complete(self._submit(create))
        except BucketExists:
            return False
        return True

    def insert(self, batches: list[tuple[str, list[NewEvent]]]) -> list[list[tuple[Seq, Seq]]]:
        return self._loop.run_until_complete(self._insert(batches))

    async def _insert(self, batches: list[tuple[str, list[NewEvent]]]) -> list[list[tuple[Seq, Seq]]]:
        inserting = [self._engine.insert(InsertEvents(bucket_id, events)) for bucket_id, events in batches]
        return [[(stored.first_seq, stored.last_seq)] for stored in await asyncio.gather(*inserting)]

    def settings(self) -> dict[str, bytes]:
        return self._engine.reads.settings()

    def set_setting(self, key: str, value: bytes) -> None:
        self._loop.run_until_complete(self._submit(ChangeSetting(key, value)))

    async def _submit(self, command: CreateBucket | ChangeSetting) -> None:
        await self._engine.submit(command)

    @contextmanager
    def view(self) -> Iterator[ViewAtOnce | None]:
        with self._view.now() as view:
            yield view

    def __enter__(self) -> OwnStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._engine.close())
        self._loop.close()


class Rehearsal:
    """Shows what an import would do: compares, and writes nothing. `environment` is None if there is no store yet."""

    is_recording = False
    is_rehearsal = True

    def __init__(self, environment: Environment | None) -> None:
        self._view = None if environment is None else LiveView(environment, _CACHE_BYTES)

    def make(self, bucket: SourceBucket) -> bool:
        with self.view() as view:
            return view is None or all(meta.id != bucket.id for meta in view.buckets())

    def insert(self, batches: list[tuple[str, list[NewEvent]]]) -> list[list[tuple[Seq, Seq]]]:
        return [[] for _ in batches]

    def settings(self) -> dict[str, bytes]:
        with self.view() as view:
            return {} if view is None else view.settings()

    def set_setting(self, key: str, value: bytes) -> None:
        """Nothing is set."""

    @contextmanager
    def view(self) -> Iterator[ViewAtOnce | None]:
        if self._view is None:
            yield None
            return
        with self._view.now() as view:
            yield view
