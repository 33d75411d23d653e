"""Of drivers that keep directories: where those lie does not show; what cannot be deleted is in nobody's way."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from testkit import syscalls
from testkit.loops import need_tool
from testkit.rich import run_as_nobody

from overlaykit.driver import DriverConfig, SnapshotId
from overlaykit.plugin import load_plugins

pytestmark = pytest.mark.native

GROUP = 12345
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 1, 4, 4, 2**32 - 1, 16, 4, 2**32 - 1, 32, 4, 2**32 - 1)
"""One with a named user: what no permission bits can say."""


DRIVERS = ["directory", "overlayfs"]


@pytest.mark.parametrize("name", DRIVERS)
@pytest.mark.parametrize("privileged", [True, False])
def test_neither_group_nor_access_list_of_a_directory_above(reachable: Path, name: str, privileged: bool) -> None:
    reachable.chmod(0o777)
    root = reachable / "driver"

    def action() -> None:
        plugins = load_plugins()
        with plugins.create(plugins.get(name), DriverConfig(root)) as driver:
            driver.prepare(SnapshotId("a"), None)
            with driver.tree(SnapshotId("a"), readonly=False) as tree:
                tree.mkdir("d", 0o755)
                tree.write_bytes("d/f", b"1")
                for path in ("", "d", "d/f"):
                    assert tree.stat(path).st_gid == os.getegid()
                    assert tree.listxattr(path) == []
                assert stat.S_IMODE(tree.stat("").st_mode) == stat.S_IMODE(tree.stat("d").st_mode) == 0o755

    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, -1, GROUP)
    root.chmod(0o2777)
    os.setxattr(root, "system.posix_acl_default", ACL)
    if privileged:
        action()
    else:
        run_as_nobody(action)


@pytest.mark.parametrize("name", DRIVERS)
def test_what_cannot_be_deleted_keeps_nothing_else(mount_namespace: None, tmp_path: Path, name: str) -> None:
    root, plugins = tmp_path / "driver", load_plugins()
    root.mkdir()
    with plugins.create(plugins.get(name), DriverConfig(root)) as driver:
        for each in map(SnapshotId, "abc"):
            driver.prepare(each, None)
            driver.remove(each)
        held = sorted((root / "trash").iterdir())[1]
        (held / "mounted").mkdir()
        syscalls.mount("none", str(held / "mounted"), "tmpfs")
        try:
            with pytest.raises(OSError, match="busy"):
                driver.cleanup()
            assert list((root / "trash").iterdir()) == [held]
        finally:
            subprocess.run([need_tool("umount"), held / "mounted"], check=True)
        driver.cleanup()
        assert list((root / "trash").iterdir()) == []
