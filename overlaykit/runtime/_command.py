"""What an image runs: ENTRYPOINT and CMD, environment and working directory, and what the caller says over them."""

from __future__ import annotations

import posixpath

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._users import User
    from ._values import RunOptions

__all__ = ["DEFAULT_PATH", "command", "environment", "working_directory"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command(config: Mapping[str, Any], options: RunOptions) -> tuple[str, ...]:
    """Combine ENTRYPOINT and CMD as Docker's table says (Dockerfile reference, "Understand how CMD and ENTRYPOINT
    interact"); an entrypoint from the caller takes the image's command away.

    :param config: the image's ``config``.
    :raises RunError: there is nothing to run.
    """
    entrypoint = options.entrypoint
    words = options.args
    if entrypoint is None:
        entrypoint = _words(config, "Entrypoint")
        words = words or _words(config, "Cmd")
    made = (*entrypoint, *words)
    if not made:
        raise errors.RunError("the image says nothing of what to run: give a command")
    if not made[0]:
        raise errors.RunError("the program's name is empty: give a command")
    return made


def _words(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = config.get(name) or ()
    if isinstance(value, str):
        return ("/bin/sh", "-c", value)
    return tuple(str(one) for one in value)


def environment(config: Mapping[str, Any], options: RunOptions, user: User, hostname: str) -> dict[str, str]:
    """Return the environment: defaults, the image's, the caller's, and HOME where nobody said it."""
    made = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if options.terminal:
        made["TERM"] = "xterm"
    for one in config.get("Env") or ():
        name, _, value = str(one).partition("=")
        if name:
            made[name] = value
    made.update(options.env)
    if "HOME" not in made:
        made["HOME"] = user.home or ("/root" if user.uid == 0 else "/")
    return made


def working_directory(config: Mapping[str, Any], options: RunOptions) -> str:
    """Return the working directory: the caller's, or else the image's, or else the root.

    :raises RunError: the caller's is not absolute.
    """
    if options.cwd is not None:
        if not options.cwd.startswith("/"):
            raise errors.RunError(f"the working directory {options.cwd[:200]!r} is not absolute: begin it with a slash")
        return _clean(options.cwd)
    return _clean(str(config.get("WorkingDir") or "/"))


def _clean(path: str) -> str:
    return "/" + posixpath.normpath("/" + path).lstrip("/")
