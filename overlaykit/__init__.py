"""Docker's layered filesystem as a Python library: copy-on-write trees over read-only layers.

Importing this package imports next to nothing: a name's module is imported when the name is first used.
"""

from __future__ import annotations

# Known to type checkers by its name; the module typing would be most of the import's cost.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from .build import BuildResult as BuildResult
    from .build import BuildStore as BuildStore
    from .build import open_store as open_store
    from .driver import Aspect as Aspect
    from .driver import Capability as Capability
    from .driver import Change as Change
    from .driver import ChangeKind as ChangeKind
    from .driver import Durability as Durability
    from .driver import Mount as Mount
    from .driver import SnapshotInfo as SnapshotInfo
    from .driver import SnapshotKind as SnapshotKind
    from .driver import Usage as Usage
    from .errors import BuildError as BuildError
    from .errors import BuildStepError as BuildStepError
    from .errors import CapabilityError as CapabilityError
    from .errors import ChangesetError as ChangesetError
    from .errors import DigestMismatchError as DigestMismatchError
    from .errors import DockerfileError as DockerfileError
    from .errors import DriverConflictError as DriverConflictError
    from .errors import DriverError as DriverError
    from .errors import DriverOptionError as DriverOptionError
    from .errors import DriverUnavailableError as DriverUnavailableError
    from .errors import ExistsError as ExistsError
    from .errors import ImageFormatError as ImageFormatError
    from .errors import ImageReferenceError as ImageReferenceError
    from .errors import ImportSourceError as ImportSourceError
    from .errors import InvalidNameError as InvalidNameError
    from .errors import LayerFormatError as LayerFormatError
    from .errors import LayerInUseError as LayerInUseError
    from .errors import LimitError as LimitError
    from .errors import MediaTypeError as MediaTypeError
    from .errors import NameTooLongError as NameTooLongError
    from .errors import NotFoundError as NotFoundError
    from .errors import OverlaykitError as OverlaykitError
    from .errors import PluginError as PluginError
    from .errors import ReadOnlyError as ReadOnlyError
    from .errors import RegistryAccessError as RegistryAccessError
    from .errors import RegistryConfigError as RegistryConfigError
    from .errors import RegistryError as RegistryError
    from .errors import RegistryUnavailableError as RegistryUnavailableError
    from .errors import RemovalVetoedError as RemovalVetoedError
    from .errors import RunError as RunError
    from .errors import RuntimeNotFoundError as RuntimeNotFoundError
    from .errors import SnapshotDamagedError as SnapshotDamagedError
    from .errors import SnapshotKindError as SnapshotKindError
    from .errors import StoreAccessError as StoreAccessError
    from .errors import StoreBusyError as StoreBusyError
    from .errors import StoreClosedError as StoreClosedError
    from .errors import StoreCorruptError as StoreCorruptError
    from .errors import StoreFormatError as StoreFormatError
    from .errors import StoreFullError as StoreFullError
    from .errors import StoreVersionError as StoreVersionError
    from .errors import UnknownDriverError as UnknownDriverError
    from .errors import UnsupportedError as UnsupportedError
    from .image import Container as Container
    from .image import Image as Image
    from .image import ImageStore as ImageStore
    from .runtime import ContainerStore as ContainerStore
    from .runtime import RunnableContainer as RunnableContainer
    from .runtime import RunOptions as RunOptions
    from .store import Store as Store
    from .store import Working as Working
    from .tree import RenameFlag as RenameFlag
    from .tree import Tree as Tree
    from .tree import TreeEntry as TreeEntry
    from .tree import TreePath as TreePath

__version__ = "0.1.0"

_NAMES = {
    "build": ("BuildResult", "BuildStore", "open_store"),
    "driver": (
        "Aspect",
        "Capability",
        "Change",
        "ChangeKind",
        "Durability",
        "Mount",
        "SnapshotInfo",
        "SnapshotKind",
        "Usage",
    ),
    "errors": (
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
    ),
    "image": ("Container", "Image", "ImageStore"),
    "runtime": ("ContainerStore", "RunOptions", "RunnableContainer"),
    "store": ("Store", "Working"),
    "tree": ("RenameFlag", "Tree", "TreeEntry", "TreePath"),
}

_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    from importlib import import_module

    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
