"""Every error awlog raises on purpose, grouped by who has to act.

The class name is the `type` on the wire; `api/failures.py` maps classes to statuses, the nearest class wins. Texts name
the place and the next step and never hold recorded data.
"""

from __future__ import annotations


class AwlogError(Exception):
    """The root of all errors raised on purpose; its text is meant for people."""


class Refused(AwlogError):
    """The caller can fix it."""


class RefusedAt(Refused):
    """Something in a text is wrong: `line` and `column` from 1, None if no place in it is to blame."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message, line, column)  # all of them, so that the error can be sent to another process
        self.message = message
        self.line = line
        self.column = column


class BadRequest(Refused):
    """The request means nothing: malformed JSON, a wrong type, a bad time, a missing field."""


class HostNotAllowed(Refused):
    """The Host header names another host: DNS rebinding, or a name that is not configured."""


class DeleteBucketUnauthorized(Refused):
    """A bucket is deleted without `force=1` outside testing mode."""


class OriginNotAllowed(Refused):
    """A foreign web page tries to write."""


class Unauthorized(Refused):
    """Nobody knows who is asking: no token, a wrong one, or one that has expired."""


class Forbidden(Refused):
    """Whoever asks is known and may not do this; the text names the scope that is missing."""


class NotFound(Refused):
    """There is nothing at this path."""


class NoSuchBucket(NotFound):
    def __init__(self, bucket_id: str) -> None:
        super().__init__(f"There is no bucket named {bucket_id!r}")
        self.bucket_id = bucket_id


class NoSuchEvent(NotFound):
    def __init__(self, bucket_id: str, event_id: str) -> None:
        super().__init__(f"There is no event {event_id[:40]!r} in bucket {bucket_id!r}")
        self.bucket_id = bucket_id


class NoSuchToken(NotFound):
    """There is no token with this id, or it was revoked."""


class NoSuchJob(NotFound):
    def __init__(self, job_id: int) -> None:
        super().__init__(f"There is no job {job_id}; those that ended long ago are forgotten")


class BucketExists(Refused):
    """The bucket to create is already there; nothing was changed. A 304 on the wire, without a body."""


class MethodNotAllowed(Refused):
    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed here; allowed: {allowed}")
        self.allowed = allowed


class UnsupportedMediaType(Refused):
    """The body is not what this path takes."""


class PayloadTooLarge(Refused):
    """The body is longer than a limit; the text names the setting."""


class URITooLong(Refused):
    """The request line is longer than a limit; the text names the setting."""


class HeadersTooLarge(Refused):
    """The headers are longer than a limit; the text names the setting."""


class TooManyConnections(Refused):
    """One address holds more connections than it may; the text names the setting."""


class RequestTimeout(Refused):
    """The client stopped in the middle of its body."""


class MirroredBucket(Refused):
    """A bucket that a device pushes is changed by somebody else."""

    def __init__(self, bucket_id: str, device_id: str) -> None:
        super().__init__(
            f"The bucket {bucket_id!r} mirrors one of device {device_id}, and only that device changes it. "
            f"`awlog hub release {bucket_id}` ends the mirroring."
        )


class PushConflict(Refused):
    """A push does not go on where the mirrored bucket is; `cursor` says where that is: epoch and change."""

    def __init__(self, epoch: int, change: int) -> None:
        super().__init__(f"This hub has this bucket up to change {change} of epoch {epoch}: go on from there")
        self.cursor = (epoch, change)


class ChangesGone(Refused):
    """A follower asks for changes of which some are forgotten, or that this store never had: it must begin anew."""

    def __init__(self, after: int) -> None:
        super().__init__(
            f"The changes after {after} are not all known here: deletions since then were forgotten, or the store was "
            "restored from a backup. Begin with a snapshot: forget what you have and follow with `since=0`."
        )


class Busy(AwlogError):
    """Nothing is wrong with the request: later it works."""


class Unavailable(Busy):
    """The write could not be made durable; nothing of it was kept."""


class Overloaded(Busy):
    """As much is being worked on as may be; the text names the setting. The answer says when to come again."""


class InsufficientStorage(Busy):
    """There is no room on the disk; nothing of the write was kept. Reads go on."""


class Damaged(AwlogError):
    """An operator must look."""


class DataDamaged(Damaged):
    """A record or a segment does not match its checksum; it is never served."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} does not match its checksum and is not served; `awlog verify` says what else is damaged, "
            "`awlog repair` keeps all that is whole"
        )
        self.where = where


class CannotStart(Damaged):
    """The store cannot be opened. The text says the cause, what is whole, and the command to run; exit status 3."""


class NotDone(Damaged):
    """A command could not do its work on a store; the text says the cause and what to do. Exit status 3."""


class OtherFormat(CannotStart):
    """The store is whole, but not of the format that this awlog reads and writes."""


class FormatTooNew(OtherFormat):
    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"The data directory has format {found}, this awlog knows formats up to {known}. "
            "Nothing was touched: install the newer awlog that wrote it, or restore a backup if none ever did."
        )


class FormatTooOld(OtherFormat):
    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"The data directory has format {found}, this awlog works on format {known}. Nothing was touched: start "
            "`awlog serve` on it once, which keeps a snapshot and upgrades it; or use the awlog that wrote it."
        )
