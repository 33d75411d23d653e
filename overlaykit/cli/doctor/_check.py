"""What a check of ``overlaykit doctor`` says."""

from __future__ import annotations

import enum

from ...values import value_class

__all__ = ["Check", "Status"]


class Status(enum.StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"  #: works, but something is missing or will be short soon
    BAD = "bad"  #: something does not work


@value_class
class Check:
    """One line of the report.

    :param name: what was looked at.
    :param status: how it went.
    :param message: what was found: one line.
    :param fix: what to do about it; empty where nothing is to be done.
    """

    name: str
    status: Status
    message: str
    fix: str = ""
