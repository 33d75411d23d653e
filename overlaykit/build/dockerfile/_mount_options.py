"""From ``--mount=type=cache,target=/x`` to a mount (Dockerfile reference, "RUN --mount")."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from ._directives import TRUTHS
from ._flags import close
from ._mounts import BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount, WrittenMount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._place import Source, Word

__all__ = ["typed_mount", "written_mount"]

_ACCESS = ("readonly", "readwrite")
_OWNER = ("mode", "uid", "gid")
_OPTIONS = {
    "bind": ("from", "source", "target", *_ACCESS),
    "cache": ("id", "from", "source", "target", "sharing", *_OWNER, *_ACCESS),
    "tmpfs": ("target", "size", *_ACCESS),
    "secret": ("id", "source", "target", "required", "env", *_OWNER, *_ACCESS),
    "ssh": ("id", "target", "required", *_OWNER, *_ACCESS),
}
_SAME = {"src": "source", "dst": "target", "destination": "target", "rw": "readwrite", "ro": "readonly"}
_ALONE = (*_ACCESS, "required")
_SIZE = partial(re.compile, r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_PLAIN = partial(re.compile, r"[^$'\"\\`]*")


def written_mount(source: Source, word: Word) -> WrittenMount:
    """Take the flag's value apart; what has no variables is looked at at once.

    :raises DockerfileError: an option is none, or has a value that none can have.
    """
    options = []
    origin = None
    for field in _fields(source, word):
        at = field.find("=")
        name, value = (field, None) if at < 0 else (field.part(0, at), field.part(at + 1, len(field)))
        name = name.with_text(name.lower())
        if name == "from" and value:
            if "$" in value:
                raise source.error(
                    value.place, "from= has no variables: name a stage with FROM $NAME AS, and take that"
                )
            origin = value
        options.append((name, value))
    written = WrittenMount(written=word, options=tuple(options), origin=origin)
    if _PLAIN().fullmatch(word):
        typed_mount(source, written, lambda word: word)
    return written


def _fields(source: Source, word: Word) -> list[Word]:
    if '"' in word:
        import csv

        try:
            return [word.with_text(field) for field in next(csv.reader([str(word)], strict=True))]
        except csv.Error:
            raise source.error(word.place, "the options are no list with commas: quote whole options") from None
    found = []
    at = 0
    for field in word.split(","):
        found.append(word.part(at, at + len(field)))
        at += len(field) + 1
    return found


class _Told:
    """The options of a mount."""

    def __init__(self, source: Source, written: WrittenMount, expand: Callable[[Word], Word]) -> None:
        self._source = source
        self._written = written.written
        self._names: dict[str, Word] = {}
        self._values: dict[str, Word] = {}
        for name, value in written.options:
            full = _SAME.get(name, str(name))
            known = {"type", *(one for names in _OPTIONS.values() for one in names)}
            if full not in known:
                raise source.error(name.place, f"a mount has no option {name[:40]!r}{close(name, sorted(known))}")
            if value is None and full not in _ALONE:
                raise source.error(name.place, f"{name} has no value: write {name}=VALUE")
            self._names[full] = name
            self._values[full] = name.with_text("true") if value is None else expand(value)

    def fail(self, message: str, name: str = "") -> Exception:
        """Return the error about an option, or about all of them."""
        return self._source.error(self._names.get(name, self._written).place, message)

    def only(self, kind: str) -> None:
        """Refuse the options that a type does not have."""
        for name in self._names:
            if name != "type" and name not in _OPTIONS[kind]:
                raise self.fail(f"a mount of type {kind} has no {name}; it has {', '.join(_OPTIONS[kind])}", name)

    def text(self, name: str) -> Word | None:
        """Return an option's value; ``None`` where it has none."""
        return self._values.get(name) or None

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """Return an option's value, which is one of some."""
        value = (self.text(name) or default).lower()
        if value not in choices:
            raise self.fail(f"{name} is {', '.join(choices)}, not {value[:40]!r}{close(value, choices)}", name)
        return value

    def truth(self, name: str, default: bool) -> bool:
        """Return whether an option says true or false."""
        value = self._values.get(name)
        if value is None:
            return default
        if value not in TRUTHS:
            raise self.fail(f"{name} is true or false, not {value[:20]!r}", name)
        return TRUTHS[value]

    def readonly(self, default: bool) -> bool:
        """Return whether it is; the last option that says so counts."""
        for name in reversed([name for name in self._names if name in _ACCESS]):
            return self.truth(name, True) is (name == "readonly")
        return default

    def number(self, name: str, default: int, base: int = 10) -> int:
        """Return an option's value as a number of 32 bits."""
        value = self.text(name)
        if value is None:
            return default
        digits = "01234567" if base == 8 else "0123456789"
        if value.strip(digits) or len(value) > 11 or int(value, base) >= 1 << 32:
            raise self.fail(f"{name} is {'an octal' if base == 8 else 'a'} number, not {value[:20]!r}", name)
        return int(value, base)

    def owner(self, mode: int) -> dict[str, int]:
        """Return ``mode``, ``uid`` and ``gid``.

        :param mode: where none is said.
        """
        return {"mode": self.number("mode", mode, 8), "uid": self.number("uid", 0), "gid": self.number("gid", 0)}

    def size(self) -> int:
        """Return ``size`` in bytes."""
        value = self.text("size")
        found = _SIZE().fullmatch(value[:40]) if value is not None else None
        if value is not None and found is None:
            raise self.fail(f"size is a number of bytes, as 64m or 1g, not {value[:20]!r}", "size")
        return int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " ")) if found is not None else 0


def typed_mount(source: Source, written: WrittenMount, expand: Callable[[Word], Word]) -> Mount:
    """Return what a mount as written means.

    :param expand: expands the variables of a word.
    :raises DockerfileError: it has an option that there is not, or a value that none can have.
    """
    told = _Told(source, written, expand)
    kind = told.choice("type", tuple(_OPTIONS), "bind")
    told.only(kind)
    word, target = written.written, told.text("target")
    if target is None and kind in ("bind", "cache", "tmpfs"):
        raise told.fail(f"a mount of type {kind} has no target: write target=PATH")
    if target is not None and not target.strip("/"):
        raise told.fail("nothing can be mounted over /: mount it below", "target")
    below, origin = str(told.text("source") or "/"), written.origin
    required = told.truth("required", False)
    match kind:
        case "bind":
            return BindMount(written=word, target=target, source=below, origin=origin, readonly=told.readonly(True))
        case "cache":
            return CacheMount(
                written=word,
                target=target,
                id=str(told.text("id") or target),
                sharing=told.choice("sharing", ("shared", "private", "locked"), "shared"),
                source=below,
                origin=origin,
                readonly=told.readonly(False),
                **told.owner(0o755),
            )
        case "tmpfs":
            return TmpfsMount(written=word, target=target, size=told.size())
        case "secret":
            if told.text("id") and told.text("source"):
                raise told.fail("source is another name for id: write one of them", "source")
            name = told.text("id") or told.text("source") or (target or "").rstrip("/").rpartition("/")[2]
            if not name:
                raise told.fail("a secret has no id: write id=ID")
            found = told.text("env")
            env = None if found is None else str(found)
            owner = told.owner(0o400)
            return SecretMount(written=word, target=target, id=str(name), env=env, required=required, **owner)
        case _:
            name = str(told.text("id") or "default")
            return SshMount(written=word, target=target, id=name, required=required, **told.owner(0o600))
