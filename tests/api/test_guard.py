"""Who may ask: `rest-api.md` section 12."""

from __future__ import annotations

import pytest

from awlog.api.guard import Guard
from awlog.model.errors import HostNotAllowed, OriginNotAllowed
from tests.api.settings import api_settings

WATCHER_WEB = "chrome-extension://nglaklhklhcoonedhgnpgddginnjdadi"
READING, WRITING = ("GET", "HEAD", "OPTIONS"), ("POST", "PUT", "DELETE", "PATCH")

# The Host header


@pytest.mark.parametrize("listening_on", ["localhost", "127.0.0.1", "::1", "[::1]", "LocalHost"])
@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:5600", "LOCALHOST:5600", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:5600", "localhost:"],
)
def test_on_a_loopback_address_loopback_names_are_served(listening_on: str, host: str) -> None:
    """With any port or none, in any case."""
    Guard(api_settings(host=listening_on)).check_host([host], "/api/0/info")


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("evil.example", id="another name"),
        pytest.param("evil.example:5600", id="with our port"),
        pytest.param("localhost.evil.example", id="that begins like ours"),
        pytest.param("evil-localhost", id="that ends like ours"),
        pytest.param("127.0.0.1.evil.example", id="that begins like our address"),
        pytest.param("127.0.0.2", id="another loopback address"),
        pytest.param("0.0.0.0", id="the address of all"),
        pytest.param("desk", id="the machine's name"),
        pytest.param("", id="empty"),
        pytest.param(":5600", id="a port alone"),
        pytest.param("::1", id="without brackets"),
        pytest.param("[::1", id="a bracket that stays open"),
        pytest.param("[::1]evil.example", id="a name after the bracket"),
        pytest.param("[::1]:evil", id="a word for a port, after a bracket"),
        pytest.param("localhost:evil", id="a word for a port"),
        pytest.param("localhost:80:80", id="two ports"),
        pytest.param("localhost:٨٠", id="a port in other digits"),
        pytest.param("localhost:-1", id="a negative port"),
        pytest.param("localhost@evil.example", id="a user"),
        pytest.param("localhost, evil.example", id="a list"),
        pytest.param("localhost ", id="a blank"),
        pytest.param("localhost.", id="a point at the end"),
    ],
)
def test_on_a_loopback_address_other_names_are_refused(host: str) -> None:
    """DNS rebinding: a foreign name that leads to this machine."""
    with pytest.raises(HostNotAllowed):
        Guard(api_settings()).check_host([host], "/api/0/info")


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_request_must_name_one_host(hosts: list[str]) -> None:
    """None, or two that a proxy and we could read differently, are refused."""
    with pytest.raises(HostNotAllowed):
        Guard(api_settings()).check_host(hosts, "/api/0/info")


@pytest.mark.parametrize(
    ("target", "served"),
    [
        ("http://localhost:5600/api/0/info", True),
        ("HTTP://127.0.0.1/api/0/info", True),
        ("http://evil.example/api/0/info", False),
        ("http://evil.example:5600", False),
        ("http://localhost@evil.example/", False),
        ("http://evil.example@localhost/", True),
        ("/api/0/query?next=http://evil.example/", True),
        ("/http://evil.example/", True),
    ],
)
def test_a_host_named_in_the_request_line_is_checked_too(target: str, served: bool) -> None:
    """A request target may be a whole URL; what merely looks like one in a path or a query string is none."""
    guard = Guard(api_settings())
    if served:
        guard.check_host(["localhost"], target)
    else:
        with pytest.raises(HostNotAllowed):
            guard.check_host(["localhost"], target)


@pytest.mark.parametrize("listening_on", ["0.0.0.0", "::", "192.168.1.5", "desk.example"])
@pytest.mark.parametrize("host", ["localhost", "desk", "192.168.1.5:5600", "[fe80::1]:5600", "10.1.2.3"])
def test_beyond_a_loopback_address_every_address_will_do(listening_on: str, host: str) -> None:
    """And the machine's own name: nobody can point these elsewhere, as a name is pointed when DNS is rebound."""
    Guard(api_settings(host=listening_on)).check_host([host], "/")


@pytest.mark.parametrize("listening_on", ["0.0.0.0", "::", "192.168.1.5", "desk.example"])
@pytest.mark.parametrize(
    "hosts",
    [["evil.example"], ["desk.evil.example"], ["1.2.3.4.evil.example"], ["[::1"], ["1.2.3"], [""], [], ["desk"] * 2],
)
def test_beyond_a_loopback_address_other_names_are_refused(listening_on: str, hosts: list[str]) -> None:
    """The check is on for every address that is listened on."""
    with pytest.raises(HostNotAllowed, match="allow_hosts"):
        Guard(api_settings(host=listening_on)).check_host(hosts, "/")


@pytest.mark.parametrize(("names", "host"), [(("aw.example",), "AW.example:443"), (("*",), "any.example")])
def test_names_of_the_configuration_are_allowed(names: tuple[str, ...], host: str) -> None:
    """On a loopback address too: a proxy passes on what it was asked for."""
    Guard(api_settings(allowed_hosts=names)).check_host([host], "/")
    with pytest.raises(HostNotAllowed):
        Guard(api_settings(allowed_hosts=names)).check_host([""], "/")


def test_what_a_proxy_was_asked_for_is_checked_as_well() -> None:
    """A rebound name may come by the proxy."""
    guard = Guard(api_settings(allowed_hosts=("aw.example",)))
    guard.check_host(["localhost"], "/", ["aw.example"])
    with pytest.raises(HostNotAllowed):
        guard.check_host(["localhost"], "/", ["evil.example"])


# The Origin header

ALLOWED = [
    "http://localhost:5600",
    "http://127.0.0.1:5600",
    "moz-extension://2d8e1c3a-5c4b-4d5e-8f00-000000000000",
    WATCHER_WEB,
]
OTHER_EXTENSIONS = ["chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "safari-web-extension://some-id"]
FOREIGN = [
    "null",
    "",
    "https://evil.example",
    "http://evil.example:5600",
    "http://localhost",
    "http://localhost:80",
    "http://localhost:56000",
    "https://localhost",
    "http://127.0.0.1:8080",
    "http://localhost:27180",
    "http://localhost.evil.example:5600",
    "file://",
    "https://moz-extension.example",
    "https://evil.example/moz-extension://x",
]


@pytest.mark.parametrize("origin", ALLOWED)
def test_allowed_origins_read_and_write_and_are_told_so(origin: str) -> None:
    """The web UI, the Firefox watcher, the Chrome watcher of the store."""
    guard = Guard(api_settings())
    for method in (*READING, *WRITING):
        guard.check_origin(method, origin, "localhost:5600")
    assert guard.cors_headers(origin) == {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


@pytest.mark.parametrize("origin", OTHER_EXTENSIONS)
def test_other_extensions_write_but_get_no_cors_headers(origin: str) -> None:
    """Their host permissions let them in without; a page cannot have such an origin."""
    guard = Guard(api_settings())
    for method in (*READING, *WRITING):
        guard.check_origin(method, origin, "localhost:5600")
    assert guard.cors_headers(origin) == {}


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_pages_cannot_write(origin: str) -> None:
    """A multipart import needs no preflight: this check is what stops it. Reads are served; the browser hides them."""
    guard = Guard(api_settings())
    for method in WRITING:
        with pytest.raises(OriginNotAllowed, match="cors_origins"):
            guard.check_origin(method, origin, "localhost:5600")
    for method in READING:
        guard.check_origin(method, origin, "localhost:5600")
    assert guard.cors_headers(origin) == {}


def test_programs_send_no_origin_and_are_served() -> None:
    """Watchers are no pages."""
    guard = Guard(api_settings())
    for method in (*READING, *WRITING):
        guard.check_origin(method, None, "localhost:5600")
    assert guard.cors_headers(None) == {}


@pytest.mark.parametrize(
    ("origin", "host", "served"),
    [
        ("http://desk:5600", "desk:5600", True),
        ("https://aw.example", "aw.example", True),
        ("https://aw.example", "AW.example", True),
        ("http://desk:5600", "desk", False),
        ("http://desk", "desk:5600", False),
        ("ftp://desk:5600", "desk:5600", False),
        ("http://other:5600", "desk:5600", False),
        ("desk:5600", "desk:5600", False),
        ("null", "null", False),
    ],
)
def test_a_page_of_this_server_may_write(origin: str, host: str, served: bool) -> None:
    """Whatever name it was opened under, and behind a proxy that speaks HTTPS: the Origin is the Host."""
    guard = Guard(api_settings(host="0.0.0.0"))
    if served:
        guard.check_origin("POST", origin, host)
    else:
        with pytest.raises(OriginNotAllowed):
            guard.check_origin("POST", origin, host)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:27180", "http://127.0.0.1:27180", "chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
)
def test_in_testing_mode_the_web_uis_development_server_and_any_chrome_extension_are_allowed(origin: str) -> None:
    """Outside testing mode they are not."""
    assert Guard(api_settings(testing=True)).allows_origin(origin)
    assert not Guard(api_settings(testing=False)).allows_origin(origin)


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("https://my.example", "https://my.example", True),
        ("https://my.example", "https://my.example:8443", False),
        ("https://my.example", "http://my.example", False),
        ("https://my.example", "https://your.example", False),
        ("https://*.example", "https://my.example", True),
        ("https://*.example", "https://a.b.example", True),
        ("https://*.example", "https://example", False),
        ("https://*.example", "https://my.example.evil", False),
        ("http://localhost:*", "http://localhost:3000", True),
        ("http://[::1]:*", "http://[::1]:3000", True),
        ("http://[ab].example:*", "http://a.example:1", False),
        ("https://m?.example:*", "https://my.example:1", False),
        ("*", "https://evil.example", True),
        ("*", "null", True),
    ],
)
def test_configured_origins_are_allowed_with_the_star_as_the_only_wildcard(
    pattern: str, origin: str, allowed: bool
) -> None:
    """A star stands for any text, alone for every origin; every other character for itself."""
    guard = Guard(api_settings(cors_origins=("https://first.example", pattern)))
    assert guard.allows_origin(origin) == allowed
    assert guard.allows_origin("https://first.example")
    if allowed:
        guard.check_origin("POST", origin, "localhost:5600")
        assert guard.cors_headers(origin)["Access-Control-Allow-Origin"] == origin


# Preflight


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_preflight_of_an_allowed_origin_names_the_methods_and_echoes_the_headers(origin: str) -> None:
    """GET, POST, PUT and DELETE at least."""
    headers = Guard(api_settings()).preflight_headers(origin, "content-type, x-other")
    assert headers["Access-Control-Allow-Origin"] == origin
    assert headers["Vary"] == "Origin"
    assert {"GET", "POST", "PUT", "DELETE"} <= set(headers["Access-Control-Allow-Methods"].split(", "))
    assert headers["Access-Control-Allow-Headers"] == "content-type, x-other"


def test_a_preflight_that_asks_for_no_headers_gets_none() -> None:
    """An empty list would be no valid header."""
    assert "Access-Control-Allow-Headers" not in Guard(api_settings()).preflight_headers(ALLOWED[0], "")


@pytest.mark.parametrize("origin", [*FOREIGN, *OTHER_EXTENSIONS])
def test_a_preflight_of_another_origin_is_told_nothing(origin: str) -> None:
    """So the browser does not send what it asked for."""
    assert Guard(api_settings()).preflight_headers(origin, "content-type") == {}


@pytest.mark.parametrize("origin", ["*", *ALLOWED])
def test_credentials_are_never_allowed(origin: str) -> None:
    """Not even where every origin is."""
    guard = Guard(api_settings(cors_origins=("*",)))
    for headers in (guard.cors_headers(origin), guard.preflight_headers(origin, "authorization")):
        assert "Access-Control-Allow-Credentials" not in headers
