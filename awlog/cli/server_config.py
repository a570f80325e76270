"""The settings of a server: the one table, from which flags, variables, the file's keys and --help are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from click import Choice, IntRange
from click import Path as AtPath
from msgspec import Struct

from awlog.api.configuration import BODY_BYTES_MAX, IMPORT_BYTES_MAX, EdgeLimits
from awlog.cli.setting import BasePath, FileMode, NamedFolder, ProxyAddress, Seconds, Setting
from awlog.engine.backups import BACKUP_INTERVAL_S, BACKUP_KEEP
from awlog.engine.forwarder import FORWARD_INTERVAL_S, FORWARD_WARN_S
from awlog.engine.jobs import JOBS_WAITING_MAX
from awlog.engine.readers import QueryLimits
from awlog.engine.retention import RETENTION_INTERVAL_S
from awlog.engine.store import CACHE_BYTES
from awlog.engine.webhooks import WEBHOOK_INTERVAL_S
from awlog.model.payload import NESTING_MAX
from awlog.model.rules import PATTERN_BYTES_MAX, RULES_MAX
from awlog.storage.reserve import RESERVE_BYTES

_EDGE: Final = EdgeLimits()
_QUERY: Final = QueryLimits()

_ANY_PATH: Final = AtPath(path_type=Path)
_FILE: Final = AtPath(dir_okay=False, path_type=Path)
_FILE_HERE: Final = AtPath(exists=True, dir_okay=False, path_type=Path)
_DIRECTORY: Final = AtPath(file_okay=False, path_type=Path)
_DIRECTORY_HERE: Final = AtPath(exists=True, file_okay=False, path_type=Path)
_COUNT: Final = IntRange(1)
_COUNT_OR_NONE: Final = IntRange(0)
_INTERVAL: Final = Seconds(0.1, 86_400)


class ServerConfig(Struct, frozen=True, kw_only=True):
    """All settings of a server, resolved, in the order of --help. Those without a default here depend on others."""

    testing: Annotated[bool, Setting("Port 5666 and a data directory of its own.")] = False
    data_dir: Annotated[Path, Setting("Where the data are.  [default: as `awlog paths` says]", _DIRECTORY)]
    host: Annotated[str, Setting("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Setting("[default: 5600, testing 5666]", IntRange(1, 65535))]
    log_format: Annotated[
        str,
        Setting("Program messages on stderr: for people, or one JSON object a line.", Choice(["console", "json"])),
    ] = "console"
    log_level: Annotated[str, Setting("", Choice(["debug", "info", "warning", "error"]))] = "info"
    access_log: Annotated[
        bool,
        Setting("A program message for each request; there is no fast lane then.", flag="--access-log/--no-access-log"),
    ] = False
    webui: Annotated[Path | None, Setting("A build of ActivityWatch's web UI to show at /.", _DIRECTORY_HERE)] = None
    custom_static: Annotated[
        dict[str, Path], Setting("A folder to show at /pages/NAME/. May be given several times.", NamedFolder())
    ] = {}
    cors_origins: Annotated[
        tuple[str, ...],
        Setting(
            "A web origin that may read and write, `*` as a wildcard. May be given several times.",
            metavar="ORIGIN",
            flag="--cors-origin",
        ),
    ] = ()

    # What requests, queries and connections may take

    max_body_bytes: Annotated[int, Setting("Longest JSON body.", _COUNT)] = BODY_BYTES_MAX
    max_import_bytes: Annotated[int, Setting("Longest body of an import.", _COUNT)] = IMPORT_BYTES_MAX
    cache_bytes: Annotated[
        int, Setting("Memory for decoded history, of the server and of each reader process.", _COUNT_OR_NONE)
    ] = CACHE_BYTES
    max_query_s: Annotated[float, Setting("Longest run of a query, seconds.", Seconds(0, 86_400, min_open=True))] = (
        _QUERY.run_s_max
    )
    max_query_memory_bytes: Annotated[int, Setting("Most that the values of a query may take.", _COUNT)] = (
        _QUERY.memory_bytes_max
    )
    max_query_bytes: Annotated[int, Setting("Longest text of a query.", _COUNT)] = _QUERY.text_bytes_max
    max_query_nesting: Annotated[
        int, Setting("Most brackets and blocks inside each other in a query.", IntRange(1, 200))
    ] = _QUERY.nesting_max
    max_query_periods: Annotated[int, Setting("Most periods of one query.", _COUNT)] = _QUERY.periods_max
    max_queries: Annotated[int, Setting("Most queries that run at one time.  [default: one a core]", _COUNT)] = (
        _QUERY.running_max
    )
    max_queries_waiting: Annotated[int, Setting("Most queries that wait for their turn.", _COUNT_OR_NONE)] = (
        _QUERY.waiting_max
    )
    max_bodies_bytes: Annotated[int, Setting("All bodies that come in at one time; the next one waits.", _COUNT)] = (
        _EDGE.bodies_bytes
    )
    max_request_line_bytes: Annotated[int, Setting("Longest method, path and query.", IntRange(64))] = (
        _EDGE.request_line_bytes
    )
    max_header_bytes: Annotated[int, Setting("Longest headers of a request, all together.", IntRange(256))] = (
        _EDGE.header_bytes
    )
    max_headers: Annotated[int, Setting("Most headers of a request.", IntRange(16))] = _EDGE.headers
    max_header_s: Annotated[float, Setting("Longest time for the headers to arrive, seconds.", Seconds(1))] = (
        _EDGE.header_s
    )
    max_silence_s: Annotated[float, Setting("Longest silence inside a body, seconds.", Seconds(1))] = _EDGE.silence_s
    max_unread_s: Annotated[
        float, Setting("Longest time in which a client reads nothing of its answer, seconds.", Seconds(1))
    ] = _EDGE.unread_s
    max_json_nesting: Annotated[int, Setting("Most objects and lists inside each other.", IntRange(1, NESTING_MAX))] = (
        NESTING_MAX
    )
    max_rules: Annotated[int, Setting("Most rules of `privacy_filters`, and of `retention`.", _COUNT)] = RULES_MAX
    max_pattern_bytes: Annotated[int, Setting("Longest pattern of a filter, UTF-8.", IntRange(1, 1 << 20))] = (
        PATTERN_BYTES_MAX
    )
    max_form_parts: Annotated[int, Setting("Most parts of an import that is a form.", _COUNT)] = _EDGE.form_parts
    max_form_header_bytes: Annotated[int, Setting("Longest header of such a part.", IntRange(64))] = (
        _EDGE.form_header_bytes
    )
    max_connections: Annotated[int, Setting("Most connections; more wait.  [default: open files less 128]", _COUNT)]
    max_connections_per_address: Annotated[int, Setting("Most connections of one address.", _COUNT)] = (
        _EDGE.connections_per_address
    )
    fast_lane: Annotated[
        bool,
        Setting(
            "Answer plain heartbeats in front of the HTTP library; the answers are the same.",
            flag="--fast-lane/--no-fast-lane",
        ),
    ] = True

    # Who may ask, and from where

    api_key: Annotated[
        str | None,
        Setting(
            "A token for everything. Others on this machine see flags: better in a file or the environment.",
            metavar="KEY",
        ),
    ] = None
    api_key_file: Annotated[Path | None, Setting("A file that holds the API key.", _FILE_HERE)] = None
    require_tokens: Annotated[bool, Setting("Let nobody in without a token, also while there are none.")] = False
    tls_cert: Annotated[Path | None, Setting("Certificate chain (PEM): speak TLS only.", _FILE_HERE)] = None
    tls_key: Annotated[Path | None, Setting("Its key, if not in the same file.", _FILE_HERE)] = None
    tls_client_ca: Annotated[
        Path | None, Setting("Let in only clients with a certificate of one of these authorities.", _FILE_HERE)
    ] = None
    tls_min_version: Annotated[str, Setting("Oldest version of TLS.", Choice(["1.2", "1.3"]))] = "1.2"
    allow_hosts: Annotated[
        tuple[str, ...],
        Setting(
            "A name that this server is asked for by, beside the address it listens on. May be given several times.",
            metavar="NAME",
            flag="--allow-host",
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Setting(
            "Address or network of a proxy of yours, or `unix`: what it says of its clients is believed. "
            "May be given several times.",
            ProxyAddress(),
            flag="--trusted-proxy",
        ),
    ] = ()
    base_path: Annotated[str, Setting("Serve everything below this path, /awlog for example.", BasePath())] = ""
    unix_socket: Annotated[Path | None, Setting("Listen on this Unix socket, too.", _ANY_PATH)] = None
    unix_socket_mode: Annotated[str, Setting("Who may open it, as for chmod.", FileMode())] = "600"
    insecure: Annotated[bool, Setting("Let other machines in without TLS or tokens, if that is so.")] = False

    # What the server does by itself

    backup_dir: Annotated[
        Path | None, Setting("Where the server puts its backups; without it, it makes none.", _DIRECTORY)
    ] = None
    backup_interval_s: Annotated[
        float, Setting("Seconds from one backup to the next; 0: only when asked.", Seconds(0))
    ] = BACKUP_INTERVAL_S
    backup_keep: Annotated[int, Setting("How many of the server's own backups are kept.", _COUNT)] = BACKUP_KEEP
    reserve_bytes: Annotated[
        int, Setting("Room on the disk that is kept so that deleting works when it is full.", _COUNT_OR_NONE)
    ] = RESERVE_BYTES
    forward_url: Annotated[
        str | None, Setting("A hub, another awlog, to which all that is recorded here is pushed.", metavar="URL")
    ] = None
    forward_token: Annotated[
        str | None,
        Setting("A token of the hub's with the scope write; better in the file below.", metavar="TOKEN"),
    ] = None
    forward_token_file: Annotated[Path | None, Setting("A file that holds nothing but that token.", _FILE)] = None
    forward_interval_s: Annotated[
        float, Setting("Seconds from one push to the next; after failures up to ten minutes.", _INTERVAL)
    ] = FORWARD_INTERVAL_S
    forward_warn_s: Annotated[
        float, Setting("A change that is unsent for so long is a warning in /readyz.", Seconds(0.1, 31_536_000))
    ] = FORWARD_WARN_S
    forward_prefixes: Annotated[
        tuple[str, ...],
        Setting(
            "Push only buckets whose id begins so. May be given several times.",
            metavar="PREFIX",
            flag="--forward-prefix",
        ),
    ] = ()
    max_jobs_waiting: Annotated[
        int, Setting("Most jobs (erasing, privacy filters, retention) that wait for their turn.", _COUNT)
    ] = JOBS_WAITING_MAX
    webhook_urls: Annotated[
        tuple[str, ...],
        Setting("Is told all changes, signed. May be given several times.", metavar="URL", flag="--webhook-url"),
    ] = ()
    webhook_secret_file: Annotated[
        Path | None, Setting("A file that holds nothing but the secret that deliveries are signed with.", _FILE)
    ] = None
    webhook_prefixes: Annotated[
        tuple[str, ...],
        Setting(
            "Tell only of buckets whose id begins so. May be given several times.",
            metavar="PREFIX",
            flag="--webhook-prefix",
        ),
    ] = ()
    webhook_allow_private: Annotated[bool, Setting("Webhooks may be on this machine and in private networks.")] = False
    webhook_interval_s: Annotated[float, Setting("Seconds from one look for changes to the next.", _INTERVAL)] = (
        WEBHOOK_INTERVAL_S
    )
    retention_interval_s: Annotated[
        float, Setting("Seconds from one run of the setting `retention` to the next; 0: only when asked.", Seconds(0))
    ] = RETENTION_INTERVAL_S
