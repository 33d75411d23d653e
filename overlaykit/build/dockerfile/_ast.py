"""What a Dockerfile says, as values: one class an instruction.

The names are those of BuildKit's Dockerfile reference. Every text is a :class:`~overlaykit.build.dockerfile.Word`, a
string that knows its place. As parsed, words are as written, with variables and quotes; :meth:`Scope.resolve` returns
the same classes with the words that are meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...values import field, value_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._mounts import Mount
    from ._place import Place, Source, Word

__all__ = [
    "PIPES",
    "Add",
    "Arg",
    "Argument",
    "Check",
    "Cmd",
    "Command",
    "Copy",
    "Directives",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "Expose",
    "From",
    "Healthcheck",
    "Heredoc",
    "Instruction",
    "Label",
    "Maintainer",
    "Onbuild",
    "Run",
    "Shell",
    "Stage",
    "Stopsignal",
    "Transfer",
    "User",
    "Volume",
    "Workdir",
]

#: The directory where a RUN finds the here-documents that are programs; mounted read-only, part of no layer.
PIPES = "/dev/pipes"


@value_class
class Heredoc:
    """A here-document.

    :param name: the word that ends it; the name of the file that a COPY or ADD makes of it.
    :param body: its lines, each with its end; without leading tabs where it began with ``<<-``.
    :param expand: whether variables in it are to be expanded: its delimiter was not quoted.
    :param place: where its first line stands.
    :param chomp: whether it began with ``<<-``.
    :param written: its lines with their leading tabs.
    :param descriptor: the file descriptor it is for, where a number stands before ``<<``.
    """

    name: Word
    body: str
    expand: bool
    place: Place
    chomp: bool = False
    written: str = ""
    descriptor: int = 0


@value_class
class Command:
    """What RUN, CMD, ENTRYPOINT or HEALTHCHECK runs.

    :param words: in the exec form the program and its arguments; in the shell form one word, the command line.
    :param shell: whether it is the shell form, for the shell that SHELL set.
    :param heredocs: those that follow the command line of a RUN.
    :param alone: whether a here-document is the whole of the command line, as in ``RUN <<EOF``.
    """

    words: tuple[Word, ...]
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()
    alone: bool = False

    @property
    def program(self) -> Heredoc | None:
        """The here-document that is a program of its own: alone, and beginning with ``#!``.

        It is a file of mode 0755 at :data:`PIPES` ``/NAME`` while the command runs, and ``script`` is that path.
        """
        return self.heredocs[0] if self.alone and self.heredocs[0].body.startswith("#!") else None

    @property
    def script(self) -> str:
        """The text for the shell, here-documents included; of the shell form only."""
        program = self.program
        if program is not None:
            return f"{PIPES}/{program.name}"
        if self.alone:
            return self.heredocs[0].body
        line = self.words[0] if self.words else ""
        return line + "".join(f"\n{document.written}{document.name}" for document in self.heredocs)

    def argv(self, shell: Sequence[str]) -> list[str]:
        """Return the arguments to execute.

        :param shell: what SHELL set, such as ``["/bin/sh", "-c"]``; it goes before the script of a shell form.
        """
        return [*shell, self.script] if self.shell else [str(word) for word in self.words]


@value_class(kw_only=True)
class Instruction:
    """One instruction.

    :param keyword: its name as written.
    :param text: the whole of it: continuation lines joined, comments left out, variables not expanded.
    :param comments: the comments right above it.
    :param empty: where there is an empty line between its continued ones.
    """

    name: ClassVar[str] = ""
    keyword: Word
    text: Word
    comments: tuple[str, ...] = field(default=(), repr=False, compare=False)
    empty: Place | None = field(default=None, repr=False, compare=False)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.keyword.place

    @property
    def last_line(self) -> int:
        """The number of its last line, here-documents not counted."""
        return self.text.line.last


@value_class(kw_only=True)
class From(Instruction):
    """FROM: begins a stage.

    :param image: an image's reference, an earlier stage's name, a named context, or ``scratch``.
    :param alias: the stage's name.
    :param platform: of the image, as ``linux/arm64``.
    :param joiner: the AS before the stage's name, as written.
    """

    name = "FROM"
    image: Word
    alias: Word | None = None
    platform: Word | None = None
    joiner: Word | None = None


@value_class(kw_only=True)
class Run(Instruction):
    """RUN: runs a command and keeps what it changes.

    :param command: what to run.
    :param mounts: what is mounted meanwhile; after ``resolve`` each is a typed one, such as ``CacheMount``.
    :param network: ``default``, ``none`` or ``host``.
    :param security: ``sandbox`` or ``insecure``.
    """

    name = "RUN"
    command: Command
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"


@value_class(kw_only=True)
class Transfer(Instruction):
    """What COPY and ADD have in common.

    :param sources: paths and patterns; of ADD also URLs and Git repositories.
    :param documents: here-documents among the sources: files of mode 0644 to make.
    :param target: where to; a directory where it ends in a slash.
    :param owner: ``--chown``, as ``user:group``.
    :param mode: ``--chmod``, as octal digits or symbols.
    :param link: ``--link``: the files make a layer that does not depend on those below.
    :param exclude: patterns of what is left out of the sources.
    :param origin: ``--from``: a stage, an image or a named context; ``None`` for the build context.
    :param parents: ``--parents``: keep the directories of the sources.
    """

    sources: tuple[Word, ...]
    documents: tuple[Heredoc, ...] = ()
    target: Word
    owner: Word | None = None
    mode: Word | None = None
    link: bool = False
    exclude: tuple[Word, ...] = ()
    origin: Word | None = None
    parents: bool = False


@value_class(kw_only=True)
class Copy(Transfer):
    """COPY: copies files out of the build context, a stage, an image or a named context."""

    name = "COPY"


@value_class(kw_only=True)
class Add(Transfer):
    """ADD: copies files, unpacks local archives, and fetches URLs and Git repositories.

    :param checksum: the digest that the one remote source must have.
    :param keep_git_dir: whether ``.git`` stays.
    :param unpack: whether archives are unpacked; ``None`` for local ones only.
    """

    name = "ADD"
    checksum: Word | None = None
    keep_git_dir: bool = False
    unpack: bool | None = None


@value_class(kw_only=True)
class Env(Instruction):
    """ENV: sets variables, for the build and the image.

    :param pairs: names and values.
    :param legacy: whether it is written ``ENV NAME VALUE``, without ``=``.
    """

    name = "ENV"
    pairs: tuple[tuple[Word, Word], ...]
    legacy: bool = False


@value_class(kw_only=True)
class Label(Instruction):
    """LABEL: sets labels of the image.

    :param pairs: names and values.
    :param legacy: whether it is written ``LABEL NAME VALUE``, without ``=``.
    """

    name = "LABEL"
    pairs: tuple[tuple[Word, Word], ...]
    legacy: bool = False


@value_class
class Argument:
    """One variable that an ARG declares.

    :param name: its name.
    :param default: its value where the caller gives none; ``None`` for no value.
    """

    name: Word
    default: Word | None = None


@value_class(kw_only=True)
class Arg(Instruction):
    """ARG: declares variables that the caller of the build may set."""

    name = "ARG"
    arguments: tuple[Argument, ...]


@value_class(kw_only=True)
class Workdir(Instruction):
    """WORKDIR: the directory for what follows, made where it is missing; relative to the one before."""

    name = "WORKDIR"
    path: Word


@value_class(kw_only=True)
class User(Instruction):
    """USER: ``user[:group]`` for what follows, by name or number."""

    name = "USER"
    user: Word


@value_class(kw_only=True)
class Expose(Instruction):
    """EXPOSE: ports, as ``80``, ``53/udp`` or ``8000-8005/tcp``.

    After ``resolve`` each is one port with its protocol, as ``80/tcp``: what a configuration's ``ExposedPorts`` has.
    """

    name = "EXPOSE"
    ports: tuple[Word, ...]


@value_class(kw_only=True)
class Volume(Instruction):
    """VOLUME: paths that are volumes of a container."""

    name = "VOLUME"
    paths: tuple[Word, ...]


@value_class(kw_only=True)
class Entrypoint(Instruction):
    """ENTRYPOINT: the program of a container. It clears an inherited CMD that this stage did not set."""

    name = "ENTRYPOINT"
    command: Command


@value_class(kw_only=True)
class Cmd(Instruction):
    """CMD: the command of a container, or the arguments of its ENTRYPOINT."""

    name = "CMD"
    command: Command


@value_class(kw_only=True)
class Shell(Instruction):
    """SHELL: the program that runs shell forms from here on."""

    name = "SHELL"
    words: tuple[Word, ...]


@value_class(kw_only=True)
class Stopsignal(Instruction):
    """STOPSIGNAL: what ends a container, as ``SIGTERM`` or ``15``."""

    name = "STOPSIGNAL"
    signal: Word


@value_class(kw_only=True)
class Healthcheck(Instruction):
    """HEALTHCHECK: how to see whether a container is well. Times are in nanoseconds; 0 is the default.

    :param command: what to run; ``None`` for ``HEALTHCHECK NONE``, which turns an inherited one off.
    :param interval: between two checks.
    :param timeout: of one check.
    :param start_period: in which failures do not count.
    :param start_interval: between two checks in the start period.
    :param retries: how many failures in a row make it unhealthy; 0 is the default.
    """

    name = "HEALTHCHECK"
    command: Command | None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@value_class(kw_only=True)
class Onbuild(Instruction):
    """ONBUILD: an instruction for the builds that begin with this image.

    :param trigger: its text, as the configuration's ``OnBuild`` has it.
    :param instruction: the same, parsed.
    """

    name = "ONBUILD"
    trigger: Word
    instruction: Instruction


@value_class(kw_only=True)
class Maintainer(Instruction):
    """MAINTAINER: the image's author. (Deprecated by Docker.)"""

    name = "MAINTAINER"
    author: Word


@value_class
class Check:
    """What ``# check=`` says.

    :param skip: the names of rules to leave out.
    :param skip_all: whether all are.
    :param error: whether a finding fails the build.
    :param experimental: the names of experimental rules to turn on.
    :param experimental_all: whether all are.
    """

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    error: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False


@value_class
class Directives:
    """The parser directives.

    :param escape: the escape character.
    :param syntax: the front end's image, which is not used here; ``None`` where it is not named.
    :param check: about the lint.
    """

    escape: str = "\\"
    syntax: Word | None = None
    check: Check = field(default_factory=Check)


@value_class
class Stage:
    """What one FROM begins.

    :param index: counted from 0; a number is a name for COPY --from.
    :param base: its FROM.
    :param instructions: those after it.
    """

    index: int
    base: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """Its name in lower case, as names are compared; ``""`` for none."""
        return self.base.alias.lower() if self.base.alias is not None else ""


@value_class
class Dockerfile:
    """A parsed Dockerfile.

    :param source: its text, for messages.
    :param directives: its parser directives.
    :param arguments: the ARGs before the first FROM.
    :param stages: at least one.
    """

    source: Source = field(repr=False, compare=False)
    directives: Directives
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
