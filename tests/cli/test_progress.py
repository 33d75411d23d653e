"""How far images are: bars on a terminal, lines elsewhere, and what is left where somebody presses Ctrl-C."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from testkit.images import digest, layer, make_image, write_layout
from testkit.registries import Fault, Quiet, front, run_registry, serving
from testkit.terminals import on_terminal

import overlaykit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testkit.registries import Front
    from testkit.terminals import Terminal

    from .conftest import Cli

_NOISE = random.Random(1)
IMAGE = make_image([layer({f"f{n}": _NOISE.randbytes(400_000)}) for n in range(3)])
LAYERS = IMAGE.layers
SHORT = [digest(one).removeprefix("sha256:")[:12] for one in LAYERS]
CTRL_C = b"\x03"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def slow(registry: str) -> Iterator[Front]:
    """A front of the registry that hangs in the middle of blobs."""
    with front(registry) as one:
        yield one


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return write_layout(tmp_path / "layout", {"app:1": IMAGE})


@pytest.fixture
def loaded(cli: Cli, layout: Path, registry: str, request: pytest.FixtureRequest) -> str:
    """The image in the store and in the registry: its name there, that of the test."""
    name = f"{registry}/" + re.sub("[^a-z0-9]", "", request.node.name.lower())
    cli.run("load", str(layout), "--quiet")
    cli.run("push", "app:1", f"{name}:1", "--quiet")
    return name


def command(cli: Cli, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "overlaykit", *words]


def words_for(action: str, name: str, layout: Path, tmp_path: Path) -> tuple[list[str], bool]:
    """Return the command that moves the image, and whether it comes."""
    return {
        "load": (["load", str(layout)], True),
        "pull": (["pull", f"{name}:1"], True),
        "save": (["save", "app:1", "-o", str(tmp_path / "saved")], False),
        "push": (["push", "app:1", f"{name.replace('/', '/new-')}:1"], False),
    }[action]


ACTIONS = ["load", "save", "pull", "push"]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_bar_a_layer(cli: Cli, loaded: str, layout: Path, tmp_path: Path, action: str) -> None:
    words, comes = words_for(action, loaded, layout, tmp_path)
    if comes:
        cli.run("rmi", "app:1")
    with on_terminal(command(cli, *words), cli.environment) as terminal:
        assert terminal.end() == 0
    if action == "push":
        # There are layers of this image in another repository that the store has no name of: they are sent again.
        assert len([one for one in SHORT if one.encode() in terminal.raw]) == 3
    fullest = [frame for frame in terminal.frames if all(any(one in line for line in frame) for one in SHORT)]
    assert fullest, terminal.frames
    last = fullest[-1]
    for one in SHORT:
        (line,) = [line for line in last if one in line]
        assert re.search(r"400\.\d/400\.\d KiB|(39\d\.\d)/\1 KiB", line), last
        assert "━" * 10 in line
    # What is left is the result, and a terminal as it was.
    assert terminal.cursor_shown
    assert not any(one in line for one in SHORT for line in terminal.lines), terminal.lines
    assert len("".join(terminal.lines)) < 200, terminal.lines
    assert terminal.raw.count(b"\x1b[?25l") == terminal.raw.count(b"\x1b[?25h")


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_a_terminal_of_any_width(cli: Cli, layout: Path, columns: int) -> None:
    with on_terminal(command(cli, "load", str(layout)), cli.environment, columns=columns) as terminal:
        assert terminal.end() == 0
    assert max(len([line for line in frame if "f" in line]) for frame in terminal.frames) <= 5
    assert terminal.lines == ["docker.io/library/ap", "p:1"] if columns == 20 else ["docker.io/library/app:1"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("option", [[], ["--quiet"], ["--json"], ["--progress", "json"], ["--progress", "none"]])
def test_no_escape_codes_where_there_is_no_terminal(
    cli: Cli, loaded: str, layout: Path, tmp_path: Path, action: str, option: list[str]
) -> None:
    words, comes = words_for(action, loaded, layout, tmp_path)
    if comes:
        cli.run("rmi", "app:1")
    ran = cli.run(*words, *option)
    assert "\x1b" not in ran.stdout + ran.stderr
    lines = ran.stderr.splitlines()
    if option == []:
        assert {line.partition(":")[0] for line in lines} >= set(SHORT)
    elif option[-1] == "json":
        events = [json.loads(line)["progress"] for line in lines if line.startswith("{")]
        assert {event["digest"] for event in events} >= {digest(one) for one in LAYERS}
        for one in LAYERS:
            (*_, last) = [event for event in events if event["digest"] == digest(one)]
            assert last["done"] == last["total"] == len(one)
            done = [event["done"] for event in events if (event["digest"], event["action"]) == (digest(one), "unpack")]
            assert done == sorted(done)
    elif action == "save" and option == ["--progress", "none"]:
        assert len(lines) == 1  # what was written
    else:
        assert lines == []
    if option == ["--json"]:
        json.loads(ran.stdout)


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_nothing_moves_on_a_terminal_that_wants_quiet(cli: Cli, layout: Path, option: str) -> None:
    with on_terminal(command(cli, "load", str(layout), option), cli.environment) as terminal:
        assert terminal.end() == 0
    assert b"\x1b[?25l" not in terminal.raw
    assert not any(one.encode() in terminal.raw.partition(b"{")[0] for one in SHORT)


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------


def interrupt(terminal: Terminal, when: str) -> None:
    """Press Ctrl-C when something is to be seen, and check what is left."""
    terminal.wait_for(lambda lines: any(when in line for line in lines))
    terminal.press(CTRL_C)
    # Where the key came while Python was importing something, the process ends by the signal.
    assert terminal.end() in (130, -signal.SIGINT), terminal.lines
    assert terminal.cursor_shown
    assert terminal.raw.count(b"\x1b[?25l") == terminal.raw.count(b"\x1b[?25h")
    # The bars are gone; the kernel's echo of the key may stay.
    assert "".join(terminal.lines).removeprefix("^C") == "overlaykit: interrupted", terminal.lines


def check_empty(cli: Cli) -> None:
    """Check that nothing of an image is in the store."""
    with overlaykit.open_store(cli.store) as store:
        assert store.images() == []
        assert [info for info in store.walk() if info.kind != "committed"] == []
    assert cli.run("cleanup").returncode == 0


def test_ctrl_c_while_it_is_pulled(cli: Cli, slow: Front, loaded: str) -> None:
    cli.run("rmi", "app:1")
    cli.run("rmi", f"{loaded}:1", expect=3)
    slow.faults.append(Fault("GET", digest(LAYERS[1]), "slow", times=99))
    name = f"{slow.host}/{loaded.partition('/')[2]}:1"
    with on_terminal(command(cli, "pull", name), cli.environment) as terminal:
        interrupt(terminal, f"{SHORT[1]} downloading")
    check_empty(cli)
    slow.faults.clear()
    again = cli.json("pull", name)
    assert again[0]["moved"] < len(b"".join(LAYERS))  # what had come is gone on with


def test_ctrl_c_while_it_is_pushed(cli: Cli, loaded: str) -> None:
    class Hanging(Quiet):
        def head(self) -> None:
            self.answer(404)

        def get(self) -> None:
            self.answer(200)

        def post(self) -> None:
            self.answer(202, Location="/v2/app/blobs/uploads/1")

        def put(self) -> None:
            self.rfile.read(200_000)
            self.connection.recv(1 << 20)
            while self.connection.recv(1):
                pass

    with serving(Hanging) as host:
        words = command(cli, "push", "app:1", f"{host}/app:1")
        with on_terminal(words, cli.environment) as terminal:
            interrupt(terminal, "uploading")
    # Nobody is kept from anything.
    assert cli.run("rmi", "app:1").returncode == 0
    assert loaded


def test_ctrl_c_while_it_is_loaded(cli: Cli, layout: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    subprocess.run(["tar", "-cf", archive, "-C", layout, "."], check=True)
    data = archive.read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with on_terminal(command(cli, "load", str(pipe)), cli.environment) as terminal:
        with open(pipe, "wb", buffering=0) as out:
            out.write(data[: len(data) // 2])  # more than a pipe holds: it is being read
            terminal.press(CTRL_C)
            assert terminal.end() in (130, -signal.SIGINT)
        assert "overlaykit: interrupted" in terminal.lines[-1]
    check_empty(cli)
    assert sorted(os.listdir(tmp_path)) == ["archive", "layout", "pipe", "store"]


def test_ctrl_c_while_it_is_saved(cli: Cli, loaded: str) -> None:
    """Nobody takes what it writes to standard output."""
    reading, writing = os.pipe()
    try:
        with on_terminal(command(cli, "save", "app:1"), cli.environment, stdout=writing) as terminal:
            interrupt(terminal, "writing")
    finally:
        os.close(reading)
        os.close(writing)
    assert cli.run("rmi", "app:1").returncode == 0
    assert loaded
