"""Run a command as a user without any privilege: ``python tests/unprivileged.py [OPTIONS] -- COMMAND ...``.

Started by root, the command runs as uid and gid 65534 without groups and capabilities, with ``no_new_privs`` and with a
HOME and a TMPDIR of its own. Started by anyone else, it just runs.

``--ranges FIRST:COUNT`` is for what an ordinary user can do after a login on most machines: set-uid programs work, and
``/etc/subuid`` and ``/etc/subgid`` have those ids for the user, seen by the command alone.

The interpreter and the checkout may lie below directories that such a user cannot enter (``/root`` is 0700 on most
machines). So the command gets a private mount namespace in which each closed directory is covered by a tmpfs of mode
0755 that holds nothing but the way to what is needed. Nothing of the host changes, and nothing stays.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from testkit import syscalls

__all__ = ["NOBODY", "command", "main"]

NOBODY = 65534


def command(
    *arguments: str | os.PathLike[str], need: tuple[str | os.PathLike[str], ...] = (), ranges: str | None = None
) -> list[str]:
    """Return the command line that runs ``arguments`` without privileges.

    :param need: directories that the command must be able to enter, besides the interpreter's and the checkout.
    :param ranges: ids that the user has in ``/etc/subuid`` and ``/etc/subgid``, as ``200000:65536``, or ``none`` for no
        line in them; ``None`` for a user for whom set-uid programs do not work either.
    """
    options = [part for path in need for part in ("--need", os.fspath(path))]
    options += [] if ranges is None else ["--ranges", ranges]
    return [
        sys.executable,
        str(_checkout() / "tests" / "unprivileged.py"),
        *options,
        "--",
        *(os.fspath(word) for word in arguments),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code, 128 + N where signal N ended it."""
    parser = argparse.ArgumentParser(prog="unprivileged.py", description="Run a command without privileges.")
    parser.add_argument("--need", action="append", default=[], metavar="PATH", help="a directory it must reach")
    parser.add_argument("--ranges", metavar="FIRST:COUNT", help="ids of /etc/subuid and /etc/subgid; none")
    parser.add_argument("command", nargs="+")
    parsed = parser.parse_args(arguments)
    if os.geteuid() != 0:
        os.execvp(parsed.command[0], parsed.command)
    home = tempfile.mkdtemp(prefix="overlaykit-nobody-")
    try:
        return _run(parsed.command, [*map(Path, parsed.need), *_own_paths()], home, parsed.ranges)
    finally:
        shutil.rmtree(home)


def _own_paths() -> list[Path]:
    executable = Path(sys.executable)
    return [Path(sys.prefix), Path(sys.base_prefix), executable.parent, executable.resolve().parent, _checkout()]


def _checkout() -> Path:
    return Path(__file__).resolve().parents[3]


def _run(words: list[str], needed: list[Path], home: str, ranges: str | None) -> int:
    child = os.fork()
    if child == 0:
        _become_nobody(words, needed, home, ranges)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(child, received))
    # Ctrl-C reaches the command by itself; this process only waits for it to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become_nobody(words: list[str], needed: list[Path], home: str, ranges: str | None) -> NoReturn:
    try:
        os.umask(0o022)
        inside = Path(home, "home"), Path(home, "tmp")
        for directory in inside:
            directory.mkdir()
            os.chown(directory, NOBODY, NOBODY)
        os.chmod(home, 0o755)
        here = Path.cwd()
        if ranges is None:
            _open_the_way([*needed, *inside])
            syscalls.drop_privileges(NOBODY, NOBODY)
        else:
            syscalls.private_mount_namespace()
            _give_ranges(Path(home, "ranges"), "" if ranges == "none" else f"{NOBODY}:{ranges}\n")
            _open_the_way([*needed, *inside])
            syscalls.become(NOBODY, NOBODY)
        syscalls.stop_with_parent(signal.SIGKILL)
        os.chdir(here if os.access(here, os.X_OK) else inside[0])
        os.execvpe(words[0], words, _environment(*inside))
    except OSError as error:
        print(f"unprivileged.py: cannot run {words[0]}: {error}", file=sys.stderr)
    finally:
        os._exit(126)


def _give_ranges(file: Path, lines: str) -> None:
    file.write_text(lines)
    for name in ("subuid", "subgid"):
        syscalls.mount(os.fspath(file), f"/etc/{name}", flags=syscalls.MS_BIND)


def _environment(home: Path, temporary: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SUDO_"))}
    return kept | {"HOME": str(home), "TMPDIR": str(temporary), "USER": "nobody", "LOGNAME": "nobody"}


def _open_the_way(needed: list[Path]) -> None:
    resolved = sorted({path.resolve() for path in needed} | {Path(os.path.abspath(path)) for path in needed})
    if _first_closed(resolved) is None:
        return
    syscalls.private_mount_namespace()
    while (closed := _first_closed(resolved)) is not None:
        _cover(closed, resolved)


def _first_closed(needed: list[Path]) -> Path | None:
    for path in needed:
        for directory in (*reversed(path.parents), path):
            status = os.stat(directory)
            # One that others may enter and not list is its owner's own, who may close it while the command runs.
            wanted = stat.S_IXOTH | stat.S_IROTH
            mine = status.st_uid == NOBODY and status.st_mode & stat.S_IXUSR
            if stat.S_ISDIR(status.st_mode) and status.st_mode & wanted != wanted and not mine:
                return directory
    return None


def _cover(closed: Path, needed: list[Path]) -> None:
    """Put a tmpfs over ``closed`` and bind into it what of it is needed, or all of it where it is needed itself."""
    if any(closed == path or closed.is_relative_to(path) for path in needed):
        shown = [Path(entry.path) for entry in os.scandir(closed)]
    else:
        below = [path for path in needed if path.is_relative_to(closed)]
        shown = [path for path in below if not any(path != other and path.is_relative_to(other) for other in below)]
    # The descriptors still lead to what the tmpfs is about to hide.
    below_cover = {path: os.open(path, os.O_PATH | os.O_NOFOLLOW) for path in shown}
    links = {path: os.readlink(path) for path in shown if path.is_symlink()}
    syscalls.mount("overlaykit", str(closed), "tmpfs", data="mode=0755,size=1m")
    for path, descriptor in below_cover.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path in links:
            path.symlink_to(links[path])
        else:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                path.mkdir(exist_ok=True)
            else:
                path.touch()
            syscalls.mount(f"/proc/self/fd/{descriptor}", str(path), flags=syscalls.MS_BIND | syscalls.MS_REC)
        os.close(descriptor)
