"""Digests as OCI writes them: ``sha256:`` and 64 hexadecimal digits."""

from __future__ import annotations

from .. import errors

TYPE_CHECKING = False

if TYPE_CHECKING:
    from hashlib import _Hash as Hash
    from typing import Final

__all__ = ["check_digest", "digest_of", "new_hash", "split_digest"]

# Those that the OCI image specification registers (descriptor.md), as far as hashlib always has them.
_DIGITS: Final = {"sha256": 64, "sha512": 128}
_HEX: Final = frozenset("0123456789abcdef")


def split_digest(digest: str) -> tuple[str, str]:
    """Return a digest's algorithm and its hexadecimal digits, which are safe in a path.

    :raises ImageFormatError: it is none, or of an algorithm other than SHA-256 and SHA-512.
    """
    algorithm, colon, digits = digest.partition(":")
    if not colon or len(digits) != _DIGITS.get(algorithm) or not _HEX.issuperset(digits):
        raise errors.ImageFormatError(
            f"{digest!r:.160} is no digest: that is sha256: and 64, or sha512: and 128 hexadecimal digits, lower case"
        )
    return algorithm, digits


def new_hash(digest: str | None = None) -> Hash:
    """Return a new hash of the algorithm of ``digest``; SHA-256 where there is none.

    :raises ImageFormatError: it is not a digest.
    """
    algorithm = "sha256" if digest is None else split_digest(digest)[0]
    import hashlib

    return hashlib.new(algorithm, usedforsecurity=False)


def digest_of(data: bytes, like: str | None = None) -> str:
    """Return the digest of bytes, with the algorithm of ``like``; SHA-256 where there is none.

    :raises ImageFormatError: ``like`` is not a digest.
    """
    made = new_hash(like)
    made.update(data)
    return f"{made.name}:{made.hexdigest()}"


def check_digest(what: str, expected: str | None, actual: str) -> None:
    """Compare two digests.

    :param what: what has them, for the message: ``"the blob"``.
    :param expected: ``None`` for any.
    :raises DigestMismatchError: they differ.
    """
    if expected is not None and expected != actual:
        raise errors.DigestMismatchError(
            f"{what} should have the digest {expected} and has {actual}: it was damaged or exchanged on the way; "
            "get it again",
            expected=expected,
            actual=actual,
        )
