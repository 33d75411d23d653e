"""A generated plugin project, used as a stranger would: from wheels, in new environments, offline, and by its own tox.

A wheelhouse is filled first, the only step with a network: overlaykit's wheel, what it depends on, and what the
generated project asks for. Nothing that comes after sees this checkout, or what is installed where this test runs.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import overlaykit
from overlaykit.cli.scaffold import names_from, render

pytestmark = pytest.mark.packaging

CHECKOUT = Path(__file__).resolve().parents[2]
OFFLINE = ["unshare", "--net", "--map-current-user"] if os.geteuid() else ["unshare", "--net"]
# What belongs to this run, and would tell the stranger's programs of it.
OURS = ("PYTEST_", "PYTHON", "TOX", "PIP_", "UV_", "VIRTUAL_ENV", "OVERLAYKIT_", "COV_", "MYPY")


def run(*words: str | Path, cwd: Path, code: int = 0, **environment: str) -> str:
    """Run a command of a stranger's and return what it writes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        words,
        check=False,
        cwd=cwd,
        env=kept | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def wheelhouse(place: Path) -> Path:
    """Every wheel that the stranger needs, with overlaykit's own, as tox made it of this checkout."""
    assert "TOX_PACKAGE" in os.environ, "run it by tox -e new-driver, which makes the wheel"
    files = render(names_from("My.Disk"), "MIT")
    project = tomllib.loads(files["pyproject.toml"])
    tox = configparser.ConfigParser()
    tox.read_string(files["tox.ini"])
    wanted = [*project["build-system"]["requires"], *tox["tox"]["requires"].split()]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    words = ["-m", "pip", "download", "-q", "--disable-pip-version-check", "--only-binary", ":all:", "-d", "wheelhouse"]
    # The network's settings may be in the environment, so this one call keeps it.
    subprocess.run([sys.executable, *words, os.environ["TOX_PACKAGE"], *wanted], check=True, cwd=place)
    return place / "wheelhouse"


@pytest.fixture(scope="module")
def offline(wheelhouse: Path) -> dict[str, str]:
    """The environment variables that make pip look into the wheelhouse alone, here and in the environments of tox."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheelhouse), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture(scope="module")
def commands(place: Path, offline: dict[str, str]) -> Path:
    """The ``bin`` of a new environment with overlaykit."""
    run(sys.executable, "-m", "virtualenv", "-q", "environment", cwd=place)
    made = place / "environment" / "bin"
    run(*OFFLINE, made / "pip", "install", "-q", "overlaykit[conformance]", cwd=place, **offline)
    return made


@pytest.fixture(scope="module")
def project(place: Path, commands: Path, offline: dict[str, str]) -> Path:
    """The generated project, installed in the new environment as its README says."""
    run(commands / "overlaykit", "new-driver", "My.Disk", "project", "--license", "MIT", cwd=place)
    run(*OFFLINE, commands / "pip", "install", "-q", ".[test]", cwd=place / "project", **offline)
    return place / "project"


@pytest.fixture(scope="module")
def storage(place: Path) -> Iterator[str]:
    """Where the drivers store: in memory, where a file system there takes extended attributes.

    A driver that copies waits for the disk most of the time, and what the disk does is not what is tested.
    """
    with tempfile.TemporaryDirectory(dir=_in_memory() or place) as directory:
        yield directory


def _in_memory() -> str | None:
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        os.setxattr(file.name, "user.overlaykit", b"1")
        return "/dev/shm"
    return None


@pytest.mark.usefixtures("project")
def test_the_environment_is_new(commands: Path, place: Path) -> None:
    program = (
        "import json, sys, overlaykit, overlaykit_my_disk, pytest\n"
        "print(json.dumps([*sys.path, *(one.__file__ for one in (overlaykit, overlaykit_my_disk, pytest))]))"
    )
    base = Path(run(commands / "python", "-c", "import sys; print(sys.base_prefix)", cwd=place).strip())
    for path in map(Path, filter(None, json.loads(run(commands / "python", "-c", program, cwd=place)))):
        assert path.is_relative_to(place / "environment") or path.is_relative_to(base), path
        assert not path.is_relative_to(CHECKOUT)
        assert not path.is_relative_to(sys.prefix)


def test_the_wheel_is_whole(project: Path, commands: Path, offline: dict[str, str]) -> None:
    words = (commands / "pip", "wheel", "-q", "--no-deps", "-w", "../wheels", ".")
    run(*OFFLINE, *words, cwd=project, **offline)
    (wheel,) = (project.parent / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {f"overlaykit_my_disk/{name}" for name in ("__init__.py", "driver.py", "plugin.py", "py.typed")} <= names
    assert "\nLicense-Expression: MIT\n" in metadata
    assert f"\nRequires-Dist: overlaykit>={overlaykit.__version__}\n" in metadata


@pytest.mark.usefixtures("project")
def test_it_is_listed_and_selected(commands: Path, place: Path) -> None:
    listed = run(commands / "overlaykit", "drivers", cwd=place)
    assert "\nmy-disk  overlaykit-my-disk 0.1.0  usable\n" in f"\n{listed}"
    program = (
        "import overlaykit\n"
        "with overlaykit.open_store('store', driver='my-disk') as store, store.snapshot() as working:\n"
        "    (working.tree / 'hello').write_text('there')\n"
        "    print(working.commit('base').key, store.choice.driver.distribution)\n"
    )
    assert run(commands / "python", "-c", program, cwd=place) == "base overlaykit-my-disk\n"
    taken = run(commands / "overlaykit", "new-driver", "my-disk", "again", cwd=place, code=4)
    assert "there is a driver 'my-disk' already, of plugin 'my-disk' of overlaykit-my-disk 0.1.0" in taken
    assert "checks hold" in run(commands / "overlaykit", "demo", "--driver", "my-disk", cwd=place)


@pytest.mark.usefixtures("project")
def test_a_report_of_two_drivers_needs_no_checkout_and_no_network(commands: Path, place: Path) -> None:
    words = ["conformance", "memory", "my-disk", "-k", "test_links", "--json", "./report.json"]
    said = run(*OFFLINE, commands / "overlaykit", *words, "--html", "./report.html", cwd=place)
    assert "my-disk: conforms" in said
    document = json.loads((place / "report.json").read_text())
    assert [(driver["name"], driver["distribution"]) for driver in document["drivers"]] == [
        ("memory", "overlaykit"),
        ("my-disk", "overlaykit-my-disk"),
    ]
    assert (place / "report.html").read_text().startswith("<!doctype html>")


def test_its_own_tox_is_green_as_generated(project: Path, offline: dict[str, str], storage: str) -> None:
    """The whole suite on the driver, types and style, and the report, each in an environment that tox makes."""
    tox = [*OFFLINE, sys.executable, "-P", "-m", "tox"]
    tests = f"py{sys.version_info.major}{sys.version_info.minor}"
    assert {tests, "lint", "conformance"} <= set(run(*tox, "list", "--no-desc", "-q", cwd=project, **offline).split())
    said = run(*tox, "run", "-e", f"{tests},lint", cwd=project, TMPDIR=storage, **offline)
    assert f"  {tests}: OK" in said
    assert "  lint: OK" in said
    assert "driver my-disk from overlaykit-my-disk 0.1.0" in said
    assert "skipped" not in said
    assert "xfailed" not in said
    run(*tox, "run", "-e", "conformance", "--", "-k", "test_links", cwd=project, TMPDIR=storage, **offline)
    report = json.loads((project / "conformance.json").read_text())
    assert report["ok"] is True
    assert [(driver["name"], driver["version"]) for driver in report["drivers"]] == [("my-disk", "0.1.0")]
    assert (project / "conformance.html").read_text().startswith("<!doctype html>")
