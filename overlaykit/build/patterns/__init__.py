"""Patterns of paths: those of ``.dockerignore`` and ``--exclude``, and the globs of COPY and ADD."""

from __future__ import annotations

from ._glob import check_glob, has_magic, match_glob
from ._ignorefile import IgnoreLine, read_ignore_file
from ._matcher import Matched, Pattern, PatternMatcher

__all__ = [
    "IgnoreLine",
    "Matched",
    "Pattern",
    "PatternMatcher",
    "check_glob",
    "has_magic",
    "match_glob",
    "read_ignore_file",
]
