"""The pytest plugin for users: copy-on-write copies of directories, as new for each test.

``overlay_tree`` is the path of a copy of a directory, ``overlay_changes`` tells what the test has changed in it, and
``overlay_tree_factory`` makes copies of several directories, or for longer than a test. Imported in every pytest run of
an environment that has overlaykit, so it imports nothing but pytest.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..tree import Change
    from ._choose import Choice
    from ._factory import OverlayTree, OverlayTreeFactory

__all__ = ["OverlaySourceWarning", "OverlayTree", "OverlayTreeFactory"]

_CHOICE: pytest.StashKey[Choice] = pytest.StashKey()
_FACTORY = "overlay_tree_factory"
_WAYS = (
    'mark the test with @pytest.mark.overlay_tree("DIRECTORY"), set overlay_tree in the configuration file, or give '
    "--overlay-tree DIRECTORY"
)


class OverlaySourceWarning(pytest.PytestWarning):
    """A directory that trees are copies of was changed during the session."""


def __getattr__(name: str) -> object:
    if name not in ("OverlayTree", "OverlayTreeFactory"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _factory

    return getattr(_factory, name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and what a configuration file can say."""
    group = parser.getgroup("overlay_tree", "copy-on-write directories (overlaykit)")
    group.addoption("--overlay-tree", metavar="DIR", help="the directory that overlay_tree shows a copy of")
    group.addoption(
        "--overlay-driver",
        metavar="NAME",
        choices=("auto", "overlayfs", "directory"),
        help="how overlay_tree is made: overlayfs, directory (a copy that is restored), or auto (the default)",
    )
    parser.addini("overlay_tree", "the directory that overlay_tree shows a copy of, relative to the root directory")
    parser.addini("overlay_driver", "how overlay_tree is made: auto, overlayfs or directory", default="auto")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and make the option mean the same in every process."""
    config.addinivalue_line(
        "markers", "overlay_tree(directory): what overlay_tree shows a copy of; relative to the root directory"
    )
    if config.option.overlay_tree:
        config.option.overlay_tree = os.path.join(config.invocation_params.dir, config.option.overlay_tree)
    if config.getini("overlay_driver") not in ("auto", "overlayfs", "directory"):
        raise pytest.UsageError(
            f"overlay_driver is {config.getini('overlay_driver')!r}: say auto, overlayfs or directory"
        )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say how trees are made, where a directory was chosen for the whole run."""
    asked = config.option.overlay_tree or config.option.overlay_driver or config.getini("overlay_tree")
    return [_choice(config).line] if asked else []


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Say how trees are made, where tests alone say that there are any."""
    return [_choice(config).line] if _used(items) and not pytest_report_header(config) else []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take the process's own mounts before any test or fixture starts a thread, which would not see them."""
    if _used(session.items) and not session.config.option.collectonly:
        _choice(session.config)


def _used(items: list[pytest.Item]) -> bool:
    return any(_FACTORY in getattr(item, "fixturenames", ()) for item in items)


def _choice(config: pytest.Config) -> Choice:
    choice = config.stash.get(_CHOICE, None)
    if choice is None:
        from ._choose import choose

        try:
            choice = choose(config.option.overlay_driver or config.getini("overlay_driver"))
        except OSError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[_CHOICE] = choice
    return choice


@pytest.fixture(scope="session")
def overlay_tree_factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OverlayTreeFactory]:
    """Make copy-on-write copies: ``with overlay_tree_factory(DIRECTORY) as tree: tree.path ...``, for any scope."""
    from ._factory import OverlayTreeFactory

    factory = OverlayTreeFactory(
        tmp_path_factory.mktemp("overlay", numbered=True), request.config.rootpath, _choice(request.config)
    )
    yield factory
    factory.close()


@pytest.fixture
def _overlay_tree(request: pytest.FixtureRequest, overlay_tree_factory: OverlayTreeFactory) -> Iterator[OverlayTree]:
    with overlay_tree_factory(_chosen(request)) as tree:
        yield tree


@pytest.fixture
def overlay_tree(_overlay_tree: OverlayTree) -> Path:
    """A copy-on-write copy of a directory, as new for each test: the path of a real directory."""
    return _overlay_tree.path


@pytest.fixture
def overlay_changes(_overlay_tree: OverlayTree) -> Callable[[], list[Change]]:
    """Call it for what has changed in ``overlay_tree``: a list of values with ``kind``, ``path`` and ``aspects``."""
    return _overlay_tree.changes


def _chosen(request: pytest.FixtureRequest) -> str | os.PathLike[str]:
    mark = request.node.get_closest_marker("overlay_tree")
    if mark is not None:
        if len(mark.args) != 1 or mark.kwargs or not isinstance(mark.args[0], str | os.PathLike):
            pytest.fail('the marker overlay_tree takes one directory: @pytest.mark.overlay_tree("tests/data")', False)
        directory: str | os.PathLike[str] = mark.args[0]
        return directory
    chosen: str = request.config.option.overlay_tree or request.config.getini("overlay_tree")
    if not chosen:
        pytest.fail(f"overlay_tree has no directory to show: {_WAYS}", pytrace=False)
    return chosen
