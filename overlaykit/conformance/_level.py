"""How much of the suite is run."""

from __future__ import annotations

import enum

__all__ = ["Level"]


class Level(enum.StrEnum):
    """A level has all that those before it have; ``docs/conformance.md`` defines them for those who read reports."""

    #: The rules that ask for no capability: what no driver may fail.
    CORE = "core"
    #: And the rules of each capability that the driver declares where it is tested.
    DECLARED = "declared"
    #: And, for each capability that it does not declare, that what needs it is refused.
    FULL = "full"

    def has(self, *, capability: bool, refusal: bool) -> bool:
        """Tell whether a rule belongs to it.

        :param capability: whether the rule is one of a capability, or of its absence.
        :param refusal: whether it is one of a capability's absence.
        """
        if refusal:
            return self is Level.FULL
        return not capability or self is not Level.CORE
