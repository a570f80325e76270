"""Beyond this machine a server starts only with TLS and tokens, or when it is told that nothing has to protect it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from awlog.cli.exposure import check_exposure
from awlog.cli.options import server_config, server_options
from awlog.model.errors import CannotStart

TLS = ("--tls-cert", "/etc/hosts")


def checked(*arguments: str, needs_tokens: bool) -> None:
    import click

    @click.command()
    @server_options
    def command(**values: object) -> None:
        check_exposure(server_config(values), needs_tokens=needs_tokens)

    command.main([*arguments], standalone_mode=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.10"])
def test_on_this_machine_nothing_is_needed(host: str) -> None:
    """As ActivityWatch's servers are used."""
    checked("--host", host, needs_tokens=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "desk.example"])
@pytest.mark.parametrize(
    ("arguments", "needs_tokens", "missing"),
    [
        ((), False, "TLS and tokens"),
        ((), True, "TLS"),
        (TLS, False, "tokens"),
        (TLS, True, None),
        (("--trusted-proxy", "10.0.0.0/8"), True, None),
        (("--insecure",), False, None),
        (("--insecure",), True, None),
    ],
)
def test_beyond_it_tls_and_tokens_are(host: str, arguments: tuple[str, ...], needs_tokens: bool, missing: str | None):
    """The refusal names both, the flags, and what overrides it."""
    if missing is None:
        checked("--host", host, *arguments, needs_tokens=needs_tokens)
        return
    with pytest.raises(CannotStart) as refusal:
        checked("--host", host, *arguments, needs_tokens=needs_tokens)
    assert f"missing here: {missing}." in str(refusal.value)
    for word in (host, "--tls-cert", "--trusted-proxy", "awlog token create", "--insecure"):
        assert word in str(refusal.value)


def test_a_proxy_that_is_trusted_lets_others_in() -> None:
    """So tokens are needed, though the address is this machine's."""
    with pytest.raises(CannotStart, match="missing here: tokens"):
        checked("--trusted-proxy", "unix", needs_tokens=False)
    checked("--trusted-proxy", "unix", needs_tokens=True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--host", "0.0.0.0"), "missing here: TLS"),
        (("--tls-key", "/etc/hosts"), "set `tls_cert`, too"),
        (("--tls-cert", "/etc/hosts"), "the settings `tls_cert` (/etc/hosts)"),
        (("--api-key", "a", "--api-key-file", "/etc/hosts"), "one of the two"),
        (("--api-key-file", "/dev/null"), "no API key in /dev/null"),
        (("--unix-socket", "/etc/hosts"), "something else is there"),
    ],
)
def test_a_server_that_is_not_safe_does_not_start(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """Exit status 3, one message, no traceback; nothing listens."""
    words = [sys.executable, "-m", "awlog", "serve", "--testing", "--data-dir", str(tmp_path / "data"), "--port", "1"]
    done = subprocess.run([*words, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert says in re.sub(r"\s+", " ", done.stderr)
    assert "Traceback" not in done.stderr
