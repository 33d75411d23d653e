"""Which runtime there is."""

from __future__ import annotations

import os

from .. import errors, linux

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._runner import Runner

__all__ = ["KNOWN", "find_runner"]

KNOWN = ("crun", "runc", "own")
"""The runtimes that are looked for, in this order; ``own`` is part of the native module."""

# Where they are on distributions whose users do not have those directories in PATH.
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_runner(name: str | None = None, *, terminal: bool = False) -> Runner:
    """Return what runs containers here.

    With a terminal the own runner comes first. crun 1.8 ends as soon as its container has, and on a busy machine the
    last that this wrote, or all of it, has not come through the terminal by then; runc 1.1 tells the terminal its size
    when the program runs already.

    :param name: ``"crun"``, ``"runc"``, ``"own"``, or the path of a program with their command line; ``None`` for
        ``$OVERLAYKIT_RUNTIME``, and where that is not set the first that is installed.
    :param terminal: it is for a program with a terminal.
    :raises RuntimeNotFoundError: it is not installed, or nothing is.
    """
    name = name or os.environ.get("OVERLAYKIT_RUNTIME") or None
    known = sorted(KNOWN, key=lambda one: one != "own") if terminal else KNOWN
    for one in known if name is None else (name,):
        if one == "own":
            if linux.available():
                from ._own import OwnRunner

                return OwnRunner()
            continue
        path = _which(one)
        if path is not None:
            from ._oci import OciRunner

            return OciRunner(os.path.basename(one), path)
    if name == "own":
        raise errors.RuntimeNotFoundError(
            "overlaykit's own runner is missing, with its native module: reinstall overlaykit with a C compiler",
            tried=[name],
        )
    if name is not None:
        raise errors.RuntimeNotFoundError(
            f"there is no runtime {name[:200]!r} here: install it, or name another ({', '.join(KNOWN)}, or a path)",
            tried=[name],
        )
    raise errors.RuntimeNotFoundError(
        "nothing here runs containers: install the package crun or runc, or reinstall overlaykit with a C compiler",
        tried=KNOWN,
    )


def _which(name: str) -> str | None:
    # shutil.which() does the same; to import it takes as long as to start a container.
    directories = [""] if "/" in name else [*os.get_exec_path(), *_PLACES.split(":")]
    for directory in directories:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None
