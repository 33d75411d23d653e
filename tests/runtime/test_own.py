"""What a container of the own runner is like from inside, and what it refuses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from testkit.busybox import MOUNTS, Box, make_root, read, streams
from testkit.loops import need_root
from testkit.rich import run_as_nobody
from testkit.waits import PATIENCE

from overlaykit import errors, linux
from overlaykit.runtime import FileMount, ProcessSpec
from overlaykit.runtime._own import OwnRunner

pytestmark = pytest.mark.native


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.fixture
def box(root: Path) -> Box:
    return Box(OwnRunner(), root)


def test_it_is_alone(box: Box) -> None:
    seen = box.sh(
        "hostname; echo $$; ls -d /proc/[0-9]*; ls /sys/class/net; ls /; read name < /proc/1/comm; echo $name"
    )
    assert (seen.code, seen.err) == (0, "")
    assert seen.lines[:2] == ["box", "1"]
    assert [line for line in seen.lines if line.startswith("/proc/")] == ["/proc/1"]
    assert seen.lines[-7:] == ["bin", "dev", "etc", "proc", "sys", "tmp", "sh"]
    assert "lo" in seen.lines


def test_its_loopback_interface_is_up(box: Box) -> None:
    assert "UP" in box.sh("ip link show lo; ping -c 1 -W 2 127.0.0.1 >/dev/null || true").out


@pytest.mark.parametrize("files", [0, 2])
def test_the_old_root_is_nowhere(box: Box, tmp_path: Path, files: int) -> None:
    (tmp_path / "secret").write_text("host")
    box.files = [FileMount(f"/etc/{number}", b"") for number in range(files)]
    for number in range(files):
        box.bind(f"{Box.PLACE}/files/{number}", f"/etc/{number}")
    seen = box.sh(f"ls {tmp_path}; cat /proc/self/mountinfo; cd ..; cd ../../..; pwd; ls")
    assert f"ls: {tmp_path}: No such file" in seen.err
    points = {line.split()[4] for line in seen.lines if " - " in line}
    assert "/" in points
    # Without privileges the six devices are the host's, each a mount.
    mounts = len(MOUNTS) + 1 + files + (0 if os.geteuid() == 0 else 6)
    assert len(points) == mounts
    assert seen.lines[-6:] == ["bin", "dev", "etc", "proc", "sys", "tmp"]


def test_devices_work(box: Box) -> None:
    seen = box.sh(
        "echo gone > /dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c;"
        "echo x > /dev/full || echo full;"
        "ls -l /dev/fd /dev/stdin /dev/stdout /dev/stderr /dev/ptmx | sed 's/.* -> //'; echo err >/dev/stderr;"
        "cat /dev/tty; ls /dev; echo shm > /dev/shm/x && cat /dev/shm/x"
    )
    assert seen.lines[:3] == ["3", "5", "full"]
    assert seen.lines[3:8] == ["/proc/self/fd", "pts/ptmx", "/proc/self/fd/2", "/proc/self/fd/0", "/proc/self/fd/1"]
    assert "No such device or address" in seen.err
    assert "err" in seen.err.splitlines()
    assert seen.lines[-1] == "shm"
    expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert seen.lines[8:-1] == expected.split()


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_codes_pass_through(box: Box, code: int) -> None:
    assert box.sh(f"exit {code}").code == code


def test_a_signal_is_a_code_beyond_128(box: Box) -> None:
    assert box.sh("sh -c 'kill -9 $$'; exit $?").code == 137
    with box.start("sleep", "100") as process:
        process.signal(9)
        assert process.wait(PATIENCE) == 137


def test_streams_are_those_that_are_given(box: Box) -> None:
    seen = box.sh("echo out; echo err >&2; cat; ls /proc/self/fd | wc -l")
    assert (seen.lines[0], seen.err) == ("out", "err\n")
    # The three, and the directory that is listed: nothing of the library's process.
    assert seen.lines[1] == "4"


def test_environment_and_directory(box: Box) -> None:
    box.process = {"env": ["PATH=/bin", "A=1=2", "EMPTY="], "cwd": "/made/for/it"}
    seen = box.sh('pwd; echo "$A[$EMPTY]"; env | grep -c .; stat -c %a:%u /made')
    assert seen.lines == ["/made/for/it", "1=2[]", "5", "755:0"]  # PWD and SHLVL are the shell's


def test_a_relative_program_is_found_in_path(box: Box) -> None:
    box.process = {"env": ["PATH=/nonexistent::/etc/passwd:/bin"]}
    assert box.run("echo", "found").lines == ["found"]
    box.process = {"env": []}
    assert box.run("echo", "default path").lines == ["default path"]


@pytest.mark.parametrize(
    ("program", "code", "message"),
    [
        ("nothing-of-this-name", 127, "PATH"),
        ("/bin/nothing", 127, "no such file"),
        ("/etc", 126, "not executable"),
        ("/bin/closed", 126, "not executable"),
        ("/bin/text", 126, "another architecture"),
        ("/bin/script", 127, "interpreter"),
        ("/bin/sh/sh", 127, "Not a directory"),
        ("", 127, "PATH"),
    ],
)
def test_a_program_that_cannot_run(box: Box, root: Path, program: str, code: int, message: str) -> None:
    (root / "bin" / "closed").write_text("#!/bin/sh\n")
    for name, text in (("text", "no program\n"), ("script", "#!/nonexistent/sh\n")):
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    with pytest.raises(errors.RunError, match=message) as caught:
        box.run(program)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)


def test_a_read_only_root(box: Box) -> None:
    box.readonly = True
    seen = box.sh("touch /x; touch /dev/x /dev/shm/x && echo memory")
    assert "Read-only file system" in seen.err
    assert seen.lines == ["memory"]


def test_binds(box: Box, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    box.bind(tmp_path, "/mnt/dir")
    box.bind(tmp_path / "data", "/etc/file", "ro")
    box.bind(tmp_path, "/mnt/ro", "ro", "noexec")
    seen = box.sh("cat /etc/file; echo new > /mnt/dir/new; echo x > /etc/file; touch /mnt/ro/x; /mnt/ro/data")
    assert seen.out.startswith("data")
    assert (tmp_path / "new").read_text() == "new\n"
    assert (tmp_path / "data").read_text() == "data"
    assert seen.err.count("Read-only file system") == 2
    assert not (tmp_path / "x").exists()


def test_read_only_binds_are_so_to_the_bottom(box: Box, tmp_path: Path) -> None:
    need_root()
    (tmp_path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", tmp_path / "below"], check=True)
    try:
        box.bind(tmp_path, "/mnt/deep", "ro")
        seen = box.sh("touch /mnt/deep/below/x")
    finally:
        subprocess.run(["umount", tmp_path / "below"], check=True)
    assert "Read-only file system" in seen.err


def test_sources_by_descriptor(box: Box, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("content")
    directory = os.open(tmp_path / "in", os.O_PATH)
    file = os.open(tmp_path / "in" / "file", os.O_PATH)
    detached = linux.clone_directory(tmp_path, readonly=True)
    try:
        box.sources = [directory, file, detached]
        for number, target in enumerate(("/mnt/one", "/mnt/two", "/mnt/three")):
            box.bind(f"{Box.PLACE}/mounts/{number}", target)
        # Whose origin is another namespace is cloned by nobody else, but attached once.
        for _ in range(2 if os.geteuid() == 0 else 1):
            seen = box.sh("cat /mnt/one/file /mnt/two /mnt/three/in/file; touch /mnt/three/x")
            assert seen.out == "content" * 3
            assert "Read-only file system" in seen.err
    finally:
        for one in (directory, file, detached):
            os.close(one)


def test_an_overlay_as_root(root: Path, tmp_path: Path) -> None:
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    overlay = linux.overlay_mount([root], tmp_path / "upper", tmp_path / "work")
    try:
        box = Box(OwnRunner(), overlay)
        assert box.sh("echo one > /tmp/one; rm /bin/vi").code == 0
        assert box.sh("cat /tmp/one; ls /bin/vi").lines == ["one"]
    finally:
        os.close(overlay)
        # overlayfs leaves a directory there that its owner may not enter.
        (tmp_path / "work" / "work").chmod(0o700)
    assert (tmp_path / "upper" / "tmp" / "one").read_text() == "one\n"
    assert (root / "bin" / "vi").is_symlink()


def test_files_that_are_on_no_disk(box: Box) -> None:
    box.files = [
        FileMount("/run/secret", b"a\0b", mode=0o400),
        FileMount("/etc/hosts", b"h", readonly=False, mode=0o644),
    ]
    for number, (target, option) in enumerate((("/run/secret", "ro"), ("/etc/hosts", "rw"))):
        box.bind(f"{Box.PLACE}/files/{number}", target, option)
    seen = box.sh(
        "od -c /run/secret | head -1; stat -c %a:%u /run/secret; echo x >/run/secret;echo y >/etc/hosts; cat /etc/hosts"
    )
    assert seen.lines[0].split()[1:] == ["a", r"\0", "b"]
    assert seen.lines[1:] == ["400:0", "y"]
    assert "Read-only file system" in seen.err


def test_memory_file_systems(box: Box) -> None:
    options = ["nosuid", "nodev", "noexec", "size=64k", "mode=1750"]
    box.mounts.append({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": options})
    seen = box.sh(
        "stat -c %a /scratch; head -c 100000 /dev/zero > /scratch/big; stat -c %s /scratch/big;"
        "grep ' /scratch ' /proc/mounts"
    )
    assert seen.lines[0] == "1750"
    assert seen.lines[1] == "65536"
    assert "noexec" in seen.lines[2]


def test_masked_and_read_only_paths(box: Box) -> None:
    box.linux = {
        "maskedPaths": ["/proc/kcore", "/proc/acpi", "/sys/firmware", "/proc/nothing", "/proc/timer_list"],
        "readonlyPaths": ["/proc/sys", "/proc/nothing", "/proc/irq", "/dev/shm"],
    }
    seen = box.sh(
        "cat /proc/kcore /proc/timer_list | wc -c; ls /sys/firmware | wc -l; touch /sys/firmware/x;"
        "echo 1 > /proc/sys/kernel/domainname; touch /dev/shm/x"
    )
    assert seen.lines == ["0", "0"]
    assert seen.err.count("Read-only file system") == 3


def test_limits_and_scores(box: Box) -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 78}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    box.process = {"rlimits": limits, "oomScoreAdj": 500}
    seen = box.sh("ulimit -n; ulimit -H -n; ulimit -c; cat /proc/self/oom_score_adj")
    assert seen.lines == ["77", "78", "0", "500"]


def test_sysctls_are_the_containers(box: Box) -> None:
    need_root()
    box.linux |= {"sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmax": "123456"}}
    host = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    assert box.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax").lines == ["1", "123456"]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == host
    box.linux |= {"sysctl": {"no.such.name": "1"}}
    with pytest.raises(errors.RunError, match="no/such/name"):
        box.sh("true")


def test_capabilities(box: Box) -> None:
    seen = box.sh("grep -E '^(Cap|NoNewPrivs)' /proc/self/status; chroot / true; mount -t tmpfs x /tmp")
    values = dict(line.split(":\t") for line in seen.lines)
    expected = f"{0b1000000000000000000011101011:016x}"
    assert values["CapBnd"] == values["CapEff"] == values["CapPrm"] == expected
    assert (values["CapInh"], values["CapAmb"]) == ("0" * 16, "0" * 16)
    own = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    assert values["NoNewPrivs"] == own["NoNewPrivs"]
    assert "chroot" in seen.err
    assert "mount" in seen.err


def test_ambient_capabilities_reach_another_user(box: Box) -> None:
    need_root()
    names = ["CAP_NET_RAW"]
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    box.process = {"capabilities": dict.fromkeys(kinds, names), "user": {"uid": 1000, "gid": 1000}}
    seen = box.sh("id -u; grep -E '^Cap(Eff|Amb)' /proc/self/status")
    assert seen.lines == ["1000", "CapEff:\t0000000000002000", "CapAmb:\t0000000000002000"]


def test_another_user(box: Box) -> None:
    need_root()
    box.process = {"user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 2000], "umask": 0o27}}
    seen = box.sh(
        "id; grep -E '^Cap(Eff|Prm)|^Groups' /proc/self/status; umask;"
        "touch /tmp/mine; stat -c %a:%u:%g /tmp/mine; rm /tmp/mine"
    )
    assert seen.lines[0] == "uid=1000 gid=1001 groups=5,2000"
    assert {line.split(":\t")[1].strip() for line in seen.lines[1:4]} == {"5 2000", "0" * 16}
    assert seen.lines[4:] == ["0027", "640:1000:1001"]


def test_another_user_writes_to_pipes(box: Box) -> None:
    need_root()
    box.process = {"user": {"uid": 1000, "gid": 1000}}
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as output:
        from overlaykit.runtime import Stdio

        with box.start("sh", "-c", "echo through > /dev/stdout", stdio=Stdio(-1, write_end, write_end)) as process:
            os.close(write_end)
            assert process.wait(PATIENCE) == 0
        assert output.read() == b"through\n"


def test_without_privileges_there_is_one_user() -> None:
    def run() -> None:
        with pytest.raises(errors.RunError, match="not mapped"):
            Box(OwnRunner(), Path("/"), mounts=[], process={"user": {"uid": 7, "gid": 7}}).start("true")

    run_as_nobody(run)


def test_no_new_privileges(box: Box) -> None:
    box.process = {"noNewPrivileges": True}
    assert box.sh("grep NoNewPrivs /proc/self/status").lines == ["NoNewPrivs:\t1"]


def test_a_closed_working_directory(box: Box, root: Path) -> None:
    """Root may enter it, and so is the program of another user in it, as with runc."""
    need_root()
    (root / "closed").mkdir(mode=0o700)
    try:
        box.process = {"cwd": "/closed", "user": {"uid": 1000, "gid": 1000}}
        assert box.sh("pwd").lines == ["/closed"]
    finally:
        (root / "closed").rmdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"hooks": {"prestart": [{"path": "/bin/true"}]}}}, "hooks"),
        ({"process": {"apparmorProfile": "docker-default"}}, "AppArmor"),
        ({"namespaces": ("mount",)}, "process namespace"),
        ({"namespaces": ("pid",)}, "mount namespace"),
        ({"process": {"args": []}}, "no command"),
        ({"process": {"capabilities": {"bounding": ["CAP_FLYING"]}}}, "CAP_FLYING"),
        ({"linux": {"namespaces": [{"type": "mount", "path": "/proc/1/ns/mnt"}]}}, "/proc/1/ns/mnt"),
    ],
)
def test_what_it_cannot_do_it_says(box: Box, change: dict[str, Any], message: str) -> None:
    for name, value in change.items():
        setattr(box, name, value)
    with pytest.raises(errors.RunError, match=message):
        box.run("true")


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"destination": "/x", "type": "bind", "source": "/nonexistent", "options": ["rbind"]}, "/nonexistent"),
        ({"destination": "/x", "type": "nofs", "source": "none"}, "nofs"),
        ({"destination": "/x", "type": "tmpfs", "source": "none", "options": ["size=lots"]}, "size=lots"),
        ({"destination": "/etc/x/y/" + "n" * 300, "type": "tmpfs", "source": "none"}, "name too long"),
        ({"destination": "/bin/busybox", "type": "tmpfs", "source": "none"}, "directory"),
        ({"destination": "/bin/busybox/x", "type": "tmpfs", "source": "none"}, "is a file"),
        ({"destination": "/x", "type": "bind", "source": "/", "options": ["rbind", "rshared"]}, "shared"),
    ],
)
def test_mounts_that_cannot_be(box: Box, mount: dict[str, Any], message: str) -> None:
    box.mounts.append(mount)
    with pytest.raises(errors.RunError, match=f"(?i){message}") as caught:
        box.run("true")
    assert caught.value.exit_code == 125


def test_exec(box: Box) -> None:
    process = ProcessSpec(
        ("sh", "-c", "echo $$; id -u; hostname; cat /tmp/state; pwd; exit 9"), {"PATH": "/bin"}, cwd="/etc"
    )
    with box.start("sh", "-c", "echo shared > /tmp/state; exec sleep 100") as first:
        with streams() as (stdio, out, err), first.exec(process, stdio) as second:
            assert (second.wait(PATIENCE), read(err)) == (9, "")
            lines = read(out).splitlines()
        assert int(lines[0]) > 1
        assert lines[1:] == ["0", "box", "shared", "/etc"]
        assert first.returncode is None
        with pytest.raises(errors.RunError, match="no such program"), streams() as (stdio, _, _):
            first.exec(ProcessSpec(("nothing",), {"PATH": "/bin"}), stdio)
    with pytest.raises(errors.RunError, match="ended"), streams() as (stdio, _, _):
        first.exec(process, stdio)


def test_exec_has_what_it_is_given_and_no_more(box: Box) -> None:
    process = ProcessSpec(
        ("sh", "-c", "grep -E '^(Cap(Bnd|Eff)|NoNew)' /proc/self/status; ls /proc/self/fd | wc -l"),
        {"PATH": "/bin"},
        capabilities=("CAP_KILL",),
        no_new_privileges=True,
    )
    with box.start("sleep", "100") as first, streams() as (stdio, out, _), first.exec(process, stdio) as second:
        assert second.wait(PATIENCE) == 0
        mask = "0000000000000020"
        assert read(out).splitlines() == [f"CapEff:\t{mask}", f"CapBnd:\t{mask}", "NoNewPrivs:\t1", "4"]
