"""The demo: every claim holds on every driver, it fits a terminal, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from testkit.waits import PATIENCE

from overlaykit.plugin import load_plugins

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli


def _mounts() -> int:
    with open("/proc/self/mountinfo") as table:
        return table.read().count("\n")


@pytest.fixture
def place(cli: Cli, tmp_path: Path) -> Path:
    """The directory for temporary files of the demo."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    cli.environment["TMPDIR"] = str(directory)
    return directory


@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_every_check_holds_and_nothing_is_left(cli: Cli, place: Path, driver: str) -> None:
    if not load_plugins().probe(driver, place).usable:
        assert "cannot be used here" in cli.error("demo", "--driver", driver, code=6)
        return
    document = cli.json("demo", "--driver", driver)
    assert set(document) == {"driver", "why", "ok", "checks", "seconds", "layers", "containers", "bytes_seen"}
    assert (document["driver"], document["ok"]) == (driver, True)
    assert len(document["checks"]) >= 18
    assert all(check["holds"] for check in document["checks"])
    assert [layer["key"] for layer in document["layers"]] == ["base", "python", "app"]
    assert [len(container["changes"]) for container in document["containers"]] == [5, 8]
    assert document["seconds"] > 0
    assert os.listdir(place) == []
    assert not cli.store.exists()


def test_it_takes_the_best_driver_and_says_so(cli: Cli, place: Path) -> None:
    choice = load_plugins().choose("auto", place)
    document = cli.json("demo")
    assert document["driver"] == choice.driver.spec.name
    assert document["why"] == choice.why


def test_without_the_native_module_it_is_played_in_memory(cli: Cli, place: Path) -> None:
    program = (
        "import sys; sys.modules['overlaykit._native'] = None\n"
        "from overlaykit.cli import main; sys.exit(main(['demo', '--json']))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program], env=cli.environment, capture_output=True, text=True, check=True
    )
    document = json.loads(ran.stdout)
    assert (document["driver"], document["ok"]) == ("memory", True)
    assert "not overlayfs: overlaykit's native module is missing" in document["why"]


def test_the_story_fits_eighty_columns_with_and_without_colour(cli: Cli, place: Path) -> None:
    text = cli.run("demo", "--driver", "memory").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "✗" not in text
    for word in ("1. A base layer", "└── app", "D /usr/share/doc", "M /etc/app.conf", "checks hold", "nothing is left"):
        assert word in text
    screen = cli.on_terminal("demo", "--driver", "memory")
    assert "\x1b[32m✓\x1b[0m" in screen
    plain = cli.on_terminal("demo", "--driver", "memory", "--no-color")
    assert "\x1b" not in plain
    assert [line for line in plain.splitlines() if "✓" in line] == [line for line in text.splitlines() if "✓" in line]


def test_the_drawings_are_ascii_where_the_encoding_is(cli: Cli, place: Path) -> None:
    cli.environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    text = cli.run("demo", "--driver", "memory", encoding="ascii", errors="strict").stdout
    assert "`-- app" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("after", ["1. A base", "5. What each"])
def test_nothing_is_left_when_it_is_ended(cli: Cli, place: Path, number: signal.Signals, after: str) -> None:
    # Slowed down where it tells: the signal meets it in the middle.
    program = (
        "import sys, time\n"
        "from overlaykit.cli._output import Output\n"
        "line = Output.line\n"
        "def slow(self, text=''):\n"
        "    line(self, text); self.flush(); time.sleep(0.02)\n"
        "Output.line = slow\n"
        "from overlaykit.cli import main\n"
        "sys.exit(main(['demo']))\n"
    )
    before = _mounts()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        env=cli.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(after):
            break
    assert len(os.listdir(place)) == 1
    process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert error == ("overlaykit: interrupted\n" if number == signal.SIGINT else "")
    assert os.listdir(place) == []
    assert _mounts() <= before
