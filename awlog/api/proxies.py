"""Who really asks, when a proxy of ours passes requests on: `X-Forwarded-For` and `X-Forwarded-Host`. Pure.

Both headers can be made up by anybody, so they count only from peers that the setting `trusted_proxies` names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

UNIX_PEER: Final = "unix"
"""The name of whoever comes by a Unix socket, in the setting and as a client's address."""


class Proxies:
    """The trusted peers: addresses, networks, and `unix`."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """Raises ValueError for what is none of these."""
        self._trusts_unix = UNIX_PEER in trusted
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text) for text in trusted if text != UNIX_PEER]

    def __bool__(self) -> bool:
        return self._trusts_unix or bool(self._networks)

    def trusts(self, peer: str) -> bool:
        """`peer`: an address as text, or `unix`."""
        if peer == UNIX_PEER:
            return self._trusts_unix
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def client_of(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The address of the client, by the `X-Forwarded-For` headers: the last one that no proxy of ours has."""
        client = peer
        for text in reversed(",".join(forwarded_for).split(",")):
            if not self.trusts(client):
                break
            client = text.strip() or client
        return client

    def forwarded_hosts(self, peer: str, headers: Sequence[str]) -> list[str]:
        """The hosts that proxies of ours were asked for, by the `X-Forwarded-Host` headers; the client's own word first."""
        if not headers or not self.trusts(peer):
            return []
        return [name.strip() for name in ",".join(headers).split(",")]


def peer_of(transport: asyncio.BaseTransport | None) -> str:
    """Who is at the other end of a connection: an address, or `unix`."""
    name = None if transport is None else transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else UNIX_PEER
