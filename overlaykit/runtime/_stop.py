"""How a container is asked to end."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

from ._signals import parse_signal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["stop_signal"]


def stop_signal(asked: str | None, config: Mapping[str, Any]) -> int:
    """Return the signal that a container is stopped with.

    :param asked: what was said when it was run, if anything.
    :param config: its image's, which may have a ``StopSignal``.
    """
    for one in (asked, config.get("StopSignal")):
        if one:
            # An image may say anything; one that means nothing is as good as none.
            with contextlib.suppress(ValueError):
                return parse_signal(one)
    return signal.SIGTERM
