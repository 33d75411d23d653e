"""Containers of busybox alone, for tests of what runs them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overlaykit.runtime import Bundle, FileMount, Privileges, Stdio
from testkit.loops import need_tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from overlaykit.runtime import Runner, RunningProcess

__all__ = ["CAPABILITIES", "Box", "Result", "make_root"]

NAMESPACES = ("mount", "pid", "ipc", "uts", "network")

CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID")

_SAFE = ["nosuid", "noexec", "nodev"]
_DEV = ["nosuid", "strictatime", "mode=755", "size=65536k"]
_PTS = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
MOUNTS: tuple[dict[str, Any], ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc", "options": _SAFE},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": _DEV},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": _PTS},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_SAFE, "ro"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _SAFE},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*_SAFE, "mode=1777"]},
)


def make_root(path: Path) -> Path:
    """Make a root directory with busybox under all its names, and skip where it is not installed or not static."""
    busybox = need_tool("busybox")
    (path / "bin").mkdir(parents=True)
    for name in ("tmp", "etc", "proc", "sys", "dev"):
        (path / name).mkdir()
    (path / "tmp").chmod(0o1777)
    shutil.copy(busybox, path / "bin" / "busybox")
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in names:
        with contextlib.suppress(FileExistsError):
            (path / "bin" / name).symlink_to("busybox")
    return path


@dataclass(frozen=True)
class Result:
    """What a process in a container left."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output."""
        return self.out.splitlines()


@dataclass
class Box:
    """A container that is to be: change what is to be different, and run it."""

    runner: Runner
    root: Path | int
    mounts: list[dict[str, Any]] = field(default_factory=lambda: list(MOUNTS))
    namespaces: Iterable[str] = NAMESPACES
    process: dict[str, Any] = field(default_factory=dict)
    linux: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    files: Sequence[FileMount] = ()
    sources: Sequence[int] = ()
    readonly: bool = False
    rootless: bool = field(default_factory=lambda: os.geteuid() != 0)

    #: Where a document says that its files are; nothing needs to be there.
    PLACE = "/nonexistent/overlaykit"

    def document(self, *args: str) -> dict[str, Any]:
        """Return ``config.json``."""
        sets = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
        return {
            "ociVersion": "1.0.2",
            "process": {
                "args": args,
                "env": ["PATH=/bin"],
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "capabilities": sets,
            }
            | self.process,
            "root": {"path": f"{self.PLACE}/rootfs", "readonly": self.readonly},
            "hostname": "box",
            "mounts": self.mounts,
            "linux": {"namespaces": [{"type": kind} for kind in self.namespaces]} | self.linux,
        } | self.config

    @contextlib.contextmanager
    def bundle(self, *args: str) -> Iterator[Bundle]:
        """Give the bundle, whose root is open meanwhile."""
        root = self.root if isinstance(self.root, int) else os.open(self.root, os.O_PATH | os.O_DIRECTORY)
        try:
            yield Bundle(
                id=f"test-{os.urandom(8).hex()}",
                place=self.PLACE,
                root=root,
                config=self.document(*args),
                files=tuple(self.files),
                sources=tuple(self.sources),
                privileges=Privileges.USER if self.rootless else Privileges.ROOT,
            )
        finally:
            if root is not self.root:
                os.close(root)

    def start(self, *args: str, stdio: Stdio | None = None) -> RunningProcess:
        """Start a process; without streams by default."""
        with self.bundle(*args) as bundle:
            return self.runner.start(bundle, stdio or Stdio(-1, -1, -1))

    def bind(self, source: str | Path, target: str, *options: str) -> None:
        """Show a directory or a file of the host."""
        words = ["rbind", "rprivate", *options]
        self.mounts.append({"destination": target, "type": "bind", "source": str(source), "options": words})

    def run(self, *args: str, timeout: float = 20) -> Result:
        """Run a program to its end."""
        with streams() as (stdio, out, err), self.start(*args, stdio=stdio) as process:
            code = process.wait(timeout)
            return Result(code, read(out), read(err))

    def sh(self, script: str) -> Result:
        """Run a script with busybox's shell."""
        return self.run("sh", "-c", script)


@contextlib.contextmanager
def streams() -> Iterator[tuple[Stdio, int, int]]:
    """Give standard streams: an empty input, and files for the output."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        yield Stdio(-1, out.fileno(), err.fileno()), out.fileno(), err.fileno()


def read(descriptor: int) -> str:
    """Return all of a file, whose place of writing the container shares and keeps."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode("utf-8", "surrogateescape")
