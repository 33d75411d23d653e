"""new-driver: names, files, and what is refused. What the project does once installed is tests/packaging's."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from overlaykit.cli.scaffold import Names, names_from, render, write_project
from overlaykit.driver import API_VERSION
from overlaykit.errors import ExistsError, InvalidNameError

if TYPE_CHECKING:
    from .conftest import Cli


@pytest.mark.parametrize(
    ("given", "driver", "package", "cls"),
    [
        ("mine", "mine", "overlaykit_mine", "MineDriver"),
        ("My_Disk", "my-disk", "overlaykit_my_disk", "MyDiskDriver"),
        ("my.-_disk", "my-disk", "overlaykit_my_disk", "MyDiskDriver"),
        ("overlaykit-zfs", "zfs", "overlaykit_zfs", "ZfsDriver"),
        ("Overlaykit.ZFS", "zfs", "overlaykit_zfs", "ZfsDriver"),
        ("3par", "3par", "overlaykit_3par", "Driver3par"),
        ("class", "class", "overlaykit_class", "ClassDriver"),
        ("x", "x", "overlaykit_x", "XDriver"),
        ("2", "2", "overlaykit_2", "Driver2"),
        ("a" * 64, "a" * 64, "overlaykit_" + "a" * 64, "A" + "a" * 63 + "Driver"),
    ],
)
def test_names(given: str, driver: str, package: str, cls: str) -> None:
    assert names_from(given) == Names(driver, f"overlaykit-{driver}", package, cls)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        *((name, "is no distribution name") for name in ("", "-x", "x-", "x.", "a b", "a/b", "ä", "a\n", "²", "../x")),
        ("auto", "cannot be called 'auto'"),
        ("overlaykit-auto", "cannot be called 'auto'"),
        ("overlaykit", "cannot be called 'overlaykit'"),
        ("a" * 65, "longer than the 64 characters"),
    ],
)
def test_names_that_are_none(given: str, message: str) -> None:
    with pytest.raises(InvalidNameError, match=message) as caught:
        names_from(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mine", "3par", "a-" * 31 + "aa"])
def test_every_file_is_what_its_name_says(tmp_path: Path, name: str) -> None:
    names = names_from(name)
    files = render(names, "MIT OR Apache-2.0")
    assert set(files) == {
        "README.md", ".gitignore", "pyproject.toml", "tox.ini", "tests/test_conformance.py", "tests/test_driver.py",
        *(f"{names.package}/{file}" for file in ("__init__.py", "driver.py", "plugin.py", "py.typed")),
    }  # fmt: skip
    for path, text in files.items():
        assert not re.search("@[A-Z]+@", text), path
        if path.endswith(".py"):
            ast.parse(text)
    assert len(files[f"{names.package}/driver.py"].splitlines()) <= 110
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert (project["name"], project["license"]) == (names.distribution, "MIT OR Apache-2.0")
    assert project["entry-points"] == {"overlaykit": {name: f"{names.package}.plugin"}}
    assert f"api={API_VERSION}," in files[f"{names.package}/plugin.py"]
    write_project(files, tmp_path / "made")
    assert {str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*") if path.is_file()} == (
        set(files)
    )


def test_the_files_are_said_and_the_directory_has_a_default(cli: Cli, tmp_path: Path) -> None:
    ran = cli.run("new-driver", "Mine_Too", cwd=tmp_path)
    assert "overlaykit-mine-too/overlaykit_mine_too/driver.py" in ran.stdout.splitlines()
    assert ran.stderr == "next: cd overlaykit-mine-too && pip install -e '.[test]' && pytest\n"
    document = cli.json("new-driver", "mine-too", str(tmp_path / "a b" / "c"), "--license", "MIT")
    assert set(document) == {"driver", "distribution", "package", "class", "directory", "files"}
    assert document["directory"] == str(tmp_path / "a b" / "c")
    assert all((tmp_path / "a b" / "c" / path).is_file() for path in document["files"])
    (tmp_path / "empty").mkdir()
    cli.run("new-driver", "mine", ".", cwd=tmp_path / "empty")
    assert (tmp_path / "empty" / "pyproject.toml").is_file()


def test_what_is_refused_is_one_line_and_makes_nothing(cli: Cli, tmp_path: Path) -> None:
    full, file, target = tmp_path / "full", tmp_path / "file", tmp_path / "target"
    full.mkdir()
    (full / "x").touch()
    file.touch()
    assert cli.error("new-driver", "a b", str(target), code=7).startswith("'a b' is no distribution name")
    assert cli.error("new-driver", "mine", str(full), code=4) == (
        f"{full} is not empty; name another directory, or empty it"
    )
    assert cli.error("new-driver", "mine", str(file), code=4) == f"{file} is no directory; name another"
    assert "is no SPDX licence" in cli.error("new-driver", "mine", str(target), "--license", 'MIT"\nx = "', code=7)
    for unknown in ("GPL", "MIT OR", "Mine"):
        line = cli.error("new-driver", "mine", str(target), "--license", unknown, code=7)
        assert line.startswith(f"{unknown!r} is no SPDX licence")
    assert cli.run("new-driver", "mine", str(full / "y"), "--license", "LicenseRef-Mine").returncode == 0
    shutil.rmtree(full / "y")
    for taken in ("memory", "overlaykit-memory", "Memory"):
        message = cli.error("new-driver", taken, str(target), code=4)
        assert message.startswith("there is a driver 'memory' already, of plugin 'memory' of overlaykit ")
    assert not target.exists()
    assert [path.name for path in full.iterdir()] == ["x"]


def test_a_name_that_a_broken_plugin_has_is_taken(cli: Cli, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for number in (1, 2):
        info = site / f"ok_broken{number}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ok-broken{number}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[overlaykit]\nbroken{number} = ok_twice:plugin{number}\n")
    (site / "ok_twice.py").write_text(
        "from overlaykit.driver import DriverSpec\nfrom overlaykit.plugin import hookimpl\n"
        "class Plugin:\n    @hookimpl\n    def overlaykit_register_drivers(self):\n"
        "        return [DriverSpec('twice', 'a:b', 'a:b')]\nplugin1 = Plugin()\nplugin2 = Plugin()\n"
    )
    cli.environment["PYTHONPATH"] = str(site)
    assert "ok-broken1 1 and by ok-broken2 1" in cli.error("new-driver", "twice", code=4)
    cli.environment["OVERLAYKIT_DISABLE_PLUGINS"] = "broken2"
    assert cli.error("new-driver", "broken1", code=4) == "there is a plugin 'broken1' already; choose another name"
    del cli.environment["OVERLAYKIT_DISABLE_PLUGINS"]
    (site / "ok_twice.py").unlink()
    assert "the name 'broken1' is taken: plugin 'broken1' of ok-broken1 1" in cli.error("new-driver", "broken1", code=4)
    cli.environment["OVERLAYKIT_DISABLE_PLUGINS"] = "broken1"
    assert "which is disabled" in cli.error("new-driver", "broken1", code=4)


def test_a_project_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    files = render(names_from("mine"), "MIT")
    files["tests"] = "a file where a directory is"
    (tmp_path / "was-there").mkdir()
    for place in ("was-there", "new/below"):
        with pytest.raises(OSError, match="tests"):
            write_project(files, tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["was-there"]
    assert list((tmp_path / "was-there").iterdir()) == []
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(ExistsError, match="no directory"):
        write_project(files, tmp_path / "dangling")


def test_the_template_is_installed_with_the_package() -> None:
    program = "from overlaykit.cli.scaffold import names_from, render; print(len(render(names_from('x'), 'MIT')))"
    ran = subprocess.run([sys.executable, "-P", "-c", program], cwd="/", capture_output=True, text=True, check=True)
    assert int(ran.stdout) == 10
