"""Two trees that differ, drawn as one: for people who want to see what a driver shows and what it should show."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..driver import ChangeKind
from ..tree import Aspect, change_order
from ._describe import Directory, Fifo, Node, Special, Symlink
from ._model import Record

if TYPE_CHECKING:
    from typing import TypeGuard

__all__ = ["TREES_DIFFER", "are_trees", "draw_difference"]

_MOST = 40
"""Lines of a drawing; who has more to see has a pattern to see."""

_BYTES = 40
"""Of a file's content."""

_NEAR = 2
"""Entries without a difference that are drawn of one directory, before the others are counted."""

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}
_KINDS = bytes | Directory | Symlink | Fifo | Special | Node | Record

TREES_DIFFER = "the trees differ"
"""What each drawing begins with."""

_Tree = Mapping[str, object]


def are_trees(left: object, right: object) -> bool:
    """Tell whether two values that were compared are descriptions of trees, or of the changes of one."""
    return _is_tree(left) and _is_tree(right) and bool(left or right)


def _is_tree(value: object) -> TypeGuard[_Tree]:
    return isinstance(value, dict) and all(
        isinstance(path, str) and (isinstance(what, _KINDS) or _is_change(what)) for path, what in value.items()
    )


def _is_change(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], ChangeKind)


def draw_difference(shown: _Tree, expected: _Tree) -> list[str]:
    """Draw two trees as one.

    ``-`` is before what is expected and not shown, ``+`` before what is shown and not expected, ``!`` before what
    differs. Paths without a difference are drawn where they lead to one, else counted.

    :param shown: what the driver shows, path to what is there.
    :param expected: what it should show.
    :returns: at most some 40 lines.
    """
    paths = {path for path in {*shown, *expected} if path != "."}
    differing = {path for path in {*shown, *expected} if shown.get(path) != expected.get(path)}
    children: dict[str, list[str]] = {}
    everything = paths | {above for path in paths for above in _above(path)}
    for entry in sorted(everything, key=change_order):
        children.setdefault(entry.rpartition("/")[0], []).append(entry)
    on_the_way = differing | {above for path in differing for above in _above(path)}
    count = "1 path" if len(differing) == 1 else f"{len(differing)} paths"
    lines = [f"{TREES_DIFFER} in {count} (- expected, + shown):"]
    lines.append(_line("/", ".", shown, expected))
    lines += _draw("", "", children, on_the_way, shown, expected)
    if len(lines) > _MOST:
        lines[_MOST:] = [f"  ... {len(lines) - _MOST} lines more"]
    return lines


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _draw(
    directory: str, indent: str, children: Mapping[str, list[str]], wanted: set[str], shown: _Tree, expected: _Tree
) -> Iterator[str]:
    entries = children.get(directory, [])
    plain = [path for path in entries if path not in wanted]
    left_out = set(plain[_NEAR:])
    drawn = [path for path in entries if path not in left_out]
    for number, path in enumerate(drawn):
        last = number == len(drawn) - 1 and not left_out
        name = _text(path.rpartition("/")[2])
        yield _line(f"{indent}{'└── ' if last else '├── '}{name}", path, shown, expected)
        if path in wanted:
            yield from _draw(path, indent + ("    " if last else "│   "), children, wanted, shown, expected)
    if left_out:
        yield f"  {indent}└── ... {len(left_out)} more, the same in both"


def _line(name: str, path: str, shown: _Tree, expected: _Tree) -> str:
    one, two = shown.get(path), expected.get(path)
    if one == two:
        return f"  {name}"
    if one is None:
        return f"- {name}  {_all(two)}"
    if two is None:
        return f"+ {name}  {_all(one)}"
    ours, theirs = _fields(one), _fields(two)
    names = [field for field in {**theirs, **ours} if ours.get(field) != theirs.get(field)]
    what = "; ".join(
        f"{field}: expected {theirs.get(field, 'none')}, shown {ours.get(field, 'none')}" for field in names
    )
    return f"! {name}  {what}"


def _all(value: object) -> str:
    fields = _fields(value)
    kind = fields.pop("type", "")
    rest = ", ".join(f"{name} {text}" for name, text in fields.items() if name in ("content", "target", "change"))
    return f"{kind} {rest}".strip()


def _fields(value: object) -> dict[str, str]:
    match value:
        case bytes():
            return {"type": "file", "content": _content(value)}
        case Directory():
            return {"type": "directory"}
        case Symlink():
            return {"type": "symbolic link", "target": _text(value.target)}
        case Fifo():
            return {"type": "FIFO"}
        case Special():
            return {"type": _TYPES.get(value.format, oct(value.format)), "device": str(value.device)}
        case Node():
            return _node(value)
        case Record():
            return _record(value)
        case (ChangeKind() as kind, Aspect() as aspects):
            return {"change": f"{kind} {'|'.join(str(one.name).lower() for one in aspects)}".strip()}
    return {"what": repr(value)}


def _record(record: Record) -> dict[str, str]:
    fields = {"type": {"symlink": "symbolic link", "fifo": "FIFO"}.get(record.kind, record.kind)}
    if record.kind == "file":
        fields["content"] = _content(record.what)
    if record.kind == "symlink":
        fields["target"] = _text(os.fsdecode(record.what))
    return fields | {
        "mode": f"{record.mode:04o}",
        "xattrs": _xattrs(record.xattrs),
        "one file with": _text(record.first),
    }


def _node(node: Node) -> dict[str, str]:
    fields = {"type": _TYPES.get(node.format, oct(node.format))}
    if node.format == stat.S_IFREG:
        fields["content"] = _content(node.what)
    if node.format == stat.S_IFLNK:
        fields["target"] = _text(os.fsdecode(node.what))
    return fields | {
        "mode": f"{node.mode:04o}",
        "owner": f"{node.uid}:{node.gid}",
        "mtime": f"{node.mtime} ns",
        "device": str(node.device),
        "xattrs": _xattrs(node.xattrs),
        "names of the file": ", ".join(map(_text, node.links)) or "none",
    }


def _xattrs(xattrs: tuple[tuple[str, bytes], ...]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in xattrs) or "none"


def _content(data: bytes) -> str:
    return repr(data) if len(data) <= _BYTES else f"{data[:_BYTES]!r}... ({len(data)} bytes)"


def _text(text: str) -> str:
    """Return a name as one printable word."""
    plain = text.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in text)
    return text if plain and text else ascii(text)
