"""tree and explore: what they draw, write for people, for programs and for builds."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.images import layer, make_image, write_layout
from testkit.terminals import on_terminal

from overlaykit.cli._stack import fit, percent
from overlaykit.cli._text import width

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli

BASE = layer({"etc": None, "etc/motd": b"hello\n", "opt": None, "opt/big": b"b" * 9000, "opt/tool": b"t" * 1000})
APP = layer({"app": b"run\n", "opt/.wh.big": b"", "etc/motd": b"other\n"})
HISTORY = [
    {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
    {"created_by": "COPY . /app # buildkit \x1b[31mred"},
]


def odd() -> bytes:
    """Return a layer with names that a terminal or a page could take for something else."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("esc\x1b[31m", "latin-\udce9", "line\nbreak"):
            info = tarfile.TarInfo(name)
            info.size = 500
            archive.addfile(info, io.BytesIO(b"o" * 500))
    return out.getvalue()


@pytest.fixture
def images(cli: Cli, tmp_path: Path) -> Cli:
    """The images base:1 and app:1 over it, and the container box of app:1, in a store that needs no privilege."""
    made = {"base:1": make_image([BASE]), "app:1": make_image([BASE, APP], config={"history": HISTORY})}
    cli.run("load", str(write_layout(tmp_path / "layout", made)), "--driver", "directory", "--quiet")
    cli.run("create", "app:1", "box")
    (tmp_path / "mine").write_bytes(b"m" * 70)
    cli.run("cp", str(tmp_path / "mine"), "box:/mine")
    return cli


def test_tree_draws_the_stack(images: Cli) -> None:
    assert images.lines("tree", "app:1") == [
        "app:1  linux/amd64",
        "2 layers, 9.8 KiB, efficiency 10.1%",
        "┌─ 1 █░░░░░░░░░    10 B +1 ~1 -1  COPY . /app # buildkit \\x1b[31mred",
        '│    CMD ["sh"]',
        "└─ 0 █▒▒▒▒▒▒▒▒▒ 9.8 KiB +3 ~0 -0  ADD file:1 in /",
        "     from here down shared with base:1",
    ]


def test_tree_puts_the_container_on_top(images: Cli) -> None:
    lines = images.lines("tree", "box")
    assert lines[1] == "3 layers, 9.8 KiB, efficiency 10.7%"
    assert lines[2] == "┌─ * █░░░░░░░░░    70 B +1 ~0 -0  container box, writable"
    assert lines[3].startswith("├─ 1 ")
    document = images.json("tree", "box")
    assert document["container"] == "box"
    assert [(one["container"], one["added"], one["stored"]) for one in document["layers"]] == [
        (False, 3, 10_006),
        (False, 1, 10),
        (True, 1, 70),
    ]
    assert [one["layer"] for one in document["history"]] == [0, None, 1]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_tree_fits_a_terminal(images: Cli, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(images.environment, "NO_COLOR", "1")
    text = images.on_terminal("tree", "box").replace("COLUMNS", "")
    assert max(map(width, text.splitlines())) <= 80
    images.environment["TERM"] = "dumb"
    narrow = _at(images, columns, "tree", "box")
    assert max(map(width, narrow.splitlines())) <= columns
    assert "\x1b" not in narrow
    assert "container box" in narrow


def _at(cli: Cli, columns: int, *words: str) -> str:
    command = [sys.executable, "-P", "-m", "overlaykit", *words]
    with on_terminal(command, cli.environment, columns=columns) as terminal:
        assert terminal.end() == 0
    return "\n".join(terminal.lines)


def test_tree_is_coloured_on_a_terminal_only(images: Cli) -> None:
    assert "\x1b[" in images.on_terminal("tree", "app:1")
    assert "\x1b[" not in images.on_terminal("tree", "app:1", "--no-color")
    assert "\x1b[" not in images.run("tree", "app:1").stdout


def test_tree_in_ascii(images: Cli) -> None:
    images.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = images.run("tree", "app:1").stdout
    assert text.isascii()
    assert "`- 0 #xxxxxxxxx" in text


def test_explore_sums_up(images: Cli) -> None:
    text = images.run("explore", "app:1").stdout
    assert "Efficiency 10.1%: 8.8 KiB of 9.8 KiB are wasted, 0 B are there twice" in text
    lines = [line.split() for line in text.splitlines()]
    assert [
        "8.8",
        "KiB",
        "1",
        "deleted",
        "opt/big",
        "1:",
        "COPY",
        ".",
        "/app",
        "#",
        "buildkit",
        "\\x1b[31mred",
    ] in lines
    assert ["6", "B", "etc/motd", "0", "1", "replaced"] in lines
    assert "etc/motd" not in images.run("explore", "app:1", "--top", "1").stdout.split("WASTED  PATH")[1]
    document = images.json("explore", "app:1")
    assert (document["wasted"], document["stored"]) == (9006, 10_016)
    assert [one["path"] for one in document["waste"]] == ["opt/big", "etc/motd"]
    assert "changes" not in document["layers"][0]
    changes = images.json("explore", "app:1", "--changes")["layers"][1]["changes"]
    assert [(one["kind"], one["path"], one["size"]) for one in changes] == [
        ("added", "app", 4),
        ("modified", "etc/motd", 6),
        ("deleted", "opt/big", 9000),
    ]


def test_a_check_fails_a_build(images: Cli, tmp_path: Path) -> None:
    ran = images.run("explore", "app:1", "--ci", expect=1)
    assert ran.stdout == ""
    lines = ran.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["lowest-efficiency", "highest-user-wasted-percent"]
    assert lines[0] == "overlaykit: lowest-efficiency: the efficiency is 10.0839%, below 90%"
    words = ("--lowest-efficiency", "0.1", "--highest-user-wasted-percent", "disabled")
    assert images.run("explore", "app:1", "--ci", *words).stderr == ""
    ran = images.run("explore", "app:1", "--ci", *words, "--highest-wasted-bytes", "9kB", expect=1)
    assert ran.stderr == "overlaykit: highest-wasted-bytes: 9006 bytes are wasted, more than 9000\n"
    config = tmp_path / "rules.toml"
    config.write_text('lowest-efficiency = 0.05\nhighest-user-wasted-percent = "off"\n')
    images.run("explore", "app:1", "--ci", "--ci-config", str(config))
    ran = images.run("explore", "base:1", "--ci", "--json")
    assert '"broken": []' in ran.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("tree", "nothing"), 3, "nothing"),
        (("explore", "nothing"), 3, "nothing"),
        (("explore", "app:1", "--lowest-efficiency", "0.5"), 2, "give --ci too"),
        (("explore", "app:1", "--ci-config", "x"), 2, "give --ci too"),
        (("explore", "app:1", "--ci", "--lowest-efficiency", "95"), 2, "is no ratio"),
        (("explore", "app:1", "--ci", "--highest-wasted-bytes", "much"), 2, "is no number of bytes"),
        (("explore", "app:1", "--ci", "--ci-config", "/nonexistent/x"), 3, "/nonexistent/x"),
        (("explore", "app:1", "--top", "many"), 2, "invalid int"),
    ],
)
def test_what_is_wrong_is_one_line(images: Cli, words: tuple[str, ...], code: int, message: str) -> None:
    assert message in images.error(*words, code=code)
    assert message in images.error_json(*words, code=code)["message"]


def test_odd_names_do_nothing_to_a_terminal(cli: Cli, tmp_path: Path) -> None:
    made = {"odd:1": make_image([odd(), layer(dict.fromkeys((".wh.esc\x1b[31m", ".wh.line\nbreak"), b""))])}
    cli.run("load", str(write_layout(tmp_path / "layout", made)), "--driver", "directory", "--quiet")
    for text in (cli.run("explore", "odd:1").stdout, cli.on_terminal("explore", "odd:1", "--no-color")):
        assert "\x1b" not in text
        assert "esc\\x1b[31m" in text.replace("\n", "")
        assert "line\\nbreak" in text.replace("\n", "")
    document = cli.json("explore", "odd:1", "--changes")
    paths = [one["path"] for one in document["layers"][0]["changes"]]
    assert os.fsencode(paths[1]) == b"latin-\xe9"


def test_a_long_reading_shows_how_far_it_is(images: Cli) -> None:
    program = (
        "import sys, time\n"
        "from overlaykit.cli import _progress, main\n"
        "_progress._PATIENCE = 0\n"
        "sys.exit(main(['tree', 'app:1']))\n"
    )
    with on_terminal([sys.executable, "-P", "-c", program], images.environment) as terminal:
        assert terminal.end() == 0
    assert any("app:1 " in line and "━" in line and "bytes" in line for frame in terminal.frames for line in frame)
    assert not any("━" in line for line in terminal.lines)
    assert terminal.cursor_shown
    with on_terminal(
        [sys.executable, "-P", "-c", program.replace("'app:1'", "'app:1', '--quiet'")], images.environment
    ) as one:
        assert one.end() == 0
    assert b"\xe2\x94\x81" not in one.raw


def test_texts_are_cut_by_columns() -> None:
    assert fit("abcdef", None) == "abcdef"
    assert fit("abcdef", 6) == "abcdef"
    assert fit("abcdef", 5) == "abcd…"
    assert fit("日本語", 5) == "日本…"
    assert fit("日本語", 4) == "日…"
    assert percent(0.99999) == "99.9%"
    assert percent(1.0) == "100.0%"
    assert percent(0.95) == "95.0%"


def test_a_page_is_written(images: Cli, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = images.run("explore", "box", "--html", str(page))
    text = page.read_text()
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"{page}: ")
    assert "<title>box · layers</title>" in text
    assert images.run("explore", "box", "--html", "-").stdout == text
    assert images.run("explore", "box", "--html", str(page), "--quiet").stderr == ""
    document = images.json("explore", "box", "--html", str(page))
    assert document["page"] == {"path": str(page), "bytes": page.stat().st_size}
    ran = images.run("explore", "app:1", "--html", str(page), "--ci", expect=1)
    assert ran.stderr.count("overlaykit: ") == 2
    assert "<title>app:1 · layers</title>" in page.read_text()
    assert "No such file" in images.error("explore", "app:1", "--html", str(tmp_path / "none" / "x"), code=3)
    assert "say where with --html FILE" in images.error_json("explore", "app:1", "--html", "-", code=2)["message"]
