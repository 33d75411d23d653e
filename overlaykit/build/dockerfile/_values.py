"""Values that have a form of their own, looked at after variables are expanded."""

from __future__ import annotations

import re
import signal
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._place import Source, Word

__all__ = ["check_checksum", "check_mode", "check_owner", "check_signal"]

_OCTAL = partial(re.compile, r"[0-7]{1,5}")
_SYMBOLS = partial(re.compile, r"[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*")
_DIGEST = partial(re.compile, r"(?:sha256:)?[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}|[0-9a-f]{7,64}")
_REALTIME = partial(re.compile, r"RT(?:MIN(?:\+\d{1,2})?|MAX(?:-\d{1,2})?)")
_SIGNALS = {one.name.removeprefix("SIG") for one in signal.Signals}
_LAST_SIGNAL = 64


def check_mode(source: Source, word: Word | None) -> Word | None:
    """Refuse a ``--chmod`` that is neither octal digits nor symbols as chmod(1) has them.

    :raises DockerfileError: it is neither.
    """
    if not word:
        return None
    octal = _OCTAL().fullmatch(word) is not None and int(word, 8) <= 0o7777
    if not octal and not _SYMBOLS().fullmatch(word):
        raise source.error(word.place, f"{word[:30]!r} is no mode: write it as 755 or u=rwX,go=rX")
    return word


def check_owner(source: Source, word: Word | None) -> Word | None:
    """Refuse a ``--chown`` that is not ``USER[:GROUP]``.

    :raises DockerfileError: it is not.
    """
    if not word:
        return None
    if word.count(":") > 1 or word.startswith(":"):
        raise source.error(word.place, f"{word[:40]!r} is no owner: write it as USER or USER:GROUP, by name or number")
    return word


def check_checksum(source: Source, word: Word | None) -> Word | None:
    """Refuse a ``--checksum`` that is no digest and no commit.

    :raises DockerfileError: it is neither.
    """
    if not word:
        return None
    if not _DIGEST().fullmatch(word):
        raise source.error(word.place, f"{word[:40]!r} is no digest: write sha256: and 64 hexadecimal digits")
    return word


def check_signal(source: Source, word: Word) -> Word:
    """Refuse a STOPSIGNAL that Linux does not have.

    :raises DockerfileError: it is no number and no name of a signal.
    """
    text = word.upper().removeprefix("SIG")
    number = word.isascii() and word.isdecimal() and len(word) < 4 and 0 < int(word) <= _LAST_SIGNAL
    if not number and text not in _SIGNALS and not _REALTIME().fullmatch(text):
        raise source.error(word.place, f"there is no signal {word[:40]!r}: write it as SIGTERM or 15")
    return word
