"""What a stage begins with: an image, another stage, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..values import value_class
from ._config import StageConfig
from ._layers import Stack

if TYPE_CHECKING:
    from ..image import Platform
    from ._bases import Base
    from ._stage import StageResult

__all__ = ["Inherited"]


@value_class
class Inherited:
    """The layers, the configuration and the history that a stage goes on with.

    :param foreign: how many entries of the history are an image's own, to be left as they are.
    """

    stack: Stack
    config: StageConfig
    history: tuple[dict[str, Any], ...]
    foreign: int = 0

    @classmethod
    def scratch(cls, platform: Platform) -> Inherited:
        """Begin with nothing."""
        return cls(Stack(), StageConfig(None, platform), ())

    @classmethod
    def image(cls, base: Base, platform: Platform) -> Inherited:
        """Begin with an image."""
        return cls(base.stack, StageConfig(base.document, platform), base.history, len(base.history))

    @classmethod
    def stage(cls, result: StageResult, platform: Platform) -> Inherited:
        """Begin with another stage."""
        document = {**result.config.document, "config": result.config.inner}
        return cls(result.stack, StageConfig(document, platform), result.history, result.foreign)
