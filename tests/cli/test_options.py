"""Where a setting comes from: a flag, else the environment, else the file, else a default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import Result

from awlog.cli import options
from awlog.cli.options import connections_max, default_data_dir
from awlog.model.errors import CannotStart
from tests.cli.conftest import Run

MANUAL = Path(__file__).parents[2] / "awlog/docs/settings.md"


class Setting(NamedTuple):
    """How one setting is given in each place, and how `awlog config` shows what came from there."""

    name: str
    flag: tuple[str, ...]
    variable: tuple[str, str]
    in_file: str
    shown: dict[str, str]


def simple(name: str, flag: str, environment: str, file: str, default: str) -> Setting:
    """A setting with one value; numbers stand bare in the file, texts in quotes."""
    word = name.replace("_", "-")
    in_file = f"{name} = {file if file.isdigit() else repr(file)}"
    shown = {"flag": flag, "environment": environment, "file": file, "default": default}
    return Setting(name, (f"--{word}", flag), (f"AWLOG_{name.upper()}", environment), in_file, shown)


def seconds(name: str, default: str) -> Setting:
    """A setting that is a number of seconds, perhaps with a fraction."""
    flag, variable = f"--{name.replace('_', '-')}", f"AWLOG_{name.upper()}"
    shown = {"flag": "1.5", "environment": "60.0", "file": "2.5", "default": default}
    return Setting(name, (flag, "1.5"), (variable, "60"), f"{name} = 2.5", shown)


def switch(name: str) -> Setting:
    """What is off unless somebody says it."""
    shown = {"flag": "True", "environment": "True", "file": "True", "default": "False"}
    word = name.replace("_", "-")
    return Setting(name, (f"--{word}",), (f"AWLOG_{name.upper()}", "true"), f"{name} = true", shown)


def several(name: str, flag: str, variable: str) -> Setting:
    """A setting with many values; addresses are names too."""
    shown = {
        "flag": "('10.0.0.1', '10.0.0.2')",
        "environment": "('10.0.0.3',)",
        "file": "('10.0.0.4',)",
        "default": "()",
    }
    return Setting(name, (flag, "10.0.0.1", flag, "10.0.0.2"), (variable, "10.0.0.3"), f'{name} = ["10.0.0.4"]', shown)


SETTINGS = [
    simple("host", "10.0.0.1", "10.0.0.2", "10.0.0.3", "127.0.0.1"),
    simple("port", "5701", "5702", "5703", "5600"),
    simple("data_dir", "/one", "/two", "/three", str(default_data_dir(testing=False))),
    simple("log_format", "json", "json", "json", "console"),
    simple("log_level", "debug", "warning", "error", "info"),
    simple("webui", "/", "/usr", "/tmp", "None"),
    simple("max_body_bytes", "1", "2", "3", str(64 << 20)),
    simple("max_import_bytes", "4", "5", "6", "1000000000"),
    simple("cache_bytes", "0", "8", "9", str(64 << 20)),
    simple("max_query_memory_bytes", "10", "11", "12", str(512 << 20)),
    simple("max_query_bytes", "10", "11", "12", str(1 << 20)),
    simple("max_query_nesting", "10", "11", "12", "100"),
    simple("max_query_periods", "10", "11", "12", "10000"),
    simple("forward_url", "http://a", "http://b", "http://c", "None"),
    Setting(
        "forward_token",
        ("--forward-token", "one"),
        ("AWLOG_FORWARD_TOKEN", "two"),
        "forward_token = 'three'",
        {"flag": "(not shown)", "environment": "(not shown)", "file": "(not shown)", "default": "None"},
    ),
    simple("forward_token_file", "/one", "/two", "/three", "None"),
    seconds("forward_interval_s", "30.0"),
    seconds("forward_warn_s", "86400.0"),
    several("forward_prefixes", "--forward-prefix", "AWLOG_FORWARD_PREFIXES"),
    several("webhook_urls", "--webhook-url", "AWLOG_WEBHOOK_URLS"),
    simple("webhook_secret_file", "/one", "/two", "/three", "None"),
    several("webhook_prefixes", "--webhook-prefix", "AWLOG_WEBHOOK_PREFIXES"),
    switch("webhook_allow_private"),
    seconds("webhook_interval_s", "2.0"),
    simple("backup_dir", "/one", "/two", "/three", "None"),
    simple("backup_keep", "1", "2", "3", "7"),
    simple("reserve_bytes", "0", "1", "2", str(4 << 20)),
    simple("api_key_file", "/etc/hosts", "/etc/passwd", "/etc/group", "None"),
    simple("tls_cert", "/etc/hosts", "/etc/passwd", "/etc/group", "None"),
    simple("tls_min_version", "1.3", "1.3", "1.3", "1.2"),
    simple("base_path", "/a", "/a/b", "/c", ""),
    simple("unix_socket", "/one", "/two", "/three", "None"),
    Setting(
        "unix_socket_mode",
        ("--unix-socket-mode", "660"),
        ("AWLOG_UNIX_SOCKET_MODE", "666"),
        "unix_socket_mode = '640'",
        {"flag": "660", "environment": "666", "file": "640", "default": "600"},
    ),
    Setting(
        "api_key",
        ("--api-key", "one"),
        ("AWLOG_API_KEY", "two"),
        "api_key = 'three'",
        {"flag": "(not shown)", "environment": "(not shown)", "file": "(not shown)", "default": "None"},
    ),
    switch("require_tokens"),
    switch("insecure"),
    several("allow_hosts", "--allow-host", "AWLOG_ALLOW_HOSTS"),
    several("trusted_proxies", "--trusted-proxy", "AWLOG_TRUSTED_PROXIES"),
    simple("tls_key", "/etc/hosts", "/etc/passwd", "/etc/group", "None"),
    simple("tls_client_ca", "/etc/hosts", "/etc/passwd", "/etc/group", "None"),
    Setting(
        "backup_interval_s",
        ("--backup-interval-s", "0"),
        ("AWLOG_BACKUP_INTERVAL_S", "3600"),
        "backup_interval_s = 60",
        {"flag": "0.0", "environment": "3600.0", "file": "60.0", "default": "86400.0"},
    ),
    Setting(
        "retention_interval_s",
        ("--retention-interval-s", "0"),
        ("AWLOG_RETENTION_INTERVAL_S", "60"),
        "retention_interval_s = 600",
        {"flag": "0.0", "environment": "60.0", "file": "600.0", "default": "3600.0"},
    ),
    simple("max_jobs_waiting", "10", "11", "12", "16"),
    simple("max_queries", "10", "11", "12", str(os.cpu_count())),
    simple("max_queries_waiting", "10", "11", "12", "64"),
    simple("max_bodies_bytes", "10", "11", "12", str(256 << 20)),
    simple("max_request_line_bytes", "100", "101", "102", str(16 << 10)),
    simple("max_header_bytes", "1000", "1001", "1002", str(64 << 10)),
    simple("max_headers", "100", "101", "102", "128"),
    simple("max_json_nesting", "10", "11", "12", "500"),
    simple("max_rules", "10", "11", "12", "500"),
    simple("max_pattern_bytes", "10", "11", "12", "4096"),
    simple("max_form_parts", "10", "11", "12", "100"),
    simple("max_form_header_bytes", "100", "101", "102", str(8 << 10)),
    simple("max_connections", "10", "11", "12", str(connections_max())),
    simple("max_connections_per_address", "10", "11", "12", "4096"),
    seconds("max_header_s", "20.0"),
    seconds("max_silence_s", "30.0"),
    seconds("max_unread_s", "60.0"),
    Setting(
        "max_query_s",
        ("--max-query-s", "0.5"),
        ("AWLOG_MAX_QUERY_S", "60"),
        "max_query_s = 2.5",
        {"flag": "0.5", "environment": "60.0", "file": "2.5", "default": "30.0"},
    ),
    Setting(
        "access_log",
        ("--access-log",),
        ("AWLOG_ACCESS_LOG", "true"),
        "access_log = true",
        {"flag": "True", "environment": "True", "file": "True", "default": "False"},
    ),
    Setting(
        "fast_lane",
        ("--no-fast-lane",),
        ("AWLOG_FAST_LANE", "false"),
        "fast_lane = false",
        {"flag": "False", "environment": "False", "file": "False", "default": "True"},
    ),
    Setting(
        "cors_origins",
        ("--cors-origin", "https://a", "--cors-origin", "https://b"),
        ("AWLOG_CORS_ORIGINS", "https://c https://d"),
        'cors_origins = ["https://e", "https://f"]',
        {
            "flag": "('https://a', 'https://b')",
            "environment": "('https://c', 'https://d')",
            "file": "('https://e', 'https://f')",
            "default": "()",
        },
    ),
    Setting(
        "custom_static",
        ("--custom-static", "a=/one", "--custom-static", "b=/two"),
        ("AWLOG_CUSTOM_STATIC", "c=/three d=/four"),
        'custom_static = { e = "/five", f = "/six" }',
        {
            "flag": "{'a': PosixPath('/one'), 'b': PosixPath('/two')}",
            "environment": "{'c': PosixPath('/three'), 'd': PosixPath('/four')}",
            "file": "{'e': PosixPath('/five'), 'f': PosixPath('/six')}",
            "default": "{}",
        },
    ),
]
PLACES = ("flag", "environment", "file")
by_name = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


def shown(result: Result, name: str) -> tuple[str, str]:
    """The value of a setting and where it comes from, as `awlog config` prints them."""
    assert result.exit_code == 0, result.output
    found = re.search(rf"^{name} +(.*?) +(flag|environment|file|default)$", result.output, re.MULTILINE)
    assert found is not None, result.output
    return found.group(1), found.group(2)


@by_name
@pytest.mark.parametrize(
    "given", range(8), ids=lambda bits: "+".join(p for i, p in enumerate(PLACES) if bits >> i & 1) or "none"
)
def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(
    run: Run, default_file: Path, setting: Setting, given: int
) -> None:
    """For every setting, whichever of the three places hold one."""
    places = [place for i, place in enumerate(PLACES) if given >> i & 1]
    if "file" in places:
        default_file.write_text(setting.in_file)
    environment = dict([setting.variable]) if "environment" in places else {}
    result = run("config", *(setting.flag if "flag" in places else ()), **environment)
    expected = places[0] if places else "default"
    assert shown(result, setting.name) == (setting.shown[expected], expected)


def test_every_setting_of_a_server_is_in_the_table_above(run: Run) -> None:
    """And `testing`, which says which table of the file counts and is therefore not in it."""
    names = [line.split()[0] for line in run("config").output.splitlines()]
    assert sorted(names) == sorted(["testing", *(setting.name for setting in SETTINGS)])


@by_name
@pytest.mark.parametrize("testing", [False, True])
def test_the_testing_table_overrides_the_file_in_testing_mode_only(
    run: Run, default_file: Path, setting: Setting, testing: bool
) -> None:
    """Every setting can stand in both; what stands in neither table has its default."""
    before, _, after = setting.in_file.partition(" = ")
    other = SETTINGS[0] if setting.name != "host" else SETTINGS[3]
    default_file.write_text(f"{other.in_file}\n[testing]\n{before} = {after}\n")
    result = run("config", *(["--testing"] if testing else []))
    assert shown(result, other.name) == (other.shown["file"], "file")
    if testing:
        assert shown(result, setting.name) == (setting.shown["file"], "file")
    else:
        assert shown(result, setting.name) == (setting.shown["default"], "default")


@pytest.mark.parametrize("name", ["port", "data_dir"])
def test_a_testing_server_never_takes_the_place_of_the_one_for_real(run: Run, default_file: Path, name: str) -> None:
    """Its port and its data directory do not come from the top of the file: there deleting needs no `force`."""
    setting = next(one for one in SETTINGS if one.name == name)
    default_file.write_text(setting.in_file)
    assert shown(run("config"), name) == (setting.shown["file"], "file")
    assert shown(run("config", "--testing"), name)[1] == "default"


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param(["--testing"], {}, id="flag"),
        pytest.param([], {"AWLOG_TESTING": "1"}, id="environment"),
        pytest.param(["--testing", "--config", "FILE"], {}, id="flag before the file"),
        pytest.param(["--config", "FILE", "--testing"], {}, id="flag after the file"),
        pytest.param(["--config", "FILE", "--port", "5705", "--testing"], {}, id="flag after a setting"),
        pytest.param(["--testing"], {"AWLOG_CONFIG": "FILE"}, id="the file in the environment"),
        pytest.param([], {"AWLOG_CONFIG": "FILE", "AWLOG_TESTING": "1"}, id="both in the environment"),
    ],
)
def test_testing_mode_counts_wherever_it_is_said(
    run: Run, default_file: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    """Before or after the file is named, as a flag or in the environment."""
    default_file.write_text('host = "10.0.0.1"\n[testing]\nhost = "10.0.0.2"\n')
    named = [str(default_file) if word == "FILE" else word for word in arguments]
    variables = {name: str(default_file) if value == "FILE" else value for name, value in environment.items()}
    assert shown(run("config", *named, **variables), "host") == ("10.0.0.2", "file")


@pytest.mark.parametrize(("flags", "port", "folder"), [([], "5600", "awlog"), (["--testing"], "5666", "awlog-testing")])
def test_testing_mode_has_a_port_and_a_data_directory_of_its_own(
    run: Run, flags: list[str], port: str, folder: str
) -> None:
    """So trying something out never touches the real data."""
    result = run("config", *flags)
    assert shown(result, "port") == (port, "default")
    assert Path(shown(result, "data_dir")[0]).name == folder


UNKNOWN = ["prot", "Port", "max-body-bytes", "cors_origin", "config", "testing_port", "as_json", "digest"]


@pytest.mark.parametrize("table", ["", "[testing]\n"], ids=["at the top", "in the testing table"])
@pytest.mark.parametrize(
    ("command", "name"),
    [*(("config", name) for name in UNKNOWN), ("paths", "prot"), ("verify", "digest"), ("stats", "as_json")],
)
def test_an_unknown_setting_in_the_file_is_named(
    run: Run, default_file: Path, command: str, name: str, table: str
) -> None:
    """With the file and the settings there are; also in the table that does not count now, so that a slip shows early."""
    default_file.write_text(f"{table}{name} = 1\n")
    result = run(command)
    assert result.exit_code == 2
    assert repr(name) in result.output
    assert str(default_file) in result.output.replace("\n", "")
    assert "cache_bytes" in result.output


@pytest.mark.parametrize("command", ["paths", "verify", "stats"])
def test_one_file_serves_every_command(run: Run, default_file: Path, tmp_path: Path, command: str) -> None:
    """Settings that only the server needs are no mistake where they are not used; `data_dir` counts everywhere."""
    data_dir = tmp_path / "nothing here"
    lines = [setting.in_file for setting in SETTINGS if setting.name != "data_dir"]
    default_file.write_text("\n".join([f"data_dir = {str(data_dir)!r}", *lines, "[testing]", "port = 5704"]))
    result = run(command)
    if command == "paths":
        assert result.exit_code == 0, result.output
        assert str(data_dir) in result.output
    else:
        assert isinstance(result.exception, CannotStart), result.output
        assert str(data_dir) in str(result.exception)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = ", "TOML"),
        ("port == 1", "TOML"),
        ("port = 5600\nport = 5601", "TOML"),
        ("port = 0", "--port"),
        ("port = 65536", "--port"),
        ('port = "many"', "'port'"),
        ("port = true", "'port'"),
        ("data_dir = 5", "'data_dir'"),
        ("cache_bytes = 1.5", "'cache_bytes'"),
        ("max_query_s = inf", "--max-query-s"),
        ("max_query_s = nan", "--max-query-s"),
        ('log_format = "xml"', "--log-format"),
        ('log_level = "loud"', "--log-level"),
        ("max_body_bytes = 0", "--max-body-bytes"),
        ("cache_bytes = -1", "--cache-bytes"),
        ('webui = "/no/such/folder"', "--webui"),
        ('custom_static = ["no-folder"]', "NAME=DIRECTORY"),
        ('custom_static = ["=/folder"]', "NAME=DIRECTORY"),
        ('custom_static = ["a/b=/folder"]', "NAME=DIRECTORY"),
        ("testing = true", "'testing'"),
    ],
)
def test_a_bad_file_is_a_usage_error_that_says_what_is_wrong(
    run: Run, default_file: Path, text: str, complaint: str
) -> None:
    """Exit status 2, no traceback."""
    default_file.write_text(text)
    result = run("config")
    assert result.exit_code == 2
    assert complaint in result.output


def test_a_path_in_the_file_may_begin_with_the_home_directory(
    run: Run, default_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As it may on a command line."""
    monkeypatch.setenv("HOME", str(tmp_path))
    default_file.write_text('data_dir = "~/events"')
    assert str(tmp_path / "events") in run("paths").output


def test_a_file_that_is_named_must_be_there(run: Run, tmp_path: Path, default_file: Path) -> None:
    """The default one need not be."""
    missing = tmp_path / "missing.toml"
    for result in (run("config", "--config", str(missing)), run("config", AWLOG_CONFIG=str(missing))):
        assert result.exit_code == 2
        assert "missing.toml" in result.output.replace("\n", "")
    assert run("config").exit_code == 0
    default_file.write_bytes(b"\xff")
    assert "TOML" in run("config").output


def test_a_default_file_that_cannot_be_looked_for_is_an_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the same as none: it may say who gets in."""
    monkeypatch.setattr(options, "_CONFIG_FILE", tmp_path / ("x" * 300) / "config.toml")
    result = run("config")
    assert result.exit_code == 2
    assert "cannot be read" in result.output.replace("\n", " ")


def test_a_file_that_is_named_goes_before_the_default_one(run: Run, tmp_path: Path, default_file: Path) -> None:
    """It replaces it as a whole."""
    default_file.write_text("port = 5703\nhost = '10.0.0.3'\n")
    named = tmp_path / "named.toml"
    named.write_text("port = 5704\n")
    result = run("config", "--config", str(named))
    assert shown(result, "port") == ("5704", "file")
    assert shown(result, "host") == ("127.0.0.1", "default")


def test_the_file_that_the_manual_shows_is_understood(run: Run, default_file: Path, tmp_path: Path) -> None:
    """Word for word, but for the folder of the web UI."""
    found = re.search(r"```toml\n(.*?)```", MANUAL.read_text("utf-8"), re.DOTALL)
    assert found is not None
    default_file.write_text(found.group(1).replace("/opt/aw-webui/dist", str(tmp_path)))
    result = run("config", "--testing")
    for name in ("webui", "cors_origins", "custom_static", "log_level"):
        assert shown(result, name)[1] == "file"
    assert shown(result, "port") == ("5666", "default"), "the port of the server for real is not the testing one's"
    assert shown(run("config"), "port") == ("5600", "file")
