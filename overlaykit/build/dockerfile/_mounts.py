"""What ``RUN --mount`` mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...values import value_class

if TYPE_CHECKING:
    from ._place import Word

__all__ = [
    "BindMount",
    "CacheMount",
    "GivenMount",
    "Mount",
    "OwnedMount",
    "SecretMount",
    "SshMount",
    "TmpfsMount",
    "WrittenMount",
]


@value_class(kw_only=True)
class Mount:
    """One mount of a RUN.

    :param written: the flag's value.
    :param target: where; relative to the working directory.
    """

    written: Word
    target: Word | None = None


@value_class(kw_only=True)
class WrittenMount(Mount):
    """A mount as written, before variables are expanded.

    :param options: names and values; a name alone has ``None``.
    :param origin: ``from=``, where it has one.
    """

    options: tuple[tuple[Word, Word | None], ...]
    origin: Word | None = None


@value_class(kw_only=True)
class BindMount(Mount):
    """``type=bind``: a directory or file of the build context or of something else.

    :param source: the path in ``origin``.
    :param origin: a stage, an image or a named context; ``None`` for the build context.
    :param readonly: else writes go where nobody keeps them.
    """

    source: str = "/"
    origin: Word | None = None
    readonly: bool = True


@value_class(kw_only=True)
class OwnedMount(Mount):
    """One that has a name, and whose files belong to somebody.

    :param id: which one.
    :param mode: of the file, the socket, or a new cache's directory.
    :param uid: of the same.
    :param gid: of the same.
    """

    id: str
    mode: int
    uid: int
    gid: int


@value_class(kw_only=True)
class CacheMount(OwnedMount):
    """``type=cache``: a directory that lasts from one build to the next.

    :param sharing: ``shared``, ``private`` or ``locked``.
    :param source: the path in ``origin``.
    :param origin: what a new cache starts as: a stage, an image or a named context; ``None`` for empty.
    :param readonly: whether it is.
    """

    sharing: str
    source: str
    origin: Word | None
    readonly: bool


@value_class(kw_only=True)
class GivenMount(OwnedMount):
    """Something that the caller of the build gives.

    :param required: whether it is an error that the caller gave none.
    """

    required: bool


@value_class(kw_only=True)
class SecretMount(GivenMount):
    """``type=secret``: a secret as a file, as a variable, or as both.

    :param env: the variable; ``None`` for none.
    """

    env: str | None


@value_class(kw_only=True)
class SshMount(GivenMount):
    """``type=ssh``: an SSH agent's socket."""


@value_class(kw_only=True)
class TmpfsMount(Mount):
    """``type=tmpfs``: an empty directory in memory.

    :param size: bytes at most; 0 for no limit.
    """

    size: int = 0
