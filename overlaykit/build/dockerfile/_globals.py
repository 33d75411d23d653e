"""The variables of a whole Dockerfile: build arguments, platforms, and the ARGs before the first FROM."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._ast import Dockerfile, From, Stage
    from ._scope import Scope

__all__ = ["Globals"]


class Globals:
    """What a stage's variables begin with.

    :param build_args: what the caller gives for ARGs.
    :param platform: what is built for, as ``linux/arm64``.
    :param build_platform: what is built on; ``None`` for the same.
    :param target: the target stage's name, for ``TARGETSTAGE``; ``None`` for ``default``.
    :raises DockerfileError: an ARG before the first FROM cannot be expanded.
    """

    def __init__(
        self,
        dockerfile: Dockerfile,
        *,
        build_args: Mapping[str, str] | None = None,
        platform: str = "linux/amd64",
        build_platform: str | None = None,
        target: str | None = None,
    ) -> None:
        raise NotImplementedError

    def base(self, stage: Stage) -> From:
        """Return a stage's FROM with its variables expanded.

        :raises DockerfileError: it cannot be, or nothing is left.
        """
        raise NotImplementedError

    def scope(self, stage: Stage, *, environment: Mapping[str, str], platform: str | None = None) -> Scope:
        """Return a stage's variables as they are at its beginning.

        :param environment: that of its base.
        :param platform: of its base, where FROM asks for another than the target's.
        """
        raise NotImplementedError

    @property
    def unused(self) -> list[str]:
        """The names among ``build_args`` that no ARG of the Dockerfile declares, sorted."""
        raise NotImplementedError
