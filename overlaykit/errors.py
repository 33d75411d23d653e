"""Every exception of the library.

Each derives from :class:`OverlaykitError` and from the :class:`OSError` subclass that fits it, and carries the errno of
that kind: code that knows nothing of overlaykit and catches :class:`FileNotFoundError` or looks at ``errno`` does the
right thing. ``str(error)`` is one line: the thing, the cause and the way out.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar

__all__ = [
    "BuildError",
    "BuildStepError",
    "CapabilityError",
    "ChangesetError",
    "DigestMismatchError",
    "DockerfileError",
    "DriverConflictError",
    "DriverError",
    "DriverOptionError",
    "DriverUnavailableError",
    "ExistsError",
    "ImageFormatError",
    "ImageReferenceError",
    "ImportSourceError",
    "InvalidNameError",
    "LayerFormatError",
    "LayerInUseError",
    "LimitError",
    "MediaTypeError",
    "NameTooLongError",
    "NotFoundError",
    "OverlaykitError",
    "PluginError",
    "ReadOnlyError",
    "RegistryAccessError",
    "RegistryConfigError",
    "RegistryError",
    "RegistryUnavailableError",
    "RemovalVetoedError",
    "RunError",
    "RuntimeNotFoundError",
    "SnapshotDamagedError",
    "SnapshotKindError",
    "StoreAccessError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCorruptError",
    "StoreFormatError",
    "StoreFullError",
    "StoreVersionError",
    "UnknownDriverError",
    "UnsupportedError",
]


class OverlaykitError(OSError):
    """Base of every error that the library itself raises.

    :param message: one line that names the thing, the cause and the way out.
    :param filename: the path that the error is about, where there is one.
    """

    #: The errno of this kind of error; an instance has it as ``errno``.
    code: ClassVar[int] = errno.EIO

    def __init__(self, message: str, *, filename: str | bytes | os.PathLike[str] | None = None) -> None:
        if filename is None:
            super().__init__(self.code, message)
        else:
            super().__init__(self.code, message, os.fspath(filename))
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__, self.errno, self.strerror, self.filename)


def _rebuild(
    cls: type[OverlaykitError], state: dict[str, Any], code: int, strerror: str, filename: str | bytes | None
) -> OverlaykitError:
    error = cls.__new__(cls)
    if filename is None:
        OSError.__init__(error, code, strerror)
    else:
        OSError.__init__(error, code, strerror, filename)
    error.__dict__.update(state)
    return error


class NotFoundError(OverlaykitError, FileNotFoundError):
    """A snapshot, a store or something else that was named does not exist (ENOENT)."""

    code = errno.ENOENT


class ExistsError(OverlaykitError, FileExistsError):
    """The key or name is taken (EEXIST)."""

    code = errno.EEXIST


class ImportSourceError(OverlaykitError, ValueError):
    """What was to be imported is no directory and no archive, or a damaged one (EINVAL)."""

    code = errno.EINVAL


class InvalidNameError(OverlaykitError, ValueError):
    """A key, name or label that cannot be one: empty, or not encodable as UTF-8 (EINVAL)."""

    code = errno.EINVAL


class NameTooLongError(InvalidNameError):
    """A key, name or label longer than the store takes (ENAMETOOLONG)."""

    code = errno.ENAMETOOLONG


class LayerInUseError(OverlaykitError):
    """Something else still needs what was to be removed, committed or opened (EBUSY).

    :param users: the names of what uses it: child snapshots, or a description of the open tree.
    """

    code = errno.EBUSY

    def __init__(
        self, message: str, *, users: Sequence[str] = (), filename: str | bytes | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(message, filename=filename)
        self.users = tuple(users)


class SnapshotKindError(OverlaykitError, ValueError):
    """The operation does not exist for a snapshot of this kind: a view committed, an active parent (EINVAL)."""

    code = errno.EINVAL


class ReadOnlyError(OverlaykitError):
    """A write to something that is read-only (EROFS)."""

    code = errno.EROFS


class SnapshotDamagedError(OverlaykitError):
    """The stored bytes of a snapshot are not those that were committed, or cannot be trusted any more (EUCLEAN)."""

    code = errno.EUCLEAN


class UnsupportedError(OverlaykitError):
    """The driver, the file system or the kernel cannot do this (ENOTSUP)."""

    code = errno.ENOTSUP


class CapabilityError(UnsupportedError):
    """The driver does not declare the capability that the operation needs (ENOTSUP).

    :param capability: the missing capability's name.
    """

    def __init__(self, message: str, *, capability: str) -> None:
        super().__init__(message)
        self.capability = capability


class DriverError(OverlaykitError):
    """A driver broke its contract: wrong type returned, an exception that is no OSError (EIO)."""


class DriverOptionError(OverlaykitError, ValueError):
    """The driver has no such option, or not with such a value (EINVAL)."""

    code = errno.EINVAL


class UnknownDriverError(NotFoundError):
    """No registered driver has this name (ENOENT).

    :param known: the names that exist.
    """

    def __init__(self, message: str, *, known: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.known = tuple(known)


class DriverUnavailableError(UnsupportedError):
    """The driver exists but does not work here (ENOTSUP).

    :param reason: why, in one line.
    :param fix: what would make it work, in one line; empty where nothing would.
    """

    def __init__(self, message: str, *, reason: str, fix: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.fix = fix


class DriverConflictError(ExistsError):
    """Two plugins register a driver of the same name (EEXIST).

    :param distributions: the distributions that do.
    """

    def __init__(self, message: str, *, distributions: Sequence[str]) -> None:
        super().__init__(message)
        self.distributions = tuple(distributions)


class PluginError(OverlaykitError):
    """A plugin could not be loaded or broke the hook contract (EINVAL)."""

    code = errno.EINVAL


class RemovalVetoedError(OverlaykitError, PermissionError):
    """A plugin's ``overlaykit_before_remove`` refused the removal (EPERM)."""

    code = errno.EPERM


class StoreAccessError(OverlaykitError, PermissionError):
    """The user may not read or write the store (EACCES)."""

    code = errno.EACCES


class StoreFormatError(OverlaykitError):
    """The directory is not an overlaykit store (EINVAL)."""

    code = errno.EINVAL


class StoreVersionError(StoreFormatError):
    """The store was written by a newer overlaykit than this one (EPROTONOSUPPORT)."""

    code = errno.EPROTONOSUPPORT


class StoreCorruptError(OverlaykitError):
    """The store's metadata are damaged (EUCLEAN)."""

    code = errno.EUCLEAN


class StoreBusyError(OverlaykitError, BlockingIOError):
    """Another process holds the store longer than the caller wanted to wait (EAGAIN)."""

    code = errno.EAGAIN


class StoreClosedError(OverlaykitError, ValueError):
    """The store, snapshot or tree was closed before (EBADF)."""

    code = errno.EBADF


class StoreFullError(OverlaykitError):
    """The file system under the store is full (ENOSPC)."""

    code = errno.ENOSPC


class ImageFormatError(OverlaykitError, ValueError):
    """An image's manifest, index, configuration or archive is not what the specification says (EINVAL)."""

    code = errno.EINVAL


class LayerFormatError(ImageFormatError):
    """A layer is damaged, cut short, or holds what no layer may hold; nothing of it is kept (EBADMSG)."""

    code = errno.EBADMSG


class DigestMismatchError(LayerFormatError):
    """Bytes are not those that their digest names (EBADMSG).

    :param expected: the digest that was asked for.
    :param actual: the digest of what came.
    """

    def __init__(self, message: str, *, expected: str, actual: str) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class LimitError(ImageFormatError):
    """A layer or an image exceeds a limit that was set: entries, expanded size, ratio, layers, JSON (EFBIG).

    :param limit: the name of the limit, as :class:`overlaykit.changeset.Limits` has it.
    """

    code = errno.EFBIG

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class MediaTypeError(UnsupportedError, ValueError):
    """A media type, or a form of archive, that is not known or not supported here (ENOTSUP)."""


class ImageReferenceError(InvalidNameError):
    """No reference to an image can look like this (EINVAL)."""


class DockerfileError(OverlaykitError, ValueError):
    """A Dockerfile is not what BuildKit's Dockerfile reference says (EINVAL).

    ``str(error)`` is ``FILE:LINE:COLUMN: MESSAGE``.

    :param message: what is wrong, and the way out.
    :param file: what the Dockerfile is called.
    :param line: counted from 1.
    :param column: counted from 1, in characters.
    :param source: the text of that line.
    """

    code = errno.EINVAL

    def __init__(self, message: str, *, file: str, line: int, column: int, source: str = "") -> None:
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.file = file
        self.line = line
        self.column = column
        self.source = source

    def shown(self) -> str:
        """Return the line with a caret below the place: two lines."""
        below = "".join(char if char == "\t" else " " for char in self.source[: self.column - 1])
        return f"{self.source}\n{below:<{self.column - 1}}^"


class BuildError(OverlaykitError, ValueError):
    """A build cannot be done as it was asked for: a secret that nobody gave, a context that is none (EINVAL)."""

    code = errno.EINVAL


class BuildStepError(OverlaykitError, ChildProcessError):
    """The command of a RUN failed (ECHILD). What was built before it is in the cache.

    :param exit_code: what it ended with; 128 and the number for a signal.
    :param output: the end of what it wrote, standard output and error as they came.
    :param place: the file and line of the instruction, as ``Dockerfile:3``.
    :param layer: the chain id of the layer that it ran on; ``None`` for none.
    """

    code = errno.ECHILD

    def __init__(
        self, message: str, *, exit_code: int = 1, output: bytes = b"", place: str = "", layer: str | None = None
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.output = output
        self.place = place
        self.layer = layer


class ChangesetError(OverlaykitError, ValueError):
    """A tree has what no layer can express, such as a name that begins with ``.wh.`` (EINVAL)."""

    code = errno.EINVAL


class RegistryError(OverlaykitError):
    """A registry answered with an error, or not as the distribution specification says (EREMOTEIO).

    :param status: the HTTP status, ``None`` where there was no answer.
    """

    code = errno.EREMOTEIO

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RegistryUnavailableError(RegistryError, ConnectionError):
    """A registry cannot be reached, or does not answer, after all retries (EHOSTUNREACH)."""

    code = errno.EHOSTUNREACH


class RegistryAccessError(RegistryError, PermissionError):
    """A registry refuses the credentials, or wants some (EACCES). They are never part of the message."""

    code = errno.EACCES


class RegistryConfigError(RegistryError, ValueError):
    """A mirror, or a file that says where registries are, is not what it should be (EINVAL)."""

    code = errno.EINVAL


class RuntimeNotFoundError(UnsupportedError):
    """There is no program here that runs containers, or not the one that was asked for (ENOTSUP).

    :param tried: the names that were looked for.
    """

    def __init__(self, message: str, *, tried: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tried = tuple(tried)


class RunError(OverlaykitError, ChildProcessError):
    """A container's process cannot be started (ECHILD).

    :param exit_code: what a shell, and Docker, would end with: 127 where there is no such program, 126 where it cannot
        be executed, 125 for everything else.
    """

    code = errno.ECHILD

    def __init__(self, message: str, *, exit_code: int = 125) -> None:
        super().__init__(message)
        self.exit_code = exit_code
