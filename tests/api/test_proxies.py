"""What proxies say of their clients, and when it is believed."""

from __future__ import annotations

import pytest

from awlog.api.proxies import Proxies

NONE = Proxies(())
OURS = Proxies(("127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"))


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "fd00::1", "unix"])
def test_the_peers_of_the_setting_are_trusted(peer: str) -> None:
    assert OURS.trusts(peer)
    assert not NONE.trusts(peer)


@pytest.mark.parametrize("peer", ["127.0.0.2", "11.0.0.1", "fe80::1", "", "desk", "10.1.2.3 "])
def test_nobody_else_is(peer: str) -> None:
    assert not OURS.trusts(peer)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("8.8.8.8", [], "8.8.8.8"),
        ("8.8.8.8", ["1.1.1.1"], "8.8.8.8"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9, 1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9, 1.1.1.1, 10.0.0.7"], "1.1.1.1"),
        ("127.0.0.1", ["9.9.9.9", "1.1.1.1", "10.0.0.7"], "1.1.1.1"),
        ("unix", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["10.0.0.7"], "10.0.0.7"),
    ],
)
def test_the_client_is_the_last_one_that_no_proxy_of_ours_has(peer: str, forwarded_for: list[str], client: str) -> None:
    """What stands before it, the client may have written itself."""
    assert OURS.client_of(peer, forwarded_for) == client


def test_a_host_is_believed_from_trusted_peers_only() -> None:
    assert OURS.forwarded_hosts("127.0.0.1", ["aw.example, inner"]) == ["aw.example", "inner"]
    assert OURS.forwarded_hosts("8.8.8.8", ["aw.example"]) == []
    assert NONE.forwarded_hosts("127.0.0.1", ["aw.example"]) == []
    assert OURS.forwarded_hosts("unix", []) == []


@pytest.mark.parametrize("text", ["", "desk", "10.0.0.1/8", "10.0.0.0/99", "UNIX"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """A slip must not become trust."""
    with pytest.raises(ValueError):  # noqa: PT011 - the command line says it in words
        Proxies((text,))
