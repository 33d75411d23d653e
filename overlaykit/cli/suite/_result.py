"""What the suite reports of each test."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...values import value_class

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["REPORT_FD", "Outcome", "Result", "summarize"]

REPORT_FD = "OVERLAYKIT_REPORT_FD"
"""The environment variable with the number of the descriptor that the reporter writes to."""


class Outcome(enum.StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"  #: it could not be set up or torn down
    KNOWN = "known"  #: fails, and the driver's plugin says so
    SKIPPED = "skipped"


@value_class
class Result:
    """One test.

    :param test: its id, ``"group.name"``.
    :param outcome: how it ended.
    :param seconds: how long it took, setting up and tearing down included.
    :param rule: the rule that it tests: the first line of its docstring.
    :param message: why it failed or was skipped; empty where it passed.
    """

    test: str
    outcome: Outcome
    seconds: float
    rule: str = ""
    message: str = ""

    @property
    def group(self) -> str:
        """The part of the suite that it belongs to."""
        return self.test.partition(".")[0].replace("_", " ")

    @property
    def bad(self) -> bool:
        """Whether the driver fails for it."""
        return self.outcome in (Outcome.FAILED, Outcome.ERROR)

    def to_line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Result:
        """Return what :meth:`to_line` wrote."""
        fields: dict[str, Any] = json.loads(line)
        return cls(**fields | {"outcome": Outcome(fields["outcome"])})


def summarize(results: Iterable[Result]) -> dict[str, int]:
    """Count the results by outcome, those that do not occur included."""
    counts = dict.fromkeys(map(str, Outcome), 0)
    for result in results:
        counts[result.outcome] += 1
    return counts
