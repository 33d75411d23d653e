"""A Debian as ubuntu:20.04 from a registry on loopback: pulled by its short name, and real programs run in it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.image import Container, ImageStore

pytestmark = pytest.mark.real

HELLO = """#include <math.h>
#include <stdio.h>
int main(void) { volatile double two = 2; printf("%.6f\\n", sqrt(two)); return 7; }
"""


@pytest.fixture
def box(store: ImageStore) -> Iterator[Container]:
    """A container of it."""
    with store.container("ubuntu:20.04") as one:
        yield one


def test_a_compiler_and_what_it_makes(box: Container) -> None:
    (box.tree / "src").mkdir()
    (box.tree / "src/hello.c").write_text(HELLO)
    box.run(["gcc", "-O2", "-Wall", "-Werror", "-o", "hello", "hello.c", "-lm"], cwd="/src", check=True)
    done = box.run(["/src/hello"], capture_output=True, text=True, user="nobody")
    assert (done.returncode, done.stdout) == (7, "1.414214\n")
    assert {change.path for change in box.changes() if not change.path.startswith("tmp")} == {
        ".",
        "src",
        "src/hello",
        "src/hello.c",
    }


def test_a_virtual_environment_of_python(box: Container) -> None:
    script = "python -m venv /venv && /venv/bin/python -m pip --version && /venv/bin/python -c 'import ssl, sqlite3'"
    done = box.run(["sh", "-ec", script], capture_output=True, text=True, network="none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pip ")


@pytest.mark.parametrize("apt", ["machine", "here"])
def test_apt_get_update(store: ImageStore, here: str, machine_sources: str, apt: str) -> None:
    if apt == "machine" and not machine_sources:
        pytest.skip("the package sources of this machine cannot be reached")
    with store.container("ubuntu:20.04" if apt == "machine" else here) as box:
        done = box.run(["apt-get", "update"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Reading package lists" in done.stdout
        assert "W: " not in done.stderr
        assert list((box.tree / "var/lib/apt/lists").glob("*Packages*"))


def test_dpkg_works_on_what_lies_below(box: Container) -> None:
    """It makes backups by hard links, renames over files of the layer below, and syncs."""
    before = box.run(["dpkg-query", "-W", "-f", "${Package}\n"], capture_output=True, text=True, check=True).stdout
    removed = "python3-venv"
    assert removed in before.split()
    box.run(["dpkg", "--purge", "--force-depends", removed], check=True, stdout=subprocess.DEVNULL)
    after = box.run(["dpkg-query", "-W", "-f", "${Package}\n"], capture_output=True, text=True, check=True).stdout
    assert set(before.split()) - set(after.split()) == {removed}
    done = box.run(["dpkg", "--audit"], capture_output=True, text=True, check=True)
    assert done.stdout == ""
