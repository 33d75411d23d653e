"""What a driver says of itself."""

from __future__ import annotations

import pkgutil
import re
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._suite import Suite
from overlaykit.driver import API_VERSION, Capability, Driver, Probe, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from overlaykit.conformance._rig import Rig
    from overlaykit.conformance._subject import Subject


class TestCapabilities(Suite):
    """Specification, probe and object agree."""

    def test_object_claims_no_more_than_the_specification(self, subject: Subject, rig: Rig) -> None:
        """A driver offers no capability that its specification does not name."""
        assert rig.driver.capabilities <= subject.spec.capabilities

    def test_probe_claims_no_more_than_the_specification(self, subject: Subject) -> None:
        """A probe offers no capability that the specification does not name."""
        assert subject.probe.capabilities <= subject.spec.capabilities

    def test_probe_and_object_agree(self, subject: Subject, rig: Rig) -> None:
        """What the probe says it offers here is what an object of it offers here."""
        assert subject.probe.capabilities == rig.driver.capabilities

    def test_capabilities_are_capabilities(self, rig: Rig) -> None:
        """Capabilities are a frozen set of the members of Capability."""
        assert isinstance(rig.driver.capabilities, frozenset)
        assert {type(one) for one in rig.driver.capabilities} <= {Capability}

    def test_persistent_needs_a_path(self, subject: Subject) -> None:
        """Who keeps snapshots beyond the process needs a directory to keep them in."""
        assert (Capability.PERSISTENT in subject.spec.capabilities) <= subject.spec.needs_path

    def test_specification(self, subject: Subject) -> None:
        """A specification has a name that fits the command line, a summary of one line, and a version of the API."""
        spec = subject.spec
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", spec.name)
        assert "\n" not in spec.summary
        assert 1 <= spec.api <= API_VERSION
        assert all(key and help for key, help in spec.options.items())

    def test_factory_and_probe_exist(self, subject: Subject) -> None:
        """What the specification names can be imported."""
        assert callable(pkgutil.resolve_name(subject.spec.factory))
        assert callable(pkgutil.resolve_name(subject.spec.probe))

    def test_probe_changes_nothing(self, subject: Subject, space: Path) -> None:
        """A probe leaves the directory that it looks at as it was, and says the same every time."""
        probe = pkgutil.resolve_name(subject.spec.probe)
        root = {True: space, False: None}[subject.spec.needs_path]
        answers = [probe(root) for _ in range(2)]
        assert answers[0] == answers[1]
        assert isinstance(answers[0], Probe)
        assert list(space.iterdir()) == []

    def test_probe_says_why(self, subject: Subject) -> None:
        """A probe gives its reason in one line without a full stop."""
        assert subject.probe.reason
        assert "\n" not in subject.probe.reason
        assert not subject.probe.reason.endswith(".")

    def test_object(self, rig: Rig) -> None:
        """The factory gives a Driver that keeps its configuration, and usage() gives a Usage of whole numbers."""
        assert isinstance(rig.driver, Driver)
        usage = rig.driver.usage(rig.layer({"f": "1"}))
        assert isinstance(usage, Usage)
        assert (type(usage.bytes), type(usage.inodes)) == (int, int)
        assert usage.bytes >= 0
        assert usage.inodes >= 1

    @pytest.mark.parametrize("what", ["clean", "used"])
    def test_construction_needs_no_more_than_a_directory(self, subject: Subject, space: Path, what: str) -> None:
        """A driver is constructed over an empty directory, and over one that it used before."""
        root = space / "driver"
        root.mkdir()
        for _ in range(1 + (what == "used")):
            with subject.create(root) as driver:
                assert list(driver.ids()) == []
