"""What a command is run with."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from ..errors import DriverUnavailableError, NotFoundError, UnknownDriverError
from ..values import value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ..build import BuildStore
    from ..plugin import PluginManager
    from ._output import Output
    from ._parse import GlobalOptions

__all__ = ["Context", "default_store", "loaded_plugins", "nearest_existing"]


@value_class
class Context:
    """The global options, and what they open.

    :param options: the options that every command takes.
    :param output: where to write.
    """

    options: GlobalOptions
    output: Output

    @property
    def store_path(self) -> Path:
        """The directory of the store that the command is about."""
        return Path(os.path.abspath(os.path.expanduser(self.options.store or default_store())))

    def open_store(self, *, create: bool = False) -> BuildStore:
        """Open the store, to be closed by the caller.

        :param create: make it where there is none: for commands that put something into it.
        :raises OSError: every error of :func:`~overlaykit.store.open_store`.
        """
        from ..build import open_store
        from ._ids import enter_for_store

        options = self.options
        self._check_lasting()
        lacking = enter_for_store(self.store_path, create=create)
        # Here, where what they print while they are loaded is kept apart.
        self.plugins()
        if lacking is not None and not self.output.json:
            self.output.note(lacking)
        try:
            return open_store(
                self.store_path,
                driver=options.driver,
                durability=options.durability or "commit",
                options=options.options or None,
                create=create,
            )
        except UnknownDriverError:
            raise
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no store in {self.store_path}; overlaykit import and overlaykit prepare KEY make one",
                filename=self.store_path,
            ) from error

    def _check_lasting(self) -> None:
        if self.options.driver != "auto":
            spec = self.plugins().get(self.options.driver).spec
            if not spec.needs_path:
                reason = "it forgets everything when the command ends"
                raise DriverUnavailableError(
                    f"the driver {spec.name} is of no use here: {reason}; name another, or try overlaykit demo",
                    reason=reason,
                )

    def plugins(self) -> PluginManager:
        """Return the plugin manager with all installed plugins."""
        return loaded_plugins()


def loaded_plugins() -> PluginManager:
    """Return the plugin manager with all installed plugins.

    What a plugin prints while it is loaded goes to standard error: standard output is for what was asked for.
    """
    from ..plugin import load_plugins

    with contextlib.redirect_stdout(sys.stderr):
        return load_plugins()


def default_store() -> str:
    """Return where the store is unless ``--store`` says: ``$OVERLAYKIT_STORE``, else in the user's data directory."""
    given = os.environ.get("OVERLAYKIT_STORE")
    if given:
        return given
    # The XDG base directory specification: a relative path there is to be ignored.
    data = os.environ.get("XDG_DATA_HOME", "")
    base = data if os.path.isabs(data) else "~/.local/share"
    return f"{base}/overlaykit"


def nearest_existing(path: Path) -> Path:
    """Return the path or the nearest directory above it that exists: what a driver's probe looks at."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
