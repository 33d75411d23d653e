"""Opening a store: a directory is made, recognised or refused."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from pathlib import Path

from .. import errors
from ..driver import Capability, DriverConfig, Durability
from ..plugin import load_plugins
from ._drivers import GuardedDriver
from ._engine import Engine
from ._ids import check_ids, marked_ids
from ._locks import OperationLock, wait_for
from ._metadata import Metadata
from ._names import show
from ._store import Store
from ._trees import TreeRegistry

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final, TypeVar

    from ..plugin import Choice, PluginManager

    _S = TypeVar("_S", bound=Store)

__all__ = ["FORMAT", "open_as", "open_store"]


FORMAT: Final = 1
"""The format of store directories that this overlaykit writes."""

_MARKER: Final = "overlaykit.json"
_DATABASE: Final = "metadata.db"
_OURS: Final = frozenset(
    {
        _DATABASE,
        *(f"{_DATABASE}-{end}" for end in ("journal", "wal", "shm")),
        f"{_MARKER}.new",
        "reserve",
        "lock",
        "locks",
        "driver",
    }
)


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    driver: str = "auto",
    durability: Durability | str = Durability.COMMIT,
    options: Mapping[str, str] | None = None,
    create: bool = True,
) -> Store:
    """Open a store, or make one.

    :param path: its directory; ``~`` is the home directory. ``None`` for a store that is gone when it is closed, with
        a driver that keeps its snapshots in memory.
    :param driver: a driver's name; ``"auto"`` for the one that the store was made with, or for a new one the usable
        driver of highest priority. :attr:`Store.choice` says which and why.
    :param durability: what survives a power cut; see :class:`~overlaykit.driver.Durability`.
    :param options: the driver's options; they are not recorded.
    :param create: make the store where there is none: ``path`` is missing or an empty directory.
    :raises NotFoundError: there is no store and it was not to be made.
    :raises StoreFormatError: ``path`` is something else, or the store was made by another driver; it is left untouched.
    :raises StoreVersionError: a newer overlaykit made the store.
    :raises StoreCorruptError: its metadata are damaged.
    :raises StoreAccessError: the user may not read and write it; or it was made in a user namespace, and this is none.
    :raises ReadOnlyError: it is on a read-only file system.
    :raises StoreFullError: its file system is full.
    :raises UnknownDriverError: there is no such driver.
    :raises DriverUnavailableError: the driver does not work here; the error says why and what would help.
    :raises DriverOptionError: the driver has no such option.
    :raises UnsupportedError: the driver needs a path and there is none, or has no use for the one given.
    """
    return open_as(Store, path, driver, Durability(durability), options or {}, create=create)


def open_as(
    kind: type[_S],
    path: str | os.PathLike[str] | None,
    driver: str,
    level: Durability,
    options: Mapping[str, str],
    *,
    create: bool,
) -> _S:
    """Open a store of a kind; see :func:`open_store`."""
    plugins = load_plugins()
    if path is None:
        return _open_in_memory(kind, plugins, driver, level, options)
    directory = _absolute(path)
    with _typed(directory), contextlib.ExitStack() as stack:
        existing = _inspect(directory)
        if existing is not None:
            check_ids(directory, existing)
        elif not create:
            raise errors.NotFoundError(f"there is no store in {directory}; open it with create=True to make one")
        choice = _choose(plugins, driver, directory, existing, options)
        if existing is None:
            _make(directory, choice.driver.spec.name, level)
            # Another process may have been faster, with another driver.
            choice = _choose(plugins, driver, directory, _inspect(directory), options, choice)
        return _assemble(kind, plugins, choice, directory, level, options, stack)


def _open_in_memory(
    kind: type[_S], plugins: PluginManager, driver: str, level: Durability, options: Mapping[str, str]
) -> _S:
    choice = plugins.choose(driver, None)
    spec = choice.driver.spec
    if spec.needs_path:
        raise errors.UnsupportedError(f"the driver {spec.name} keeps its snapshots in a directory: give a path")
    with contextlib.ExitStack() as stack:
        return _assemble(kind, plugins, choice, None, level, options, stack)


def _assemble(
    kind: type[_S],
    plugins: PluginManager,
    choice: Choice,
    path: Path | None,
    level: Durability,
    options: Mapping[str, str],
    stack: contextlib.ExitStack,
) -> _S:
    if path is not None:
        if not (path / "driver").is_dir():
            raise errors.StoreCorruptError(
                f"{path / 'driver'} is missing, and with it the content of all snapshots: restore it from a backup",
                filename=path / "driver",
            )
        with contextlib.suppress(FileExistsError):
            os.mkdir(path / "locks", 0o700)
    operations = OperationLock(None if path is None else path / "lock")
    stack.callback(operations.close)
    metadata = Metadata(None if path is None else path / _DATABASE, level, create=path is None)
    stack.callback(metadata.close)
    root = None if path is None else path / "driver"
    config = DriverConfig(root, level, dict(options), choice.asked if _mount(path) == _mount(root) else None)
    made = plugins.create(choice.driver, config)
    stack.callback(made.close)
    driver = GuardedDriver(made, choice.driver, path)
    engine = Engine(path, driver, metadata, operations, TreeRegistry(None if path is None else path / "locks"))
    engine.recover()
    engine.reserve.refill()
    store = kind(engine, choice, plugins)
    stack.pop_all()
    return store


def _mount(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file system, and how it is mounted, from others: what was probed on one holds there alone."""
    return None if path is None else (os.stat(path).st_dev, os.statvfs(path).f_flag)


def _absolute(path: str | os.PathLike[str]) -> Path:
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise errors.InvalidNameError(f"{text!r:.80} cannot be the path of a store: give that of a directory")
    return Path(os.path.abspath(os.path.expanduser(text)))


def _inspect(directory: Path) -> dict[str, object] | None:
    """Return the marker of the store there, or ``None`` where one can be made.

    :raises StoreFormatError: neither.
    """
    try:
        mode = os.stat(directory).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(mode):
        raise errors.StoreFormatError(f"{directory} is a file and no directory: give another path", filename=directory)
    try:
        with open(directory / _MARKER, encoding="utf-8") as file:
            text = file.read(65536)
    except FileNotFoundError:
        if _is_free(directory):
            return None
        # Another process has made the store since.
        return _inspect(directory)
    except UnicodeDecodeError:
        text = ""
    return _read_marker(directory, text)


def _is_free(directory: Path) -> bool:
    """Tell whether a store can be made there; not where the marker has appeared meanwhile.

    :raises StoreFormatError: there is something else.
    """
    # What a killed process had made of a new store is ours: everything but a driver's content, and that is empty.
    names = set(os.listdir(directory))
    if names <= _OURS and not ("driver" in names and os.listdir(directory / "driver")):
        return True
    if (directory / _MARKER).exists():
        return False
    if {_DATABASE, "driver"} <= names:
        raise errors.StoreCorruptError(
            f"{directory} looks like a store, but its {_MARKER} is missing: restore that from a backup",
            filename=directory,
        )
    raise errors.StoreFormatError(
        f"{directory} is not empty and not an overlaykit store: give an empty or a new directory", filename=directory
    )


def _read_marker(directory: Path, text: str) -> dict[str, object]:
    path = directory / _MARKER
    try:
        marker = json.loads(text)
    except ValueError:
        marker = None
    if not isinstance(marker, dict) or not isinstance(marker.get("format"), int):
        raise errors.StoreCorruptError(f"{path} is damaged: restore it from a backup", filename=path)
    if marker["format"] > FORMAT:
        raise errors.StoreVersionError(
            f"the store {directory} has format {marker['format']} and this overlaykit knows up to {FORMAT}: "
            "use a newer overlaykit",
            filename=directory,
        )
    if marker["format"] < 1 or not isinstance(marker.get("driver"), str):
        raise errors.StoreCorruptError(f"{path} is damaged: restore it from a backup", filename=path)
    return marker


def _choose(
    plugins: PluginManager,
    asked: str,
    directory: Path,
    marker: dict[str, object] | None,
    options: Mapping[str, str],
    chosen: Choice | None = None,
) -> Choice:
    if marker is not None:
        recorded = str(marker["driver"])
        if chosen is not None and chosen.driver.spec.name == recorded:
            return chosen
        if asked not in ("auto", recorded):
            raise errors.StoreFormatError(
                f"the store {directory} was made by the driver {show(recorded)}, not {show(asked)}: open it with that "
                "one or 'auto', or make another store",
                filename=directory,
            )
        asked = recorded
    place = directory
    while not place.is_dir() and place != place.parent:
        place = place.parent
    _check_writable(place)
    choice = plugins.choose(asked, place, made_before=marker is not None)
    if Capability.PERSISTENT not in choice.driver.spec.capabilities:
        raise errors.UnsupportedError(
            f"the driver {choice.driver.spec.name} keeps its snapshots in memory and not in a directory: give no path"
        )
    plugins.check_options(choice.driver, options)
    return choice


def _check_writable(place: Path) -> None:
    # Before the drivers are asked: this is no fault of theirs, and none would do better.
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        raise errors.ReadOnlyError(
            f"{place} is on a read-only file system: remount it, or use another path", filename=place
        )
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise errors.StoreAccessError(
            f"you may not write to {place}: use a directory of your own, or ask its owner", filename=place
        )


def _make(directory: Path, driver: str, level: Durability) -> None:
    """Make a store's directory. The marker comes last: without it there is no store."""
    missing = [directory, *directory.parents]
    missing = missing[: next(i for i, place in enumerate(missing) if place.exists())]
    for place in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(place, 0o700)
            _sync(place.parent, level)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        wait_for(lock, fcntl.LOCK_EX, directory / "lock")
        if (directory / _MARKER).exists():
            return
        for name in ("locks", "driver"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory / name, 0o700)
        Metadata(directory / _DATABASE, level, create=True).close()
        new = directory / f"{_MARKER}.new"
        import uuid

        marker = {"format": FORMAT, "driver": driver, "id": str(uuid.uuid4()), **marked_ids()}
        with open(new, "w", encoding="utf-8") as file:
            file.write(json.dumps(marker) + "\n")
            file.flush()
            if level is not Durability.NONE:
                os.fsync(file.fileno())
        os.rename(new, directory / _MARKER)
        _sync(directory, level)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _sync(directory: Path, level: Durability) -> None:
    if level is not Durability.NONE:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _typed(directory: Path) -> Iterator[None]:
    try:
        yield
    except errors.OverlaykitError:
        raise
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else str(directory)
        if error.errno in (errno.EACCES, errno.EPERM):
            raise errors.StoreAccessError(
                f"the store {directory} cannot be opened: no permission for {where}: open it as its owner, "
                "or give another path",
                filename=where,
            ) from error
        if error.errno == errno.EROFS:
            raise errors.ReadOnlyError(
                f"the store {directory} cannot be opened: its file system is read-only", filename=where
            ) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.StoreFullError(
                f"the store {directory} cannot be opened: its file system is full", filename=where
            ) from error
        if error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
            raise errors.StoreFormatError(
                f"the store {directory} cannot be opened: {error.strerror}: give another path", filename=where
            ) from error
        raise
