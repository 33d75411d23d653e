"""What the source distribution and the wheel hold, and that both install where there is no C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = {"overlaykit", "overlaykit_overlayfs", "overlaykit_directory", "overlaykit_memory"}
SCRIPTS = sysconfig.get_path("scripts")


def build(kind: str, source: Path, target: Path, **environment: str) -> Path:
    """Build a distribution with the tools that are installed here and return its path."""
    command = [sys.executable, "-P", "-m", "build", f"--{kind}", "--no-isolation", "--outdir", target, source]
    variables = {**os.environ, "SKBUILD_BUILD_DIR": str(target / "build"), **environment}
    done = subprocess.run(
        command, check=False, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    (built,) = (path for path in target.iterdir() if path.is_file())
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", CHECKOUT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="data")
    (top,) = target.iterdir()
    return top


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the source distribution gives, not the checkout."""
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(*folders: str) -> set[str]:
    """Return the project's files, with those that are new and not ignored."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders],
        check=True,
        cwd=CHECKOUT,
        capture_output=True,
    ).stdout
    return {os.fsdecode(name) for name in listing.split(b"\0") if name}


def test_the_source_distribution_holds_what_git_tracks(unpacked: Path) -> None:
    held = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if not path.is_dir()}
    assert tracked() - held == set()
    assert held - tracked() == {"PKG-INFO"}


def test_one_wheel_serves_every_python(wheel: Path) -> None:
    name, version, python, abi, platform = wheel.stem.split("-")
    assert (name, version) == ("overlaykit", metadata.version("overlaykit"))
    assert (python, abi) == ("cp311", "abi3")
    assert platform.startswith("linux_")


def test_the_wheel_holds_the_packages_and_nothing_else(wheel_names: set[str]) -> None:
    information = f"overlaykit-{metadata.version('overlaykit')}.dist-info"
    assert {name.split("/")[0] for name in wheel_names} == {*PACKAGES, information}
    modules = {name.removeprefix("drivers/") for name in tracked("overlaykit", "drivers")}
    code = {name for name in wheel_names if not name.startswith(information)}
    assert code == modules | {"overlaykit/_native.abi3.so"}
    assert {"overlaykit/py.typed", "overlaykit/_native.pyi", f"{information}/licenses/LICENSE"} <= wheel_names


def test_every_package_is_typed(wheel_names: set[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= wheel_names


def test_the_metadata_are_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = message_from_bytes(archive.read(name))
    assert headers["Requires-Python"] == ">=3.11"
    assert headers["License-Expression"] == "Apache-2.0"
    assert "conformance" in headers.get_all("Provides-Extra", [])
    assert headers.get_payload(decode=True) == (CHECKOUT / "README.md").read_bytes()


def test_the_entry_points_load() -> None:
    points = metadata.distribution("overlaykit").entry_points
    groups = {point.group: {other.name for other in points if other.group == point.group} for point in points}
    assert groups == {
        "console_scripts": {"overlaykit"},
        "overlaykit": {"overlayfs", "directory", "memory"},
        "pytest11": {"overlaykit", "overlaykit.pytest_plugin"},
    }
    for point in points:
        assert point.load() is not None


def test_the_console_script_runs() -> None:
    done = subprocess.run(
        [os.path.join(SCRIPTS, "overlaykit"), "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["overlaykit", metadata.version("overlaykit")]


def test_without_a_compiler_it_installs_and_the_memory_driver_works(unpacked: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cmake", "ninja"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    path = os.pathsep.join([SCRIPTS, str(tools)])
    assert all(shutil.which(name, path=path) is None for name in ("cc", "gcc", "clang"))
    built = build("wheel", unpacked, tmp_path / "wheel", PATH=path, CC="/nonexistent/cc")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "installed")
    assert not list((tmp_path / "installed").rglob("*.so"))
    program = """
import overlaykit.linux
from overlaykit.errors import DriverUnavailableError
from overlaykit.store import open_store

assert not overlaykit.linux.available()
with open_store(driver="memory") as store, store.snapshot() as working:
    (working.tree / "hello").write_text("there")
    print(working.tree.read_text("hello"))
try:
    open_store("store", driver="overlayfs")
except DriverUnavailableError as error:
    print(error.fix)
"""
    variables = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], check=True, cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    hello, fix = done.stdout.splitlines()
    assert hello == "there"
    assert "compiler" in fix


@pytest.mark.parametrize(
    "name", ["overlaykit", "overlaykit.errors", "overlaykit.conformance.plugin", "overlaykit.pytest_plugin"]
)
def test_importing_it_is_light(name: str) -> None:
    heavy = {"pluggy", "rich", "sqlite3", "cffi", "_cffi_backend", "overlaykit._native", "psutil", "hypothesis"}
    program = f"import {name}, sys; print(*sys.modules)"
    allowed = {"pluggy"} if name.endswith("plugin") else set()
    done = subprocess.run([sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True)
    assert (heavy - allowed) & set(done.stdout.split()) == set()
