"""Options and where their values come from: a flag, else `AWLOG_…` in the environment, else the file, else a default."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, get_origin, get_type_hints

import click
import platformdirs
from msgspec import Struct

from awlog.api.configuration import BODY_BYTES_MAX, IMPORT_BYTES_MAX, EdgeLimits
from awlog.api.proxies import UNIX_PEER, Proxies
from awlog.engine.backups import BACKUP_INTERVAL_S, BACKUP_KEEP
from awlog.engine.forwarder import FORWARD_INTERVAL_S, FORWARD_WARN_S
from awlog.engine.jobs import JOBS_WAITING_MAX
from awlog.engine.readers import QueryLimits
from awlog.engine.retention import RETENTION_INTERVAL_S
from awlog.engine.store import CACHE_BYTES
from awlog.engine.webhooks import WEBHOOK_INTERVAL_S
from awlog.model.payload import NESTING_MAX
from awlog.storage.room import RESERVE_BYTES

_QUERY_LIMITS: Final = QueryLimits()
_BASE_PATH: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+")
_FILE_MODE: Final = re.compile(r"[0-7]{3}")
_F = TypeVar("_F", bound=Callable[..., Any])

PORT: Final = 5600
TESTING_PORT: Final = 5666
# Open files of the server itself: the store, reader processes and their pipes, sockets, backups.
_OWN_FILES: Final = 128
_TUPLES: Final = ("forward_prefixes", "webhook_urls", "webhook_prefixes")
# In the tables [forward] and [webhook] of the file, where it is not simply the setting's name without the table's.
_TABLE_NAMES: Final = {"bucket_prefixes": "prefixes"}
_CONFIG_FILE: Final = Path(platformdirs.user_config_dir("awlog", appauthor=False)) / "config.toml"


class ServerConfig(Struct, frozen=True):
    """All settings of a server, resolved."""

    testing: bool
    data_dir: Path
    host: str
    port: int
    log_format: str
    log_level: str
    access_log: bool
    webui: Path | None
    custom_static: dict[str, Path]
    cors_origins: tuple[str, ...]
    max_body_bytes: int
    max_import_bytes: int
    cache_bytes: int
    max_query_s: float
    max_query_memory_bytes: int
    max_query_bytes: int
    max_query_nesting: int
    max_query_periods: int
    max_queries: int
    max_queries_waiting: int
    max_bodies_bytes: int
    max_request_line_bytes: int
    max_header_bytes: int
    max_header_s: float
    max_silence_s: float
    max_unread_s: float
    max_json_nesting: int
    max_form_parts: int
    max_form_header_bytes: int
    max_connections: int
    max_connections_per_address: int
    fast_lane: bool
    api_key: str | None
    api_key_file: Path | None
    require_tokens: bool
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    tls_min_version: str
    allow_hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    base_path: str
    unix_socket: Path | None
    unix_socket_mode: str
    insecure: bool
    backup_dir: Path | None
    backup_interval_s: float
    backup_keep: int
    reserve_bytes: int
    retention_interval_s: float
    forward_url: str | None
    forward_token: str | None
    forward_token_file: Path | None
    forward_interval_s: float
    forward_warn_s: float
    forward_prefixes: tuple[str, ...]
    max_jobs_waiting: int
    webhook_urls: tuple[str, ...]
    webhook_secret_file: Path | None
    webhook_prefixes: tuple[str, ...]
    webhook_allow_private: bool
    webhook_interval_s: float


# What may stand in the file, whichever command reads it.
_SETTINGS: Final = {*ServerConfig.__struct_fields__} - {"testing"}


def _kinds_in_file(hint: Any) -> tuple[type, ...]:
    """What a setting of this type may be in the file: a text, if it is nothing else."""
    kinds: dict[Any, tuple[type, ...]] = {
        bool: (bool,),
        int: (int,),
        float: (int, float),
        tuple: (list,),
        dict: (list, dict),
    }
    return kinds.get(get_origin(hint) or hint, (str,))


_HINTS: Final = get_type_hints(ServerConfig)
_KINDS: Final = {name: _kinds_in_file(_HINTS[name]) for name in _SETTINGS}
_PATHS: Final = {name for name in _SETTINGS if _HINTS[name] in (Path, Path | None)}


def connections_max() -> int:
    """As many as files may be open, but for those that the server itself needs."""
    if sys.platform == "win32":
        return EdgeLimits().connections
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return EdgeLimits().connections if hard == resource.RLIM_INFINITY else max(16, hard - _OWN_FILES)


def default_data_dir(*, testing: bool) -> Path:
    return Path(platformdirs.user_data_dir("awlog-testing" if testing else "awlog", appauthor=False))


def load_file(path: Path, *, testing: bool, known: set[str]) -> dict[str, Any]:
    """The settings of a TOML file: top-level keys, in testing mode overridden by those of `[testing]`;
    port and data directory then come from there only.

    Raises UsageError that names the file for bad TOML and for a setting that does not exist.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} is no valid TOML: {error}") from None
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    for table in ("forward", "webhook"):
        inner = document.pop(table, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"{path}: `{table}` is a table: [{table}], and its settings below it")
        document |= {f"{table}_{_TABLE_NAMES.get(name, name)}": value for name, value in inner.items()}
    overrides = document.pop("testing", {}) if isinstance(document.get("testing", {}), dict) else {}
    # In testing mode the file's own port and data directory are somebody else's: those of the server for real.
    shared = {name: value for name, value in document.items() if not (testing and name in ("port", "data_dir"))}
    values = {**shared, **(overrides if testing else {})}
    unknown = sorted(({*document, *overrides}) - known)
    if unknown:
        raise click.UsageError(f"{path}: there is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
    for name, value in values.items():
        kinds = _KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise click.UsageError(f"{path}: the value of {name!r} is of the wrong kind")
    for name in _PATHS & values.keys():  # a shell would have done it
        values[name] = str(Path(values[name]).expanduser())
    pages = values.get("custom_static")
    if isinstance(pages, dict):
        values["custom_static"] = [f"{name}={folder}" for name, folder in pages.items()]
    return values


def _read_config(context: click.Context, _parameter: click.Parameter, given: Path | None) -> Path | None:
    """Makes the file's settings the defaults of the other options."""
    path = given or _CONFIG_FILE
    if given is not None or path.exists():
        context.default_map = load_file(path, testing=bool(context.params.get("testing")), known=_SETTINGS)
    return path


def _named_folders(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, Path]:
    pages = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or not name or "/" in name or not folder:
            raise click.BadParameter(f"{text!r} is not of the form NAME=DIRECTORY")
        pages[name] = Path(folder)
    return pages


def _base_path(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    path = given.rstrip("/")
    if path and _BASE_PATH.fullmatch(path) is None:
        raise click.BadParameter(f"{given!r} is no path like /awlog, of letters, digits, `-`, `_` and `.`")
    return path


def _proxies(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Proxies(given)
    except ValueError as error:
        raise click.BadParameter(f"{error}; give an address, a network, or `{UNIX_PEER}`") from None
    return given


def _file_mode(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    if _FILE_MODE.fullmatch(given) is None:
        raise click.BadParameter(f"{given!r} is no file mode like 600 or 660")
    return given


class _Seconds(click.FloatRange):
    """A range of floats, which `nan` is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if seconds != seconds:
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


_TESTING = click.option(
    "--testing", is_flag=True, is_eager=True, envvar="AWLOG_TESTING", help="Port 5666 and a data directory of its own."
)
_CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="AWLOG_CONFIG",
    callback=_read_config,
    # Not eager, like --testing, which it asks for; and declared before the options that it gives defaults to.
    help=f"TOML file with these settings (data_dir, host, ...).  [default: {_CONFIG_FILE.name} where `awlog paths` says]",
)
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="AWLOG_DATA_DIR",
    help="Where the data are.  [default: as `awlog paths` says]",
)


# Limits of what requests and connections may take: name, range, default, what it is the most of.
_EDGE: Final = EdgeLimits()
_LIMITS: Final[tuple[tuple[str, click.ParamType[Any], Any, str], ...]] = (
    (
        "queries",
        click.IntRange(1),
        _QUERY_LIMITS.running_max,
        "Most queries that run at one time.  [default: one a core]",
    ),
    ("queries-waiting", click.IntRange(0), _QUERY_LIMITS.waiting_max, "Most queries that wait for their turn."),
    ("bodies-bytes", click.IntRange(1), _EDGE.bodies_bytes, "All bodies that come in at one time; the next one waits."),
    ("request-line-bytes", click.IntRange(64), _EDGE.request_line_bytes, "Longest method, path and query."),
    ("header-bytes", click.IntRange(256), _EDGE.header_bytes, "Longest headers of a request, all together."),
    ("header-s", _Seconds(1), _EDGE.header_s, "Longest time for the headers to arrive, seconds."),
    ("silence-s", _Seconds(1), _EDGE.silence_s, "Longest silence inside a body, seconds."),
    ("unread-s", _Seconds(1), _EDGE.unread_s, "Longest time in which a client reads nothing of its answer, seconds."),
    ("json-nesting", click.IntRange(1, NESTING_MAX), NESTING_MAX, "Most objects and lists inside each other."),
    ("form-parts", click.IntRange(1), _EDGE.form_parts, "Most parts of an import that is a form."),
    ("form-header-bytes", click.IntRange(64), _EDGE.form_header_bytes, "Longest header of such a part."),
    ("connections", click.IntRange(1), None, "Most connections; more wait.  [default: open files less 128]"),
    ("connections-per-address", click.IntRange(1), _EDGE.connections_per_address, "Most connections of one address."),
)


def _limit(name: str, kind: click.ParamType[Any], default: Any, says: str) -> Callable[[_F], _F]:
    return click.option(
        f"--max-{name}",
        type=kind,
        default=default,
        show_default="[default" not in says,
        envvar=f"AWLOG_MAX_{name.upper().replace('-', '_')}",
        help=says,
    )


def data_dir_options(command: _F) -> _F:
    """`--testing`, `--config` and `--data-dir`: for commands that only look at a data directory."""
    return _TESTING(_CONFIG(_DATA_DIR(command)))


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ACCESS = [
    click.option(
        "--api-key",
        metavar="KEY",
        envvar="AWLOG_API_KEY",
        help="A token for everything. Others on this machine see flags: better in a file or the environment.",
    ),
    click.option("--api-key-file", type=_FILE, envvar="AWLOG_API_KEY_FILE", help="A file that holds the API key."),
    click.option(
        "--require-tokens",
        is_flag=True,
        envvar="AWLOG_REQUIRE_TOKENS",
        help="Let nobody in without a token, also while there are none.",
    ),
    click.option("--tls-cert", type=_FILE, envvar="AWLOG_TLS_CERT", help="Certificate chain (PEM): speak TLS only."),
    click.option("--tls-key", type=_FILE, envvar="AWLOG_TLS_KEY", help="Its key, if not in the same file."),
    click.option(
        "--tls-client-ca",
        type=_FILE,
        envvar="AWLOG_TLS_CLIENT_CA",
        help="Let in only clients with a certificate of one of these authorities.",
    ),
    click.option(
        "--tls-min-version",
        type=click.Choice(["1.2", "1.3"]),
        default="1.2",
        show_default=True,
        envvar="AWLOG_TLS_MIN_VERSION",
        help="Oldest version of TLS.",
    ),
    click.option(
        "--allow-host",
        "allow_hosts",
        multiple=True,
        metavar="NAME",
        envvar="AWLOG_ALLOW_HOSTS",
        help="A name that this server is asked for by, beside the address it listens on. May be given several times.",
    ),
    click.option(
        "--trusted-proxy",
        "trusted_proxies",
        multiple=True,
        metavar="ADDRESS",
        envvar="AWLOG_TRUSTED_PROXIES",
        callback=_proxies,
        help="Address or network of a proxy of yours, or `unix`: what it says of its clients is believed. "
        "May be given several times.",
    ),
    click.option(
        "--base-path",
        default="",
        metavar="PATH",
        envvar="AWLOG_BASE_PATH",
        callback=_base_path,
        help="Serve everything below this path, /awlog for example.",
    ),
    click.option(
        "--unix-socket",
        type=click.Path(path_type=Path),
        envvar="AWLOG_UNIX_SOCKET",
        help="Listen on this Unix socket, too.",
    ),
    click.option(
        "--unix-socket-mode",
        default="600",
        show_default=True,
        metavar="MODE",
        envvar="AWLOG_UNIX_SOCKET_MODE",
        callback=_file_mode,
        help="Who may open it, as for chmod.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        envvar="AWLOG_INSECURE",
        help="Let other machines in without TLS or tokens, if that is so.",
    ),
]


def server_options(command: _F) -> _F:
    """Every setting of a server."""
    options = [
        _TESTING,
        _CONFIG,
        _DATA_DIR,
        click.option(
            "--host", default="127.0.0.1", show_default=True, envvar="AWLOG_HOST", help="Address to listen on."
        ),
        click.option(
            "--port", type=click.IntRange(1, 65535), envvar="AWLOG_PORT", help="[default: 5600, testing 5666]"
        ),
        click.option(
            "--log-format",
            type=click.Choice(["console", "json"]),
            default="console",
            show_default=True,
            envvar="AWLOG_LOG_FORMAT",
            help="Program messages on stderr: for people, or one JSON object a line.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            default="info",
            show_default=True,
            envvar="AWLOG_LOG_LEVEL",
        ),
        click.option(
            "--access-log/--no-access-log",
            default=False,
            show_default=True,
            envvar="AWLOG_ACCESS_LOG",
            help="A program message for each request; there is no fast lane then.",
        ),
        click.option(
            "--webui",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            envvar="AWLOG_WEBUI",
            help="A build of ActivityWatch's web UI to show at /.",
        ),
        click.option(
            "--custom-static",
            "custom_static",
            multiple=True,
            metavar="NAME=DIRECTORY",
            envvar="AWLOG_CUSTOM_STATIC",
            callback=_named_folders,
            help="A folder to show at /pages/NAME/. May be given several times.",
        ),
        click.option(
            "--cors-origin",
            "cors_origins",
            multiple=True,
            metavar="ORIGIN",
            envvar="AWLOG_CORS_ORIGINS",
            help="A web origin that may read and write, `*` as a wildcard. May be given several times.",
        ),
        click.option(
            "--max-body-bytes",
            type=click.IntRange(1),
            default=BODY_BYTES_MAX,
            show_default=True,
            envvar="AWLOG_MAX_BODY_BYTES",
            help="Longest JSON body.",
        ),
        click.option(
            "--max-import-bytes",
            type=click.IntRange(1),
            default=IMPORT_BYTES_MAX,
            show_default=True,
            envvar="AWLOG_MAX_IMPORT_BYTES",
            help="Longest body of an import.",
        ),
        click.option(
            "--cache-bytes",
            type=click.IntRange(0),
            default=CACHE_BYTES,
            show_default=True,
            envvar="AWLOG_CACHE_BYTES",
            help="Memory for decoded history, of the server and of each reader process.",
        ),
        click.option(
            "--max-query-s",
            type=_Seconds(0, 86_400, min_open=True),
            default=_QUERY_LIMITS.run_s_max,
            show_default=True,
            envvar="AWLOG_MAX_QUERY_S",
            help="Longest run of a query, seconds.",
        ),
        click.option(
            "--max-query-memory-bytes",
            type=click.IntRange(1),
            default=_QUERY_LIMITS.memory_bytes_max,
            show_default=True,
            envvar="AWLOG_MAX_QUERY_MEMORY_BYTES",
            help="Most that the values of a query may take.",
        ),
        click.option(
            "--max-query-bytes",
            type=click.IntRange(1),
            default=_QUERY_LIMITS.text_bytes_max,
            show_default=True,
            envvar="AWLOG_MAX_QUERY_BYTES",
            help="Longest text of a query.",
        ),
        click.option(
            "--max-query-nesting",
            type=click.IntRange(1, 200),
            default=_QUERY_LIMITS.nesting_max,
            show_default=True,
            envvar="AWLOG_MAX_QUERY_NESTING",
            help="Most brackets and blocks inside each other in a query.",
        ),
        click.option(
            "--max-query-periods",
            type=click.IntRange(1),
            default=_QUERY_LIMITS.periods_max,
            show_default=True,
            envvar="AWLOG_MAX_QUERY_PERIODS",
            help="Most periods of one query.",
        ),
        *(_limit(name, kind, default, says) for name, kind, default, says in _LIMITS),
        click.option(
            "--fast-lane/--no-fast-lane",
            default=True,
            show_default=True,
            envvar="AWLOG_FAST_LANE",
            help="Answer plain heartbeats in front of the HTTP library; the answers are the same.",
        ),
        *_ACCESS,
        click.option(
            "--backup-dir",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="AWLOG_BACKUP_DIR",
            help="Where the server puts its backups; without it, it makes none.",
        ),
        click.option(
            "--backup-interval-s",
            type=_Seconds(0),
            default=BACKUP_INTERVAL_S,
            show_default=True,
            envvar="AWLOG_BACKUP_INTERVAL_S",
            help="Seconds from one backup to the next; 0: only when asked.",
        ),
        click.option(
            "--backup-keep",
            type=click.IntRange(1),
            default=BACKUP_KEEP,
            show_default=True,
            envvar="AWLOG_BACKUP_KEEP",
            help="How many of the server's own backups are kept.",
        ),
        click.option(
            "--reserve-bytes",
            type=click.IntRange(0),
            default=RESERVE_BYTES,
            show_default=True,
            envvar="AWLOG_RESERVE_BYTES",
            help="Room on the disk that is kept so that deleting works when it is full.",
        ),
        click.option(
            "--forward-url",
            metavar="URL",
            envvar="AWLOG_FORWARD_URL",
            help="A hub, another awlog, to which all that is recorded here is pushed.",
        ),
        click.option(
            "--forward-token",
            metavar="TOKEN",
            envvar="AWLOG_FORWARD_TOKEN",
            help="A token of the hub's with the scope write; better in the file below.",
        ),
        click.option(
            "--forward-token-file",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="AWLOG_FORWARD_TOKEN_FILE",
            help="A file that holds nothing but that token.",
        ),
        click.option(
            "--forward-interval-s",
            type=_Seconds(0.1, 86_400),
            default=FORWARD_INTERVAL_S,
            show_default=True,
            envvar="AWLOG_FORWARD_INTERVAL_S",
            help="Seconds from one push to the next; after failures up to ten minutes.",
        ),
        click.option(
            "--forward-warn-s",
            type=_Seconds(0.1, 31_536_000),
            default=FORWARD_WARN_S,
            show_default=True,
            envvar="AWLOG_FORWARD_WARN_S",
            help="A change that is unsent for so long is a warning in /readyz.",
        ),
        click.option(
            "--forward-prefix",
            "forward_prefixes",
            multiple=True,
            metavar="PREFIX",
            envvar="AWLOG_FORWARD_PREFIXES",
            help="Push only buckets whose id begins so. May be given several times.",
        ),
        click.option(
            "--max-jobs-waiting",
            type=click.IntRange(1),
            default=JOBS_WAITING_MAX,
            show_default=True,
            envvar="AWLOG_MAX_JOBS_WAITING",
            help="Most jobs (erasing, privacy filters, retention) that wait for their turn.",
        ),
        click.option(
            "--webhook-url",
            "webhook_urls",
            multiple=True,
            metavar="URL",
            envvar="AWLOG_WEBHOOK_URLS",
            help="Is told all changes, signed. May be given several times.",
        ),
        click.option(
            "--webhook-secret-file",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="AWLOG_WEBHOOK_SECRET_FILE",
            help="A file that holds nothing but the secret that deliveries are signed with.",
        ),
        click.option(
            "--webhook-prefix",
            "webhook_prefixes",
            multiple=True,
            metavar="PREFIX",
            envvar="AWLOG_WEBHOOK_PREFIXES",
            help="Tell only of buckets whose id begins so. May be given several times.",
        ),
        click.option(
            "--webhook-allow-private",
            is_flag=True,
            envvar="AWLOG_WEBHOOK_ALLOW_PRIVATE",
            help="Webhooks may be on this machine and in private networks.",
        ),
        click.option(
            "--webhook-interval-s",
            type=_Seconds(0.1, 86_400),
            default=WEBHOOK_INTERVAL_S,
            show_default=True,
            envvar="AWLOG_WEBHOOK_INTERVAL_S",
            help="Seconds from one look for changes to the next.",
        ),
        click.option(
            "--retention-interval-s",
            type=_Seconds(0),
            default=RETENTION_INTERVAL_S,
            show_default=True,
            envvar="AWLOG_RETENTION_INTERVAL_S",
            help="Seconds from one run of the setting `retention` to the next; 0: only when asked.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def server_config(values: dict[str, Any]) -> ServerConfig:
    """The values of `server_options`, with the defaults that depend on others."""
    testing = values["testing"]
    resolved = {
        **{name: values[name] for name in ServerConfig.__struct_fields__},
        "data_dir": values["data_dir"] or default_data_dir(testing=testing),
        "max_connections": values["max_connections"] or connections_max(),
        "port": values["port"] or (TESTING_PORT if testing else PORT),
        **{name: tuple(values[name]) for name in ("cors_origins", "allow_hosts", "trusted_proxies", *_TUPLES)},
    }
    return ServerConfig(**resolved)
