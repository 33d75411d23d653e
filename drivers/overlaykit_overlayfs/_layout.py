"""Where things are under the driver's root, and how they come and go whole.

::

    format.json              what the store was made with
    empty/                   a lower layer for snapshots that have none: the kernel wants one
    snapshots/ID/fs/         the upper directory while active, a layer once committed
    snapshots/ID/work/       the kernel's, while active
    snapshots/ID/layers      the boot in which it was mounted volatile, or "-"; then the layers below, uppermost first
    snapshots/ID/links       committed: which names are hard links of one file (_links.py)
    snapshots/ID/manifest    committed: what was committed (_manifest.py)
    snapshots/ID/journal     a directory is being moved (_move.py)
    staging/RANDOM/          one directory a driver object, locked as long as it lives
    trash/                   what was removed
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from overlaykit import errors, linux
from overlaykit.values import value_class

__all__ = ["Format", "Layers", "Layout", "boot_id", "write_file"]

FORMAT = 1

_CHUNK = 65536


def boot_id() -> str:
    """Return what tells this run of the machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()


def write_file(path: str, data: bytes, *, durable: bool = False) -> None:
    """Create a small file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_made(directory: str) -> bool:
    try:
        return bool(os.stat(directory).st_mode & 0o777)
    except FileNotFoundError:
        return False


@value_class
class Format:
    """What a driver's root was made with.

    :param userxattr: whether overlayfs keeps its attributes in ``user.overlay.*``; a layer made one way is misread the
        other way.
    :param token: what the names of passing objects in an upper begin with; random, so that no user's name does.
    """

    userxattr: bool
    token: str


@value_class
class Layers:
    """What a snapshot stands on.

    :param boot: the boot in which its upper was mounted volatile, empty where never.
    :param chain: the committed snapshots below it, uppermost first.
    """

    boot: str
    chain: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the content of the file ``layers``."""
        return "\n".join((self.boot or "-", *self.chain)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Layers:
        """Read the content of the file ``layers``."""
        boot, *chain = data.decode().split("\n")
        return cls("" if boot == "-" else boot, tuple(chain))


class Layout:
    """The directories of one driver object.

    :param root: the driver's root, which exists.
    :param userxattr: for a root that is new: how its layers will be made.
    :raises StoreFormatError: the root holds something else.
    :raises StoreVersionError: it was made by a newer version.
    """

    def __init__(self, root: Path, userxattr: bool) -> None:
        self.root = os.fspath(root.resolve())
        self.snapshots = self.root + "/snapshots"
        self.trash = self.root + "/trash"
        self.empty = self.root + "/empty"
        directories = (self.snapshots, self.trash, self.empty, self.root + "/staging")
        if not all(map(_is_made, directories)):
            from overlaykit.directories import make_directory

            os.makedirs(self.root, 0o700, exist_ok=True)
            for directory in directories:
                make_directory(directory)
        self.format = self._read_format(userxattr)
        self.staging, self._lock = self._make_staging()
        self._staging = self.staging + "/"

    def _read_format(self, userxattr: bool) -> Format:
        path = self.root + "/format.json"
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            text = json.dumps({"format": FORMAT, "userxattr": userxattr, "token": os.urandom(12).hex()})
            temporary = f"{path}.{os.urandom(8).hex()}"
            write_file(temporary, text.encode(), durable=True)
            try:
                os.link(temporary, path)  # whoever is first decides
            except FileExistsError:
                pass
            finally:
                os.unlink(temporary)
            data = Path(path).read_bytes()
        try:
            found = json.loads(data)
            version = int(found["format"])
            made = Format(bool(found["userxattr"]), str(found["token"]))
        except (ValueError, TypeError, KeyError) as error:
            raise errors.StoreFormatError(
                f"{path} is damaged: restore it from a copy, or start with a new store", filename=path
            ) from error
        if version > FORMAT:
            raise errors.StoreVersionError(
                f"{self.root} has format {version} and this overlaykit knows {FORMAT}: install a newer one",
                filename=self.root,
            )
        return made

    def _make_staging(self) -> tuple[str, int]:
        while True:
            path = f"{self.root}/staging/{os.urandom(8).hex()}"
            os.mkdir(path, 0o700)
            fd = -1
            try:
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody's cleanup may have come between: it would have taken the directory for an orphan's.
                os.mkdir(path + "/alive", 0o700)
            except (BlockingIOError, FileNotFoundError):
                if fd >= 0:
                    os.close(fd)
                continue
            return path, fd

    def fs(self, id: str) -> str:
        """Return the path of a snapshot's own files."""
        return f"{self.snapshots}/{id}/fs"

    def file(self, id: str, name: str) -> str:
        """Return the path of something else that a snapshot has."""
        return f"{self.snapshots}/{id}/{name}"

    def stage(self, name: str) -> str:
        """Return a path for something that is being made."""
        return self._staging + name

    def discard(self, path: str) -> None:
        """Move something to the trash."""
        os.rename(path, f"{self.trash}/{os.urandom(8).hex()}")

    def layers(self, id: str) -> Layers:
        """Read what a snapshot stands on."""
        path = self.file(id, "layers")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = part = os.read(fd, _CHUNK)
            while len(part) == _CHUNK:
                part = os.read(fd, _CHUNK)
                data += part
        finally:
            os.close(fd)
        return Layers.decode(data)

    def current_layers(self, id: str, boot: str) -> Layers:
        """Read what a snapshot stands on that is to be written or committed.

        :param boot: the machine's present boot.
        :raises SnapshotDamagedError: it was written volatile before the machine was started.
        """
        layers = self.layers(id)
        if layers.boot and layers.boot != boot:
            raise errors.SnapshotDamagedError(
                f"snapshot {id} was written without syncing before this machine started, so what it holds cannot be "
                "trusted; remove it and prepare it anew",
                filename=self.fs(id),
            )
        return layers

    def replace(self, id: str, name: str, data: bytes, *, durable: bool) -> None:
        """Write a snapshot's file in one step."""
        temporary = self.stage(os.urandom(8).hex())
        write_file(temporary, data, durable=durable)
        os.rename(temporary, self.file(id, name))

    def ids(self) -> list[str]:
        """Return the snapshots that there are."""
        return os.listdir(self.snapshots)

    def cleanup(self) -> None:
        """Delete the trash, and what dead drivers were making.

        :raises OSError: something cannot be deleted; everything else is.
        """
        # Itself, its name and our own directory make three; Btrfs does not count so and says 1.
        if os.stat(self.root + "/staging").st_nlink != 3:
            self._discard_stale()
        failed: OSError | None = None
        trash = os.open(self.trash, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(trash):
                try:
                    linux.remove_tree(trash, name)
                except OSError as error:
                    failed = failed or error
        finally:
            os.close(trash)
        if failed is not None:
            raise failed

    def _discard_stale(self) -> None:
        staging = os.open(self.root + "/staging", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in os.listdir(staging):
                if name != os.path.basename(self.staging):
                    self._discard_orphan(staging, name)
        finally:
            os.close(staging)

    def _discard_orphan(self, staging: int, name: str) -> None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=staging)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.discard(f"{self.root}/staging/{name}")
        except (BlockingIOError, FileNotFoundError):
            pass  # its driver lives; another one was faster
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of the staging directory."""
        if self._lock >= 0:
            parent = os.open(self.root + "/staging", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                linux.remove_tree(parent, os.path.basename(self.staging))
            finally:
                os.close(parent)
                os.close(self._lock)
                self._lock = -1
