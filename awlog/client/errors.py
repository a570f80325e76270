"""What can go wrong between a program and the server."""

from __future__ import annotations


class ClientError(Exception):
    """The root of the client's errors."""


class Unreachable(ClientError):
    """The server is not there, or does not answer in time. A write may have arrived or not."""


class RequestRefused(ClientError):
    """The server says no (4xx): the caller can fix it. `type` is the server's word for why."""

    def __init__(self, status: int, type: str, message: str) -> None:  # noqa: A002 - the word on the wire
        super().__init__(f"{message} ({type}, {status})")
        self.status = status
        self.type = type


class ServerFailed(ClientError):
    """The server cannot at the moment (5xx): nothing is wrong with the request."""

    def __init__(self, status: int, type: str, message: str) -> None:  # noqa: A002
        super().__init__(f"{message} ({type}, {status})")
        self.status = status
        self.type = type


class QueueUnusable(ClientError):
    """The queue's file cannot be used: another process has it, or it is damaged, or there is none."""
