"""Where a store keeps what it knows of containers that run or ran, and what of it nobody needs any more."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from .. import errors
from ._presence import LABEL_DRIVER, LABEL_STATE, state_path
from ._state import StateDirectory

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..store import Store

__all__ = ["LABEL_STATE", "check_path", "find_state", "recorded_options", "state_directory", "sweep"]


def state_directory(store: Store, name: str) -> StateDirectory:
    """Return the state directory of a container; one that has none gets it.

    The label comes first: :func:`sweep` takes a directory without one for a leftover.

    :raises NotFoundError: there is no such container.
    """
    found = find_state(store, store.stat(name).labels)
    if found is None:
        store.update_labels(name, {LABEL_STATE: os.urandom(16).hex()})
        found = find_state(store, store.stat(name).labels)
        assert found is not None
    found.make()
    return found


def find_state(store: Store, labels: Mapping[str, str]) -> StateDirectory | None:
    """Return the state directory that a container's labels name.

    :raises StoreCorruptError: what they name can be none.
    """
    word = labels.get(LABEL_STATE)
    if word is None:
        return None
    return StateDirectory(Path(state_path(check_path(store), word)))


def recorded_options(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the driver's options that a container was made with, from its labels.

    :raises StoreCorruptError: they are damaged.
    """
    text = labels.get(LABEL_DRIVER, "{}")
    try:
        return {str(name): str(value) for name, value in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise errors.StoreCorruptError(f"the label {LABEL_DRIVER} of a container is damaged: {text[:60]!r}") from error


def sweep(store: Store) -> list[str]:
    """Remove state directories of containers that are gone: removed, or killed with their supervisor.

    :returns: their names.
    """
    place = _place(store)
    # Read before the labels: whoever makes a directory has set the label by then.
    names = _names(place)
    if not names:
        return []
    gone = sorted(set(names) - _labelled(store))
    for name in gone:
        StateDirectory(place / name).remove()
    return gone


def _labelled(store: Store) -> set[str]:
    infos: Iterable[Mapping[str, str]] = (info.labels for info in store.walk(kind="active", labels={LABEL_STATE: None}))
    return {labels[LABEL_STATE] for labels in infos}


def _names(place: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(place)
    return []


def _place(store: Store) -> Path:
    return Path(check_path(store)) / "containers"


def check_path(store: Store) -> str:
    """Return the directory of a store.

    :raises CapabilityError: it has none.
    """
    if store.path is None:
        raise errors.CapabilityError(
            "nothing can be run detached in a store in memory, which ends with its process: open one with a path",
            capability="PERSISTENT",
        )
    return os.path.abspath(store.path)
