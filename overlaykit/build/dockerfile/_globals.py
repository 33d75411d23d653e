"""The variables of a whole Dockerfile: build arguments, platforms, and the ARGs before the first FROM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import errors
from ...image import Platform
from ...values import replace
from . import _ast as ast
from ._expand import Expander, ExpansionError
from ._scope import PREDEFINED, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._ast import Dockerfile, From, Stage
    from ._place import Word

__all__ = ["Globals"]


class Globals:
    """What a stage's variables begin with.

    :param build_args: what the caller gives for ARGs.
    :param platform: what is built for, as ``linux/arm64``.
    :param build_platform: what is built on; ``None`` for the same.
    :param target: the target stage's name, for ``TARGETSTAGE``; ``None`` for the last one's.
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
        self._dockerfile = dockerfile
        self._given = dict(build_args or {})
        self._platforms = {
            **_platform("TARGET", platform),
            **_platform("BUILD", build_platform or platform),
            "TARGETSTAGE": target or dockerfile.stages[-1].name or "default",
        }
        self._platforms |= {name: value for name, value in self._given.items() if name in self._platforms}
        self._values: dict[str, str] = dict(self._platforms)
        for one in dockerfile.arguments:
            for argument in one.arguments:
                self._declare(argument)

    def _declare(self, argument: ast.Argument) -> None:
        name = str(argument.name)
        if name in self._given:
            self._values[name] = self._given[name]
        elif argument.default is not None:
            self._values[name] = str(self._word(argument.default))

    def _word(self, word: Word) -> Word:
        try:
            return word.with_text(Expander(self._values, self._dockerfile.directives.escape).text(word))
        except ExpansionError as error:
            raise self._dockerfile.source.error(word.at(error.offset), str(error)) from None

    def base(self, stage: Stage) -> From:
        """Return a stage's FROM with its variables expanded.

        :raises DockerfileError: it cannot be, or nothing is left.
        """
        image = self._word(stage.base.image)
        if not image:
            raise self._dockerfile.source.error(
                stage.base.image.place,
                f"the base's name is empty after {stage.base.image} was expanded: set it with an ARG before the FROM",
            )
        written = stage.base.platform
        platform = None if written is None else self._word(written)
        if platform is not None:
            try:
                Platform.parse(platform)
            except errors.ImageReferenceError as error:
                raise self._dockerfile.source.error(platform.place, str(error)) from None
        return replace(stage.base, image=image, platform=platform)

    def scope(self, stage: Stage, *, environment: Mapping[str, str]) -> Scope:
        """Return a stage's variables as they are at its beginning, where its base is no stage.

        A stage that begins with another inherits its ARGs too: take a :meth:`Scope.copy` of that one's.

        :param environment: that of its base.
        """
        source, escape = self._dockerfile.source, self._dockerfile.directives.escape
        return Scope(source, escape, environment, self._given, self._values)

    @property
    def values(self) -> Mapping[str, str]:
        """What FROM can use: the ARGs before the first one, and those of the platforms."""
        return dict(self._values)

    @property
    def unused(self) -> list[str]:
        """The names among ``build_args`` that no ARG of the Dockerfile declares, sorted."""
        declared = {str(argument.name) for one in self._all() for argument in one.arguments}
        known = declared | PREDEFINED | set(self._platforms) | {"SOURCE_DATE_EPOCH"}
        # What begins so is for the builder (Dockerfile reference, "BuildKit built-in build args").
        return sorted(name for name in set(self._given) - known if not name.startswith("BUILDKIT_"))

    def _all(self) -> Iterator[ast.Arg]:
        yield from self._dockerfile.arguments
        for stage in self._dockerfile.stages:
            for one in stage.instructions:
                inner = one.instruction if isinstance(one, ast.Onbuild) else one
                if isinstance(inner, ast.Arg):
                    yield inner


def _platform(prefix: str, text: str) -> dict[str, str]:
    parts = [*text.split("/"), "", ""]
    return {
        f"{prefix}PLATFORM": text,
        f"{prefix}OS": parts[0],
        f"{prefix}OSVERSION": "",
        f"{prefix}ARCH": parts[1],
        f"{prefix}VARIANT": parts[2],
    }
