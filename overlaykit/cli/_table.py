"""The commands as data: listing them imports none of them."""

from __future__ import annotations

from ..values import value_class

__all__ = ["COMMANDS", "Command", "find_command"]


@value_class
class Command:
    """A command that overlaykit itself brings.

    :param name: the word after ``overlaykit``.
    :param usage: what follows it.
    :param summary: one line for ``overlaykit --help``.
    :param group: the heading that it stands under there.
    """

    name: str
    usage: str
    summary: str
    group: str

    @property
    def module(self) -> str:
        """The module that runs it."""
        # import is the one name that is a keyword and cannot be a module's.
        return f"overlaykit.cli.commands.{'import_' if self.name == 'import' else self.name.replace('-', '_')}"


_LOOK = "See what there is"
_CHANGE = "Change a store"
_IMAGES = "Images and containers"
_RUN = "Containers that run"
_INSIDE = "Look inside a snapshot"
_ABOUT = "About drivers and this machine"

COMMANDS = (
    Command("demo", "", "play the story of layers in a temporary store", "Begin here"),
    Command("import", "DIR|TAR [NAME]", "make a base layer of a directory or an archive", _CHANGE),
    Command("load", "FILE|DIR", "take in the images of an archive or an OCI layout", _CHANGE),
    Command("save", "IMAGE...", "write images as an archive or an OCI layout", _CHANGE),
    Command("pull", "IMAGE", "bring an image from a registry", _CHANGE),
    Command("push", "IMAGE [TARGET]", "send an image to a registry", _CHANGE),
    Command("build", "CONTEXT", "build an image out of a Dockerfile", _CHANGE),
    Command("tags", "REPOSITORY", "list the tags that a registry has", _IMAGES),
    Command("prepare", "KEY [PARENT]", "make a writable snapshot, empty or on a layer", _CHANGE),
    Command("view", "KEY PARENT", "make a read-only snapshot of a layer", _CHANGE),
    Command("commit", "KEY [NAME]", "make a layer, or of a container an image", _CHANGE),
    Command("remove", "KEY...", "remove snapshots", _CHANGE),
    Command("label", "KEY K=V... K-...", "set and delete labels", _CHANGE),
    Command("cleanup", "", "delete what removals and crashes left behind", _CHANGE),
    Command("snapshots", "", "list the snapshots, or draw them as a tree", _LOOK),
    Command("usage", "KEY", "say what a snapshot takes of the disk", _LOOK),
    Command("verify", "KEY...", "check that layers are as committed", _LOOK),
    Command("mounts", "KEY", "say what a host would mount", _LOOK),
    Command("changes", "KEY", "list what it adds, modifies and deletes", _INSIDE),
    Command("ls", "KEY [PATH]", "list a directory", _INSIDE),
    Command("cat", "KEY PATH...", "write files to standard output", _INSIDE),
    Command("images", "", "list the images", _IMAGES),
    Command("inspect", "NAME", "say all about an image or a container", _IMAGES),
    Command("history", "IMAGE", "list the instructions that made it", _IMAGES),
    Command("tag", "IMAGE NAME...", "give an image further names", _IMAGES),
    Command("rmi", "IMAGE...", "take names away, and what nobody uses then", _IMAGES),
    Command("tree", "IMAGE|CONTAINER", "draw its layers, and what each does", _IMAGES),
    Command("explore", "IMAGE|CONTAINER", "find what layers waste; a page; a check", _IMAGES),
    Command("layers", "", "say who shares which layer, and what that saves", _IMAGES),
    Command("prune", "", "remove what nothing uses", _IMAGES),
    Command("create", "IMAGE [NAME]", "make a container", _IMAGES),
    Command("run", "IMAGE [COMMAND...]", "run a program in a new container", _IMAGES),
    Command("ps", "", "list the containers, and which of them run", _IMAGES),
    Command("rm", "NAME...", "remove containers", _IMAGES),
    Command("start", "NAME...", "run containers again, as before", _RUN),
    Command("exec", "NAME COMMAND...", "run one more program in a running container", _RUN),
    Command("logs", "NAME", "write what a container wrote", _RUN),
    Command("attach", "NAME", "show a container's streams here", _RUN),
    Command("stop", "NAME...", "ask containers to end, and kill those that do not", _RUN),
    Command("restart", "NAME...", "stop containers, and start them again", _RUN),
    Command("kill", "NAME...", "send containers a signal", _RUN),
    Command("wait", "NAME...", "wait until containers have ended", _RUN),
    Command("pause", "NAME...", "stop all processes of containers where they are", _RUN),
    Command("unpause", "NAME...", "let paused containers go on", _RUN),
    Command("top", "NAME", "list the processes of a running container", _RUN),
    Command("rename", "NAME NEW", "give a container another name", _RUN),
    Command("diff", "NAME", "list what a container changes of its image", _IMAGES),
    Command("cp", "SOURCE TARGET", "copy in or out of a container (NAME:PATH)", _IMAGES),
    Command("export", "NAME", "write a container's tree as a tar archive", _IMAGES),
    Command("drivers", "", "list the drivers, and why one cannot be used here", _ABOUT),
    Command("plugins", "", "list the plugins, their commands and problems", _ABOUT),
    Command("doctor", "", "check kernel, file system, store and plugins", _ABOUT),
    Command("unshare", "[-- COMMAND...]", "run a command with the ids of /etc/subuid", _ABOUT),
    Command("conformance", "NAME...", "hold drivers to the conformance suite", _ABOUT),
    Command("new-driver", "NAME [DIR]", "make a plugin project with a working driver", _ABOUT),
)


def find_command(name: str) -> Command | None:
    """Return the command of this name, ``None`` where overlaykit itself has none."""
    return next((command for command in COMMANDS if command.name == name), None)
