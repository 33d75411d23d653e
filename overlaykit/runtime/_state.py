"""What is known of a container that runs or ran: a directory in the store, beside the snapshots.

The directory has ``state.json``, ``options.json``, the log, and while the container runs the socket of its supervisor,
which holds a lock on ``lock``. That lock, and not a process id, says whether it runs: the kernel lets go of it
however the supervisor ends, and no number that is used again can be mistaken for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import fcntl
import json
import os
import time

from .. import errors
from ..values import value_class
from ._times import format_time, parse_time

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

__all__ = ["ContainerState", "StateDirectory", "Status", "start_ticks"]

_KILLED = 137


class Status(enum.StrEnum):
    """Where a container stands; the words are Docker's."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"


@value_class
class ContainerState:
    """What is known of a container's last run.

    :param pid: the process of this machine that stands for the container's first one; 0 while it does not run.
    :param supervisor: the process that looks after it; 0 while it does not run.
    :param ticks: when the supervisor began, in clock ticks since the machine did (proc_pid_stat(5)): with the process
        id it names one process that ever was.
    :param runner: what runs it: ``crun``, ``runc`` or ``own``.
    :param started: nanoseconds since the epoch.
    :param finished: the same; ``None`` while it runs.
    :param exit_code: as shells have it, 128 and the number for a signal; ``None`` while it runs.
    :param error: why it could not be run, or ended otherwise than by itself.
    :param auto_remove: it is removed when it ends.
    :param terminal: its standard streams are a terminal.
    :param logged: what it writes is kept; else its streams are those of whoever runs it.
    :param warnings: what was asked for and does not hold, as a limit without a control group.
    """

    status: Status = Status.CREATED
    pid: int = 0
    supervisor: int = 0
    ticks: int = 0
    runner: str = ""
    command: tuple[str, ...] = ()
    started: int | None = None
    finished: int | None = None
    exit_code: int | None = None
    error: str = ""
    auto_remove: bool = False
    terminal: bool = False
    logged: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether it runs, paused or not."""
        return self.status in (Status.RUNNING, Status.PAUSED)

    def as_json(self) -> dict[str, Any]:
        """Return it for a JSON document; moments are text."""
        made = dataclasses.asdict(self)
        made["status"] = str(self.status)
        made["command"], made["warnings"] = list(self.command), list(self.warnings)
        for name in ("started", "finished"):
            made[name] = None if made[name] is None else format_time(made[name])
        return made

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ContainerState:
        """Return what :meth:`as_json` was made of.

        :raises ValueError: it was made of something else.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in document.items() if name in known}
        try:
            values["status"] = Status(values["status"])
            for name in ("command", "warnings"):
                values[name] = tuple(values.get(name) or ())
            for name in ("started", "finished"):
                if isinstance(values.get(name), str):
                    values[name] = parse_time(values[name])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no state of a container: {error}") from error


class StateDirectory:
    """The directory of one container.

    :param path: the directory; :meth:`make` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """Where its log is."""
        return self.path / "log"

    def make(self) -> None:
        """Make it, for its owner alone."""
        self.path.mkdir(0o700, parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        import shutil

        shutil.rmtree(self.path, ignore_errors=True)

    def read(self) -> ContainerState:
        """Return the state, also where nobody is left who could have recorded it: a supervisor that was killed."""
        state = self._recorded()
        if not state.running:
            return state
        if self.supervised():
            from ._freezer import frozen

            return dataclasses.replace(state, status=Status.PAUSED) if frozen(state.pid) else state
        # It may have ended by itself between the two looks.
        state = self._recorded()
        if not state.running:
            return state
        return dataclasses.replace(
            state,
            status=Status.EXITED,
            pid=0,
            supervisor=0,
            finished=self._last_sign(),
            exit_code=_KILLED,
            error="its supervisor was killed, and the container with it",
        )

    def write(self, state: ContainerState) -> None:
        """Record the state, whole or not at all."""
        self.write_document("state.json", state.as_json())

    def has(self, name: str) -> bool:
        """Tell whether there is a document of this name."""
        return (self.path / name).exists()

    def read_document(self, name: str) -> dict[str, Any]:
        """Return a document.

        :raises NotFoundError: there is none.
        """
        try:
            document = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            raise errors.NotFoundError(f"there is no {name} in {self.path}", filename=self.path) from None
        except ValueError as error:
            raise errors.StoreCorruptError(f"{self.path / name} is damaged: {error}", filename=self.path) from error
        if not isinstance(document, dict):
            raise errors.StoreCorruptError(f"{self.path / name} is damaged: it is no object", filename=self.path)
        return document

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a document, whole or not at all."""
        temporary = self.path / f".{name}.{os.urandom(4).hex()}"
        try:
            temporary.write_text(json.dumps(document), encoding="utf-8")
            temporary.replace(self.path / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def lock(self) -> int:
        """Become its supervisor.

        The caller has the container's tree open, which only one can; others hold the lock for as long as they take to
        look.

        :returns: a descriptor; the lock lasts until its last copy is closed.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def supervised(self) -> bool:
        """Tell whether it has a supervisor now."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _recorded(self) -> ContainerState:
        try:
            return ContainerState.from_json(self.read_document("state.json"))
        except errors.NotFoundError:
            return ContainerState()
        except ValueError as error:
            raise errors.StoreCorruptError(f"{self.path / 'state.json'}: {error}", filename=self.path) from error

    def _last_sign(self) -> int:
        """Return when something was last known of it."""
        moments = [0]
        for path in (self.path / "state.json", *(self.log.iterdir() if self.log.is_dir() else ())):
            with contextlib.suppress(FileNotFoundError):
                moments.append(path.stat().st_mtime_ns)
        return max(moments) or time.time_ns()


def start_ticks(pid: int) -> int:
    """Return when a process began, in clock ticks since the machine did; 0 where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may have spaces and brackets of its own.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0
