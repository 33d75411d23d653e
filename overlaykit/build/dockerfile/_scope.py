"""The variables of a stage, instruction by instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._ast import Instruction

__all__ = ["Scope"]

_I = TypeVar("_I", bound="Instruction")


class Scope:
    """The variables at one point of a stage. Made by :meth:`Globals.scope`; a copy goes its own way.

    Instructions are resolved in their order, ONBUILD triggers of the base first: ARG and ENV change what is there for
    those after them.
    """

    def resolve(self, instruction: _I) -> _I:
        """Return an instruction with its variables expanded and its quotes removed, and take over what it sets.

        :raises DockerfileError: it cannot be expanded, as with ``${NAME:?message}``, or is not valid after it.
        """
        raise NotImplementedError

    @property
    def environment(self) -> Mapping[str, str]:
        """What ENV has set, the base's included: the image's environment, in order."""
        raise NotImplementedError

    @property
    def arguments(self) -> Mapping[str, str]:
        """The build arguments that a RUN sees as variables beside the environment, in order.

        Those that ARG declared and that have a value; predefined ones, such as ``HTTP_PROXY``, only where declared.
        They belong to a RUN's cache key.
        """
        raise NotImplementedError

    @property
    def hidden(self) -> Mapping[str, str]:
        """Predefined arguments that the caller gave and no ARG declared: a RUN sees them, its cache key does not."""
        raise NotImplementedError

    def copy(self) -> Scope:
        """Return one that goes on from here on its own."""
        raise NotImplementedError
