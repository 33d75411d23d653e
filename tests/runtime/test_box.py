"""A container's run() has the habits of subprocess.run, with every driver, runtime and user that there can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, open_box, processes_with, wait_gone
from testkit.loops import need_root, need_tool
from testkit.rich import run_as
from testkit.waits import PATIENCE

from overlaykit import errors
from overlaykit.linux import launch
from overlaykit.runtime import (
    BindMount,
    FileMount,
    Limits,
    ProcessSpec,
    RunOptions,
    Stdio,
    TmpfsMount,
    find_runner,
    open_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.runtime import RunnableContainer

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(
        tmp_path_factory.mktemp("box") / "layout",
        {"WorkingDir": "/work", "Entrypoint": ["echo"], "Cmd": ["by", "image"]},
    )


@pytest.fixture
def box(tmp_path: Path, layout: Path) -> Iterator[RunnableContainer]:
    with open_box(tmp_path, layout) as made:
        yield made


def _habits(root: Path, layout: Path, driver: str, runtime: str) -> None:
    with open_box(root, layout, driver) as box:
        done = box.run(
            ["sh", "-c", "cat; echo err >&2; exit 3"], input="in\n", capture_output=True, text=True, runtime=runtime
        )
        assert (done.returncode, done.stdout, done.stderr) == (3, "in\n", "err\n")
        done = box.run(capture_output=True, text=True, runtime=runtime)
        assert done.stdout == "by image\n"  # ENTRYPOINT and CMD
        script = "id -u; id -g; pwd; echo $HOME $ORIGIN $MORE; cat /proc/1/comm; hostname; touch made; rm /etc/group"
        done = box.run(["sh", "-c", script], env={"MORE": "more"}, capture_output=True, text=True, runtime=runtime)
        assert done.stdout.splitlines() == ["0", "0", "/work", "/root image more", "sh", os.uname().nodename]
        assert done.stderr == ""
        # Several runs see what those before left, and the tree shows it; of mount points nothing stays.
        assert box.tree.exists("work/made")
        changes = {change.path: str(change.kind) for change in box.changes()}
        assert changes.keys() - {".", "etc"} == {"work", "work/made", "etc/group"}
        assert changes["etc/group"] == "deleted"
        done = box.run(
            ["sh", "-c", "echo $((1+1)) > /dev/null && head -c 3 /dev/zero | wc -c"], stdout=-1, runtime=runtime
        )
        assert done.stdout == b"3\n"
        assert done.stderr is None


@pytest.mark.parametrize("driver", ["overlayfs", "directory"])
@pytest.mark.parametrize("user", ["own", "nobody"])
def test_habits_of_subprocess(driver: str, user: str, runtime: str, reachable: Path, layout: Path) -> None:
    if user == "nobody":
        need_root()
    place = reachable / "layout"
    subprocess.run(["cp", "-r", layout, place], check=True)
    run_as(user, reachable / "place", lambda root: _habits(root, place, driver, runtime))


def test_it_raises_as_subprocess_does(box: RunnableContainer, runtime: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        box.run(["sh", "-c", "echo out; exit 4"], check=True, capture_output=True, runtime=runtime)
    assert (failed.value.returncode, failed.value.stdout) == (4, b"out\n")
    long = f"7777{os.getpid()}"  # another run's are none of this one's business
    for seconds in (0.5, 5, 50):  # in which it is to have begun, too
        with pytest.raises(subprocess.TimeoutExpired) as late:
            box.run(["sh", "-c", f"echo begun; sleep {long}"], timeout=seconds, capture_output=True, runtime=runtime)
        if late.value.output:
            break
    assert late.value.output == b"begun\n"
    assert processes_with(long) == []
    with pytest.raises(ValueError, match="capture_output"):
        box.run(["true"], capture_output=True, stdout=subprocess.PIPE)
    with pytest.raises(ValueError, match="stdin and input"):
        box.run(["true"], input="", stdin=subprocess.PIPE)
    assert box.run(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], runtime=runtime).returncode == 137


def test_what_cannot_be_started_says_why(
    box: RunnableContainer, runtime: str, capfd: pytest.CaptureFixture[str]
) -> None:
    cases = [
        (["nope"], 127, "no program 'nope'"),
        (["/bin/nope"], 127, "no program '/bin/nope'"),
        (["/etc/passwd"], 126, "not executable"),
        (["/etc"], 126, "is a directory"),
    ]
    for args, code, text in cases:
        with pytest.raises(errors.RunError, match=text) as failed:
            box.run(args, runtime=runtime)
        assert failed.value.exit_code == code
    assert capfd.readouterr().err == ""
    for wrong, text in (
        ({"user": "nemo"}, "no user 'nemo'"),
        ({"user": "ada:nogroup"}, "no group 'nogroup'"),
        ({"cwd": "relative"}, "not absolute"),
        ({"options": RunOptions(cap_add=("CAP_NOPE",))}, "no capability"),
        ({"options": RunOptions(seccomp="{}")}, "seccomp profile"),
        ({"runtime": "norun"}, "no runtime 'norun'"),
    ):
        with pytest.raises(OSError, match=text):
            box.run(["true"], **wrong)  # type: ignore[arg-type]


def test_a_store_in_memory_says_what_is_missing(layout: Path) -> None:
    with open_store(driver="memory") as store:
        store.load(layout)
        with store.container("box:1") as box, pytest.raises(errors.CapabilityError, match="overlayfs or directory"):
            box.run(["true"])


def test_users_are_those_of_the_image(box: RunnableContainer, runtime: str) -> None:
    need_root()

    def who(user: str) -> str:
        script = "echo $(id -u) $(id -g) $(id -G) $HOME"
        return str(
            box.run(["sh", "-c", script], user=user, capture_output=True, text=True, runtime=runtime).stdout.strip()
        )

    assert who("ada") == "1000 1000 1000 1001 /home/ada"
    assert who("1000") == "1000 1000 1000 1001 /home/ada"
    assert who("ada:crew") == "1000 1001 1001 /home/ada"
    assert who("77:78") == "77 78 78 /"
    assert who("77") == "77 0 0 /"
    # A link that leads out of the image leads to the image's own.
    box.tree.rename("etc/passwd", "etc/known")
    box.tree.symlink("/../../etc/known", "etc/passwd")
    assert who("ada") == "1000 1000 1000 1001 /home/ada"


def test_who_is_not_root_alone_is_refused_without_privileges(reachable: Path, layout: Path) -> None:
    need_root()
    place = reachable / "layout"
    subprocess.run(["cp", "-r", layout, place], check=True)

    def act(root: Path) -> None:
        with open_box(root, place) as box:
            with pytest.raises(errors.RunError, match="user 0 and group 0 alone here, because /etc/subuid"):
                box.run(["true"], user="ada")
            with pytest.warns(RuntimeWarning, match="the limit of processes does not hold: .*run as root"):
                assert box.run(["true"], limits=Limits(pids=10)).returncode == 0

    run_as("nobody", reachable / "place", act)


def test_privileges_are_dockers(box: RunnableContainer, runtime: str) -> None:
    need_root()

    def status(options: RunOptions) -> dict[str, int]:
        words = ["grep", "-E", "^(Cap(Eff|Bnd|Inh|Amb)|NoNewPrivs|Seccomp):", "/proc/self/status"]
        text = box.run(words, options=options, capture_output=True, text=True, runtime=runtime).stdout
        return {name: int(value, 16) for name, value in (line.split(":") for line in text.splitlines())}

    usual = status(RunOptions())
    assert usual["CapEff"] == usual["CapBnd"] == 0xA80425FB  # as `docker run` shows it
    assert (usual["CapInh"], usual["CapAmb"], usual["NoNewPrivs"], usual["Seccomp"]) == (0, 0, 0, 2)
    other = status(
        RunOptions(user="ada", cap_drop=("ALL",), cap_add=("net_raw",), no_new_privileges=True, seccomp="unconfined")
    )
    assert (other["CapEff"], other["CapBnd"], other["NoNewPrivs"], other["Seccomp"]) == (0, 1 << 13, 1, 0)


def test_seccomp_refuses_what_docker_refuses(box: RunnableContainer, runtime: str) -> None:
    def code(options: RunOptions, *words: str) -> int:
        return box.run(words, options=options, stderr=subprocess.DEVNULL, runtime=runtime).returncode

    wanted = ("unshare", "-U", "true")
    assert code(RunOptions(), *wanted) != 0
    assert code(RunOptions(seccomp="unconfined"), *wanted) == 0
    rules = [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_BPF"]}},
    ]
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
    done = box.run(
        ["mkdir", "/x"], options=RunOptions(seccomp=profile), capture_output=True, text=True, runtime=runtime
    )
    assert "No space left" in done.stderr
    assert code(RunOptions(seccomp=profile), "chmod", "700", "/tmp") == 0


def test_devices_of_the_machine_do_not_open(box: RunnableContainer, runtime: str) -> None:
    need_root()
    # Nodes can be made, as Docker allows it: /dev/loop-control, which root of the machine may open.
    major, minor = os.major(os.stat("/dev/loop-control").st_rdev), os.minor(os.stat("/dev/loop-control").st_rdev)
    os.close(os.open("/dev/loop-control", os.O_RDONLY))
    for place in ("/node", "/dev/node", "/tmpfs/node"):
        script = f"mknod {place} c {major} {minor} && exec cat < {place}"
        done = box.run(
            ["sh", "-c", script], mounts=[TmpfsMount("/tmpfs")], capture_output=True, text=True, runtime=runtime
        )
        assert done.returncode != 0
        assert "Permission denied" in done.stderr or "Operation not permitted" in done.stderr


def test_mounts(box: RunnableContainer, runtime: str, tmp_path: Path) -> None:
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "file").write_text("host\n")
    box.tree.mkdir("other")
    box.tree.write_text("other/file", "tree\n")
    descriptor = os.open(f"{box.tree.host_path}/other", os.O_PATH)
    try:
        script = (
            "cat /ro/file /new/deep/file /secret /tree/file; ls -l /secret | cut -c1-10; echo x > /ro/no; "
            "echo y > /rw/yes; echo z > /t/z; df /t | tail -1 | awk '{print $2}'; echo w > /tree/w"
        )
        done = box.run(
            ["sh", "-c", script],
            mounts=[
                BindMount(str(tmp_path / "dir"), "/ro", readonly=True),
                BindMount(str(tmp_path / "dir"), "/rw"),
                BindMount(str(tmp_path / "dir" / "file"), "/new/deep/file"),
                BindMount(descriptor, "/tree"),
                FileMount("/secret", b"told\n", 0o400),
                TmpfsMount("/t", size=1 << 20),
            ],
            capture_output=True,
            text=True,
            runtime=runtime,
        )
    finally:
        os.close(descriptor)
    assert done.stdout.splitlines() == ["host", "host", "told", "tree", "-r--------", "1024"]
    assert done.stderr.count("Read-only file system") == 1
    assert (tmp_path / "dir" / "yes").read_text() == "y\n"
    assert not (tmp_path / "dir" / "no").exists()
    assert box.tree.read_text("other/w") == "w\n"
    found = {change.path for change in box.changes()}
    assert found - {".", "other", "other/file", "other/w", "work"} == set()


def test_a_root_that_cannot_be_written(box: RunnableContainer, runtime: str) -> None:
    done = box.run(
        ["sh", "-c", "touch /x; echo y > /tmp/y"],
        read_only=True,
        mounts=[TmpfsMount("/tmp")],
        stderr=-1,
        runtime=runtime,
    )
    assert done.returncode == 0
    assert b"Read-only file system" in done.stderr


def test_a_network_of_its_own_has_loopback_alone(box: RunnableContainer, runtime: str) -> None:
    script = (
        "ls /sys/class/net; cat /sys/class/net/lo/operstate; hostname; cat /etc/hostname; grep -c localhost /etc/hosts"
    )
    done = box.run(
        ["sh", "-c", script],
        options=RunOptions(hostname="inner"),
        network="none",
        capture_output=True,
        text=True,
        runtime=runtime,
    )
    assert done.stdout.splitlines()[:1] == ["lo"]
    assert done.stdout.splitlines()[2:4] == ["inner", "inner"]
    assert int(done.stdout.splitlines()[4]) >= 1
    here = box.run(["ls", "/sys/class/net"], capture_output=True, text=True, runtime=runtime).stdout.split()
    assert set(here) == set(os.listdir("/sys/class/net"))


def test_limits_hold(box: RunnableContainer, runtime: str) -> None:
    need_root()
    done = box.run(
        ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done"],
        limits=Limits(pids=6),
        stderr=-1,
        runtime=runtime,
    )
    assert b"fork" in done.stderr
    # tail keeps all of a line in memory.
    hungry = ["sh", "-c", "head -c 200000000 /dev/zero | tail | wc -c"]
    done = box.run(hungry, limits=Limits(memory=32 << 20), capture_output=True, text=True, runtime=runtime)
    assert done.stdout.strip() != "200000000"
    done = box.run(hungry, capture_output=True, text=True, runtime=runtime)
    assert done.stdout.strip() == "200000000"


def test_devices_of_the_machine_stay_its_own(box: RunnableContainer, runtime: str) -> None:
    """Runtimes give the standard streams to the container's user."""
    need_root()
    for name in ("null", "zero"):
        before = os.stat(f"/dev/{name}")
        with open(f"/dev/{name}", "r+b", buffering=0) as device:
            done = box.run(
                ["sh", "-c", "echo lost; echo lost > /dev/stdout && exit 7"],
                user="4321",
                stdin=subprocess.DEVNULL,
                stdout=device,
                stderr=device,
                runtime=runtime,
            )
        assert done.returncode == 7
        after = os.stat(f"/dev/{name}")
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    done = box.run(["sh", "-c", "cat; echo end"], user="4321", stdin=subprocess.DEVNULL, capture_output=True)
    assert done.stdout == b"end\n"


def test_nothing_is_left_of_cgroups(box: RunnableContainer, runtime: str) -> None:
    need_root()
    before = set(Path("/sys/fs/cgroup").glob("**/overlaykit/*/"))
    box.run(["true"], limits=Limits(memory=64 << 20, cpus=0.5, pids=50), runtime=runtime)
    # Others may run theirs meanwhile, each of which gets a process soon or goes; of ours nothing stays.
    new = set(Path("/sys/fs/cgroup").glob("**/overlaykit/*/")) - before
    end = time.monotonic() + 20
    while new := {path for path in new if _is_empty_cgroup(path)}:
        assert time.monotonic() < end, new
        time.sleep(0.05)


def _is_empty_cgroup(path: Path) -> bool:
    try:
        return not (path / "cgroup.procs").read_text()
    except OSError:
        return False


def test_several_at_once_in_one_container(box: RunnableContainer) -> None:
    codes = []

    def work(number: int) -> None:
        done = box.run(
            ["sh", "-c", f"echo {number} > /{number}; sleep 0.{number}; cat /etc/hosts > /dev/null && ls /proc/1"],
            stdout=-3,
        )
        codes.append(done.returncode)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0, 0]
    assert {change.path for change in box.changes()} == {".", "1", "2", "3", "4", "work"}


def test_exec_and_signals(box: RunnableContainer, runtime: str) -> None:
    script = "trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    read, write = os.pipe()
    try:
        options = RunOptions(args=("sh", "-c", script), entrypoint=())
        with box.start(options, stdio=Stdio(-1, write, 2), runtime=runtime) as process:
            assert os.read(read, 6) == b"ready\n"
            assert process.returncode is None
            with process.exec(ProcessSpec(("/bin/sh", "-c", "cat /proc/1/comm; exit 9")), Stdio(-1, write, 2)) as other:
                assert other.wait(PATIENCE) == 9
            assert os.read(read, 3) == b"sh\n"
            with (
                pytest.raises(errors.RunError, match="nope"),
                process.exec(ProcessSpec(("/bin/nope",)), Stdio(-1, -1, -1)) as other,
            ):
                other.wait(PATIENCE)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
            process.signal(15)
            assert process.wait(PATIENCE) == 5
            assert os.read(read, 5) == b"term\n"
            process.signal(15)  # it has ended
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("name", ["crun", "runc"])
def test_a_program_that_does_not_care_ends_by_the_signal(box: RunnableContainer, name: str) -> None:
    runtime = need_tool(name)
    for delay in (0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.1):  # also while the runtime is still at its work
        with box.start(RunOptions(args=("sleep", "77777"), entrypoint=()), runtime=runtime) as process:
            time.sleep(delay)
            process.signal(2)
            assert process.wait(PATIENCE) == 130
    told, tell = os.pipe()
    held, hold = os.pipe()
    with open(told, "rb") as said, open(hold, "wb") as given:
        options = RunOptions(args=("sh", "-c", "trap '' INT; echo up; cat"), entrypoint=())
        with box.start(options, stdio=Stdio(held, tell, 2), runtime=runtime) as process:
            os.close(held)
            os.close(tell)
            assert said.readline() == b"up\n"
            process.signal(2)
            given.close()
            assert process.wait(PATIENCE) == 0


def test_killing_the_caller_leaves_nothing(tmp_path: Path, layout: Path, runtime: str) -> None:
    mark = f"mark{os.urandom(6).hex()}"
    script = f"""
import sys
from overlaykit.runtime import open_store
with open_store({str(tmp_path / "store")!r}) as store:
    store.load({str(layout)!r})
    with store.container("box:1") as box:
        script = "(setsid sleep 77777 &) ; echo begun; sleep 77777"
        box.run(["sh", "-c", script], env={{"MARK": {mark!r}}}, runtime={runtime!r})
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        inside = processes_with(mark)
        assert len(inside) >= 3
        process.kill()
    for pid in inside:
        wait_gone(pid)
    assert processes_with(mark) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert os.listdir(tmp_path / "store" / "run") == []
    with open_store(tmp_path / "store") as store:
        assert store.containers() == []


def test_launch_says_at_what_it_failed(tmp_path: Path) -> None:
    admin = os.geteuid() == 0
    with pytest.raises(FileNotFoundError, match="cannot execute the program"):
        launch(["/nope"], environment={}, place=tmp_path, user_namespace=not admin)
    with pytest.raises(FileNotFoundError, match="tmpfs"):
        launch(["/bin/true"], environment={}, place=tmp_path / "none", user_namespace=not admin)
    with pytest.raises(OSError, match="descriptors"):
        launch(["/bin/true"], environment={}, place=tmp_path, stdio=(999, 1, 2), user_namespace=not admin)
    with pytest.raises(ValueError, match="null"):
        launch(["/bin/true\0x"], environment={}, place=tmp_path, user_namespace=not admin)


def test_runtimes_are_found_by_name_path_and_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = need_tool("runc")
    assert (find_runner("runc").name, find_runner(path).path) == ("runc", path)
    monkeypatch.setenv("OVERLAYKIT_RUNTIME", "runc")
    assert find_runner().name == find_runner(terminal=True).name == "runc"
    monkeypatch.delenv("OVERLAYKIT_RUNTIME")
    need_tool("crun")
    assert (find_runner().name, find_runner(terminal=True).name) == ("crun", "own")
    with pytest.raises(errors.RuntimeNotFoundError) as failed:
        find_runner("nope")
    assert failed.value.tried == ("nope",)
