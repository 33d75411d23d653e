"""One logical line becomes one instruction."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from . import _ast as ast
from ._expand import SPACES
from ._flags import Flags, close
from ._lines import BLANKS, heredoc_at
from ._mount_options import written_mount
from ._words import duration, pairs_of, quoted_words, string_list, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._lines import Logical
    from ._place import Source, Word

__all__ = ["Reader"]

_STAGE = partial(re.compile, r"[a-z][a-z0-9._-]*", re.IGNORECASE)
_NO_TRIGGERS = ("FROM", "MAINTAINER", "ONBUILD")
_NO_VARIABLES = "variables are not expanded in --from: write FROM $NAME AS ALIAS, and copy from that"


class Reader:
    """Reads the instructions of one Dockerfile.

    :param escape: the escape character.
    """

    def __init__(self, source: Source, escape: str) -> None:
        self._source = source
        self._escape = escape
        self._kinds: dict[str, Callable[[_Text], ast.Instruction]] = {
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

    def read(self, logical: Logical) -> ast.Instruction:
        """Return an instruction.

        :raises DockerfileError: it is none.
        """
        line = logical.line
        self._source.check(line.places[0].line, line.last)
        whole = line.word(0, len(line.text)).trimmed(SPACES)
        if not whole:
            raise self._source.error(line.place(0), "nothing follows the escape character: remove it")
        return self._read(whole, logical)

    def _read(self, whole: Word, logical: Logical) -> ast.Instruction:
        blank = BLANKS.search(whole)
        end, start = (blank.start(), blank.end()) if blank is not None else (len(whole), len(whole))
        keyword = whole.part(0, end)
        kind = self._kinds.get(keyword.upper())
        if kind is None:
            hint = (
                close(keyword, self._kinds) or "; an instruction is a word such as RUN or COPY at the line's beginning"
            )
            raise self._source.error(keyword.place, f"unknown instruction {keyword[:40]!r}{hint}")
        return kind(_Text(self._source, logical, keyword, whole, whole.part(start, len(whole))))

    # -- each kind -----------------------------------------------------------------------------------------------------

    def _from(self, text: _Text) -> ast.From:
        text.flags.allow("platform")
        words = words_of(text.rest)
        alias = joiner = None
        if len(words) == 3 and words[1].upper() == "AS":
            _, joiner, alias = words
            if not _STAGE().fullmatch(alias):
                raise text.error(
                    alias, f"{alias[:40]!r} is no name of a stage: a letter, then letters, digits, . _ or -"
                )
        elif len(words) != 1:
            at = words[1] if len(words) > 1 else text.keyword
            raise text.error(at, "FROM takes one or three arguments: write FROM IMAGE or FROM IMAGE AS NAME")
        platform = text.flags.value("platform")
        return ast.From(**text.common, image=words[0], alias=alias, platform=platform, joiner=joiner)

    def _run(self, text: _Text) -> ast.Run:
        text.flags.allow("network", "security", several=("mount",))
        return ast.Run(
            **text.common,
            command=text.command(heredocs=True),
            mounts=tuple(written_mount(self._source, word) for word in text.flags.values("mount")),
            network=text.flags.choice("network", "default", "none", "host"),
            security=text.flags.choice("security", "sandbox", "insecure"),
        )

    def _copy(self, text: _Text) -> ast.Copy:
        text.flags.allow("from", "chown", "chmod", truths=("link", "parents"), several=("exclude",))
        origin = text.flags.value("from")
        if origin is not None and "$" in origin:
            raise text.error(origin, _NO_VARIABLES)
        parents = text.flags.truth("parents") is True
        return ast.Copy(**text.common, **self._transfer(text), origin=origin or None, parents=parents)

    def _add(self, text: _Text) -> ast.Add:
        truths = ("link", "keep-git-dir", "unpack")
        text.flags.allow("chown", "chmod", "checksum", truths=truths, several=("exclude",))
        return ast.Add(
            **text.common,
            **self._transfer(text),
            checksum=text.flags.value("checksum"),
            keep_git_dir=text.flags.truth("keep-git-dir") is True,
            unpack=text.flags.truth("unpack"),
        )

    def _transfer(self, text: _Text) -> dict[str, Any]:
        listed = string_list(self._source, text.rest)
        words = words_of(text.rest) if listed is None else listed
        name = text.name
        if len(words) < 2:
            at = words[0] if words else text.keyword
            raise text.error(at, f"{name} needs a source and a target: write {name} SOURCE TARGET")
        documents = () if listed is not None else text.heredocs()
        by_name = {str(document.name): document for document in documents}
        sources, contents = [], []
        for word in words:
            opening = heredoc_at(word) if documents else None
            if opening is None or opening.name not in by_name:
                sources.append(word)
            elif word is words[-1]:
                raise text.error(word, f"a here-document is no target: write {name} <<NAME TARGET")
            else:
                contents.append(by_name[opening.name])
        return {
            "sources": tuple(sources[:-1]),
            "documents": tuple(contents),
            "target": words[-1],
            "owner": text.flags.value("chown"),
            "mode": text.flags.value("chmod"),
            "link": text.flags.truth("link") is True,
            "exclude": tuple(text.flags.values("exclude")),
        }

    def _env(self, text: _Text) -> ast.Env:
        text.flags.allow()
        pairs, legacy = pairs_of(self._source, text.rest, self._escape, "ENV")
        return ast.Env(**text.common, pairs=pairs, legacy=legacy)

    def _label(self, text: _Text) -> ast.Label:
        text.flags.allow()
        pairs, legacy = pairs_of(self._source, text.rest, self._escape, "LABEL")
        return ast.Label(**text.common, pairs=pairs, legacy=legacy)

    def _arg(self, text: _Text) -> ast.Arg:
        text.flags.allow()
        found = []
        for word in text.some(quoted_words(text.rest, self._escape), "NAME or ARG NAME=DEFAULT"):
            at = word.find("=")
            if at == 0:
                raise text.error(word, "there is no name before the =: ARG takes NAME or NAME=DEFAULT")
            name, default = (word, None) if at < 0 else (word.part(0, at), word.part(at + 1, len(word)))
            found.append(ast.Argument(name, default))
        return ast.Arg(**text.common, arguments=tuple(found))

    def _workdir(self, text: _Text) -> ast.Workdir:
        return ast.Workdir(**text.common, path=text.whole("PATH"))

    def _user(self, text: _Text) -> ast.User:
        return ast.User(**text.common, user=text.whole("NAME"))

    def _expose(self, text: _Text) -> ast.Expose:
        text.flags.allow()
        return ast.Expose(**text.common, ports=tuple(text.some(words_of(text.rest), "PORT")))

    def _volume(self, text: _Text) -> ast.Volume:
        text.flags.allow()
        listed = string_list(self._source, text.rest)
        words = text.some(words_of(text.rest) if listed is None else listed, "PATH")
        for word in words:
            if not word.strip(SPACES):
                raise text.error(word, "the path of a VOLUME is empty: write VOLUME PATH")
        return ast.Volume(**text.common, paths=tuple(word.with_text(word.strip(SPACES)) for word in words))

    def _entrypoint(self, text: _Text) -> ast.Entrypoint:
        text.flags.allow()
        return ast.Entrypoint(**text.common, command=text.command())

    def _cmd(self, text: _Text) -> ast.Cmd:
        text.flags.allow()
        return ast.Cmd(**text.common, command=text.command())

    def _shell(self, text: _Text) -> ast.Shell:
        text.flags.allow()
        words = string_list(self._source, text.rest)
        if not words:
            at = text.rest if text.rest else text.keyword
            raise text.error(at, 'SHELL takes a list of strings in JSON: write SHELL ["/bin/sh", "-c"]')
        return ast.Shell(**text.common, words=tuple(words))

    def _stopsignal(self, text: _Text) -> ast.Stopsignal:
        return ast.Stopsignal(**text.common, signal=text.whole("SIGNAL"))

    def _healthcheck(self, text: _Text) -> ast.Healthcheck:
        text.flags.allow("interval", "timeout", "start-period", "start-interval", "retries")
        kind = text.some(words_of(text.rest)[:1], "CMD COMMAND or HEALTHCHECK NONE")[0]
        rest = text.rest.part(len(kind), len(text.rest)).trimmed(SPACES)
        if kind.upper() == "NONE":
            if rest:
                raise text.error(rest, "HEALTHCHECK NONE takes no arguments: leave them out")
            return ast.Healthcheck(**text.common, command=None)
        if kind.upper() != "CMD":
            hint = close(kind, ("CMD", "NONE")) or "; write HEALTHCHECK CMD COMMAND or HEALTHCHECK NONE"
            raise text.error(kind, f"there is no HEALTHCHECK {kind[:40]}{hint}")
        if not rest:
            raise text.error(kind, "nothing follows HEALTHCHECK CMD: write a command")
        times: dict[str, Any] = {
            name.replace("-", "_"): duration(self._source, value)
            for name in ("interval", "timeout", "start-period", "start-interval")
            if (value := text.flags.value(name))
        }
        retries = text.flags.value("retries")
        if retries and not (retries.isascii() and retries.isdecimal() and len(retries) < 10):
            raise text.error(retries, f"--retries is a number, not {retries[:20]!r}")
        command = text.command(rest)
        if not command.words:
            raise text.error(rest, "nothing follows HEALTHCHECK CMD: write a command")
        return ast.Healthcheck(**text.common, command=command, retries=int(retries or 0), **times)

    def _onbuild(self, text: _Text) -> ast.Onbuild:
        text.flags.allow()
        trigger = text.some([text.rest] if text.rest else [], "INSTRUCTION")[0]
        first = words_of(trigger)[0]
        if first.upper() in _NO_TRIGGERS:
            raise text.error(first, f"{first.upper()} is not allowed as a trigger of ONBUILD: leave it out")
        inner = self._read(trigger, text.logical)
        documents = inner.command.heredocs if isinstance(inner, ast.Run) else ()
        documents = inner.documents if isinstance(inner, ast.Transfer) else documents
        bodies = "".join(f"\n{document.written}{document.name}" for document in documents)
        return ast.Onbuild(**text.common, trigger=trigger.with_text(trigger + bodies), instruction=inner)

    def _maintainer(self, text: _Text) -> ast.Maintainer:
        return ast.Maintainer(**text.common, author=text.whole("NAME"))


class _Text:
    """An instruction's text, before it is understood."""

    def __init__(self, source: Source, logical: Logical, keyword: Word, text: Word, rest: Word) -> None:
        self.source = source
        self.logical = logical
        self.keyword = keyword
        self.text = text
        self.flags = Flags(source, rest)
        self.rest = self.flags.rest

    @property
    def name(self) -> str:
        return self.keyword.upper()

    @property
    def common(self) -> dict[str, Any]:
        return {
            "keyword": self.keyword,
            "text": self.text,
            "comments": self.logical.comments,
            "empty": self.logical.empty,
        }

    def error(self, word: Word, message: str) -> Exception:
        return self.source.error(word.place, message)

    def some(self, words: list[Word], what: str) -> list[Word]:
        if not words:
            raise self.error(self.keyword, f"{self.name} needs at least one argument: write {self.name} {what}")
        return words

    def whole(self, what: str) -> Word:
        self.flags.allow()
        return self.some([self.rest] if self.rest else [], what)[0]

    def heredocs(self) -> tuple[ast.Heredoc, ...]:
        return self.logical.lines.heredocs(self.rest)

    def command(self, rest: Word | None = None, *, heredocs: bool = False) -> ast.Command:
        rest = self.rest if rest is None else rest
        listed = string_list(self.source, rest)
        if listed is not None:
            if heredocs and not listed:
                raise self.error(rest, "the list is empty: RUN needs a program to run")
            return ast.Command(tuple(listed), shell=False)
        word = self.some([rest] if rest else [], "COMMAND")[0]
        documents = self.heredocs() if heredocs else ()
        opening = heredoc_at(word) if documents else None
        return ast.Command((word,), True, documents, opening is not None)
