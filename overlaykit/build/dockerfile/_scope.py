"""The variables of a stage, instruction by instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...values import replace
from . import _ast as ast
from ._expand import Expanded, Expander, ExpansionError
from ._mount_options import typed_mount
from ._mounts import WrittenMount
from ._ports import ports_of
from ._values import check_checksum, check_mode, check_owner, check_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._place import Source, Word

__all__ = ["PREDEFINED", "Scope"]

_I = TypeVar("_I", bound="ast.Instruction")

PREDEFINED = frozenset(
    name for one in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY") for name in (one, one.lower())
)
"""Arguments that a RUN sees without an ARG, and that no cache key has."""


class Scope:
    """The variables at one point of a stage. Made by :meth:`Globals.scope`; a copy goes its own way.

    Instructions are resolved in their order, ONBUILD triggers of the base first: ARG and ENV change what is there for
    those after them.
    """

    def __init__(
        self,
        source: Source,
        escape: str,
        environment: Mapping[str, str],
        given: Mapping[str, str],
        outer: Mapping[str, str],
    ) -> None:
        self._source = source
        self._escape = escape
        self._given = given
        self._outer = outer
        #: Called with each word, name and offset where a variable is asked for that there is not.
        self.missing: Callable[[Word, str, int], object] = lambda *_: None
        self._env = dict(environment)
        #: What the last of ENV and ARG says that set it; and the names that ARG declared, with ``None`` for no value.
        self._all = dict(environment)
        self._declared: dict[str, str | None] = {}
        self._from_args: set[str] = set()

    def resolve(self, instruction: _I) -> _I:
        """Return an instruction with its variables expanded and its quotes removed, and take over what it sets.

        :raises DockerfileError: it cannot be expanded, as with ``${NAME:?message}``, or is not valid after it.
        """
        return cast("_I", self._resolve(instruction))

    def expand(self, word: Word) -> str:
        """Return a word with its variables expanded and its quotes removed.

        :raises DockerfileError: it cannot be.
        """
        return str(self._word(word))

    def split(self, word: Word) -> list[str]:
        """Return the words that one is after its variables are expanded.

        :raises DockerfileError: it cannot be.
        """
        return [text for text, _ in self._expanded(word).words]

    def _resolve(self, one: ast.Instruction) -> ast.Instruction:
        change = replace
        match one:
            case ast.Run():
                mounts = tuple(
                    typed_mount(self._source, mount, self._word) if isinstance(mount, WrittenMount) else mount
                    for mount in one.mounts
                )
                return change(one, mounts=mounts)
            case ast.Transfer():
                more: dict[str, Any] = {}
                if isinstance(one, ast.Add):
                    more["checksum"] = check_checksum(self._source, self._maybe(one.checksum))
                return change(
                    one,
                    sources=tuple(self._word(word) for word in one.sources),
                    documents=tuple(self._document(document) for document in one.documents),
                    target=self._word(one.target),
                    owner=check_owner(self._source, self._maybe(one.owner)),
                    mode=check_mode(self._source, self._maybe(one.mode)),
                    exclude=tuple(self._word(word) for word in one.exclude),
                    **more,
                )
            case ast.Env():
                # All values are those from before the instruction.
                pairs = self._pairs(one.pairs)
                for name, value in pairs:
                    self._env[str(name)] = self._all[str(name)] = str(value)
                    self._from_args.discard(str(name))
                return change(one, pairs=pairs)
            case ast.Label():
                return change(one, pairs=self._pairs(one.pairs))
            case ast.Arg():
                return change(one, arguments=tuple(self._argument(argument) for argument in one.arguments))
            case ast.Workdir():
                return change(one, path=self._filled(one.path, "path"))
            case ast.User():
                return change(one, user=self._filled(one.user, "user"))
            case ast.Expose():
                return change(one, ports=tuple(port for word in one.ports for port in self._ports(word)))
            case ast.Volume():
                return change(one, paths=tuple(self._filled(word, "path") for word in one.paths))
            case ast.Stopsignal():
                return change(one, signal=check_signal(self._source, self._filled(one.signal, "signal")))
        return one

    # -- words ---------------------------------------------------------------------------------------------------------

    def _word(self, word: Word) -> Word:
        made = self._expanded(word)
        self._tell(word, made.missing)
        return word.with_text(made.text)

    def _expanded(self, word: Word) -> Expanded:
        try:
            return Expander(self._all, self._escape).expand(word)
        except ExpansionError as error:
            raise self._source.error(word.at(error.offset), str(error)) from None

    def _tell(self, word: Word, missing: Mapping[str, int]) -> None:
        for name, offset in missing.items():
            if name not in self._declared:
                self.missing(word, name, offset)

    def _maybe(self, word: Word | None) -> Word | None:
        return None if word is None else self._word(word)

    def _filled(self, word: Word, what: str) -> Word:
        made = self._word(word)
        if not made:
            raise self._source.error(word.place, f"the {what} is empty after {word} was expanded: set the variable")
        return made

    def _pairs(self, pairs: tuple[tuple[Word, Word], ...]) -> tuple[tuple[Word, Word], ...]:
        return tuple((self._filled(name, "name"), self._word(value)) for name, value in pairs)

    def _document(self, document: ast.Heredoc) -> ast.Heredoc:
        if not document.expand:
            return document
        # The escape character of a here-document is the backslash whatever the directive says, as in BuildKit.
        try:
            made = Expander(self._all, "\\", quotes=False).expand(document.body)
        except ExpansionError as error:
            line = document.place.line + document.body.count("\n", 0, error.offset)
            raise self._source.error(replace(document.place, line=line), str(error)) from None
        self._tell(document.name, dict.fromkeys(made.missing, 0))
        return replace(document, body=made.text)

    def _argument(self, argument: ast.Argument) -> ast.Argument:
        name = str(argument.name)
        value: str | None = self._given.get(name)
        if value is None:
            value = self._outer.get(name) if argument.default is None else str(self._word(argument.default))
        self._declared[name] = value
        if value is None:
            return ast.Argument(argument.name, None)
        self._all[name] = value
        self._from_args.add(name)
        return ast.Argument(argument.name, argument.name.with_text(value))

    def _ports(self, word: Word) -> list[Word]:
        made = self._expanded(word)
        self._tell(word, made.missing)
        return [word.with_text(port) for text, _ in made.words for port in ports_of(self._source, word.with_text(text))]

    # -- what there is -------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> Mapping[str, str]:
        """What ENV has set, the base's included: the image's environment, in order."""
        return dict(self._env)

    @property
    def variables(self) -> Mapping[str, str]:
        """All that instructions see: the environment, and the arguments over it."""
        return dict(self._all)

    @property
    def arguments(self) -> Mapping[str, str]:
        """The build arguments that a RUN sees as variables, over the environment.

        Those that ARG declared, that have a value, and that no ENV has set since: what comes later counts, as in
        BuildKit. They belong to a RUN's cache key; predefined ones, such as ``HTTP_PROXY``, only where declared.
        """
        return {name: self._all[name] for name in self._declared if name in self._from_args}

    @property
    def declared(self) -> Mapping[str, str]:
        """All that ARG declared, with the values that a RUN sees; ``""`` for none."""
        return {name: self._all.get(name, value or "") for name, value in self._declared.items()}

    @property
    def hidden(self) -> Mapping[str, str]:
        """Predefined arguments that the caller gave and no ARG declared: a RUN sees them, its cache key does not."""
        return {name: value for name, value in self._given.items() if name in PREDEFINED and name not in self._declared}

    def copy(self, *, environment: Mapping[str, str] | None = None) -> Scope:
        """Return one that goes on from here on its own, as a stage does that begins with another.

        :param environment: that of the stage; ``None`` for the same.
        """
        made = Scope(self._source, self._escape, self._env, self._given, self._outer)
        made._all, made._declared, made._from_args = dict(self._all), dict(self._declared), set(self._from_args)
        for name, value in (environment or {}).items():
            made._env[name] = value
            if name not in made._from_args:
                made._all[name] = value
        return made
