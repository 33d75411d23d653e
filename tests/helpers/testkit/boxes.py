"""An image with busybox, and stores with it: for tests in which something runs."""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overlaykit.runtime import open_store
from testkit.images import make_image, write_layout
from testkit.loops import need_tool
from testkit.waits import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from overlaykit.runtime import RunnableContainer

__all__ = ["busybox_layer", "busybox_layout", "connections", "open_box", "processes_with", "wait_gone"]

_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n"
_GROUP = b"root:x:0:\nada:x:1000:\ncrew:x:1001:ada\n"


def busybox_layer() -> bytes:
    """Return a layer in which busybox is every program that it can be; it is linked statically."""
    busybox = Path(need_tool("busybox")).resolve()
    names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(path: str, content: bytes | None = None, mode: int = 0o644, link: str = "") -> None:
            info = tarfile.TarInfo(path)
            info.mtime = 1_600_000_000
            info.mode = mode
            info.size = len(content or b"")
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            elif content is None:
                info.type, info.mode = tarfile.DIRTYPE, mode | 0o111
            archive.addfile(info, io.BytesIO(content or b""))

        for path in ("bin", "etc", "root", "home", "home/ada"):
            add(path)
        add("tmp", mode=0o1777)
        add("bin/busybox", busybox.read_bytes(), 0o755)
        for name in sorted({*names} - {"busybox"}):
            add(f"bin/{name}", link="busybox")
        add("etc/passwd", _PASSWD)
        add("etc/group", _GROUP)
    return out.getvalue()


def busybox_layout(path: Path, config: Mapping[str, Any] | None = None, name: str = "box:1") -> Path:
    """Write an OCI layout with the image.

    :param config: members of the image's ``config`` to set.
    """
    base = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin", "ORIGIN=image"], **(config or {})}
    return write_layout(path, {name: make_image([busybox_layer()], compression="none", config={"config": base})})


@contextlib.contextmanager
def open_box(root: Path, layout: Path, driver: str = "auto") -> Iterator[RunnableContainer]:
    """Open a store of its own with the image, and a container of that, of which nothing is left at the end.

    :param root: a directory in which the store is made.
    """
    with open_store(root / "store", driver=driver, durability="none") as store:
        store.load(layout)
        with store.container("box:1") as box:
            yield box
        place = root / "store" / "run"
        assert not place.exists() or os.listdir(place) == []  # a test that skips runs nothing


def processes_with(text: str) -> list[int]:
    """Return the processes of this machine with a text in their arguments or their environment."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            for file in ("cmdline", "environ"):
                try:
                    data = Path(entry.path, file).read_bytes()
                except OSError:
                    continue  # it has ended, or is another user's
                if text.encode() in data:
                    found.append(int(entry.name))
                    break
    return found


def wait_gone(pid: int) -> None:
    """Wait until a process has ended, or fail."""
    if not pid:
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with open(descriptor, "rb", buffering=0) as file:
        poll = select.poll()
        poll.register(file, select.POLLIN)
        assert poll.poll(PATIENCE * 1000), f"the process {pid} is still there"


def connections(pid: int) -> int:
    """Return how many sockets of other processes a process has reached."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        directory = f"/proc/{pid}/fd"
        sockets = set()
        for number in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError):
                sockets.add(os.readlink(f"{directory}/{number}").removeprefix("socket:[").removesuffix("]"))
        lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
        return sum(fields[5] == "03" and fields[6] in sockets for fields in lines)
    return 0
