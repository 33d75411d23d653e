"""Work that other processes do on a driver's directory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from ..driver import SnapshotId

if TYPE_CHECKING:
    from pathlib import Path

    from ._subject import Subject

__all__ = ["in_processes"]

_WORK = """
import json, pkgutil, sys
from pathlib import Path
sys.path[:] = json.loads(sys.argv[1])
from overlaykit.conformance._coming import new_id
from overlaykit.driver import DriverConfig, Durability
factory, root, options, base, number = json.loads(sys.argv[2])
config = DriverConfig(root=Path(root), durability=Durability.NONE, options=options)
with pkgutil.resolve_name(factory)(config) as driver:
    for _ in range(5):
        passing = new_id()
        driver.prepare(passing, base)
        with driver.tree(passing, readonly=False) as tree:
            tree.write_bytes("shared", b"passing")
        driver.remove(passing)
        driver.cleanup()
    active, changed, committed = new_id(), new_id(), new_id()
    driver.prepare(active, base)
    with driver.tree(active, readonly=False) as tree:
        tree.write_bytes("shared", f"active {number}".encode())
    driver.prepare(changed, base)
    with driver.tree(changed, readonly=False) as tree:
        tree.write_bytes("shared", str(number).encode())
        tree.rmtree("d")
        tree.mkdir("d")
        tree.write_bytes(f"d/{number}", b"x")
        tree.seal()
    driver.commit(changed, committed)
    print(json.dumps([active, committed]))
"""


def in_processes(subject: Subject, root: Path, base: str, count: int) -> list[tuple[SnapshotId, SnapshotId]]:
    """Let ``count`` processes work over ``base`` at once.

    :returns: of each, an active snapshot and a committed one that it left.
    """
    running = []
    for number in range(count):
        arguments = json.dumps([subject.spec.factory, str(root), dict(subject.options), base, number])
        command = [sys.executable, "-P", "-c", _WORK, json.dumps(sys.path), arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    results = []
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        active, committed = json.loads(out)
        results.append((SnapshotId(active), SnapshotId(committed)))
    return results
