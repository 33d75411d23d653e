"""Containers of a store by the own runner: it does what crun and runc do, with each driver and without privileges."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, wait_gone
from testkit.loops import need_root
from testkit.rich import run_as

from overlaykit import errors
from overlaykit.runtime import (
    BindMount,
    DetachedContainer,
    DetachedOptions,
    FileMount,
    Limits,
    RunOptions,
    TmpfsMount,
    find_runner,
    open_store,
    run_detached,
)
from overlaykit.runtime._own import OwnRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.runtime import RunnableContainer

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(tmp_path_factory.mktemp("own-store") / "layout")


@pytest.fixture
def open_place(tmp_path: Path, layout: Path) -> Path:
    """A directory to which every user has the way, and to the image too."""
    for path in (tmp_path, layout, *tmp_path.parents[:2], layout.parent):
        path.chmod(0o755)
    return tmp_path


@contextlib.contextmanager
def opened(place: Path, layout: Path, driver: str = "auto") -> Iterator[RunnableContainer]:
    with open_store(place / "store", driver=driver, durability="none") as store:
        store.load(layout)
        with store.container("box:1") as box:
            yield box


@pytest.mark.parametrize("user", ["own", "nobody"])
@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
def test_a_container_runs(open_place: Path, layout: Path, driver: str, user: str) -> None:
    def act(place: Path) -> None:
        with opened(place, layout, driver) as box:
            first = box.run(
                ["sh", "-c", "echo $ORIGIN; echo new > /etc/new; rm /etc/group"],
                capture_output=True,
                text=True,
                runtime="own",
            )
            assert (first.returncode, first.stdout, first.stderr) == (0, "image\n", "")
            second = box.run(["cat", "/etc/new", "-"], input="typed\n", capture_output=True, text=True, runtime="own")
            assert second.stdout == "new\ntyped\n"
            assert {(change.kind.name, change.path) for change in box.changes() if change.path != "etc"} == {
                ("ADDED", "etc/new"),
                ("DELETED", "etc/group"),
            }
            with pytest.raises(subprocess.TimeoutExpired):
                box.run(["sleep", "1000"], timeout=0.2, runtime="own")
            with pytest.raises(errors.RunError, match="nothing-of") as caught:
                box.run(["nothing-of-this-name"], runtime="own")
            assert caught.value.exit_code == 127

    run_as(user, open_place / "place", act)


@pytest.mark.parametrize("user", ["own", "nobody"])
def test_options(open_place: Path, layout: Path, user: str) -> None:
    def act(place: Path) -> None:
        (place / "shared").mkdir()
        mounts = (
            BindMount(str(place / "shared"), "/mnt/shared"),
            TmpfsMount("/scratch", size=65536),
            FileMount("/run/secrets/one", b"hidden", mode=0o400),
        )
        options = RunOptions(
            network="none", hostname="named", cap_drop=("ALL",), no_new_privileges=True, read_only=True
        )
        script = (
            "hostname; cat /run/secrets/one; echo; echo x > /mnt/shared/x; touch /scratch/x && echo memory; touch /x;"
            "grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; ls /sys/class/net"
        )
        with opened(place, layout) as box:
            done = box.run(
                ["sh", "-c", script], capture_output=True, text=True, runtime="own", options=options, mounts=mounts
            )
        lines = done.stdout.splitlines()
        assert lines[:3] == ["named", "hidden", "memory"]
        assert lines[3:6] == [f"CapBnd:\t{0:016x}", "NoNewPrivs:\t1", "Seccomp:\t2"]
        assert "lo" in lines[6:]
        assert "eth0" not in lines[6:]
        assert "Read-only file system" in done.stderr
        assert (place / "shared" / "x").read_text() == "x\n"

    run_as(user, open_place / "place", act)


def test_a_user_of_the_image(tmp_path: Path, layout: Path) -> None:
    need_root()
    with opened(tmp_path, layout) as box:
        done = box.run(["id"], user="ada", capture_output=True, text=True, runtime="own")
    assert done.stdout == "uid=1000(ada) gid=1000(ada) groups=1001(crew)\n"


def test_limits_hold(tmp_path: Path, layout: Path) -> None:
    need_root()
    script = "for n in 1 2 3 4 5 6 7 8; do sleep 100 & done; echo all"
    with opened(tmp_path, layout) as box:
        done = box.run(["sh", "-c", script], capture_output=True, text=True, runtime="own", limits=Limits(pids=4))
        assert "all" not in done.stdout or "Resource temporarily unavailable" in done.stderr
        assert box.run(["sh", "-c", "echo fine"], runtime="own", limits=Limits(pids=4)).returncode == 0


def test_a_container_cannot_open_the_machines_devices(tmp_path: Path, layout: Path) -> None:
    need_root()
    script = "mknod /tmp/disk b 254 0; head -c 1 /tmp/disk; mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null"
    with opened(tmp_path, layout) as box:
        done = box.run(["sh", "-c", script], capture_output=True, text=True, runtime="own")
    assert "not permitted" in done.stderr
    assert "/tmp/disk" in done.stderr


def test_a_detached_container(tmp_path: Path, layout: Path) -> None:
    with open_store(tmp_path / "store", durability="none") as store:
        store.load(layout)
        options = RunOptions(args=("sh", "-c", "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done"))
        box = run_detached(store, "box:1", "web", options, detached=DetachedOptions(runtime="own"))
        state = box.status
        assert next(iter(box.logs(follow=True))).data == b"up\n"
        assert box.exec(["sh", "-c", "exit 6"]).returncode == 6
        assert box.stop(10) == 4
        assert b"".join(entry.data for entry in box.logs()) == b"up\nbye\n"
        box.remove()
        wait_gone(state.supervisor)


def test_a_kill_of_the_supervisor_leaves_nothing(tmp_path: Path, layout: Path) -> None:
    with open_store(tmp_path / "store", durability="none") as store:
        store.load(layout)
        options = RunOptions(args=("sleep", "1000"))
        box = run_detached(store, "box:1", "web", options, detached=DetachedOptions(runtime="own"))
        state = box.status
        os.kill(state.supervisor, signal.SIGKILL)
        wait_gone(state.supervisor)
        wait_gone(state.pid)
        DetachedContainer(store, "web").remove(force=True)


def test_it_is_what_is_left_where_no_runtime_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overlaykit.runtime._find._which", lambda name: None)
    monkeypatch.delenv("OVERLAYKIT_RUNTIME", raising=False)
    assert isinstance(find_runner(), OwnRunner)
    assert isinstance(find_runner("own"), OwnRunner)
    with pytest.raises(errors.RuntimeNotFoundError):
        find_runner("crun")


def test_without_a_native_module_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overlaykit.runtime._find._which", lambda name: None)
    monkeypatch.setattr("overlaykit.linux.available", lambda: False)
    monkeypatch.delenv("OVERLAYKIT_RUNTIME", raising=False)
    for name in (None, "own"):
        with pytest.raises(errors.RuntimeNotFoundError, match="compiler"):
            find_runner(name)
