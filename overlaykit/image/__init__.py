"""OCI images over a store: layers, configurations, references, containers, archives and registries.

The store is imported with it; the rest when a name is first used.
"""

from __future__ import annotations

from ..lazy import lazy_names
from ._store import ImageStore, open_store

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._collect import Collected
    from ._container import Container, ContainerInfo
    from ._fetch import fetch_image
    from ._load import load, load_one
    from ._model import Descriptor, History, ImageConfig, Index, Manifest, Platform, chain_ids
    from ._records import Image
    from ._reference import Reference
    from ._save import save
    from ._sharing import HistoryEntry, Layer
    from ._transfer import BlobSource, BlobTarget, Fetched, ProgressEvent, Sent, send_image
    from ._write import record, source_date_epoch, timestamp

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
    "load_one",
    "open_store",
    "record",
    "save",
    "send_image",
    "source_date_epoch",
    "timestamp",
]

_LATER = {
    "BlobSource": "_transfer",
    "BlobTarget": "_transfer",
    "Collected": "_collect",
    "Container": "_container",
    "ContainerInfo": "_container",
    "Descriptor": "_model",
    "Fetched": "_transfer",
    "History": "_model",
    "HistoryEntry": "_sharing",
    "Image": "_records",
    "ImageConfig": "_model",
    "Index": "_model",
    "Layer": "_sharing",
    "Manifest": "_model",
    "Platform": "_model",
    "ProgressEvent": "_transfer",
    "Reference": "_reference",
    "Sent": "_transfer",
    "chain_ids": "_model",
    "fetch_image": "_fetch",
    "load": "_load",
    "load_one": "_load",
    "record": "_write",
    "save": "_save",
    "send_image": "_transfer",
    "source_date_epoch": "_write",
    "timestamp": "_write",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
