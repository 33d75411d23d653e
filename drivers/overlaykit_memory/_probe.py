"""What the driver offers, and whether it works here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overlaykit.driver import Capability, Probe

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CAPABILITIES", "probe"]

CAPABILITIES = frozenset(
    {
        Capability.ACL,
        Capability.DEEP_STACK,
        Capability.DEVICE_NODES,
        Capability.EXCHANGE,
        Capability.OWNERSHIP,
        Capability.SPARSE,
        Capability.TRUSTED_XATTRS,
    }
)
"""What the driver offers, everywhere."""


def probe(root: Path | None) -> Probe:  # noqa: ARG001 - the signature of probes
    """Say that the driver works; it always does."""
    return Probe(usable=True, reason="needs nothing but memory", capabilities=CAPABILITIES)
