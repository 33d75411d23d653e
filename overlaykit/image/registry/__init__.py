"""Images from and to registries (OCI distribution specification 1.1; Docker Registry HTTP API version 2)."""

from __future__ import annotations

from ._client import Options
from ._credentials import Credentials, find_credentials
from ._mirrors import Mirror
from ._move import pull, pull_all, push, push_all, tags

__all__ = ["Credentials", "Mirror", "Options", "find_credentials", "pull", "pull_all", "push", "push_all", "tags"]
