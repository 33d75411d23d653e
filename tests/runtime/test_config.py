"""What an image and its user say becomes: a command, an environment, a user, capabilities, a seccomp section."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

import overlaykit
from overlaykit import errors
from overlaykit.runtime import RunOptions
from overlaykit.runtime._capabilities import ALL, DEFAULT, choose_capabilities
from overlaykit.runtime._command import command, environment, working_directory
from overlaykit.runtime._seccomp import seccomp_section
from overlaykit.runtime._stubs import Stubs
from overlaykit.runtime._users import User, find_user
from overlaykit.runtime._values import FileMount, TmpfsMount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit import Tree

SHELL = ["/bin/sh", "-c", "exec_entry p1_entry"]

#: Docker's table ("Understand how CMD and ENTRYPOINT interact"): ENTRYPOINT, CMD, what runs.
TABLE = [
    (None, ["exec_cmd", "p1"], ("exec_cmd", "p1")),
    (None, ["/bin/sh", "-c", "exec_cmd p1"], ("/bin/sh", "-c", "exec_cmd p1")),
    (["exec_entry", "p1"], None, ("exec_entry", "p1")),
    (["exec_entry", "p1"], ["exec_cmd", "p1"], ("exec_entry", "p1", "exec_cmd", "p1")),
    (["exec_entry", "p1"], ["/bin/sh", "-c", "x"], ("exec_entry", "p1", "/bin/sh", "-c", "x")),
    (SHELL, None, tuple(SHELL)),
]


@pytest.mark.parametrize(("entrypoint", "cmd", "wanted"), TABLE)
def test_entrypoint_and_cmd(entrypoint: list[str] | None, cmd: list[str] | None, wanted: tuple[str, ...]) -> None:
    config = {"Entrypoint": entrypoint, "Cmd": cmd}
    assert command(config, RunOptions()) == wanted
    assert command(config, RunOptions(args=("own", "words"))) == (*(entrypoint or ()), "own", "words")
    assert command(config, RunOptions(entrypoint=("mine",))) == ("mine",)  # the image's CMD goes with its ENTRYPOINT
    assert command(config, RunOptions(entrypoint=("mine",), args=("a",))) == ("mine", "a")
    assert command(config, RunOptions(entrypoint=(), args=("a",))) == ("a",)


def test_nothing_to_run() -> None:
    for options in (RunOptions(), RunOptions(entrypoint=()), RunOptions(args=("",))):
        with pytest.raises(errors.RunError, match="give a command"):
            command({}, options)


def test_environment() -> None:
    config = {"Env": ["A=image", "B=image", "E=", "=bad", "Q=x=y"]}
    made = environment(config, RunOptions(env={"B": "mine"}), User(home="/home/x"), "host")
    assert made == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": "host",
        "A": "image",
        "B": "mine",
        "E": "",
        "Q": "x=y",
        "HOME": "/home/x",
    }
    assert environment({}, RunOptions(terminal=True), User(5), "h")["TERM"] == "xterm"
    assert environment({}, RunOptions(), User(5), "h")["HOME"] == "/"
    assert environment({"Env": ["HOME=/image"]}, RunOptions(), User(home="/x"), "h")["HOME"] == "/image"


def test_working_directory() -> None:
    assert working_directory({}, RunOptions()) == "/"
    assert working_directory({"WorkingDir": "/a/../b//c/"}, RunOptions()) == "/b/c"
    assert working_directory({"WorkingDir": "/a"}, RunOptions(cwd="/../x")) == "/x"


@pytest.fixture
def tree() -> Iterator[Tree]:
    with overlaykit.open_store(driver="memory") as store, store.snapshot(parent=None) as work:
        work.tree.mkdir("etc")
        yield work.tree


def test_users(tree: Tree) -> None:
    tree.write_text(
        "etc/passwd",
        "# comment:x:9:9::/:\nbroken\nroot:x:0:0:root:/root:/bin/sh\n"
        "a:x:1000:1000::/home/a:\n500:x:7:8::/named:\ntwin:x:1000:1::/twin:\nbad:x:x:1::/:\n",
    )
    tree.write_text("etc/group", "root:x:0:root\na:x:1000:\nw:x:10:a,b\nv:x:9:b,a\nno:x:z:a\n")
    assert find_user(tree, "") == User(0, 0, (0,), "/root")
    assert find_user(tree, "a") == User(1000, 1000, (9, 10), "/home/a")
    assert find_user(tree, "1000") == User(1000, 1000, (9, 10), "/home/a")
    assert find_user(tree, "500") == User(7, 8, (), "/named")  # a name made of digits is a name
    assert find_user(tree, "a:w") == User(1000, 10, (), "/home/a")
    assert find_user(tree, "a:77") == User(1000, 77, (), "/home/a")
    assert find_user(tree, "12345") == User(12345, 0, (), "")
    for text, said in (
        ("b", "no user"),
        ("bad", "no user"),
        ("a:nog", "no group"),
        ("a:", "colon"),
        ("4294967295", "ids end"),
    ):
        with pytest.raises(errors.RunError, match=said):
            find_user(tree, text)


def test_users_without_files(tree: Tree) -> None:
    assert find_user(tree, "") == User()
    tree.symlink("passwd", "etc/passwd")  # a loop
    assert find_user(tree, "3:4") == User(3, 4)


def test_capabilities() -> None:
    assert len(ALL) == 41
    assert len(DEFAULT) == 14
    assert set(choose_capabilities((), ())) == set(DEFAULT)
    assert choose_capabilities((), ("ALL",)) == ()
    assert choose_capabilities(("all",), ()) == ALL
    assert set(choose_capabilities(("ALL",), ("net_admin",))) == set(ALL) - {"CAP_NET_ADMIN"}
    assert choose_capabilities(("CAP_SYS_TIME", "kill"), ("ALL",)) == ("CAP_KILL", "CAP_SYS_TIME")
    with pytest.raises(errors.RunError, match="NOPE"):
        choose_capabilities(("NOPE",), ())


def test_seccomp_goes_by_capabilities_and_machine() -> None:
    def allowed(section: object, name: str) -> bool:
        assert isinstance(section, dict)
        return any(
            name in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
            for rule in section["syscalls"]
        )

    usual, full = seccomp_section("default", DEFAULT, "x86_64"), seccomp_section("default", ALL, "aarch64")
    for name, plainly, with_all in (
        ("openat", True, True),
        ("chroot", True, True),
        ("mount", False, True),
        ("clone", False, True),
        ("bpf", False, True),
        ("io_uring_setup", False, False),
        ("keyctl", False, False),
        ("arch_prctl", True, False),
    ):
        assert (allowed(usual, name), allowed(full, name)) == (plainly, with_all), name
    assert seccomp_section("unconfined", (), "x86_64") is None
    assert usual is not None
    assert usual["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]


def test_mount_points_go_without_a_trace(tree: Tree) -> None:
    tree.mkdir("var")
    tree.symlink("../run/resolv", "etc/resolv.conf")
    for path in ("etc", "var", "."):
        tree.utime(path, ns=(10**18, 10**18))
    before = {path: tree.stat(path).st_mtime_ns for path in ("etc", "var", ".")}
    mounts = (
        FileMount("/etc/hosts", b""),
        FileMount("/etc/resolv.conf", b""),
        TmpfsMount("/var/a/b"),
        TmpfsMount("/dev/x"),
    )
    stubs = Stubs(tree)
    stubs.enter("/w/d", mounts, ["/volume"])
    stubs.enter("/w/d", mounts, [])
    present = ["proc", "dev", "sys", "etc/hosts", "run/resolv", "var/a/b", "w/d", "volume"]
    assert all(map(tree.exists, present))
    assert not tree.exists("dev/x")  # it is below what is mounted there
    stubs.leave()
    assert all(map(tree.exists, present)), "somebody still runs there"
    tree.write_text("var/kept", "by the container")
    changed = tree.stat("var").st_mtime_ns
    stubs.leave()
    assert [path for path in present if tree.exists(path)] == ["w/d", "volume"]
    assert not tree.exists("run")
    assert tree.exists("var/kept")
    assert tree.stat("etc").st_mtime_ns == before["etc"]
    assert tree.stat("var").st_mtime_ns == changed != before["var"]


def test_what_a_container_put_into_a_mount_point_is_its_own(tree: Tree) -> None:
    stubs = Stubs(tree)
    stubs.enter("/", (FileMount("/etc/hosts", b""), TmpfsMount("/data")), ())
    tree.write_text("data/file", "mine")
    tree.write_text("etc/hosts", "mine")
    stubs.leave()
    assert tree.read_text("data/file") == "mine"
    assert tree.read_text("etc/hosts") == "mine"


def test_default_profile_has_no_name_twice() -> None:
    for machine, capabilities in itertools.product(("x86_64", "aarch64", "s390x"), ((), DEFAULT, ALL)):
        section = seccomp_section("default", capabilities, machine)
        assert section is not None
        names = section["syscalls"][0]["names"]
        assert len(names) == len(set(names)) > 300
