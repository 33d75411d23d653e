"""Whether a program can be executed, asked before anything is started: so the answer is ours, and the same for all."""

from __future__ import annotations

import posixpath
import stat

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..tree import Tree
    from ._values import ProcessSpec

__all__ = ["check_program"]


def check_program(tree: Tree, process: ProcessSpec, covered: Collection[str]) -> None:
    """Look for a process's program as execvp(3) will.

    :param covered: what is mounted in the container; nothing is said of programs below.
    :raises RunError: there is none (127), or it is no file or not executable (126).
    """
    name = process.args[0]
    if "/" in name:
        candidates = [posixpath.normpath(posixpath.join(process.cwd, name))]
    else:
        candidates = [
            posixpath.normpath(posixpath.join("/", process.cwd, directory, name))
            for directory in process.env.get("PATH", "").split(":")
            if directory
        ]
    refused = ""
    for path in candidates:
        if any(path == one or path.startswith(f"{one}/") for one in covered):
            return
        try:
            mode = tree.stat(path).st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and mode & 0o111:
            return
        refused = refused or ("is a directory" if stat.S_ISDIR(mode) else "is not executable")
    if refused:
        raise errors.RunError(f"{name[:200]!r} {refused}: give a program of the image", exit_code=126)
    where = "" if "/" in name else f" in the directories of PATH ({process.env.get('PATH', '')[:300]})"
    raise errors.RunError(f"there is no program {name[:200]!r} in the image{where}: give another one", exit_code=127)
