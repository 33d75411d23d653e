"""OCI images over a store: layers, configurations, references, containers, archives and registries."""

from __future__ import annotations

from ._collect import Collected
from ._container import Container, ContainerInfo
from ._load import load
from ._model import Descriptor, History, ImageConfig, Index, Manifest, Platform, chain_ids
from ._records import Image
from ._reference import Reference
from ._save import save
from ._sharing import HistoryEntry, Layer
from ._store import ImageStore, open_store
from ._transfer import BlobSource, BlobTarget, Fetched, ProgressEvent, Sent, fetch_image, send_image

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
