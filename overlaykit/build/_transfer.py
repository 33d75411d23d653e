"""COPY and ADD: from a context, a stage or an image into a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..image import ImageStore
    from ._control import Control
    from ._origins import Origins
    from ._request import BuildRequest

__all__ = ["TransferSteps"]


class TransferSteps:
    """Copies the files of one build."""

    def __init__(self, store: ImageStore, request: BuildRequest, origins: Origins, control: Control) -> None:
        self._store = store
        self._request = request
        self._origins = origins
        self._control = control
        #: The Dockerfile's name, which may have a ``.dockerignore`` of its own.
        self.dockerfile = "Dockerfile"
