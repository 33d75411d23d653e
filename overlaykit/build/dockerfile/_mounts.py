"""What ``RUN --mount`` mounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._place import Source, Word

__all__ = [
    "BindMount",
    "CacheMount",
    "Mount",
    "SecretMount",
    "SshMount",
    "TmpfsMount",
    "WrittenMount",
    "typed_mount",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount of a RUN.

    :param written: the flag's value.
    :param target: where; relative to the working directory.
    """

    written: Word
    target: Word | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenMount(Mount):
    """A mount as written, before variables are expanded.

    :param options: names and values; a name alone has ``None``.
    :param origin: ``from=``, where it has one.
    """

    options: tuple[tuple[Word, Word | None], ...]
    origin: Word | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount(Mount):
    """``type=bind``: a directory or file of the build context or of something else.

    :param source: the path in ``origin``.
    :param origin: a stage, an image or a named context; ``None`` for the build context.
    :param readonly: else writes go where nobody keeps them.
    """

    source: str = "/"
    origin: Word | None = None
    readonly: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsMount(Mount):
    """``type=tmpfs``: an empty directory in memory.

    :param size: bytes at most; 0 for no limit.
    """

    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
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


_OPTIONS = {
    "bind": {"from", "source", "target", "readwrite", "readonly"},
    "cache": {"id", "from", "source", "target", "sharing", "readonly", "readwrite", "mode", "uid", "gid"},
    "tmpfs": {"target", "size"},
    "secret": {"id", "target", "required", "mode", "uid", "gid", "env"},
    "ssh": {"id", "target", "required", "mode", "uid", "gid"},
}
_SAME = {"src": "source", "dst": "target", "destination": "target", "rw": "readwrite", "ro": "readonly"}
_SHARING = ("shared", "private", "locked")
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def typed_mount(source: Source, written: WrittenMount, expand: Callable[[Word], Word]) -> Mount:
    """Return what a mount as written means.

    :param expand: expands the variables of a word.
    :raises DockerfileError: it has an option that there is not, or a value that none can have.
    """
    place = written.written.place

    def wrong(message: str) -> Exception:
        return source.error(place, f"--mount: {message}")

    told: dict[str, Word | None] = {}
    for name, value in written.options:
        told[_SAME.get(name, str(name))] = None if value is None else expand(value)

    def text(name: str) -> Word | None:
        value = told.get(name)
        if name in told and not value:
            raise wrong(f"{name} takes a value")
        return value

    def flag(name: str) -> bool:
        value = (told[name] or "true").lower() if name in told else "false"
        if value not in ("true", "false", "1", "0"):
            raise wrong(f"{name} is true or false")
        return value in ("true", "1")

    def number(name: str, default: int, base: int = 10) -> int:
        value = text(name)
        try:
            return default if value is None else int(value, base)
        except ValueError:
            raise wrong(f"{name} is a number") from None

    kind = str(text("type") or "bind")
    known = _OPTIONS.get(kind)
    if known is None:
        raise wrong(f"there is no type {kind[:40]!r}: take bind, cache, tmpfs, secret or ssh")
    unknown = sorted(set(told) - known - {"type"})
    if unknown:
        raise wrong(f"a {kind} has no option {unknown[0][:40]!r}: it has {', '.join(sorted(known))}")
    target, origin = text("target"), text("from")
    if target is None and kind in ("bind", "cache", "tmpfs"):
        raise wrong("there is no target: say target=PATH")
    below = str(text("source") or "/")
    owner = {"uid": number("uid", 0), "gid": number("gid", 0)} if "uid" in known else {}
    if kind == "bind":
        return BindMount(
            written=written.written, target=target, source=below, origin=origin, readonly=not flag("readwrite")
        )
    if kind == "cache":
        sharing = str(text("sharing") or "shared")
        if sharing not in _SHARING:
            raise wrong(f"there is no sharing {sharing[:40]!r}: take {', '.join(_SHARING)}")
        return CacheMount(
            written=written.written,
            target=target,
            id=str(text("id") or target),
            sharing=sharing,
            source=below,
            origin=origin,
            readonly=flag("readonly"),
            mode=number("mode", 0o755, 8),
            **owner,
        )
    if kind == "tmpfs":
        size = str(text("size") or "0").lower().removesuffix("ib") or "0"
        digits = size.rstrip("bkmg")
        if not digits.isdecimal() or size[len(digits) :] not in _SIZES:
            raise wrong("size is a number of bytes, as 64m")
        return TmpfsMount(written=written.written, target=target, size=int(digits) * _SIZES[size[len(digits) :]])
    if kind == "secret":
        secret = text("id") or (None if target is None else target.with_text(target.rpartition("/")[2]))
        if not secret:
            raise wrong("there is no id: say id=ID")
        env = text("env")
        return SecretMount(
            written=written.written,
            target=target,
            id=str(secret),
            env=None if env is None else str(env),
            required=flag("required"),
            mode=number("mode", 0o400, 8),
            **owner,
        )
    return SshMount(
        written=written.written,
        target=target,
        id=str(text("id") or "default"),
        required=flag("required"),
        mode=number("mode", 0o600, 8),
        **owner,
    )
