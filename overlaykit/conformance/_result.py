"""What the suite says of each test: values that go from the process that runs it to whoever asked."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Outcome", "Result", "RunFacts", "summarize"]


class Outcome(enum.StrEnum):
    """How a test ended, or why it was not begun. Of several cases of one rule the first in this order counts."""

    FAILED = "failed"
    ERROR = "error"  #: it could not be set up or torn down, or left something behind
    KNOWN = "known"  #: fails, and the driver's plugin says so
    SKIPPED = "skipped"  #: by something that is not the suite
    PASSED = "passed"
    ABSENT = "absent"  #: of a capability that the driver does not declare here
    OFFERED = "offered"  #: says what is refused without a capability, and the driver has it

    @property
    def ran(self) -> bool:
        """Whether the test was begun."""
        return self not in (Outcome.ABSENT, Outcome.OFFERED)

    @property
    def bad(self) -> bool:
        """Whether the driver fails for it."""
        return self in (Outcome.FAILED, Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class Result:
    """One test.

    :param test: its id, ``"theme.name"``, with ``[case]`` where the rule is tested in several.
    :param outcome: how it ended.
    :param seconds: how long it took, setting up and tearing down included.
    :param rule: the rule that it tests: the first sentence of its docstring.
    :param message: one line: why it failed or was skipped; empty where it passed.
    :param driver: the driver's name.
    :param capability: the capabilities that the rule is about, joined with a comma; empty for the core.
    :param refusal: whether it is about what is refused without them.
    :param sources: where the rule comes from, each as :meth:`Source.as_json` has it.
    :param detail: more lines on a failure: where it was, and for random operations what they were.
    :param difference: the lines of a drawing of the two trees that differ; empty where no trees were compared.
    :param at: the line of the suite, and that of the driver, where it failed.
    :param replay: the command that runs this one case again; empty where it did not fail.
    """

    test: str
    outcome: Outcome
    seconds: float = 0.0
    rule: str = ""
    message: str = ""
    driver: str = ""
    capability: str = ""
    refusal: bool = False
    sources: tuple[Mapping[str, str], ...] = ()
    detail: str = ""
    difference: tuple[str, ...] = ()
    replay: str = ""
    at: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The part of the suite that it belongs to."""
        return self.test.partition(".")[0].replace("_", " ")

    @property
    def rule_id(self) -> str:
        """The id of its rule: its own without the case."""
        return self.test.partition("[")[0]

    @property
    def bad(self) -> bool:
        """Whether the driver fails for it."""
        return self.outcome.bad

    def to_line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Result:
        """Return what :meth:`to_line` wrote."""
        fields: dict[str, Any] = json.loads(line)
        changed = {
            "outcome": Outcome(fields["outcome"]),
            "sources": tuple(fields["sources"]),
            "difference": tuple(fields["difference"]),
            "at": tuple(fields["at"]),
        }
        return cls(**fields | changed)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What was tested, and where.

    :param driver: the driver's name.
    :param distribution: what brings it; empty where it comes from a class.
    :param version: of that distribution.
    :param options: those that the driver was made with.
    :param capabilities: those that it declares here, sorted.
    :param root: the directory that its own are made below.
    :param filesystem: the type of the file system there.
    :param environment: ``overlaykit``, ``python``, ``system``, ``user``: versions and names.
    :param level: which part of the suite was run.
    :param seed: of the property tests.
    :param examples: how many the property tests try.
    :param error: why the suite could not be run on the driver; empty where it could.
    """

    driver: str
    distribution: str
    version: str
    options: Mapping[str, str]
    capabilities: tuple[str, ...]
    root: str
    filesystem: str
    environment: Mapping[str, str]
    level: str
    seed: int
    examples: int
    error: str = ""

    def to_line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps({"run": asdict(self)})

    @classmethod
    def from_line(cls, line: str) -> RunFacts | None:
        """Return what :meth:`to_line` wrote; ``None`` for another line."""
        fields = json.loads(line).get("run")
        return None if fields is None else cls(**fields | {"capabilities": tuple(fields["capabilities"])})


def summarize(results: Iterable[Result]) -> dict[str, int]:
    """Count the results by outcome, those that do not occur included."""
    counts = dict.fromkeys(map(str, Outcome), 0)
    for result in results:
        counts[result.outcome] += 1
    return counts
