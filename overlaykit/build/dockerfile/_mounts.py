"""What ``RUN --mount`` mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...values import value_class

if TYPE_CHECKING:
    from ._place import Word

__all__ = [
    "BindMount",
    "CacheMount",
    "Mount",
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
class CacheMount(Mount):
    """``type=cache``: a directory that lasts from one build to the next.

    :param id: which one.
    :param sharing: ``shared``, ``private`` or ``locked``.
    :param source: the path in ``origin``.
    :param origin: what a new cache starts as: a stage, an image or a named context; ``None`` for empty.
    :param readonly: whether it is.
    :param mode: of a new cache's directory.
    :param uid: of a new cache's directory.
    :param gid: of a new cache's directory.
    """

    id: str
    sharing: str = "shared"
    source: str = "/"
    origin: Word | None = None
    readonly: bool = False
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@value_class(kw_only=True)
class SecretMount(Mount):
    """``type=secret``: a secret as a file, as a variable, or as both.

    :param id: which one.
    :param env: the variable; ``None`` for none.
    :param required: whether it is an error that the caller gave none.
    :param mode: of the file.
    :param uid: of the file.
    :param gid: of the file.
    """

    id: str
    env: str | None = None
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@value_class(kw_only=True)
class TmpfsMount(Mount):
    """``type=tmpfs``: an empty directory in memory.

    :param size: bytes at most; 0 for no limit.
    """

    size: int = 0


@value_class(kw_only=True)
class SshMount(Mount):
    """``type=ssh``: an SSH agent's socket.

    :param id: which agent.
    :param required: whether it is an error that the caller gave none.
    :param mode: of the socket.
    :param uid: of the socket.
    :param gid: of the socket.
    """

    id: str = "default"
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
