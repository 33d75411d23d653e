"""What holds for every command: version, help, options, errors, streams, start-up."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout
from testkit.loops import need_tool
from testkit.waits import PATIENCE

import overlaykit
from overlaykit import errors
from overlaykit.cli import main, program
from overlaykit.cli._exit import ExitCode, UsageError, exit_code
from overlaykit.cli._help import GLOBAL_OPTIONS, help_text
from overlaykit.cli._parse import CommandParser
from overlaykit.cli._table import COMMANDS
from overlaykit.cli._words import split_words, switched_on

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli

#: Modules that cost more to import than all that --version does.
HEAVY = {
    "argparse",
    "pluggy",
    "rich",
    "sqlite3",
    "psutil",
    "cffi",
    "json",
    "dataclasses",
    "importlib.metadata",
    "logging",
}


def imported_by(*words: str) -> set[str]:
    program = (
        "import sys; from overlaykit.cli import main\n"
        f"main({list(words)!r}); print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    # -S: an editable installation's import hook is not ours to answer for.
    path = os.pathsep.join([os.path.dirname(os.path.dirname(overlaykit.__file__)), *sys.path])
    environment = {"PYTHONPATH": path, "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return set(ran.stderr.split())


@pytest.mark.parametrize("word", ["--version", "--help", "-h"])
def test_version_and_help_import_nothing_heavy(word: str) -> None:
    modules = imported_by(word)
    assert not modules & HEAVY
    assert {name for name in modules if name.startswith("overlaykit.") and not name.startswith("overlaykit.cli")} <= {
        "overlaykit.errors",
        "overlaykit.values",
    }


def test_version_imports_the_least() -> None:
    assert {name for name in imported_by("--version") if name.startswith("overlaykit")} == {
        "overlaykit",
        "overlaykit.cli",
    }


def test_import_overlaykit_imports_nothing_heavy() -> None:
    program = "import sys, overlaykit; print(*sorted(sys.modules), sep='\\n')"
    path = os.path.dirname(os.path.dirname(overlaykit.__file__))
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    modules = set(ran.stdout.split())
    assert not modules & HEAVY
    assert {name for name in modules if name.startswith("overlaykit")} == {"overlaykit"}


#: What a command that finds a store and starts a container does without: each takes a millisecond or more to import.
NOT_ON_THE_WAY = {
    "argparse",
    "dataclasses",
    "gettext",
    "hashlib",
    "importlib.metadata",
    "inspect",
    "locale",
    "logging",
    "pluggy",
    "psutil",
    "rich",
    "subprocess",
    "tempfile",
    "typing",
    "urllib3",
    "email",
    "zlib",
}


@pytest.mark.native
@pytest.mark.parametrize("runtime", ["crun", "own"])
def test_a_container_is_started_without_what_is_slow_to_import(cli: Cli, tmp_path: Path, runtime: str) -> None:
    if runtime == "crun":
        need_tool("crun")
    cli.run("load", str(busybox_layout(tmp_path / "layout", {})))
    assert (
        not after("run", "--rm", "--network", "none", "--runtime", runtime, "box:1", "true", cli=cli) & NOT_ON_THE_WAY
    )
    assert not after("images", cli=cli) & NOT_ON_THE_WAY


def after(*words: str, cli: Cli) -> set[str]:
    """Return what a command imports that was not there when the interpreter had started."""
    program = (
        "import sys; before = set(sys.modules); from overlaykit.cli import main\n"
        f"assert main({list(words)!r}) == 0; print(*set(sys.modules) - before, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program], env=cli.environment, capture_output=True, text=True, check=True
    )
    return set(ran.stderr.split())


@pytest.mark.parametrize("busy", [False, True])
def test_a_process_ends_with_all_that_is_to_be_done_then(cli: Cli, busy: bool) -> None:
    """It leaves the interpreter as it is, but not what was registered, nor a thread that works."""
    thread = "threading.Thread(target=lambda: (threading.main_thread().join(), print('thread'))).start()"
    program = (
        f"import atexit, sys, threading; atexit.register(print, 'end'); {thread if busy else ''}\n"
        "from overlaykit.cli import program; sys.argv = ['overlaykit', '--version']; sys.exit(program())"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program], env=cli.environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [f"overlaykit {overlaykit.__version__}", *["thread"][:busy], "end"]
    assert ran.stderr == ""


def test_version(cli: Cli) -> None:
    for words in (["--version"], ["--json", "--version"], ["--version", "--quiet"]):
        assert cli.run(*words).stdout == f"overlaykit {overlaykit.__version__}\n"


def test_help_names_every_command_option_and_exit_code(cli: Cli) -> None:
    text = cli.run("--help").stdout
    assert text == cli.run("-h").stdout == cli.run("help").stdout == help_text()
    for command in COMMANDS:
        assert f"  {command.name} " in text
        assert command.summary in text
    for option, _, _ in GLOBAL_OPTIONS:
        assert f"  {option}" in text
    codes = text[text.index("Exit codes:") :].splitlines()[1:]
    assert [int(line.split()[0]) for line in codes] == sorted(ExitCode)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    name = command.name  # type: ignore[attr-defined]
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: overlaykit {name}")
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == text
    module = importlib.import_module(command.module)  # type: ignore[attr-defined]
    assert module.__all__ == ["configure", "run"]


def test_no_command_and_unknown_commands(cli: Cli) -> None:
    assert cli.run().stdout == help_text()
    assert cli.error("--quiet", code=2) == "no command given; see overlaykit --help"
    assert cli.error("snapshot", code=2) == "there is no command 'snapshot'; did you mean snapshots?"
    assert cli.error("zzz", code=2) == "there is no command 'zzz'; see overlaykit --help"
    assert cli.error_json("zzz", code=2)["kind"] == "UsageError"
    assert cli.error("\x1b[1mzzz", code=2).startswith("there is no command '\\x1b[1mzzz'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare"], "required: KEY"),
        (["cat", "key"], "required: PATH"),
        (["snapshots", "--kind", "odd"], "invalid choice: 'odd'"),
        (["snapshots", "--knd", "view"], "unrecognized arguments: view --knd"),
        (["snapshots", "--lab", "a=b"], "unrecognized arguments: a=b --lab"),
        (["snapshots", "--label", "a"], "label 'a' is not of the form NAME=VALUE"),
        (["snapshots", "--durability", "some"], "invalid choice: 'some'"),
        (["prepare", "x", "--option", "a"], "--option 'a' is not of the form NAME=VALUE"),
        (["prepare", "x", "--driver"], "expected one argument"),
        (["label", "x", "-"], "NAME-"),
        (["demo", "--store", "x"], "temporary store of its own"),
    ],
)
def test_usage_errors_are_one_line(cli: Cli, words: list[str], message: str) -> None:
    assert message in cli.error(*words, code=2)
    assert not cli.store.exists()


def test_the_command_is_found_wherever_it_stands() -> None:
    assert split_words(["--store", "ls", "cat", "k"]) == ("cat", ["--store", "ls", "k"])
    assert split_words(["--store=ls", "--json", "cat"]) == ("cat", ["--store=ls", "--json"])
    assert split_words(["cat", "--json", "k"]) == ("cat", ["--json", "k"])
    assert split_words(["--json"]) == (None, ["--json"])
    assert split_words([]) == (None, [])
    assert switched_on(["cat", "--", "--json"], "--json") is False
    assert switched_on(["cat", "--json", "--"], "--json") is True


def test_global_options_may_stand_anywhere() -> None:
    parser = CommandParser("x", "x")
    parser.add_argument("key")
    parser.add_argument("path", nargs="?")
    options, arguments = parser.parse(["--store", "s", "k", "--option", "a=b=c", "--json", "p", "--option", "d="])
    assert (options.store, options.json, options.driver, options.color) == ("s", True, "auto", True)
    assert options.options == {"a": "b=c", "d": ""}
    assert (arguments.key, arguments.path) == ("k", "p")
    _, arguments = parser.parse(["--", "-k"])
    assert arguments.key == "-k"


def test_every_error_of_the_library_has_its_exit_code() -> None:
    expected = {
        "CapabilityError": 6,
        "BuildError": 7,
        "BuildStepError": 1,
        "ChangesetError": 7,
        "DigestMismatchError": 8,
        "ImageFormatError": 7,
        "ImageReferenceError": 7,
        "LayerFormatError": 8,
        "LimitError": 7,
        "MediaTypeError": 6,
        "RegistryAccessError": 10,
        "RegistryConfigError": 7,
        "RegistryError": 11,
        "RegistryUnavailableError": 11,
        "DockerfileError": 7,
        "DriverConflictError": 4,
        "DriverError": 1,
        "DriverOptionError": 2,
        "DriverUnavailableError": 6,
        "ExistsError": 4,
        "ImportSourceError": 7,
        "InvalidNameError": 7,
        "LayerInUseError": 5,
        "NameTooLongError": 7,
        "NotFoundError": 3,
        "OverlaykitError": 1,
        "PluginError": 1,
        "ReadOnlyError": 9,
        "RemovalVetoedError": 10,
        "RunError": 1,
        "RuntimeNotFoundError": 6,
        "SnapshotDamagedError": 8,
        "SnapshotKindError": 7,
        "StoreAccessError": 10,
        "StoreBusyError": 5,
        "StoreClosedError": 1,
        "StoreCorruptError": 8,
        "StoreFormatError": 8,
        "StoreFullError": 9,
        "StoreVersionError": 8,
        "UnknownDriverError": 3,
        "UnsupportedError": 6,
    }
    assert set(expected) == set(errors.__all__)
    for name, code in expected.items():
        kind = getattr(errors, name)
        error = kind.__new__(kind)
        OSError.__init__(error, kind.code, "message")
        assert exit_code(error) == code, name
    assert exit_code(UsageError("x")) == 2
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(ZeroDivisionError()) == 1
    assert exit_code(OSError("no errno")) == 1
    assert exit_code(OSError(28, "full")) == 9
    assert exit_code(PermissionError(13, "denied")) == 10
    assert exit_code(IsADirectoryError(21, "dir")) == 1


def test_python_dash_m_and_the_script_are_the_same() -> None:
    (entry,) = importlib.import_module("importlib.metadata").entry_points(group="console_scripts", name="overlaykit")
    assert entry.load() is program


def test_a_reader_that_leaves_is_no_error(cli: Cli) -> None:
    command = f"{sys.executable} -P -m overlaykit doctor | true; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], env=cli.environment, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    # true may be gone before or after the first line is written.
    assert ran.stdout in ("141\n", "0\n")


def test_a_closed_pipe_is_quiet(cli: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = cli.run("--help", expect=141, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert ran.stderr == ""


def test_a_full_disk_under_the_output_is_an_error(cli: Cli) -> None:
    with open("/dev/full", "w") as full:
        ran = cli.run("--help", expect=9, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert ran.stderr == "overlaykit: No space left on device\n"


def test_interruption_has_its_exit_code(cli: Cli, site_with: Path) -> None:
    environment = cli.environment | {"PYTHONPATH": str(site_with)}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "overlaykit", "linger"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, error) == (130, "", "overlaykit: interrupted\n")


@pytest.fixture
def site_with(tmp_path: Path) -> Path:
    """A site directory with a plugin that brings commands."""
    site = tmp_path / "site"
    info = site / "ok_ship-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ok-ship\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[overlaykit]\nship = ok_ship\n")
    (site / "ok_ship.py").write_text(
        "from overlaykit.plugin import CommandSpec, hookimpl\n"
        "@hookimpl\n"
        "def overlaykit_cli_commands():\n"
        "    yield CommandSpec('ship', 'send it away', 'ok_ship_run:ship')\n"
        "    yield CommandSpec('bad', 'returns no exit code', 'ok_ship_run:bad')\n"
        "    yield CommandSpec('gone', 'is not there', 'ok_ship_run:gone')\n"
        "    yield CommandSpec('linger', 'waits', 'ok_ship_run:linger')\n"
    )
    (site / "ok_ship_run.py").write_text(
        "import sys, time\n"
        "def ship(words):\n    print(words)\n    return 5\n"
        "def bad(words):\n    return 'done'\n"
        "def linger(words):\n    print('waiting', flush=True)\n    while True: time.sleep(0.05)\n"
    )
    return site


def test_commands_of_plugins(cli: Cli, site_with: Path) -> None:
    cli.environment["PYTHONPATH"] = str(site_with)
    assert cli.run("--json", "ship", "a", "--force", expect=5).stdout == "['--json', 'a', '--force']\n"
    assert "returned str, no exit code" in cli.error("bad", code=1)
    assert "--debug shows where" in cli.error("gone", code=1)
    assert "did you mean ship?" in cli.error("shipp", code=2)
    document = cli.json("plugins")
    (mine,) = [plugin for plugin in document["plugins"] if plugin["name"] == "ship"]
    assert mine["commands"] == ["ship", "bad", "gone", "linger"]
    assert "overlaykit ship: send it away" in cli.run("plugins").stdout
    cli.environment["OVERLAYKIT_DISABLE_PLUGINS"] = "ship"
    assert "there is no command 'ship'" in cli.error("ship", code=2)
    assert cli.json("plugins")["disabled"] == ["ship"]


def test_tracebacks_only_with_debug(cli: Cli) -> None:
    assert "Traceback" not in cli.run("stat", "x", expect=2).stderr
    ran = cli.run("ls", "x", "--debug", expect=3)
    assert "Traceback" in ran.stderr
    assert ran.stderr.rstrip().splitlines()[-1].startswith("overlaykit: there is no store in ")


def test_the_store_is_found_by_option_environment_and_home(cli: Cli, tmp_path: Path) -> None:
    assert str(cli.store) in cli.error("snapshots", code=3)
    assert "/elsewhere" in cli.error("snapshots", "--store", "/elsewhere", code=3)
    del cli.environment["OVERLAYKIT_STORE"]
    assert f"{tmp_path}/.local/share/overlaykit" in cli.error("snapshots", code=3)
    cli.environment["XDG_DATA_HOME"] = "/data"
    assert "/data/overlaykit" in cli.error("snapshots", code=3)
    cli.environment["XDG_DATA_HOME"] = "relative"
    assert f"{tmp_path}/.local/share/overlaykit" in cli.error("snapshots", code=3)


def test_errors_as_json(cli: Cli) -> None:
    error = cli.error_json("snapshots", code=3)
    assert (error["kind"], error["errno"]) == ("NotFoundError", 2)
    assert json.dumps(error["message"])


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(cli: Cli, closed: str) -> None:
    line = shlex.join([sys.executable, "-P", "-m", "overlaykit"])
    script = f"{line} --help {closed} && {line} --version {closed} && {line} demo --driver memory {closed}"
    ran = subprocess.run(["sh", "-c", script], env=cli.environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
