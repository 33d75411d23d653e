"""An analysis in few bytes, as the page reads it.

Paths are a table of names that hang on each other, attributes one of those that occur, and what a layer changes a few
columns of numbers: 40,000 entries take less than a megabyte when that is compressed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..tree import Aspect, ChangeKind
from ._groups import instruction_text
from ._model import Cause

if TYPE_CHECKING:
    from ._model import Analysis, Entry, LayerReport

__all__ = ["encoded"]

_KINDS = {kind: number for number, kind in enumerate(ChangeKind)}
_CAUSES = {cause: number for number, cause in enumerate(Cause)}


def encoded(analysis: Analysis) -> dict[str, Any]:
    """Return what the page shows of an analysis; ``page/model.js`` reads it."""
    paths = _Paths()
    attributes = _Attributes()
    names: dict[int, int] = {}
    for layer in analysis.layers:
        for one in layer.changes:
            if one.after is not None and one.after.stored:
                names[one.after.inode] = names.get(one.after.inode, 0) + 1
    columns = [_columns(layer, paths, attributes, names) for layer in analysis.layers]
    waste = [
        (
            paths.number(one.path),
            one.layer,
            one.hidden_by,
            _CAUSES[one.cause],
            one.bytes,
            one.aspects.value,
            -1 if one.moved_to is None else paths.number(one.moved_to),
        )
        for one in analysis.waste
    ]
    duplicates = [
        [one.size, one.bytes, [number for path, layer in one.places for number in (paths.number(path), layer)]]
        for one in analysis.duplicates
    ]
    user = analysis.user_wasted
    return {
        "name": analysis.name or analysis.image.digest,
        "digest": analysis.image.digest,
        "platform": analysis.image.platform,
        "references": list(analysis.image.references),
        "container": analysis.container,
        "stored": analysis.stored,
        "wasted": analysis.wasted,
        "efficiency": analysis.efficiency,
        "userWasted": None if user == float("inf") else user,
        "duplicated": analysis.duplicated,
        "layers": [_layer(layer) for layer in analysis.layers],
        "steps": [
            {"text": instruction_text(one.created_by, one.comment), "created": one.created, "layer": one.layer}
            for one in analysis.steps
        ],
        "kinds": list(_KINDS),
        "causes": list(_CAUSES),
        "aspects": [str(aspect.name).lower() for aspect in Aspect if aspect.value],
        "names": paths.names,
        "parents": paths.parents,
        "attributes": attributes.table,
        "changes": columns,
        "waste": waste,
        "duplicates": duplicates,
    }


class _Paths:
    """The table of paths: each a name below another one, which stands before it."""

    def __init__(self) -> None:
        self.names = [""]
        #: How far before it a path's directory stands: small numbers, which compress well.
        self.parents = [0]
        self._known = {".": 0, "": 0}

    def number(self, path: str) -> int:
        # Not by recursion: a path may have more components than Python's stack has room.
        missing = []
        while (above := self._known.get(path)) is None:
            missing.append(path)
            path = path.rpartition("/")[0]
        for one in reversed(missing):
            number = self._known[one] = len(self.names)
            self.names.append(one.rpartition("/")[2])
            self.parents.append(number - above)
            above = number
        return above


class _Attributes:
    def __init__(self) -> None:
        self.table: list[tuple[str, int, int, int]] = []
        self._known: dict[tuple[str, int, int, int], int] = {}

    def number(self, entry: Entry) -> int:
        key = (str(entry.kind), entry.st_mode & 0o7777, entry.uid, entry.gid)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.table)
            self.table.append(key)
        return found


def _columns(layer: LayerReport, paths: _Paths, attributes: _Attributes, names: dict[int, int]) -> dict[str, Any]:
    columns: dict[str, list[int]] = {name: [] for name in ("path", "kind", "aspects", "attributes", "size", "stored")}
    rare: dict[str, dict[int, Any]] = {"targets": {}, "links": {}, "times": {}}
    at = 0
    for row, one in enumerate(layer.changes):
        number = paths.number(one.path)
        columns["path"].append(number - at)
        at = number
        columns["kind"].append(_KINDS[one.kind])
        columns["aspects"].append(one.aspects.value)
        columns["attributes"].append(attributes.number(one.entry))
        columns["size"].append(one.entry.size)
        columns["stored"].append(one.stored)
        if one.entry.target:
            rare["targets"][row] = os.fsdecode(one.entry.target)
        if one.after is not None and names.get(one.after.inode, 0) > 1:
            rare["links"][row] = (one.after.inode, one.after.stored)
    times = [one.entry.mtime // 1_000_000_000 for one in layer.changes]
    # Most files of a layer have one of few times.
    known = sorted(set(times))
    places = {time: place for place, time in enumerate(known)}
    return {**columns, **rare, "times": known, "time": [places[time] for time in times]}


def _layer(layer: LayerReport) -> dict[str, Any]:
    total = layer.total
    return {
        "text": instruction_text(layer.created_by, layer.comment),
        "created": layer.created,
        "digest": layer.digest,
        "diffId": layer.diff_id,
        "size": layer.size,
        "unpacked": layer.unpacked,
        "stored": layer.stored,
        "entries": layer.entries,
        "added": total.added,
        "changed": total.modified,
        "removed": total.removed,
        "wasted": layer.wasted,
        "hidden": layer.hidden,
        "shared": list(layer.shared),
        "container": layer.is_container,
    }
