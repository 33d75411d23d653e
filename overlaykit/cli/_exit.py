"""Exit codes by kind of error."""

from __future__ import annotations

import enum
import errno

from .. import errors

__all__ = ["ExitCode", "UsageError", "exit_code"]


class ExitCode(enum.IntEnum):
    """What the program ends with; documented in ``overlaykit --help``."""

    OK = 0
    OTHER = 1
    USAGE = 2
    NOT_FOUND = 3
    EXISTS = 4
    IN_USE = 5
    UNSUPPORTED = 6
    INVALID = 7
    DAMAGED = 8
    NO_SPACE = 9
    REFUSED = 10
    REMOTE = 11
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class UsageError(Exception):
    """The command line cannot be understood; the message is one line."""


_BY_KIND: tuple[tuple[type[Exception], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (errors.DriverOptionError, ExitCode.USAGE),
    (errors.SnapshotKindError, ExitCode.INVALID),
    (errors.InvalidNameError, ExitCode.INVALID),
    (errors.ImportSourceError, ExitCode.INVALID),
    (errors.LimitError, ExitCode.INVALID),
    (errors.LayerFormatError, ExitCode.DAMAGED),
    (errors.ImageFormatError, ExitCode.INVALID),
    (errors.MediaTypeError, ExitCode.UNSUPPORTED),
    (errors.BuildError, ExitCode.INVALID),
    (errors.ChangesetError, ExitCode.INVALID),
    (errors.DockerfileError, ExitCode.INVALID),
    (errors.RegistryAccessError, ExitCode.REFUSED),
    (errors.RegistryConfigError, ExitCode.INVALID),
    (errors.RegistryError, ExitCode.REMOTE),
    (errors.StoreFormatError, ExitCode.DAMAGED),
    (errors.PluginError, ExitCode.OTHER),
)

_BY_ERRNO = {
    errno.ENOENT: ExitCode.NOT_FOUND,
    errno.EEXIST: ExitCode.EXISTS,
    errno.ENOTEMPTY: ExitCode.EXISTS,
    errno.EBUSY: ExitCode.IN_USE,
    errno.EAGAIN: ExitCode.IN_USE,
    errno.ETXTBSY: ExitCode.IN_USE,
    errno.ENOTSUP: ExitCode.UNSUPPORTED,
    errno.EOPNOTSUPP: ExitCode.UNSUPPORTED,
    errno.ENOSYS: ExitCode.UNSUPPORTED,
    errno.EUCLEAN: ExitCode.DAMAGED,
    errno.ENOSPC: ExitCode.NO_SPACE,
    errno.EDQUOT: ExitCode.NO_SPACE,
    errno.EROFS: ExitCode.NO_SPACE,
    errno.EACCES: ExitCode.REFUSED,
    errno.EPERM: ExitCode.REFUSED,
}


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an exception that ends a command.

    The library's kinds decide where several share an errno; for all else the errno does.
    """
    for kind, code in _BY_KIND:
        if isinstance(error, kind):
            return code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_ERRNO.get(error.errno, ExitCode.OTHER)
    return ExitCode.OTHER
