"""The short way to the installed plugins: it says what importlib.metadata says, or nothing."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from overlaykit.plugin._discover import installed_plugins
from overlaykit.plugin._usual import usual_plugins

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GROUP = "overlaykit"
POINTS = """
[console_scripts]
overlaykit = overlaykit.cli:main

[overlaykit]
second = some.module
first=another

[pytest11]
overlaykit = overlaykit.conformance.plugin
"""


def install(place: Path, points: str | None = POINTS, name: str = "overlaykit", metadata: str | None = None) -> Path:
    """Put a distribution's information into a directory."""
    info = place / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n\nName: text" if metadata is None else metadata
    )
    if points is not None:
        (info / "entry_points.txt").write_text(points)
    return place


def on_path(monkeypatch: pytest.MonkeyPatch, places: Sequence[Path | str]) -> None:
    monkeypatch.setattr(sys, "path", [str(place) for place in places])


def by_the_library() -> dict[str, str]:
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}


def test_what_is_installed_here() -> None:
    found = usual_plugins(GROUP, GROUP)
    assert found is not None
    version, points = found
    assert version == importlib.metadata.version(GROUP)
    assert points == by_the_library()
    for installed in installed_plugins():
        assert (installed.origin.distribution, installed.origin.version) == (GROUP, version)
        assert getattr(installed.load(), "__name__", None) == points[installed.origin.plugin]


def test_others_without_entry_points_of_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", "[console_scripts]\nx = y:z\n", "other")
    install(tmp_path / "a", None, "bare")
    (tmp_path / "a" / "old-1.egg-info").write_text("Metadata-Version: 1.0\nName: old\nVersion: 1\n")
    (tmp_path / "a" / "file").touch()
    install(tmp_path / "b")
    on_path(monkeypatch, [tmp_path / "missing", tmp_path / "a", tmp_path / "b", tmp_path / "b"])
    assert usual_plugins(GROUP, GROUP) == ("1.2", {"second": "some.module", "first": "another"})
    assert by_the_library() == {"second": "some.module", "first": "another"}


def _archive(place: Path) -> Path:
    path = place / "archive.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("third-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: third\nVersion: 1\n")
        file.writestr("third-1.dist-info/entry_points.txt", "[overlaykit]\nthird = third\n")
    return path


def _egg(place: Path) -> Path:
    info = place / "third.egg" / "EGG-INFO"
    info.mkdir(parents=True)
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: third\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[overlaykit]\nthird = third\n")
    return place / "third.egg"


#: What stands before or behind overlaykit on the path, and is a matter for importlib.metadata.
FURTHER = {
    "another-distribution": lambda place: install(place / "x", "[overlaykit]\nthird = third\n", "third"),
    "of-capital-letters": lambda place: (
        (
            install(place / "y", "[overlaykit]\nthird = third\n", "third"),
            (place / "y" / "third-1.2.dist-info").rename(place / "y" / "Third-1.2.DIST-INFO"),
        )[1].parent
    ),
    "another-installation": lambda place: install(place / "z"),
    "an-archive": _archive,
    "an-egg": _egg,
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("which", FURTHER)
def test_other_plugins_are_for_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, first: bool
) -> None:
    places = [install(tmp_path / "site"), FURTHER[which](tmp_path)]
    on_path(monkeypatch, places[::-1] if first else places)
    assert usual_plugins(GROUP, GROUP) is None
    if which != "an-archive":  # which importlib keeps open
        assert set(by_the_library()) == {"second", "first"} | ({"third"} if which != "another-installation" else set())


@pytest.mark.parametrize(
    ("points", "metadata"),
    [
        ("[overlaykit]\nx = module:attribute\n", None),
        ("[overlaykit]\nx = module [extra]\n", None),
        ("[overlaykit]\nx\n", None),
        ("[overlaykit]\nx = a\nx = b\n", None),
        ("[overlaykit]\n# note\n", None),
        ("[overlaykit]\nx = a\n", ""),
        ("[overlaykit]\nx = a\n", "Name: overlaykit\n"),
        ("[overlaykit]\nx = a\n", "Name: other\nVersion: 1\n"),
        ("[overlaykit]\nx = a\n", "Name: overlaykit\nVersion: 1\nRequires-Dist: overlaykit>=2\n"),
        ("[overlaykit]\nx = \udcff\n", None),
    ],
)
def test_what_is_not_plain_is_for_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: str, metadata: str | None
) -> None:
    place = install(tmp_path / "site", "", metadata=metadata)
    (place / "overlaykit-1.2.dist-info" / "entry_points.txt").write_bytes(points.encode(errors="surrogateescape"))
    on_path(monkeypatch, [place])
    assert usual_plugins(GROUP, GROUP) is None


def test_nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, [tmp_path])
    assert usual_plugins(GROUP, GROUP) is None


def test_finders_with_distributions_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        @staticmethod
        def find_spec(*_: object) -> None:
            """Know no module."""

        @staticmethod
        def find_distributions(_: object) -> list[object]:
            """Know one that this does not matter to."""
            return []

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert usual_plugins(GROUP, GROUP) is None
