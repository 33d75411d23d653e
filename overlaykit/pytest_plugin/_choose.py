"""Which way trees are made in this process, and why."""

from __future__ import annotations

import os
import tempfile
import threading

from .. import errors, linux

__all__ = ["Choice", "choose"]

_UNSHARE = "`overlaykit unshare -- pytest` or `unshare --map-root-user pytest` lets a user mount"


class Choice:
    """How trees are made.

    :param driver: ``"overlayfs"`` or ``"directory"``.
    :param asked: whether that driver was asked for by name, and no other will do.
    :param reason: why it was chosen, in a few words.
    """

    def __init__(self, driver: str, asked: bool, reason: str) -> None:
        self.driver = driver
        self.asked = asked
        self.reason = reason

    @property
    def line(self) -> str:
        """One line for the report's header."""
        return f"overlay trees: {self.driver} ({self.reason})"


def choose(name: str) -> Choice:
    """Choose how trees are made; where that is by mounts, this process gets mounts of its own.

    :param name: ``"auto"``, ``"overlayfs"`` or ``"directory"``.
    :raises DriverUnavailableError: overlayfs was asked for and cannot be had here; it says why and what would help.
    """
    if name == "directory":
        return Choice(name, True, "as asked")
    reason, fix = _obstacle()
    if not reason:
        return Choice(
            "overlayfs", name == "overlayfs", "as asked" if name == "overlayfs" else "mounted for this process alone"
        )
    if name == "overlayfs":
        raise errors.DriverUnavailableError(
            f"overlay trees cannot be made by overlayfs here: {reason}; {fix}", reason=reason, fix=fix
        )
    return Choice("directory", False, f"copies that are restored; not overlayfs: {reason}")


def _obstacle() -> tuple[str, str]:
    """Take mounts of this process's own; return why overlays cannot be mounted and what would help, or nothing."""
    if not linux.available():
        return "it needs Linux and overlaykit's native module", "use --overlay-driver directory"
    if not linux.is_mount_admin():
        return "this user may not mount", _UNSHARE
    if threading.current_thread() is not threading.main_thread():
        return "tests run in several threads, and mounts are one thread's own", "use --overlay-driver directory"
    try:
        linux.own_mounts()
    except OSError as error:
        return f"no mount namespace: {error.strerror or error}", "use --overlay-driver directory"
    with tempfile.TemporaryDirectory(prefix="overlaykit-") as directory:
        layers = [os.path.join(directory, name) for name in ("one", "other")]
        for layer in layers:
            os.mkdir(layer)
        try:
            os.close(linux.overlay_mount(layers, readonly=True, userxattr=linux.in_user_namespace(), rootless=False))
        except OSError as error:
            return error.strerror or str(error), "use --overlay-driver directory"
    return "", ""
