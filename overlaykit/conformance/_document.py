"""The report as a document, in the schema of docs/conformance.md, whoever asked for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ._result import Outcome, summarize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ._result import Result, RunFacts

__all__ = ["SCHEMA", "SCHEMA_VERSION", "report_document", "write_json"]

SCHEMA = "overlaykit-conformance"
SCHEMA_VERSION = 1
"""Goes up when a field goes or means something else; a further field is none of that."""

_WORST = list(Outcome)


def report_document(runs: Sequence[tuple[RunFacts, Sequence[Result]]]) -> dict[str, Any]:
    """Return the document for the drivers that were tested; ``docs/conformance.md`` says what each field means."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "ok": bool(runs) and all(_is_ok(run, results) for run, results in runs),
        "drivers": [_driver(run, results) for run, results in runs],
        "rules": _rules(runs),
    }


def _is_ok(run: RunFacts, results: Sequence[Result]) -> bool:
    return not run.error and any(result.outcome.ran for result in results) and not any(map(_bad, results))


def _bad(result: Result) -> bool:
    return result.bad


def _driver(run: RunFacts, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "name": run.driver,
        "distribution": run.distribution,
        "version": run.version,
        "options": dict(run.options),
        "capabilities": list(run.capabilities),
        "root": run.root,
        "filesystem": run.filesystem,
        "environment": dict(run.environment),
        "level": run.level,
        "seed": run.seed,
        "examples": run.examples,
        "ok": _is_ok(run, results),
        "error": run.error,
        "counts": summarize(results),
        "seconds": round(sum(result.seconds for result in results), 3),
        "tests": [_test(result) for result in results],
    }


def _test(result: Result) -> dict[str, Any]:
    return {
        "id": result.test,
        "rule": result.rule_id,
        "outcome": str(result.outcome),
        "seconds": result.seconds,
        "message": result.message,
        "detail": result.detail,
        "difference": list(result.difference),
        "replay": result.replay,
        "at": list(result.at),
    }


def _rules(runs: Sequence[tuple[RunFacts, Sequence[Result]]]) -> list[dict[str, Any]]:
    rules: dict[str, dict[str, Any]] = {}
    for run, results in runs:
        for result in results:
            entry = rules.setdefault(
                result.rule_id,
                {
                    "id": result.rule_id,
                    "text": result.rule,
                    "capability": result.capability or None,
                    "refusal": result.refusal,
                    "sources": [dict(source) for source in result.sources],
                    "outcomes": {},
                },
            )
            before = entry["outcomes"].get(run.driver)
            entry["outcomes"][run.driver] = _worse(before, result.outcome)
    return [rules[id] for id in sorted(rules)]


def _worse(one: str | None, other: Outcome) -> str:
    if one is None:
        return str(other)
    return str(min(Outcome(one), other, key=_WORST.index))


def write_json(path: Path, document: Mapping[str, Any] | Iterable[Any]) -> None:
    """Write a document as a file.

    :raises OSError: it cannot be written.
    """
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
