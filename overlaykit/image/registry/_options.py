"""How to speak with registries; apart from what speaks, which takes long to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...values import field, value_class

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._credentials import Credentials
    from ._mirrors import Mirror

__all__ = ["Options"]


@value_class(kw_only=True)
class Options:
    """How to speak with registries.

    :param insecure: take plain HTTP, or a certificate that nobody vouches for. On loopback plain HTTP is taken anyway.
    :param ca: a file with certificates (PEM) of authorities to trust besides the system's.
    :param credentials: instead of those that are kept for the registry.
    :param timeout: seconds to wait for a connection, and for any progress on one.
    :param slowest: bytes a second below which a connection is as good as broken, when it was waited for that long.
    :param retries: how often one request is tried again.
    :param longest_wait: seconds between two tries at most, whatever ``Retry-After`` says.
    :param parallel: blobs at once.
    :param mirrors: asked for images before the registry itself, and before those that the environment and the
        configuration name; as text ``PREFIX=[http://]LOCATION``. See :class:`Mirror`.
    :param registries_conf: the file with the configuration of registries, instead of those of the user and the machine.
    :param sleep: waits for some seconds between two tries; ``None`` for a wait that ends when all ends.
    """

    insecure: bool = False
    ca: str | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    timeout: float = 30.0
    slowest: float = 100.0
    retries: int = 5
    longest_wait: float = 60.0
    parallel: int = 3
    mirrors: Sequence[Mirror | str] = ()
    registries_conf: str | None = None
    sleep: Callable[[float], None] | None = None
