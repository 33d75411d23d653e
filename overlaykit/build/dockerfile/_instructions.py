"""One logical line becomes one instruction."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from . import _ast as ast
from ._expand import ExpansionError, split_words
from ._mounts import WrittenMount

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._lines import Logical
    from ._place import Source, Word

__all__ = ["Reader"]

_FLAG = re.compile(r"--([a-zA-Z][a-zA-Z0-9-]*)(?:=|(?=\s|$))")
_UNIT = {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NOT_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")


class Reader:
    """Reads instructions of one Dockerfile.

    :param escape: the escape character.
    """

    def __init__(self, source: Source, escape: str) -> None:
        self._source = source
        self._escape = escape

    def read(self, logical: Logical) -> ast.Instruction:
        """Return an instruction.

        :raises DockerfileError: it is none.
        """
        line = logical.line
        text = line.text
        end = next((at for at, char in enumerate(text) if char.isspace()), len(text))
        keyword = line.word(0, end)
        common = {"keyword": keyword, "text": line.word(0, len(text))}
        kinds: dict[str, Callable[[_Rest, dict[str, Any]], ast.Instruction]] = {
            "FROM": self._from,
            "RUN": self._run,
            "COPY": self._copy,
            "ADD": self._add,
            "ENV": self._env,
            "LABEL": self._label,
            "ARG": self._arg,
            "WORKDIR": self._workdir,
            "USER": self._user,
            "EXPOSE": self._expose,
            "VOLUME": self._volume,
            "ENTRYPOINT": self._entrypoint,
            "CMD": self._cmd,
            "SHELL": self._shell,
            "STOPSIGNAL": self._stopsignal,
            "HEALTHCHECK": self._healthcheck,
            "ONBUILD": self._onbuild,
            "MAINTAINER": self._maintainer,
        }
        kind = kinds.get(keyword.upper())
        if kind is None:
            raise self._source.error(keyword.place, f"unknown instruction: {keyword[:50]}{_close(keyword, kinds)}")
        return kind(_Rest(self._source, self._escape, logical, end), common)

    # -- each kind -----------------------------------------------------------------------------------------------------

    def _from(self, rest: _Rest, common: dict[str, Any]) -> ast.From:
        flags = rest.flags("platform")
        words = rest.words()
        if len(words) == 3 and words[1].upper() == "AS":
            alias = words[2]
            if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9._-]*", alias):
                raise rest.error(f"{alias[:50]!r} is no name of a stage: begin it with a letter", alias)
            if alias.lower() == "scratch":
                raise rest.error("a stage cannot be called scratch: take another name", alias)
        elif len(words) == 1:
            alias = None
        else:
            rest.fail("FROM takes IMAGE or IMAGE AS NAME")
        return ast.From(**common, image=words[0], alias=alias, platform=flags.get("platform"))

    def _run(self, rest: _Rest, common: dict[str, Any]) -> ast.Run:
        mounts: list[WrittenMount] = []
        flags = rest.flags("network", "security", repeated={"mount": lambda word: mounts.append(_mount(rest, word))})
        network, security = flags.get("network"), flags.get("security")
        if network is not None and network not in ("default", "none", "host"):
            raise rest.error(f"there is no network {network[:40]!r}: take default, none or host", network)
        if security is not None and security not in ("sandbox", "insecure"):
            raise rest.error(f"there is no security {security[:40]!r}: take sandbox or insecure", security)
        return ast.Run(
            **common,
            command=rest.command(heredocs=True),
            mounts=tuple(mounts),
            network=str(network or "default"),
            security=str(security or "sandbox"),
        )

    def _transfer(self, rest: _Rest, flags: dict[str, Word], exclude: list[Word]) -> dict[str, Any]:
        words = rest.list_or_words()
        documents = rest.documents()
        sources = [word for word in words[:-1] if not (documents and word.lstrip("0123456789").startswith("<<"))]
        if len(words) < 2:
            rest.fail("it takes at least one source and a target")
        if len(sources) + len(documents) > 1 and not words[-1].endswith("/") and words[-1] not in (".", ".."):
            raise rest.error("with several sources the target is a directory: end it with a slash", words[-1])
        return {
            "sources": tuple(sources),
            "documents": documents,
            "target": words[-1],
            "owner": flags.get("chown"),
            "mode": flags.get("chmod"),
            "link": rest.flag(flags, "link"),
            "exclude": tuple(exclude),
        }

    def _copy(self, rest: _Rest, common: dict[str, Any]) -> ast.Copy:
        exclude: list[Word] = []
        flags = rest.flags("from", "chown", "chmod", "link", "parents", repeated={"exclude": exclude.append})
        parents = rest.flag(flags, "parents")
        return ast.Copy(**common, **self._transfer(rest, flags, exclude), origin=flags.get("from"), parents=parents)

    def _add(self, rest: _Rest, common: dict[str, Any]) -> ast.Add:
        exclude: list[Word] = []
        names = ("chown", "chmod", "link", "checksum", "keep-git-dir", "unpack")
        flags = rest.flags(*names, repeated={"exclude": exclude.append})
        return ast.Add(
            **common,
            **self._transfer(rest, flags, exclude),
            checksum=flags.get("checksum"),
            keep_git_dir=rest.flag(flags, "keep-git-dir"),
            unpack=rest.flag(flags, "unpack") if "unpack" in flags else None,
        )

    def _env(self, rest: _Rest, common: dict[str, Any]) -> ast.Env:
        pairs, legacy = rest.pairs()
        return ast.Env(**common, pairs=pairs, legacy=legacy)

    def _label(self, rest: _Rest, common: dict[str, Any]) -> ast.Label:
        pairs, legacy = rest.pairs()
        return ast.Label(**common, pairs=pairs, legacy=legacy)

    def _arg(self, rest: _Rest, common: dict[str, Any]) -> ast.Arg:
        found = []
        for word in rest.words():
            name, equals, value = word.partition("=")
            if not name:
                raise rest.error("an ARG has a name before its =", word)
            default = word.line.word(word.offset + len(name) + 1, word.offset + len(word)) if equals else None
            found.append(ast.Argument(word.with_text(name), default if default is None else default.with_text(value)))
        return ast.Arg(**common, arguments=tuple(found))

    def _workdir(self, rest: _Rest, common: dict[str, Any]) -> ast.Workdir:
        return ast.Workdir(**common, path=rest.whole())

    def _user(self, rest: _Rest, common: dict[str, Any]) -> ast.User:
        return ast.User(**common, user=rest.one())

    def _expose(self, rest: _Rest, common: dict[str, Any]) -> ast.Expose:
        return ast.Expose(**common, ports=tuple(rest.words()))

    def _volume(self, rest: _Rest, common: dict[str, Any]) -> ast.Volume:
        return ast.Volume(**common, paths=tuple(rest.list_or_words()))

    def _entrypoint(self, rest: _Rest, common: dict[str, Any]) -> ast.Entrypoint:
        return ast.Entrypoint(**common, command=rest.command())

    def _cmd(self, rest: _Rest, common: dict[str, Any]) -> ast.Cmd:
        return ast.Cmd(**common, command=rest.command())

    def _shell(self, rest: _Rest, common: dict[str, Any]) -> ast.Shell:
        words = rest.listed()
        if not words:
            rest.fail('SHELL takes a list of strings in JSON, as ["/bin/sh", "-c"]')
        return ast.Shell(**common, words=tuple(words or ()))

    def _stopsignal(self, rest: _Rest, common: dict[str, Any]) -> ast.Stopsignal:
        return ast.Stopsignal(**common, signal=rest.one())

    def _healthcheck(self, rest: _Rest, common: dict[str, Any]) -> ast.Healthcheck:
        names = ("interval", "timeout", "start-period", "start-interval", "retries")
        flags = rest.flags(*names)
        kind = rest.next_word()
        if kind.upper() == "NONE":
            if flags or rest.left():
                rest.fail("HEALTHCHECK NONE takes nothing else")
            return ast.Healthcheck(**common, command=None)
        if kind.upper() != "CMD":
            raise rest.error(f"HEALTHCHECK is followed by CMD or NONE, not {kind[:40]!r}", kind)
        retries = flags.pop("retries", None)
        if retries is not None and not retries.isdecimal():
            raise rest.error("--retries is a number", retries)
        times: dict[str, Any] = {name.replace("-", "_"): _time(rest, word) for name, word in flags.items()}
        return ast.Healthcheck(**common, command=rest.command(), retries=int(retries or 0), **times)

    def _onbuild(self, rest: _Rest, common: dict[str, Any]) -> ast.Onbuild:
        trigger = rest.whole()
        first = trigger.split(None, 1)[0].upper()
        if first in _NOT_TRIGGERS:
            raise rest.error(f"{first} is not allowed as a trigger of ONBUILD: leave it out", trigger)
        return ast.Onbuild(**common, trigger=trigger, instruction=self.read(rest.inner(trigger)))

    def _maintainer(self, rest: _Rest, common: dict[str, Any]) -> ast.Maintainer:
        return ast.Maintainer(**common, author=rest.whole())


class _Rest:
    """What comes after an instruction's name."""

    def __init__(self, source: Source, escape: str, logical: Logical, at: int) -> None:
        self._source = source
        self._escape = escape
        self._logical = logical
        self._line = logical.line
        self._at = at
        self._skip()

    def _skip(self) -> None:
        text = self._line.text
        while self._at < len(text) and text[self._at].isspace():
            self._at += 1

    def error(self, message: str, word: Word) -> Exception:
        """Return the error for a word."""
        return self._source.error(word.place, message)

    def fail(self, message: str) -> NoReturn:
        """Refuse the instruction."""
        name = self._line.text.split(None, 1)[0].upper()
        raise self._source.error(self._line.place(0), f"{name}: {message}")

    def left(self) -> bool:
        """Tell whether there is more."""
        return self._at < len(self._line.text)

    def inner(self, trigger: Word) -> Logical:
        """Return a trigger as a line of its own."""
        from ._lines import Logical
        from ._place import Line

        offset = trigger.offset
        inside = [at for at, start in enumerate(self._line.starts) if start > offset]
        starts = [0, *(self._line.starts[at] - offset for at in inside)]
        places = [self._line.place(offset), *(self._line.places[at] for at in inside)]
        line = Line(str(trigger), starts, places, last=self._line.last)
        return Logical(line, self._logical.heredocs)

    # -- flags ---------------------------------------------------------------------------------------------------------

    def flags(self, *names: str, repeated: dict[str, Callable[[Word], object]] | None = None) -> dict[str, Word]:
        """Read flags, each once but those that may be repeated."""
        found: dict[str, Word] = {}
        text = self._line.text
        while (match := _FLAG.match(text, self._at)) is not None:
            name = match[1]
            word = self._line.word(self._at, match.end())
            [(_, end), *_] = self._split(match.end() if text[match.end() - 1] == "=" else self._at)[:1] or [(0, 0)]
            value = self._line.word(match.end(), max(end, match.end()) if match[0].endswith("=") else match.end())
            if match[0].endswith("=") and match.end() < len(text) and text[match.end()].isspace():
                value = self._line.word(match.end(), match.end())
            known = [*names, *(repeated or {})]
            if name not in known:
                raise self.error(f"unknown flag --{name[:40]}{_close(name, known)}", word)
            if not match[0].endswith("=") and name not in ("link", "parents", "keep-git-dir", "unpack"):
                raise self.error(f"the flag --{name} takes a value: write --{name}=VALUE", word)
            if repeated and name in repeated:
                repeated[name](value)
            elif name in found:
                raise self.error(f"the flag --{name} is there twice: leave one out", word)
            else:
                found[name] = value
            self._at = value.offset + len(value)
            self._skip()
        if text.startswith("--", self._at) and text[self._at + 2 : self._at + 3].strip():
            raise self.error("this is no flag", self._line.word(self._at, len(text)))
        return found

    def flag(self, flags: dict[str, Word], name: str) -> bool:
        """Return a truth value; a flag without a value is true."""
        value = flags.get(name)
        if value is None:
            return False
        if value.lower() not in ("", "true", "false"):
            raise self.error(f"--{name} is true or false", value)
        return value.lower() != "false"

    # -- words ---------------------------------------------------------------------------------------------------------

    def _split(self, start: int) -> list[tuple[int, int]]:
        try:
            return split_words(self._line.text, self._escape, start)
        except ExpansionError as error:
            raise self._source.error(self._line.place(error.offset), str(error)) from None

    def words(self) -> list[Word]:
        """Return all words that are left, at least one."""
        self._need()
        return [self._line.word(begin, end) for begin, end in self._split(self._at)]

    def _need(self) -> None:
        if not self.left():
            self.fail("it takes at least one argument")

    def next_word(self) -> Word:
        """Return the next word."""
        self._need()
        begin, end = self._split(self._at)[0]
        self._at = end
        self._skip()
        return self._line.word(begin, end)

    def one(self) -> Word:
        """Return the only word."""
        words = self.words()
        if len(words) != 1:
            self.fail("it takes exactly one argument")
        return words[0]

    def whole(self) -> Word:
        """Return all that is left."""
        self._need()
        return self._line.word(self._at, len(self._line.text))

    def listed(self) -> list[Word] | None:
        """Return a list of strings in JSON, ``None`` where there is something else."""
        text = self._line.text[self._at :]
        if not text.startswith("["):
            return None
        try:
            values = json.loads(text)
        except ValueError:
            return None
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            return None
        return [self._line.word(self._at, len(self._line.text)).with_text(one) for one in values]

    def list_or_words(self) -> list[Word]:
        """Return a list in JSON, or words."""
        listed = self.listed()
        if listed is not None and not listed:
            self.fail("its list is empty")
        return listed or self.words()

    def documents(self) -> tuple[ast.Heredoc, ...]:
        """Return the here-documents."""
        return self._logical.heredocs

    def command(self, *, heredocs: bool = False) -> ast.Command:
        """Return a command in the exec form or the shell form."""
        documents = self._logical.heredocs if heredocs else ()
        if not documents:
            listed = self.listed()
            if listed is not None:
                return ast.Command(tuple(listed), shell=False)
        word = self.whole()
        alone = len(documents) == 1 and len(word.split()) == 1
        return ast.Command((word,), True, documents, alone)

    def pairs(self) -> tuple[tuple[tuple[Word, Word], ...], bool]:
        """Return ``NAME=VALUE`` pairs, or the one of the form ``NAME VALUE``."""
        words = self.words()
        if "=" not in words[0]:
            if len(words) < 2:
                raise self.error(f"{words[0][:50]} has no value: write {words[0][:50]}=VALUE", words[0])
            return ((words[0], self._line.word(words[1].offset, len(self._line.text))),), True
        found = []
        for word in words:
            name, equals, _ = word.partition("=")
            if not equals:
                raise self.error(f"{word[:50]!r} is not of the form NAME=VALUE: quote values with blanks", word)
            if not name:
                raise self.error("there is no name before the =", word)
            value = self._line.word(word.offset + len(name) + 1, word.offset + len(word))
            found.append((word.with_text(name), value))
        return tuple(found), False


def _close(name: str, known: Any) -> str:
    import difflib

    close = difflib.get_close_matches(name.upper(), [one.upper() for one in known], n=1)
    shown = [one for one in known if close and one.upper() == close[0]]
    return f": did you mean {shown[0]}?" if shown else ""


def _mount(rest: _Rest, word: Word) -> WrittenMount:
    import csv

    options: list[tuple[Word, Word | None]] = []
    origin = None
    for part in next(csv.reader([str(word)]), []):
        name, equals, value = part.partition("=")
        if name.strip() == "":
            raise rest.error("an option of the mount has no name", word)
        shown = word.with_text(name.strip().lower())
        options.append((shown, word.with_text(value) if equals else None))
        if shown == "from":
            origin = word.with_text(value)
    return WrittenMount(written=word, options=tuple(options), origin=origin)


def _time(rest: _Rest, word: Word) -> int:
    total, at = 0.0, 0
    while at < len(word) and (found := _TIME.match(word, at)) is not None:
        total += float(found[1]) * _UNIT[found[2]]
        at = found.end()
    if at < len(word) or not word:
        raise rest.error(f"{word[:40]!r} is no time: write it as 30s or 1m30s", word)
    return int(total)
