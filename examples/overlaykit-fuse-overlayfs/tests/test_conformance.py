"""The driver does what every driver does."""

from __future__ import annotations

from overlaykit.conformance import FullSuite


class TestFuseOverlayfs(FullSuite):
    driver = "fuse-overlayfs"
