"""Short words for tests of a store over the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..driver import Durability
from ..plugin import hookimpl, load_plugins
from ..store import open_store
from ._describe import apply, see

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from ..driver import DriverSpec, SnapshotInfo
    from ..store import Store
    from ._describe import Layer, Seen
    from ._subject import Subject

__all__ = ["StoreRig"]


class _Plugin:
    """Brings the driver of a test class, which no installed plugin does."""

    def __init__(self, spec: DriverSpec) -> None:
        self._spec = spec

    @hookimpl
    def overlaykit_register_drivers(self) -> Sequence[DriverSpec]:
        return [self._spec]


class StoreRig:
    """A new store over the driver; leaving removes what is in it and closes it."""

    def __init__(self, subject: Subject, space: Path) -> None:
        self._subject = subject
        self._path = space / "store" if subject.spec.needs_path else None
        self._plugin = "" if subject.distribution else f"conformance of {subject.spec.name}"
        if self._plugin:
            load_plugins().register(_Plugin(subject.spec), self._plugin)
        self.store: Store = self.open()

    def open(self) -> Store:
        """Open the store, or a further object of it."""
        return open_store(
            self._path, driver=self._subject.spec.name, durability=Durability.NONE, options=dict(self._subject.options)
        )

    def reopen(self) -> Store:
        """Close the store and open it again."""
        self.store.close()
        self.store = self.open()
        return self.store

    def base(self, name: str = "base", layer: Layer | None = None, parent: str | None = None) -> SnapshotInfo:
        """Commit a layer under a name."""
        with self.store.snapshot(parent) as working:
            apply(working.tree, layer or {})
            return working.commit(name)

    def sees(self, key: str) -> dict[str, Seen]:
        """Describe what a snapshot shows."""
        with self.store.tree(key, readonly=True) as tree:
            return see(tree)

    def write(self, key: str, layer: Layer) -> None:
        """Make a layer's changes in an active snapshot."""
        with self.store.tree(key) as tree:
            apply(tree, layer)

    def keys(self) -> list[str]:
        """Return every key, in the order of walk()."""
        return [info.key for info in self.store.walk()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()
        with self.open() as store:
            # Only the driver knows how its storage is removed: whoever deletes files may meet read-only ones.
            for snapshot in reversed(list(store.walk())):
                store.remove(snapshot.key)
            store.cleanup()
        if self._plugin:
            load_plugins().unregister(self._plugin)
