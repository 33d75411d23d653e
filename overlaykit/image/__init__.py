"""OCI images over a store: layers, configurations, references, containers, archives and registries."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._collect import Collected
from ._container import Container, ContainerInfo
from ._model import Descriptor, History, ImageConfig, Index, Manifest, Platform, chain_ids
from ._records import Image
from ._reference import Reference
from ._sharing import HistoryEntry, Layer
from ._store import ImageStore, open_store
from ._transfer import BlobSource, BlobTarget, Fetched, ProgressEvent, Sent, fetch_image, send_image

if TYPE_CHECKING:
    from ._load import load
    from ._save import save

__all__ = [
    "BlobSource",
    "BlobTarget",
    "Collected",
    "Container",
    "ContainerInfo",
    "Descriptor",
    "Fetched",
    "History",
    "HistoryEntry",
    "Image",
    "ImageConfig",
    "ImageStore",
    "Index",
    "Layer",
    "Manifest",
    "Platform",
    "ProgressEvent",
    "Reference",
    "Sent",
    "chain_ids",
    "fetch_image",
    "load",
    "open_store",
    "save",
    "send_image",
]

_LATER = {"load": "_load", "save": "_save"}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{module}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
