"""The README and the pages under docs/ show nothing that is not so: their Python runs, their consoles are as shown.

A ``python`` block runs in a fresh interpreter; a ``text`` block right after it is what it must print. A ``console``
block is run line by line, ``...`` in its output standing for anything, as in doctest. Blocks of one page share a
directory and run in the page's order. ``sh`` blocks are for the reader alone.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text and the line it begins at."""

    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    text = (CHECKOUT / page).read_text()
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 2) for found in FENCE.finditer(text)]


def same(wanted: str, found: str) -> bool:
    # A table is as wide as its longest cell, so the number of blanks may differ from one machine to another.
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(wanted, found, flags)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OVERLAYKIT_", "XDG_"))}
    scripts = sysconfig.get_path("scripts")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return kept | {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(temporary),
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def run(words: list[str], place: Path, environment: dict[str, str]) -> str:
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        words,
        check=False,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.stdout if done.returncode == 0 else f"{done.stdout}(exit code {done.returncode})\n"


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Split a console block into commands and what each must print."""
    command, output = "", ""
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, output
            command, output = line[2:], ""
        elif line.startswith("> ") and not output:
            command += line[2:]
        else:
            output += line
    if command:
        yield command, output


@pytest.mark.parametrize("page", PAGES)
def test_every_example_is_true(page: str, tmp_path: Path, environment: dict[str, str]) -> None:
    place = tmp_path / "place"
    (tmp_path / "home").mkdir()
    found = blocks(page)
    for number, block in enumerate(found):
        where = f"{page}, line {block.line}"
        if block.language == "python":
            following = found[number + 1] if number + 1 < len(found) else None
            wanted = following.text if following is not None and following.language == "text" else ""
            output = run([sys.executable, "-P", "-c", block.text], place, environment)
            assert same(wanted, output), f"{where}: the example prints\n{output}"
        elif block.language == "console":
            for command, wanted in commands(block.text):
                output = run(["sh", "-c", command], place, environment)
                assert same(wanted, output), f"{where}: $ {command}prints\n{output}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = (CHECKOUT / page).read_text()
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if not target.startswith(("http:", "https:")):
            assert ((CHECKOUT / page).parent / target).exists(), target


def test_the_readme_has_examples() -> None:
    languages = [block.language for block in blocks("README.md")]
    assert "python" in languages
    assert "console" in languages
