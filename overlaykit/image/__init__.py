"""OCI images over a store: layers, configurations, references, containers, archives and registries."""

from __future__ import annotations

from ._model import Descriptor, History, ImageConfig, Index, Manifest, Platform, chain_ids
from ._reference import Reference

__all__ = [
    "Descriptor",
    "History",
    "ImageConfig",
    "Index",
    "Manifest",
    "Platform",
    "Reference",
    "chain_ids",
]
