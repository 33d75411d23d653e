"""The base of every class of conformance tests: which driver, and the fixtures that build on it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import pytest

from ._leaks import leaked, resources
from ._level import Level
from ._rig import Rig
from ._store import StoreRig
from ._subject import Subject, subject_from_class
from ._workspace import workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..driver import DriverSpec

__all__ = ["Suite"]


class Suite:
    """Fixtures for a driver; a subclass with a ``driver`` of its own runs on that one.

    They are methods, so that a class that inherits the tests has them too, wherever it lives.
    """

    #: The driver to test: a registered one's name, or a specification; ``None`` takes ``--overlaykit-driver``.
    driver: ClassVar[str | DriverSpec | None] = None
    #: The options it is constructed with.
    options: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: How much of the suite is run at most.
    level: ClassVar[Level] = Level.FULL

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Subject:
        """The driver under test."""
        return subject_from_class(request.config, type(self))

    @pytest.fixture
    def space(self, subject: Subject) -> Iterator[Path]:
        """A directory of the test's own, on the file system that is tested."""
        with workspace(subject.base) as path:
            yield path

    @pytest.fixture(autouse=True)
    def leaks(self, space: Path) -> Iterator[None]:
        """Fail a test that leaves descriptors, mounts, threads or processes behind."""
        before = resources(str(space))
        yield
        lines = leaked(before, resources(str(space)))
        # close() ends what the driver opened, started or mounted (docs/drivers.md, What to implement).
        assert not lines, f"left behind after close(): {'; '.join(lines)}"

    @pytest.fixture
    def rig(self, subject: Subject, space: Path, leaks: None) -> Iterator[Rig]:
        """A driver, and short words to build layers and containers with it."""
        with Rig(subject, space) as rig:
            yield rig

    @pytest.fixture
    def bench(self, subject: Subject, space: Path, leaks: None) -> Iterator[StoreRig]:
        """A store over the driver."""
        with StoreRig(subject, space) as bench:
            yield bench
