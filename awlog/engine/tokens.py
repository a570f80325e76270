"""The tokens of a running engine: the door as of now, and a note in the store of when each was used last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from awlog.engine.access import AccessRules, Admission, Door, new_token
from awlog.engine.clock import Clock
from awlog.engine.committer import Reply, into_future
from awlog.log.state import State
from awlog.model.access import Access, Grant, Token, must_be_bound
from awlog.model.commands import Command, CreateToken, NoteTokenUses
from awlog.model.times import Micros

# When tokens were used is written down at most this often.
_NOTE_USES_S: Final = 60.0


class Tokens:
    """Who may do what. Knows the durable tokens only. Loop only."""

    def __init__(self, rules: AccessRules, clock: Clock, send: Callable[[Command, Reply], None]) -> None:
        """To be told which tokens there are by `take`. `send`: the engine's."""
        self._door = Door(rules)
        self.clock = clock
        self._send = send
        self._note_uses_timer: asyncio.TimerHandle | None = None

    @property
    def are_required(self) -> bool:
        return self._door.requires_tokens

    @property
    def are_set_up(self) -> bool:
        """Did somebody say that tokens are required, by making one or by a setting?"""
        return self._door.is_set_up

    def take(self, durable: State) -> None:
        """The durable state has other tokens now. O(tokens)."""
        self._door.take(durable.tokens, required=durable.tokens_required)

    def on_changed(self, call: Callable[[], None]) -> None:
        """`call`: whenever somebody who was admitted may not be any more."""
        self._door.on_changed = call

    def admit(self, authorization: Sequence[str]) -> Admission:
        """Who asks with these `Authorization` headers. 2 µs. Raises Unauthorized."""
        admission = self._door.admit(authorization, self.clock())
        if admission.access.token_id is not None and self._note_uses_timer is None:
            self._note_uses_timer = asyncio.get_running_loop().call_later(_NOTE_USES_S, self.note_uses)
        return admission

    def check(self, access: Access) -> None:
        """For what lasts, now and then: raises Unauthorized if who was admitted would not be admitted now. O(1)."""
        self._door.check(access, self.clock())

    def check_device(self, access: Access, device_id: str) -> None:
        """May whoever was admitted push as this device? Raises Forbidden."""
        must_be_bound(self._door.tokens, access.token_id, device_id, self.clock())

    async def create(
        self, name: str, grants: Sequence[Grant], expires_us: Micros | None, device_id: str | None = None
    ) -> tuple[str, Token]:
        """The secret, which nobody can read again, and the token. From now on tokens are required. Raises BadRequest."""
        secret, token = new_token(name, grants, created_us=self.clock(), expires_us=expires_us, device_id=device_id)
        created: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(CreateToken(token), into_future(created))
        await created
        return secret, token

    def all(self) -> list[Token]:
        """Oldest first, those that have expired too."""
        return sorted(self._door.tokens.values(), key=lambda token: (token.created_us, token.id))

    def note_uses(self) -> None:
        """Writes down when tokens were used. It happens by itself, at most once a minute, and at the end."""
        self._note_uses_timer = None
        used_us = self._door.unwritten_uses()
        if used_us:
            self._send(NoteTokenUses(used_us), lambda _outcome: None)

    def close(self) -> None:
        """Before the last commit."""
        if self._note_uses_timer is not None:
            self._note_uses_timer.cancel()
            self.note_uses()
