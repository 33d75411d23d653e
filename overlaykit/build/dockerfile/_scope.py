"""The variables of a stage, instruction by instruction."""

from __future__ import annotations

import dataclasses
import re
from collections import ChainMap
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import _ast as ast
from ._expand import Expander, ExpansionError, split_words
from ._mounts import WrittenMount, typed_mount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._place import Source, Word

__all__ = ["PREDEFINED", "Scope"]

_I = TypeVar("_I", bound="ast.Instruction")

PREDEFINED = frozenset(
    name for one in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY") for name in (one, one.lower())
)
"""Arguments that a RUN sees without an ARG, and that no cache key has."""

_PORT = re.compile(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


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
        self._env = dict(environment)
        self._args: dict[str, str] = {}

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

    def _resolve(self, one: ast.Instruction) -> ast.Instruction:
        change = dataclasses.replace
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
                    more["checksum"] = self._maybe(one.checksum)
                return change(
                    one,
                    sources=tuple(self._word(word) for word in one.sources),
                    documents=tuple(self._document(document) for document in one.documents),
                    target=self._filled(one.target, "target"),
                    owner=self._maybe(one.owner),
                    mode=self._maybe(one.mode),
                    exclude=tuple(self._word(word) for word in one.exclude),
                    origin=self._maybe(one.origin),
                    **more,
                )
            case ast.Env():
                # All values are those from before the instruction.
                pairs = tuple((self._name(name), self._value(value, one.legacy)) for name, value in one.pairs)
                self._env.update((str(name), str(value)) for name, value in pairs)
                return change(one, pairs=pairs)
            case ast.Label():
                return change(
                    one, pairs=tuple((self._name(name), self._value(value, one.legacy)) for name, value in one.pairs)
                )
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
                return change(one, signal=self._signal(one.signal))
        return one

    # -- words ---------------------------------------------------------------------------------------------------------

    def _expander(self) -> Expander:
        return Expander(ChainMap(self._env, self._args), self._escape)

    def _word(self, word: Word) -> Word:
        try:
            return word.with_text(self._expander().word(str(word)))
        except ExpansionError as error:
            raise self._source.error(word.at(error.offset), str(error)) from None

    def _maybe(self, word: Word | None) -> Word | None:
        return None if word is None else self._word(word)

    def _filled(self, word: Word, what: str) -> Word:
        made = self._word(word)
        if not made:
            raise self._source.error(word.place, f"the {what} is empty after {word} was expanded: set the variable")
        return made

    def _name(self, word: Word) -> Word:
        made = self._word(word)
        if not made:
            raise self._source.error(word.place, "the name is empty: write NAME=VALUE")
        return made

    def _value(self, word: Word, legacy: bool) -> Word:
        return self._word(word) if word or legacy else word

    def _document(self, document: ast.Heredoc) -> ast.Heredoc:
        if not document.expand:
            return document
        try:
            return dataclasses.replace(document, body=self._expander().document(document.body))
        except ExpansionError as error:
            raise self._source.error(document.place, str(error)) from None

    def _argument(self, argument: ast.Argument) -> ast.Argument:
        name = self._name(argument.name)
        default = self._maybe(argument.default)
        value: str | None = self._given.get(name)
        if value is None and default is not None:
            value = str(default)
        if value is None:
            value = self._outer.get(name)
        if value is None:
            self._args.pop(str(name), None)
            return ast.Argument(name, None)
        self._args[str(name)] = value
        return ast.Argument(name, name.with_text(value))

    def _ports(self, word: Word) -> list[Word]:
        made = []
        expanded = self._word(word)
        for begin, end in split_words(str(expanded), self._escape):
            text = expanded[begin:end]
            found = _PORT.fullmatch(text)
            first, last = (int(found[1]), int(found[2] or found[1])) if found is not None else (0, 0)
            if found is None or not 1 <= first <= last <= 65535:
                raise self._source.error(
                    word.place, f"{text[:40]!r} is no port: write it as 80, 53/udp or 8000-8005/tcp"
                )
            protocol = (found[3] or "tcp").lower()
            made += [expanded.with_text(f"{port}/{protocol}") for port in range(first, last + 1)]
        return made

    def _signal(self, word: Word) -> Word:
        import signal

        made = self._filled(word, "signal")
        text = made.upper().removeprefix("SIG")
        known = {one.name.removeprefix("SIG") for one in signal.Signals}
        realtime = re.fullmatch(r"RTM(IN(\+\d+)?|AX(-\d+)?)", text)
        if not (made.isdecimal() and 0 < int(made) <= 64) and text not in known and not realtime:
            raise self._source.error(word.place, f"there is no signal {made[:40]!r}: write it as SIGTERM or 15")
        return made

    # -- what there is -------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> Mapping[str, str]:
        """What ENV has set, the base's included: the image's environment, in order."""
        return dict(self._env)

    @property
    def arguments(self) -> Mapping[str, str]:
        """The build arguments that a RUN sees as variables beside the environment, in order.

        Those that ARG declared and that have a value; predefined ones, such as ``HTTP_PROXY``, only where declared.
        They belong to a RUN's cache key.
        """
        return {name: value for name, value in self._args.items() if name not in self._env}

    @property
    def hidden(self) -> Mapping[str, str]:
        """Predefined arguments that the caller gave and no ARG declared: a RUN sees them, its cache key does not."""
        return {name: value for name, value in self._given.items() if name in PREDEFINED and name not in self._args}

    def copy(self) -> Scope:
        """Return one that goes on from here on its own."""
        made = Scope(self._source, self._escape, self._env, self._given, self._outer)
        made._args = dict(self._args)
        return made
