"""What layers store and waste, from a plain reading of their archives with tarfile: a second opinion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile

__all__ = ["Sums"]


@dataclass
class Sums:
    """What a simple reading of the layers gives.

    :ivar stored: bytes of content by layer.
    :ivar files: content by a number of its own: path, size and layer.
    :ivar names: the number of what is at each path; ``None`` for what has no content.
    :ivar directories: those of the paths that are directories.
    """

    stored: list[int] = field(default_factory=list)
    files: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    names: dict[str, int | None] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)

    def hide(self, path: str, *, below: bool = False) -> None:
        """Take away what is at a path, or only what is below it."""
        if path in self.directories or not path:
            for name in [name for name in self.names if name.startswith(f"{path}/" if path else "")]:
                del self.names[name]
                self.directories.discard(name)
        if not below:
            self.names.pop(path, None)
            self.directories.discard(path)

    def layer(self, index: int, archive: tarfile.TarFile) -> None:
        """Put a layer over those before."""
        self.stored.append(0)
        members = [(member.name.removeprefix("./").rstrip("/"), member) for member in archive]
        for path, _ in members:
            directory, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                self.hide(directory, below=True)
            elif name.startswith(".wh."):
                self.hide(f"{directory}/{name[4:]}".lstrip("/"))
        for path, member in members:
            if path.rpartition("/")[2].startswith(".wh.") or path in ("", "."):
                continue
            if member.isdir():
                self.directories.add(path)
            else:
                self.hide(path)
            if member.isreg():
                number = len(self.files)
                self.files[number] = (path, member.size, index)
                self.names[path] = number
                self.stored[index] += member.size
            elif member.islnk():
                self.names[path] = self.names[member.linkname.removeprefix("./").lstrip("/")]
            else:
                self.names[path] = None

    @property
    def wasted(self) -> set[tuple[str, int, int]]:
        """Path, bytes and layer of each content without a name."""
        live = set(self.names.values())
        return {file for number, file in self.files.items() if number not in live and file[1]}
