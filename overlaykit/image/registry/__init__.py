"""Images from and to registries (OCI distribution specification 1.1; Docker Registry HTTP API version 2).

What speaks with them is imported when it is first used: most builds and runs find everything here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_names
from ._options import Options

if TYPE_CHECKING:
    from ._client import connection_errors
    from ._credentials import Credentials, find_credentials
    from ._errors import reason
    from ._http import Http
    from ._mirrors import Mirror
    from ._move import describe, pull, pull_all, push, push_all, tags

__all__ = [
    "Credentials",
    "Http",
    "Mirror",
    "Options",
    "connection_errors",
    "describe",
    "find_credentials",
    "pull",
    "pull_all",
    "push",
    "push_all",
    "reason",
    "tags",
]

_LATER = {
    "Http": "_http",
    "connection_errors": "_client",
    "reason": "_errors",
    "Credentials": "_credentials",
    "Mirror": "_mirrors",
    "describe": "_move",
    "find_credentials": "_credentials",
    "pull": "_move",
    "pull_all": "_move",
    "push": "_move",
    "push_all": "_move",
    "tags": "_move",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
