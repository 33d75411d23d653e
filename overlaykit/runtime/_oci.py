"""crun and runc: programs that run a bundle by the OCI runtime specification."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from binascii import b2a_base64
from contextlib import ExitStack

from .. import errors, linux
from ._cgroup import ROOT, is_unified
from ._cgroup_guard import open_groups, remove_groups
from ._config import process_section
from ._interest import deliver
from ._process import ENDING, HostProcess, child_of, kill_children
from ._seccomp_bpf import compile_seccomp

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._bundle import Bundle
    from ._cgroup_guard import Groups
    from ._runner import RunningProcess
    from ._values import ProcessSpec, Stdio

__all__ = ["OciRunner"]

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
"""The runtime's own: it must not depend on the caller's."""

_BEGIN_SECONDS = 10.0
"""How long a program may take to begin before nothing more is started beside it."""


class OciRunner:
    """A runtime with crun's and runc's command line.

    It is the first process of a process namespace around the container: killing it, by whatever signal and whoever
    does it, leaves nothing of the container, nor of its mounts.

    :param name: ``"crun"`` or ``"runc"``.
    :param path: the program.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    def start(self, bundle: Bundle, stdio: Stdio) -> RunningProcess:
        """See :meth:`Runner.start`."""
        with ExitStack() as held:
            document = dict(bundle.config)
            words: list[str] = []
            hide = None
            group: Groups | None = None
            if self.name == "crun" or not bundle.groups:
                document["linux"] = _without(document["linux"], "resources", "cgroupsPath")
                group = open_groups(bundle)
                held.callback(group.close)
            else:
                held.callback(remove_groups, bundle.id)
            if self.name == "crun":
                # crun takes no machine with both versions of cgroups, and makes more of them than are needed.
                words = ["--cgroup-manager=disabled"]
                hide = None if is_unified() else ROOT
                if bundle.groups and group is not None and not group.guards_devices:
                    document["process"] = _without_mknod(document["process"])
                _add_program(document)
            elif not bundle.groups:
                words = ["--rootless=true"]
            log_read, log_write = os.pipe2(os.O_CLOEXEC)
            held.callback(os.close, log_read)
            detached = _clone_root(bundle)
            try:
                pid = linux.launch(
                    [
                        self.path,
                        f"--root={bundle.place}/state",
                        f"--log=/proc/self/fd/{log_write}",
                        "--log-format=json",
                        *words,
                        "run",
                        f"--bundle={bundle.place}",
                        bundle.id,
                    ],
                    environment=_ENVIRONMENT,
                    place=bundle.place,
                    root=bundle.root if detached is None else detached,
                    move_root=detached is not None,
                    sources=bundle.sources,
                    files=[
                        linux.LaunchFile("config.json", json.dumps(document).encode("utf-8", "surrogateescape")),
                        *(
                            linux.LaunchFile(f"files/{number}", one.data, one.mode, one.uid, one.gid)
                            for number, one in enumerate(bundle.files)
                        ),
                    ],
                    hide=hide,
                    cgroups=[] if group is None else group.descriptors,
                    into=None if group is None else group.into,
                    stdio=(stdio.stdin, stdio.stdout, stdio.stderr),
                    keep=[log_write],
                    user_namespace=bundle.rootless,
                )
            except OSError as error:
                raise errors.RunError(
                    f"the container cannot be started: {error.strerror}" + _named(error), exit_code=125
                ) from error
            finally:
                os.close(log_write)
                if detached is not None:
                    os.close(detached)
            process = OciProcess(self, bundle, pid, log_read, bundle.config["process"]["args"][0], first=True)
            process.hold(held.pop_all(), group)
        return process


def _clone_root(bundle: Bundle) -> int | None:
    """Return a mount of the root for one runtime alone; ``None`` where none can be made, as before Linux 6.15."""
    if not bundle.rootless:
        # Who attaches it will be in another namespace, from where not every detached mount can be cloned.
        with contextlib.suppress(OSError):
            return linux.clone_directory(bundle.root, readonly=False)
    return None


class OciProcess(HostProcess):
    """A container's first process, or one more in it: a runtime, and the program as its child.

    :param program: what it runs, for messages.
    :param first: it is the container's first process.
    """

    def __init__(self, runner: OciRunner, bundle: Bundle, pid: int, log: int, program: str, *, first: bool) -> None:
        self._runner = runner
        self._bundle = bundle
        self._log = log
        self._program = program
        self._first = first
        self._deadly = 0
        self._sent = 0
        self._held = ExitStack()
        self._group: Groups | None = None
        super().__init__(pid, self._finished)

    def hold(self, held: ExitStack, group: Groups | None = None) -> None:
        """Take over what is to be let go of at the end, and the cgroups that further processes go into."""
        self._held, self._group = held, group

    def signal(self, number: int) -> None:
        """See :meth:`RunningProcess.signal`.

        The kernel drops what the first process of a namespace has no handler for. What would end any other program ends
        it too, with everything in the container.
        """
        if number == signal.SIGKILL:
            self.kill()
            return
        self._sent = number if number in ENDING else self._sent
        program = child_of(self.pid)
        begun = program is not None and not _same_program(program, self.pid)

        def send() -> None:
            if program is not None and self.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(program, number)

        if number not in ENDING or (begun and not self._first):
            send()
        elif not begun or program is None or not deliver(program, number, send):
            self._deadly = number
            self.kill()

    def _finished(self, code: int) -> int:
        """Tell a failure of the runtime, which it logs, from one of the program."""
        if self._deadly and code == 128 + signal.SIGKILL:
            return 128 + self._deadly
        said = _errors(self._log)
        if said and self._sent:
            return 128 + self._sent  # it was told to end while the runtime was still at its work
        if said and code not in (0, 128 + signal.SIGKILL):
            raise _failure(self._runner.name, said, self._program[:200])
        return code

    def exec(self, process: ProcessSpec, stdio: Stdio) -> RunningProcess:
        """See :meth:`RunningProcess.exec`."""
        bundle, runner = self._bundle, self._runner
        if self._group is not None:
            # The runtime does not know of the cgroups, which guard the machine's devices and hold the limits. And crun
            # 1.8 ends as soon as its program has: what is not through a terminal by then goes into its log.
            return self._join(process, stdio, self._group)
        with ExitStack() as held:
            log_read, log_write = os.pipe2(os.O_CLOEXEC)
            held.callback(os.close, log_read)
            with os.fdopen(log_write, "wb"), os.fdopen(os.memfd_create("process"), "wb") as document:
                document.write(json.dumps(process_section(process)).encode("utf-8", "surrogateescape"))
                document.flush()
                words = [
                    runner.path,
                    f"--root={bundle.place}/state",
                    f"--log=/proc/self/fd/{log_write}",
                    "--log-format=json",
                    "exec",
                    f"--process=/proc/self/fd/{document.fileno()}",
                    bundle.id,
                ]
                try:
                    pid = linux.join(
                        self._fd,
                        words,
                        environment=_ENVIRONMENT,
                        stdio=(stdio.stdin, stdio.stdout, stdio.stderr),
                        keep=[log_write, document.fileno()],
                        user_namespace=bundle.rootless,
                    )
                except OSError as error:
                    raise errors.RunError(
                        f"nothing can be started in the container {bundle.id}: {error.strerror}"
                        + ("; it has ended" if isinstance(error, ProcessLookupError) else "")
                    ) from error
            running = OciProcess(runner, bundle, pid, log_read, process.args[0], first=False)
            running.hold(held.pop_all())
        return running

    def _join(self, process: ProcessSpec, stdio: Stdio, group: Groups) -> RunningProcess:
        from ._own import join

        # The record of a container, which others wait for, is there a moment before its program is.
        until = time.monotonic() + _BEGIN_SECONDS
        while (program := child_of(self.pid)) is None or _same_program(program, self.pid):
            if self.returncode is not None or time.monotonic() > until:
                raise errors.RunError(
                    f"nothing can be started in the container {self._bundle.id}: it has not begun, or has ended"
                )
            time.sleep(0.001)
        try:
            member = os.pidfd_open(program)
        except ProcessLookupError:
            raise errors.RunError(f"nothing can be started in the container {self._bundle.id}: it has ended") from None
        try:
            return join(self._bundle, process, stdio, member=member, group=group)
        finally:
            os.close(member)

    def kill(self) -> None:
        """See :meth:`RunningProcess.kill`."""
        # The runtime's own death would only cut what it started in the container loose.
        if not (not self._first and kill_children(self.pid)):
            super().kill()

    def close(self) -> None:
        """See :meth:`RunningProcess.close`."""
        super().close()
        self._held.close()


def _same_program(one: int, other: int) -> bool:
    """Tell whether a child still is what made it: it has not become the container's program."""
    try:
        made = os.readlink(f"/proc/{one}/exe")
        # runc's child works in a copy of the program, which a container could not overwrite (CVE-2019-5736).
        return made.startswith("/memfd:runc_cloned") or made == os.readlink(f"/proc/{other}/exe")
    except OSError:
        return False


def _without(section: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in names}


def _without_mknod(process: dict[str, Any]) -> dict[str, Any]:
    """Where no cgroup keeps a container from devices, it makes none."""
    kinds = {kind: [one for one in names if one != "CAP_MKNOD"] for kind, names in process["capabilities"].items()}
    return {**process, "capabilities": kinds}


def _add_program(document: dict[str, Any]) -> None:
    """Give crun the seccomp program ready made (crun(1), ``run.oci.seccomp_bpf_data``).

    The section stays: a crun that does not know the annotation makes the program of it, and the container is as safe.
    """
    section = document["linux"].get("seccomp")
    program = None if section is None else compile_seccomp(section, os.uname().machine)
    if program is not None:
        data = b2a_base64(program, newline=False).decode()
        document["annotations"] = {**document.get("annotations", {}), "run.oci.seccomp_bpf_data": data}


def _named(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _errors(log: int) -> list[str]:
    os.set_blocking(log, False)
    text = b""
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(log, 65536):
            text += chunk
    found = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
                found.append(" ".join(str(entry.get("msg", "")).split()))
    return found


_REASONS: tuple[tuple[Callable[[str], bool], int], ...] = (
    (lambda text: "executable file" in text and "not found" in text, 127),
    (lambda text: "no such file or directory" in text and ("exec" in text or "open executable" in text), 127),
    (lambda text: "permission denied" in text and "exec" in text, 126),
    (lambda text: "exec format error" in text or "is a directory" in text, 126),
)


def _failure(name: str, said: list[str], program: str) -> errors.RunError:
    text = " ".join(said)
    code = next((code for fits, code in _REASONS if fits(text.lower())), 125)
    if code == 127:
        return errors.RunError(f"there is no program {program!r} in the image: look at its PATH", exit_code=code)
    if code == 126:
        return errors.RunError(f"{program!r} cannot be executed: {name} says: {text[:500]}", exit_code=code)
    return errors.RunError(f"the container cannot be started: {name} says: {text[:500]}", exit_code=code)
