"""Options of the commands that run something in a container, and what they mean."""

from __future__ import annotations

import os
import posixpath

from ._exit import UsageError

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..runtime import RunMount, RunOptions
    from ._parse import CommandParser

__all__ = ["add_process_options", "add_run_options", "environment", "labels", "run_options", "size_in_bytes"]

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def add_process_options(parser: CommandParser) -> None:
    """Declare what can be said of any process: of a new container and of an exec."""
    parser.add_argument(
        "-e", "--env", metavar="K[=V]", action="append", default=[], help="set a variable, or pass one of this shell on"
    )
    parser.add_argument("--env-file", metavar="FILE", action="append", default=[], help="set variables, one a line")
    parser.add_argument("-w", "--workdir", metavar="DIR", help="the working directory")
    parser.add_argument("-u", "--user", metavar="USER[:GROUP]", help="who, by name or number, as the image has them")


def add_run_options(parser: CommandParser) -> None:
    """Declare what can be said of a new container."""
    add_process_options(parser)
    add = parser.add_argument
    add("-v", "--volume", metavar="SRC:DST[:ro]", action="append", default=[], help="show a path of this machine")
    add("--tmpfs", metavar="DST[:OPTIONS]", action="append", default=[], help="an empty file system in memory")
    add("--read-only", action="store_true", help="the container's own files cannot be written")
    add("--entrypoint", metavar="PROGRAM", help="in place of the image's; empty for none")
    add("--network", choices=("host", "none"), default="host", help="the machine's, the default, or loopback alone")
    add("--hostname", metavar="NAME", help="by default the machine's, with --network none the container's id")
    add("-m", "--memory", metavar="BYTES", help="the most memory, as 512m")
    add("--cpus", metavar="N", type=float, help="processors' worth of time, as 1.5")
    add("--pids-limit", metavar="N", type=int, help="the most processes")
    add("--cap-add", metavar="CAP", action="append", default=[], help="give a capability, or ALL")
    add("--cap-drop", metavar="CAP", action="append", default=[], help="take one of the usual ones away, or ALL")
    add(
        "--security-opt",
        metavar="OPTION",
        action="append",
        default=[],
        help="seccomp=unconfined, seccomp=FILE or no-new-privileges",
    )
    add(
        "--runtime",
        metavar="NAME",
        help="crun, runc, own or a program like them; by default $OVERLAYKIT_RUNTIME, or the first there is",
    )


def run_options(arguments: argparse.Namespace, words: Sequence[str]) -> RunOptions:
    """Return what the options mean.

    :param words: the words behind the image.
    :raises UsageError: one cannot be understood.
    :raises OSError: a file that is named cannot be read.
    """
    from ..runtime import Limits, RunOptions

    entrypoint = None
    if arguments.entrypoint is not None:
        entrypoint = (arguments.entrypoint,) if arguments.entrypoint else ()
    seccomp, no_new_privileges = _security(arguments.security_opt)
    if arguments.cpus is not None and not 0 < arguments.cpus < 1 << 20:
        raise UsageError(f"--cpus {arguments.cpus} is no number of processors: give one above 0")
    memory = None if arguments.memory is None else size_in_bytes(arguments.memory, "--memory")
    pids = arguments.pids_limit
    return RunOptions(
        args=tuple(words),
        entrypoint=entrypoint,
        env=environment(arguments),
        cwd=arguments.workdir,
        user=arguments.user,
        mounts=(*map(_volume, arguments.volume), *map(_tmpfs, arguments.tmpfs)),
        read_only=arguments.read_only,
        network=arguments.network,
        hostname=arguments.hostname,
        cap_add=tuple(arguments.cap_add),
        cap_drop=tuple(arguments.cap_drop),
        seccomp=seccomp,
        no_new_privileges=no_new_privileges,
        terminal=getattr(arguments, "tty", False),
        # As Docker has it: 0 and -1 are no limit.
        limits=Limits(memory, arguments.cpus, pids if pids is not None and pids > 0 else None),
    )


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the variables of ``--env-file`` and ``--env``, which goes over it.

    :raises OSError: a file cannot be read.
    """
    made: dict[str, str] = {}
    for path in arguments.env_file:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                text = line.rstrip("\r\n")
                if text.strip() and not text.lstrip().startswith("#"):
                    _set(made, text.lstrip(), f"line {number} of {path}")
    for text in arguments.env:
        _set(made, text, f"--env {text!r}")
    return made


def _set(made: dict[str, str], text: str, where: str) -> None:
    name, equals, value = text.partition("=")
    if not name or any(character.isspace() for character in name):
        raise UsageError(f"{where} is not of the form NAME=VALUE")
    if equals:
        made[name] = value
    elif name in os.environ:
        made[name] = os.environ[name]


def labels(texts: Sequence[str]) -> dict[str, str]:
    """Return the labels of ``--label``."""
    made = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name:
            raise UsageError(f"--label {text!r} is not of the form NAME=VALUE")
        made[name] = value
    return made


def size_in_bytes(text: str, option: str) -> int:
    """Read a size as Docker has it: a number, and b, k, m, g or t.

    :raises UsageError: it is none.
    """
    lower = text.strip().lower().removesuffix("ib") if text.strip().lower().endswith("ib") else text.strip().lower()
    if lower.endswith("b") and lower[:-1][-1:] in "kmgt":
        lower = lower[:-1]
    unit = lower[-1:] if lower[-1:].isalpha() else ""
    number = lower[: len(lower) - len(unit)]
    try:
        found = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found <= 0:
        raise UsageError(f"{option} {text!r} is no size: give one as 512m or 2g")
    return found


def _volume(text: str) -> RunMount:
    from ..runtime import BindMount

    source, colon, rest = text.partition(":")
    target, _, flags = rest.partition(":")
    if not colon or not source or not target.startswith("/"):
        raise UsageError(f"--volume {text!r} is not of the form SOURCE:/TARGET[:ro]")
    if "/" not in source and source not in (".", ".."):
        raise UsageError(
            f"--volume {text!r} names a volume, and there are none here: give a path, as ./{source}:{target}"
        )
    readonly = False
    for flag in filter(None, flags.split(",")):
        if flag not in ("ro", "rw"):
            raise UsageError(f"--volume {text!r}: there is ro and rw, and no {flag!r}")
        readonly = flag == "ro"
    path = os.path.abspath(source)
    os.stat(path)  # Docker would make a directory of a name that was misspelt
    return BindMount(path, _target(target, text), readonly)


def _tmpfs(text: str) -> RunMount:
    from ..runtime import TmpfsMount

    target, _, flags = text.partition(":")
    size, mode, options = None, 0o1777, []
    for flag in filter(None, flags.split(",")):
        name, _, value = flag.partition("=")
        if name == "size":
            size = size_in_bytes(value, "the size of --tmpfs")
        elif name == "mode":
            try:
                mode = int(value, 8)
            except ValueError:
                raise UsageError(f"--tmpfs {text!r}: the mode {value!r} is not octal") from None
        elif flag not in ("nosuid", "nodev"):
            options.append(flag)
    return TmpfsMount(_target(target, text), size, mode, tuple(options))


def _target(target: str, text: str) -> str:
    clean = posixpath.normpath(target)
    if not clean.startswith("/") or clean in ("/", "//"):
        raise UsageError(f"{text!r}: the path in the container is absolute, and not the root")
    return clean


def _security(texts: Sequence[str]) -> tuple[str, bool]:
    seccomp, no_new_privileges = "default", False
    for text in texts:
        name, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
        if name == "no-new-privileges":
            no_new_privileges = value.lower() in ("", "true")
        elif name == "seccomp" and value in ("unconfined", "default"):
            seccomp = value
        elif name == "seccomp" and value:
            with open(value, encoding="utf-8") as file:
                seccomp = file.read()
        else:
            raise UsageError(f"--security-opt {text!r}: there is seccomp=unconfined|FILE and no-new-privileges")
    return seccomp, no_new_privileges
