"""Whether the driver works here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overlaykit.driver import Probe

from .plugin import CAPABILITIES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["probe"]


def probe(root: Path | None) -> Probe:  # noqa: ARG001 - the signature of probes
    """Say that the driver works; it always does."""
    return Probe(usable=True, reason="needs nothing but memory", capabilities=CAPABILITIES)
