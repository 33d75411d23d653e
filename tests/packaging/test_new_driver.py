"""A generated plugin project, used as a stranger would: from wheels, in a new environment, without a network."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import pytest

import overlaykit

pytestmark = pytest.mark.packaging

CHECKOUT = Path(__file__).resolve().parents[2]
OFFLINE = ["unshare", "--net", "--map-current-user"] if os.geteuid() else ["unshare", "--net"]


def in_memory() -> list[str]:
    """Return the words that put the drivers' storage into memory, where a file system there takes extended attributes.

    A driver that copies waits for the disk most of the time, and what the disk does is not what is tested.
    """
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        os.setxattr(file.name, "user.overlaykit", b"1")
        return ["--overlaykit-root", "/dev/shm"]
    return []


def run(*words: str | Path, cwd: Path, code: int = 0, **environment: str) -> str:
    """Run a command and return what it writes; the suite's options and plugins of this run are not for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    done = subprocess.run(
        words,
        check=False,
        cwd=cwd,
        env={**kept, "PYTHONSAFEPATH": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert not Path(overlaykit.__file__).is_relative_to(CHECKOUT), "overlaykit is to be installed from its wheel"
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def project(place: Path) -> Path:
    run(sys.executable, "-m", "overlaykit", "new-driver", "My.Disk", "project", "--license", "MIT", cwd=place)
    return place / "project"


@pytest.fixture(scope="module")
def wheel(project: Path) -> Path:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "../wheels", ".", cwd=project)
    (built,) = (project.parent / "wheels").iterdir()
    return built


@pytest.fixture(scope="module")
def python(place: Path, wheel: Path) -> Path:
    """The interpreter of a new environment that has the project, and sees what is installed where this test runs."""
    run(sys.executable, "-m", "venv", "--without-pip", "environment", cwd=place)
    made = place / "environment" / "bin" / "python"
    site = Path(run(made, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    # What pip would fetch: overlaykit from its wheel, and what it and its suite depend on.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(sys.executable, "-m", "pip", "--python", made, "install", "-q", "--no-index", "--no-deps", wheel, cwd=place)
    return made


def test_the_wheel_is_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {f"overlaykit_my_disk/{name}" for name in ("__init__.py", "driver.py", "plugin.py", "py.typed")} <= names
    assert "\nLicense-Expression: MIT\n" in metadata
    assert f"\nRequires-Dist: overlaykit>={overlaykit.__version__}\n" in metadata


def test_it_is_listed_and_selected(python: Path, place: Path) -> None:
    listed = run(python, "-m", "overlaykit", "drivers", cwd=place)
    assert "\nmy-disk  overlaykit-my-disk 0.1.0  usable\n" in f"\n{listed}"
    program = (
        "import overlaykit\n"
        "with overlaykit.open_store('store', driver='my-disk') as store, store.snapshot() as working:\n"
        "    (working.tree / 'hello').write_text('there')\n"
        "    print(working.commit('base').key, store.choice.driver.distribution)\n"
    )
    assert run(python, "-c", program, cwd=place) == "base overlaykit-my-disk\n"
    taken = run(python, "-m", "overlaykit", "new-driver", "my-disk", "again", cwd=place, code=4)
    assert "there is a driver 'my-disk' already, of plugin 'my-disk' of overlaykit-my-disk 0.1.0" in taken


def test_style_and_types(python: Path, project: Path) -> None:
    run(sys.executable, "-m", "ruff", "check", "--no-cache", cwd=project)
    run(sys.executable, "-m", "ruff", "format", "--check", "--no-cache", cwd=project)
    run(python, "-m", "mypy", cwd=project)


def test_its_tests_are_green_as_generated(python: Path, project: Path) -> None:
    """The whole suite on the driver, without a network."""
    said = run(
        *OFFLINE,
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--basetemp=../temporary",
        *in_memory(),
        cwd=project,
    )
    assert " passed" in said
    assert "skipped" not in said
    assert "driver my-disk from overlaykit-my-disk 0.1.0" in said


def test_a_report_of_two_drivers_needs_no_checkout_and_no_network(python: Path, place: Path) -> None:
    words = [
        "conformance",
        "memory",
        "my-disk",
        "-k",
        "test_links",
        "--json",
        "./report.json",
        "--html",
        "./report.html",
    ]
    said = run(*OFFLINE, python, "-m", "overlaykit", *words, cwd=place)
    assert "my-disk: conforms" in said
    document = json.loads((place / "report.json").read_text())
    assert [(driver["name"], driver["distribution"]) for driver in document["drivers"]] == [
        ("memory", "overlaykit"),
        ("my-disk", "overlaykit-my-disk"),
    ]
    assert (place / "report.html").read_text().startswith("<!doctype html>")
