"""Every command explains itself, and ends with the status that it promises."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from awlog import __version__
from awlog.cli.main import awlog
from awlog.storage.environment import DATA_FILE, create_if_new, prepare_directory
from tests.cli.conftest import Run

COMMANDS = sorted(awlog.commands)


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`awlog` in a process of its own: the exit status is what a shell sees."""
    return subprocess.run([sys.executable, "-m", "awlog", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["", *COMMANDS], ids=lambda command: command or "awlog")
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_help_has_an_example(run: Run, command: str, flag: str) -> None:
    """A line that can be typed as it stands."""
    result = run(*command.split(), flag)
    assert result.exit_code == 0
    assert re.search(rf"^  Example: .*\bawlog {command}", result.output, re.MULTILINE), result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_is_understood(run: Run, command: str) -> None:
    """Its flags exist and take the values it shows."""
    found = re.search(r"^  Example: (.*)$", run(command, "--help").output, re.MULTILINE)
    assert found is not None
    words = [word for word in shlex.split(found.group(1)) if not re.match(r"AWLOG_\w+=", word)]
    assert words[:2] == ["awlog", command]
    context = awlog.commands[command].make_context(command, words[2:])
    assert isinstance(context, click.Context)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is_for_or_what_it_takes(command: str) -> None:
    """A help text, choices, or a default."""
    for parameter in awlog.commands[command].params:
        if isinstance(parameter, click.Argument):  # the help text of the command speaks of it
            assert parameter.make_metavar(click.Context(awlog)).strip("[]") in (awlog.commands[command].help or "")
            continue
        assert isinstance(parameter, click.Option)
        described = parameter.help or isinstance(parameter.type, click.Choice)
        assert described, f"{command} {parameter.opts}"


def test_the_first_line_of_every_command_says_what_it_does(run: Run) -> None:
    """As `awlog --help` lists them."""
    output = run("--help").output
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z]", output, re.MULTILINE)


def test_without_a_command_it_serves(run: Run) -> None:
    """`awlog --testing` is `awlog serve --testing`: a wrong flag is the server's usage error."""
    result = run("--no-such-flag")
    assert result.exit_code == 2
    assert "Usage: awlog serve" in result.output


def test_the_version_is_the_packages(run: Run) -> None:
    """`awlog --version`."""
    assert __version__ in run("--version").output


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    """Exit status 2, and the word is named."""
    result = run("verfy")
    assert result.exit_code == 2
    assert "verfy" in result.output


@pytest.mark.parametrize("command", ["verify", "stats"])
def test_where_there_is_no_store_the_exit_status_is_3_and_nothing_is_made(tmp_path: Path, command: str) -> None:
    """The message says where it looked and what to do."""
    data_dir = tmp_path / "data"
    done = process(command, "--data-dir", str(data_dir))
    assert done.returncode == 3
    assert str(data_dir) in done.stderr
    assert "awlog paths" in done.stderr
    assert "Traceback" not in done.stderr
    assert not data_dir.exists()


def test_verify_says_of_a_new_store_that_it_is_whole(tmp_path: Path) -> None:
    """Exit status 0; `--digest` prints a digest alone, equal for equal content."""
    data_dir = tmp_path / "data"
    prepare_directory(data_dir)
    create_if_new(data_dir)
    done = process("verify", "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr
    digests = [process("verify", "--digest", "--data-dir", str(data_dir)).stdout for _ in range(2)]
    assert re.fullmatch(r"[0-9a-f]{32}\n", digests[0])
    assert digests[0] == digests[1]
    assert digests[0].strip() in done.stdout


@pytest.mark.parametrize("content", [b"", b"no database", b"\0" * 8192], ids=["empty", "text", "zeros"])
def test_a_store_that_cannot_be_opened_is_exit_status_3(tmp_path: Path, content: bytes) -> None:
    """Never a traceback, and the file is left as it is."""
    (tmp_path / DATA_FILE).write_bytes(content)
    done = process("verify", "--data-dir", str(tmp_path))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert str(tmp_path) in done.stderr
    assert (tmp_path / DATA_FILE).read_bytes() == content


def test_paths_says_where_things_are(run: Run, default_file: Path, tmp_path: Path) -> None:
    """The data directory that the other commands use, and the configuration file, with a word if it is not there."""
    output = run("paths", "--data-dir", str(tmp_path / "d")).output
    assert str(tmp_path / "d") in output
    assert f"{default_file}  (not there" in output
    default_file.write_text("")
    assert "(not there" not in run("paths").output
